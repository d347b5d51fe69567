"""Adapters that no plain model can hold: put into a model, saved beside it in a few MB, and loaded with it.

A bottleneck stands after the feed-forward part of each layer. With h what that part gives and x its residual, a layer
with its norm behind (BERT, XLM-R, DistilBERT, ALBERT) then gives LN(x + h + up(relu(down(LN(x + h))))), LN the layer's
own norm both times; one with its norm in front (Llama, ModernBERT, GPT-2) has none there, and gives
x + h + up(relu(down(LN(x + h)))), LN the norm before its feed-forward part. Invertible adapters (`coupling`) are
additive couplings (Dinh et al. 2015, "NICE", section 3.2) on what the embedding layer gives, undone between the head's
transform and the decoder. All weights start at N(0, 0.02), biases at 0.

Adapters under several names form a stack: each works on the sum that those before it left, so that a task's adapter is
trained over a language's. They hang on forward hooks: the model's own modules and names stay what they were, and its
plain weights are one filter away. A folder with `adapter-NAME.safetensors` beside `model.safetensors` is whole with
`load_tuned`; plain transformers reads the nearest plain model from it, the one without adapters.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Any

from adapt.tuning.tuning import HOLDER, SEED
from lexigraft import InputError
from vocab.head import head_parts

_SHAPES = "_adapter_shapes"  # on the body: how each adapter is built, in the order of the stack
_BEHIND = (".output.LayerNorm", ".output_layer_norm", ".full_layer_layer_norm")
_BEFORE = (".mlp_norm", ".post_attention_layernorm", ".ln_2")


def shapes(model: Any) -> dict[str, dict[str, int | None]]:
    """`reduction` and `coupling` of a model's adapters by name, the lowest of the stack first."""
    return dict(getattr(model.base_model, _SHAPES, {}))


def attach(model: Any, name: str, reduction: int, coupling: int | None = None, seed: int = SEED) -> list[Any]:
    """Put a new adapter on top of those that are there.

    Args:
        model: the model, changed in place.
        name: of the adapter.
        reduction: the states' width divided by the bottleneck's.
        coupling: the same for the two networks of an invertible adapter, which see half a state; None: no such adapter.
        seed: of its weights.

    Returns:
        Its parameters.

    Raises:
        InputError: the name is taken, or the model's layers (for `coupling`: its head) are of an unknown kind.
    """
    import torch

    body = model.base_model
    known = shapes(model)
    if name in known:
        raise InputError("the model has an adapter of this name already", found=name)
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name) or hasattr(torch.nn.ModuleDict, name):
        raise InputError("an adapter cannot have this name", found=name, expected="letters, digits, - and _")
    places = _places(body)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if coupling is not None:
            _attach_coupling(model, name, coupling)
        for host, norm, hook in places:
            width = norm.weight.shape[0]
            _hold(host, name, _network(width, max(1, width // reduction), norm.weight), hook)
    setattr(body, _SHAPES, {**known, name: {"reduction": reduction, "coupling": coupling}})
    return list(parameters(model, name).values())


def detach(model: Any, name: str) -> None:
    """Take an adapter out of a model, leaving those above and below it."""
    body = model.base_model
    for module in body.modules():
        if name in getattr(module, HOLDER, ()):
            del getattr(module, HOLDER)[name]
    setattr(body, _SHAPES, {key: shape for key, shape in shapes(model).items() if key != name})


def parameters(model: Any, name: str) -> dict[str, Any]:
    """Parameters of an adapter, by the place they have in the body and their own name, without the adapter's."""
    mark = f"{HOLDER}.{name}."
    return {key.replace(mark, ""): p for key, p in model.base_model.named_parameters() if mark in key}


def save_tuned(model: Any, folder: Path) -> None:
    """Write a model as plain transformers read it, and each of its adapters to a file beside it."""
    from safetensors.torch import save_file

    state = {key: value for key, value in model.state_dict().items() if f".{HOLDER}." not in f".{key}"}
    model.save_pretrained(str(folder), state_dict=state)
    for place, (name, shape) in enumerate(shapes(model).items()):
        tensors = {key: value.detach().contiguous() for key, value in parameters(model, name).items()}
        # One key: safetensors writes several in no fixed order.
        about = {"adapter": json.dumps({"place": place, **shape})}
        save_file(tensors, folder / f"adapter-{name}.safetensors", metadata=about)


def load_tuned(folder: str | Path) -> Any:
    """Load a model in the class it was saved as, in evaluation mode, with the adapters that lie beside it."""
    from vocab.transplant.load import load_model

    return load_adapters(load_model(folder), Path(folder)).eval()


def load_adapters(model: Any, folder: Path) -> Any:
    """Put every adapter of a folder into a model, in the order of the stack they were saved from.

    Raises:
        InputError: a file is not an adapter, or does not fit this model.
    """
    files = [(_about(file)["place"], file) for file in folder.glob("adapter-*.safetensors")]
    for _, file in sorted(files):
        load_adapter(model, file)
    return model


def load_adapter(model: Any, file: Path, name: str | None = None) -> list[Any]:
    """Put one saved adapter on top of those that a model has.

    Args:
        model: the model, changed in place.
        file: `adapter-NAME.safetensors`.
        name: another name for it; None means the file's.

    Returns:
        Its parameters.

    Raises:
        InputError: the file is not an adapter, or does not fit this model.
    """
    import torch
    from safetensors.torch import load_file

    about = _about(file)
    name = name or file.stem.removeprefix("adapter-")
    made = attach(model, name, about["reduction"], about["coupling"])
    own, saved = parameters(model, name), load_file(file)
    fits, given = ({key: tuple(value.shape) for key, value in tensors.items()} for tensors in (own, saved))
    if fits != given:
        detach(model, name)
        differing = min(set(given.items()) ^ set(fits.items()))
        raise InputError("the adapter does not fit this model", file=file, found=f"{differing[0]} {differing[1]}")
    with torch.no_grad():
        for key, parameter in own.items():
            parameter.copy_(saved[key])
    return made


def _about(file: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as opened:
            about = json.loads((opened.metadata() or {})["adapter"])
        coupling = about["coupling"]
        return {"place": int(about["place"]), "reduction": int(about["reduction"]),
                "coupling": None if coupling is None else int(coupling)}  # fmt: skip
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"not an adapter: {error}", file=file, expected="a file that a tuning wrote") from None


def _places(body: Any) -> list[tuple[Any, Any, Any]]:
    """Find for each layer the module that holds its adapters, the norm they read through, and the hook that runs them.

    Raises:
        InputError: layers of an unknown kind.
    """
    named = dict(body.named_modules())
    behind = [n for n in named if n.endswith(_BEHIND) and not n.endswith(".attention.output.LayerNorm")]
    if behind:
        return [(named[n], named[n], _norm_behind) for n in behind]
    before = [n for n in named if n.endswith(_BEFORE)]
    if not before:
        raise InputError(
            "adapters do not find the norms of this model's layers",
            found=type(body).__name__,
            expected="a model of the kind of BERT, DistilBERT, ALBERT, ModernBERT, Llama or GPT-2",
        )
    return [(named[n.rpartition(".")[0]], named[n], partial(_norm_before, named[n])) for n in before]


def _attach_coupling(model: Any, name: str, reduction: int) -> None:
    """Put a coupling on the embedding layer and its inverse behind the head's transform, where there is a head.

    A body alone has no decoder, and nothing to undo the coupling for.
    """
    from torch import nn

    body = model.base_model
    parts = head_parts(model)[0] if model.get_output_embeddings() is not None else [None]
    embeddings = getattr(body, "embeddings", None)
    if embeddings is None or not parts:
        raise InputError(
            "an invertible adapter needs an embedding layer and a head with a transform before its decoder",
            found=type(model).__name__,
            expected="an encoder of a known kind, or the tuning bottleneck",
        )
    rows = model.get_input_embeddings().weight
    second = rows.shape[1] // 2
    first, inner = rows.shape[1] - second, max(1, second // reduction)
    nets = {"f": _network(second, inner, rows, out=first), "g": _network(first, inner, rows, out=second)}
    if parts[-1] is not None and not hasattr(embeddings, HOLDER):
        parts[-1].register_forward_hook(partial(_uncouple, embeddings))
    _hold(embeddings, name, nn.ModuleDict(nets), _couple)


def _network(width: int, inner: int, like: Any, out: int | None = None) -> Any:
    """Two linear layers with a ReLU between them, on the device and in the precision of a weight."""
    from torch import nn

    down, up = nn.Linear(width, inner), nn.Linear(inner, out or width)
    for layer in (down, up):
        nn.init.normal_(layer.weight, std=0.02)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(OrderedDict(down=down, relu=nn.ReLU(), up=up)).to(like)


def _hold(host: Any, name: str, adapter: Any, hook: Any) -> None:
    """Give an adapter to the module it works at; the first one brings the hook that runs them all."""
    from torch import nn

    if not hasattr(host, HOLDER):
        host.add_module(HOLDER, nn.ModuleDict())
        host.register_forward_hook(hook, prepend=True)  # before those by which transformers note hidden states
    getattr(host, HOLDER)[name] = adapter


def _norm_behind(norm: Any, inputs: Any, out: Any) -> Any:
    state = inputs[0]
    for adapter in norm.adapters.values():
        state = state + adapter(out)
        out = norm.forward(state)
    return out


def _norm_before(norm: Any, layer: Any, inputs: Any, out: Any) -> Any:
    state = out[0] if isinstance(out, tuple) else out
    for adapter in layer.adapters.values():
        state = state + adapter(norm(state))
    return (state, *out[1:]) if isinstance(out, tuple) else state


def _couple(embeddings: Any, inputs: Any, out: Any) -> Any:
    """y1 = x1 + f(x2), y2 = x2 + g(y1), halves of the width; a stack from the first adapter to the last."""
    import torch

    for nets in embeddings.adapters.values():
        one, two = out.tensor_split(2, -1)
        one = one + nets["f"](two)
        out = torch.cat([one, two + nets["g"](one)], -1)
    return out


def _uncouple(embeddings: Any, head: Any, inputs: Any, out: Any) -> Any:
    """x2 = y2 - g(y1), x1 = y1 - f(x2); a stack from the last adapter to the first."""
    import torch

    for nets in reversed(list(embeddings.adapters.values())):
        one, two = out.tensor_split(2, -1)
        two = two - nets["g"](one)
        out = torch.cat([one - nets["f"](two), two], -1)
    return out
