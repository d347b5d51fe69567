"""Keep the pieces that given texts use: the same cuts on these texts, a smaller vocabulary."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lexigraft import InputError
from vocab.tokenizer.like import remade
from vocab.tokenizer.load import load_tokenizer
from vocab.tokenizer.pieces import Pieces
from vocab.tokenizer.texts import Lines

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from vocab.mixture import Mixture
    from vocab.view import Vocabulary


@dataclass(frozen=True)
class Trimmed:
    """A tokenizer with fewer pieces.

    Attributes:
        tokenizer: the new tokenizer.
        kept: int64 (new vocabulary,), the old id of each new one: the rows of the model to keep, in this order.
        facts: `before`, `after` (ids), `used` (different pieces in the text); with `heldout`: `heldout_lines` and
            `heldout_changed` (lines of it that are cut differently, for want of a dropped piece); with `model`:
            `parameters_saved`.
        source: the tokenizer that was trimmed.
    """

    tokenizer: PreTrainedTokenizerFast
    kept: np.ndarray
    facts: dict[str, Any]
    source: Vocabulary

    def mixture(self) -> Mixture:
        """Return the mixture of ones that takes the kept rows of the source's model."""
        from vocab.mixture import Mixture
        from vocab.transplant.specials import one_to_one
        from vocab.view import Vocabulary

        rows = np.arange(len(self.kept))
        weights = one_to_one(rows, self.kept, len(self.source))
        ones = np.ones(len(rows))
        return Mixture.build(
            self.source, Vocabulary.of(self.tokenizer), "copy", rows, weights, copied=True, evidence=ones
        )

    def cut(self, model: Any) -> PreTrainedModel:
        """Return the source's model with the kept rows only.

        Args:
            model: folder, hub id or model; a model given is not changed.
        """
        import copy

        from vocab.transplant.apply import put_on
        from vocab.transplant.load import load_model
        from vocab.view import Vocabulary

        loaded = load_model(model) if isinstance(model, str | Path) else copy.deepcopy(model)
        put_on(loaded, self.mixture(), self.source, Vocabulary.of(self.tokenizer))
        return loaded


def trim(source: Any, texts: Any, *, heldout: Any = None, model: str | Path | None = None) -> Trimmed:
    """Drop the pieces that no text uses.

    Kept are also specials, bytes, all single characters, and for BPE the pieces that kept ones are merged from.

    Args:
        source: what `load_tokenizer` takes.
        texts: files or lines that can be gone through twice.
        heldout: other text, to see how much of it is cut as before.
        model: folder of the model, to say how many parameters go.

    Returns:
        The tokenizer, which cuts these texts exactly as before (this is checked), and the kept ids.

    Raises:
        InputError: no text, a kind of tokenizer that cannot be trimmed, one that would cut the text differently, or a
            model of another tokenizer.
    """
    from vocab.view import SPACE, Kind, Vocabulary

    old = load_tokenizer(source)
    view = Vocabulary.of(old)
    lines = Lines(texts)
    encoded = Pieces.of(view, lines)
    if not len(encoded):
        raise InputError("there is no text to keep pieces for", expected="text")
    used = np.unique(encoded.ids)
    keep = (view.kind == Kind.SPECIAL) | (view.kind == Kind.BYTE)
    keep[used] = True
    keep[list(view.backend.get_added_tokens_decoder())] = True
    keep[[index for index, form in enumerate(view.forms) if len(form.removeprefix(SPACE)) <= 1]] = True
    keep[view.kind == Kind.GAP] = False
    raw = json.loads(view.backend.to_str())
    state = raw["model"]
    if state["type"] not in ("BPE", "Unigram", "WordPiece"):
        raise InputError("this kind of tokenizer cannot be trimmed", found=state["type"])
    if state["type"] == "BPE":
        _keep_parents(state, keep)
    kept = np.flatnonzero(keep)
    new_id = {int(index): place for place, index in enumerate(kept)}
    if state["type"] == "Unigram":
        if isinstance(state["unk_id"], int):
            state["unk_id"] = new_id[state["unk_id"]]
        state["vocab"] = [piece for index, piece in enumerate(state["vocab"]) if index in new_id]
    else:
        state["vocab"] = {piece: new_id[index] for piece, index in state["vocab"].items() if index in new_id}
    for token in raw["added_tokens"]:
        token["id"] = new_id[token["id"]]
    raw["post_processor"] = _renumbered(raw["post_processor"], new_id)
    new = remade(old, raw)
    now = Vocabulary.of(new)
    if len(others := encoded.unlike(Pieces.of(now, lines), kept)):
        raise InputError("the trimmed tokenizer would cut the text differently", line=int(others[0]) + 1)
    facts: dict[str, Any] = {"before": len(view), "after": len(kept), "used": len(used)}
    if heldout is not None:
        before = Pieces.of(view, Lines(heldout))
        facts["heldout_lines"] = len(before)
        facts["heldout_changed"] = len(before.unlike(Pieces.of(now, Lines(heldout)), kept))
    if model is not None:
        facts["parameters_saved"] = _parameters(Path(model), len(view)) * (len(view) - len(kept))
        _same_tokens(Path(model), view)
    return Trimmed(new, kept, facts, view)


def _parameters(folder: Path, size: int) -> int:
    """Count the parameters a token has in a model: its rows in every matrix or bias over the vocabulary.

    Args:
        folder: the model's, with config.json and safetensors files, of which only the heads are read.
        size: ids of the tokenizer; the vocabulary of the model may be padded.
    """
    from safetensors import safe_open

    config, files = folder / "config.json", sorted(folder.glob("*.safetensors"))
    if not config.is_file() or not files:
        raise InputError("this folder holds no model", file=folder, expected="config.json and safetensors files")
    rows = json.loads(config.read_text(encoding="utf-8")).get("vocab_size")
    if not isinstance(rows, int) or rows < size:
        raise InputError(
            "model and tokenizer do not belong together", file=config, found=f"vocab_size {rows}, {size} tokens"
        )
    number = 0
    for file in files:
        with safe_open(file, "np") as tensors:
            shapes = [tensors.get_slice(name).get_shape() for name in tensors.keys()]  # noqa: SIM118 - no mapping
        number += sum(math.prod(shape[1:]) for shape in shapes if shape and shape[0] == rows)
    return number


def _same_tokens(folder: Path, view: Vocabulary) -> None:
    """See that a tokenizer in the model's folder has the tokens that are trimmed: other rows would be kept."""
    try:
        found = type(view).of(folder)
    except InputError:
        return  # none is there
    if found.tokens != view.tokens:
        raise InputError(
            "model and tokenizer do not belong together",
            file=folder,
            found=f"a tokenizer of {len(found)} other tokens in the model's folder",
            expected=f"the {len(view)} tokens that are trimmed, or a folder without a tokenizer",
        )


def _keep_parents(model: dict[str, Any], keep: np.ndarray) -> None:
    """Keep what kept tokens are merged from, and only the merges that make them.

    Merges across the bounds of a token never happened where it stands in the cut text, so those within it happen in
    the order in which they do for its letters alone: leaving out all others changes nothing.
    """
    ranks = {tuple(pair): rank for rank, pair in enumerate(model["merges"])}
    needed: set[tuple[str, str]] = set()
    for token, index in list(model["vocab"].items()):
        if not keep[index]:
            continue
        parts = list(token)
        while len(parts) > 1:
            pairs = [
                (ranks.get(pair, len(ranks)), place) for place, pair in enumerate(zip(parts, parts[1:], strict=False))
            ]
            rank, place = min(pairs)
            if rank == len(ranks):
                break  # an added token, or one that no merge reaches
            needed.add((parts[place], parts[place + 1]))
            parts[place : place + 2] = [parts[place] + parts[place + 1]]
            keep[model["vocab"][parts[place]]] = True
        for part in parts:
            keep[model["vocab"].get(part, index)] = True
    for left, right in needed:
        keep[[model["vocab"][left], model["vocab"][right]]] = True
    model["merges"] = [pair for pair in model["merges"] if tuple(pair) in needed]


def _renumbered(state: Any, new_id: dict[int, int]) -> Any:
    """Give a post-processor the new ids, wherever it names one."""
    if state is None:
        return None
    if state["type"] == "Sequence":
        return state | {"processors": [_renumbered(part, new_id) for part in state["processors"]]}
    changed = dict(state)
    for side in ("cls", "sep"):
        if side in changed:
            changed[side] = [changed[side][0], new_id[changed[side][1]]]
    if "special_tokens" in changed:
        changed["special_tokens"] = {
            name: token | {"ids": [new_id[index] for index in token["ids"]]}
            for name, token in changed["special_tokens"].items()
        }
    return changed
