"""The model that rows are put on: whole, or as a skeleton that holds nothing but the tensors over the vocabulary.

A skeleton is the model on the meta device, where tensors have a shape and no memory; embeddings, output matrix, output
bias and position tables are read from the checkpoint. What changes a model for a new vocabulary works on it as on a
whole one, and it is saved by copying the rest of the checkpoint from file to file.
"""

from __future__ import annotations

import copy
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexigraft import InputError
from vocab.transplant import shards
from vocab.transplant.apply import biases_of, ends_of, same, swap
from vocab.transplant.load import MERGED, PEFT, class_of, load_model, structure_of

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

# What a sentence-embedding model has beside its weights: how states become one vector.
_BESIDE = ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json")
_ADAPTERS = "adapter-*.safetensors"  # bottleneck adapters that a training left beside the weights


@dataclass
class Carrier:
    """A model to put rows on.

    Attributes:
        model: the model, or its skeleton.
        folder: where it was loaded from; None for a model given as an object.
        names: of a skeleton: name in the checkpoint -> name in the model, for each tensor that is loaded.
        trust_remote_code: the model may run code that comes with it.
    """

    model: PreTrainedModel
    folder: Path | None = None
    names: dict[str, str] = field(default_factory=dict)
    trust_remote_code: bool = False

    @property
    def whole(self) -> bool:
        """Whether the model has its body."""
        return not self.names

    @classmethod
    def load(cls, where: str | Path, *, trust_remote_code: bool = False) -> Carrier:
        """Load a skeleton where the checkpoint allows it, else the whole model.

        Args:
            where: folder or hub id.
            trust_remote_code: run code that comes with the model; such a model is always loaded whole.

        Raises:
            InputError: see `load_model`; or a peft adapter lies beside the model, which the new folder would not have.
        """
        folder = Path(where)
        if (folder / PEFT).is_file() and (folder / "config.json").is_file():
            raise InputError("a peft adapter beside the model would be lost", file=folder / PEFT, expected=MERGED)
        made = None
        if folder.is_dir() and not trust_remote_code:
            made = _skeleton(folder)
        if made is not None:
            return made
        model = load_model(where, trust_remote_code=trust_remote_code)
        return cls(model, folder if folder.is_dir() else None, trust_remote_code=trust_remote_code)

    @classmethod
    def of(cls, model: PreTrainedModel) -> Carrier:
        """Copy a model that is given as an object.

        Raises:
            InputError: it holds modules that its class does not have (adapters): `from_pretrained` would drop them.
        """
        parts = list(model.named_modules())
        more = [name or type(part).__name__ for name, part in parts if type(part).__module__.startswith("peft.")]
        if not more:
            again = structure_of(type(model), model.config)
            known = {name for name, _ in (model if again is None else again).named_modules()}
            more = [name for name, part in parts if name not in known and [*part.parameters(False)]]
        if more:
            raise InputError(
                "the model holds modules that its class does not have, and plain from_pretrained would drop them",
                found=", ".join(more[:3]) + (", ..." if len(more) > 3 else ""),
                expected=f"the folder it was saved to, adapters beside the weights; or {MERGED}",
            )
        return cls(copy.deepcopy(model))

    @property
    def adapters(self) -> list[Path]:
        """Files of adapters beside the weights. They belong to the body, whose width no new vocabulary changes."""
        return [] if self.folder is None else sorted(self.folder.glob(_ADAPTERS))

    def fresh(self, *, shared: bool = False) -> PreTrainedModel:
        """Return a whole model as it was before any row was put on, if `model` is untouched or lies in a folder.

        Args:
            shared: what the skeleton holds is not loaded again but stands in both: only while `model` is untouched, and
                for a model that is not trained.
        """
        if self.folder is None:
            return copy.deepcopy(self.model)
        made = load_model(self.folder, trust_remote_code=self.trust_remote_code)
        if shared and not self.whole:
            here = made.state_dict(keep_vars=True)
            for name, tensor in self.model.state_dict().items():
                old = here.get(name)
                if not tensor.is_meta and old is not None and (old.shape, old.dtype) == (tensor.shape, tensor.dtype):
                    swap(made, old, tensor)
        return made

    def filled(self, rows: PreTrainedModel) -> PreTrainedModel | None:
        """Load the body around rows, which are neither read again nor copied.

        Args:
            rows: this skeleton, or one with other rows (see `vocab.transplant.apply.with_rows`).

        Returns:
            A whole model, its body of its own; None where there is no skeleton, the checkpoint does not name every
            tensor, or other tensors are tied in it than in the class.
        """
        import torch

        files = None if self.whole or self.folder is None else shards.files_of(self.folder)
        if files is None:
            return None
        weight: Any = rows.get_input_embeddings().weight
        with torch.random.fork_rng(devices=[]):  # what a class draws for its tensors is written over
            made: Any = type(rows)(rows.config).eval()
        made.to(weight.dtype)
        here, there = (model.state_dict(keep_vars=True) for model in (made, rows))
        in_file = _names_in_file(rows, there, files)
        known: set[int] = set()
        for name, tensor in here.items():
            value = there.get(name)
            row = value is not None and not value.is_meta
            if value is not None and not row:
                value = next((_read(files[found], found) for found in in_file.get(name, ())), None)
            if value is None or value.shape != tensor.shape or id(tensor) in known:
                continue
            known.add(id(tensor))
            if row and value.dtype == tensor.dtype:
                swap(made, tensor, value.detach())
            else:
                with torch.no_grad():
                    tensor.copy_(value)
        tied, asked = (len({id(tensor) for tensor in state.values()}) for state in (here, there))
        return made if tied == asked == len(known) else None

    def save(self, folder: Path, model: PreTrainedModel | None) -> None:
        """Write weights and configuration.

        Args:
            folder: where to.
            model: the whole model with its rows; None: the skeleton's rows, the rest copied from the source's files.

        Raises:
            InputError: the folder is the source's own.
        """
        if self.folder is not None:
            if self.folder.resolve() == folder.resolve():
                raise InputError("this would write over the source model", file=folder, expected="another folder")
            _copy_beside(self.folder, folder)
            for file in self.adapters:
                shutil.copyfile(file, folder / file.name)
        if model is not None or self.folder is None:
            (self.model if model is None else model).save_pretrained(folder)
            return
        state = self.model.state_dict()
        shards.rewrite(self.folder, folder, {there: state[here] for there, here in self.names.items()})
        self.model.config.save_pretrained(folder)
        if self.model.can_generate() and (self.folder / "generation_config.json").is_file():
            self.model.generation_config.save_pretrained(folder)


def _skeleton(folder: Path) -> Carrier | None:
    """Make a skeleton; None where the checkpoint lacks a tensor over the vocabulary under any name that is known.

    Raises:
        InputError: such a tensor has another shape than the configuration says.
    """
    import torch
    import transformers

    files = shards.files_of(folder) if (folder / "config.json").is_file() else None
    try:
        config = transformers.AutoConfig.from_pretrained(str(folder)) if files else None
    except (ValueError, OSError):  # load_model says it better
        return None
    chosen = None if config is None else class_of(config)
    if files is None or chosen is None:
        return None
    model = structure_of(chosen, config)
    if model is None:
        return None
    if model.can_generate() and (folder / "generation_config.json").is_file():
        model.generation_config = transformers.GenerationConfig.from_pretrained(str(folder))
    state = model.state_dict(keep_vars=True)
    aliases: dict[int, list[str]] = {}
    for name, tensor in state.items():
        aliases.setdefault(id(tensor), []).append(name)
    file_names = _names_in_file(model, state, files)
    head = model.get_output_embeddings()
    names: dict[str, str] = {}
    for tensor in _over_vocabulary(model):
        own = [(name, alias) for alias in aliases.get(id(tensor), []) for name in file_names.get(alias, ())]
        found = [_read(files[name], name) for name, _ in own]
        if not found:
            return None
        for (name, _), value in zip(own, found, strict=True):
            if value.shape != tensor.shape:
                raise InputError(
                    "weights and config.json are out of step: the model cannot be loaded", file=files[name],
                    found=f"{name} of shape {tuple(value.shape)}",
                    expected=f"{tuple(tensor.shape)}, as config.json says",
                )  # fmt: skip
        swap(model, tensor, found[0])
        for (name, alias), value in zip(own, found, strict=True):
            # Some files hold a tied matrix under each of its names; where these differ, transformers loads it untied.
            if not same(found[0], value):
                module, _, what = alias.rpartition(".")
                if what != "weight" or model.get_submodule(module) is not head:
                    return None
                head.weight = torch.nn.Parameter(value)
            names[name] = alias
    model.name_or_path = str(folder)
    return Carrier(model, folder, names)


def _names_in_file(model: PreTrainedModel, state: dict[str, Any], files: dict[str, Path]) -> dict[str, list[str]]:
    """Name in the model -> names in the files that it is read from: renamed since, or with a prefix more or less."""
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightRenaming, rename_source_key

    renamings = [change for change in get_model_conversion_mapping(model) if isinstance(change, WeightRenaming)]
    found: dict[str, list[str]] = {}
    for name in files:
        here = name if name in state else rename_source_key(name, renamings, [], model.base_model_prefix, state)[0]
        found.setdefault(here, []).append(name)
    return found


def _over_vocabulary(model: PreTrainedModel) -> list[torch.Tensor]:
    """List the tensors that a new vocabulary changes: embeddings, output matrix and biases, tables of positions."""
    from torch import nn

    embedding, head = ends_of(model)
    found: list[Any] = [embedding.weight]
    if head is not None:
        found += [head.weight, *biases_of(model, head)]
    tables = (getattr(module, "position_embeddings", None) for module in model.modules())
    found += [table.weight for table in tables if isinstance(table, nn.Embedding) and table.padding_idx is not None]
    return list({id(tensor): tensor for tensor in found}.values())


def _read(file: Path, name: str) -> torch.Tensor:
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        tensor: torch.Tensor = opened.get_tensor(name)
    return tensor


def _copy_beside(source: Path, target: Path) -> None:
    """Copy what makes a folder a sentence-embedding model: its modules' settings and their own weights."""
    import json

    if not (source / "modules.json").is_file():
        return
    for name in _BESIDE:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    for module in json.loads((source / "modules.json").read_text(encoding="utf-8")):
        path = Path(module.get("path", ""))
        if path.is_absolute() or ".." in path.parts:
            raise InputError("a module lies outside the model's folder", file=source / "modules.json", found=str(path))
        if path.parts and (source / path).is_dir():
            shutil.copytree(source / path, target / path, dirs_exist_ok=True)
