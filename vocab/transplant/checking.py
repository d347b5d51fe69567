"""Look a model over: whether tokenizer, rows, ties, bias and ids belong together, and which rows were never trained.

Only the tensors over the vocabulary are read.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vocab.matrix import take
from vocab.mixture import FILE, Mixture
from vocab.transplant.apply import biases_of, ends_of
from vocab.transplant.findings import Finding, Matrix, Seen
from vocab.transplant.ids import IDS
from vocab.transplant.row_findings import ROW_LOOKS
from vocab.view import Kind, Vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def check(model: Any, tokenizer: Any = None) -> list[Finding]:
    """Look a model over.

    Args:
        model: folder, hub id or model. Of a folder only the tensors over the vocabulary are read.
        tokenizer: its tokenizer, where that is not beside it.

    Returns:
        What was found, the gravest first; nothing where all is well.

    Raises:
        InputError: no model or no tokenizer could be loaded.
    """
    from vocab.tokenizer.load import load_tokenizer
    from vocab.transplant.skeleton import Carrier

    loaded: PreTrainedModel = Carrier.load(model).model if isinstance(model, str | Path) else model
    where = tokenizer if tokenizer is not None else model if isinstance(model, str | Path) else model.name_or_path
    view = Vocabulary.of(load_tokenizer(where))
    embedding, head = ends_of(loaded)
    matrices = {"input": Matrix(embedding.weight.detach())}
    if head is not None and head.weight is not embedding.weight:
        matrices["output"] = Matrix(head.weight.detach())
    beside = isinstance(model, str | Path) and (Path(model) / FILE).is_file()
    seen = Seen(loaded, view, matrices, Mixture.load(model) if beside else None)
    looks: list[Callable[[Seen], list[Finding]]] = [
        _step, _finite, _ids, _padding, _ties, _bias, *ROW_LOOKS,
    ]  # fmt: skip
    return [finding for look in looks for finding in look(seen)]


def _step(seen: Seen) -> list[Finding]:
    """Tokenizer and model out of step."""
    found = []
    name = "tokenizer and model out of step"
    for role, matrix in seen.matrices.items():
        rows, tokens = len(matrix.norm), len(seen.view)
        if tokens > rows:
            message = (
                f"{tokens:,} tokens, but the {role} embeddings have {rows:,} rows: the others crash or read garbage"
            )
            advice = "use the tokenizer the model was trained with, or transplant to this one"
            found.append(Finding(name, message, advice, tokens - rows, seen.show(range(rows, tokens))))
        elif rows - tokens >= 64 and (rows % 64 or rows - tokens >= 1024):
            message = f"the {role} embeddings have {rows - tokens:,} rows more than there are tokens"
            advice = "check that the tokenizer is the model's own; a transplant to the same tokenizer drops the rest"
            found.append(Finding(name, message, advice, rows - tokens))
    size = getattr(seen.model.config.get_text_config(), "vocab_size", None)
    if size is not None and size != len(seen.matrices["input"].norm):
        message = f"config.json says vocab_size {size:,}, the embeddings have {len(seen.matrices['input'].norm):,} rows"
        found.append(Finding(name, message, "set vocab_size to the number of rows"))
    if seen.mixture is not None and seen.mixture.target.fingerprint != seen.view.fingerprint:
        message = f"{FILE} beside the model was made for another vocabulary than this tokenizer's"
        found.append(Finding(name, message, "put back the tokenizer of the transplant, or transplant again"))
    gaps = np.flatnonzero(seen.view.kind == Kind.GAP)
    if len(gaps):
        advice = "harmless to read; a decoder can choose them: transplant to a tokenizer without gaps"
        found.append(Finding("ids without a token", "no token has these ids", advice, len(gaps), seen.show(gaps)))
    return found


def _finite(seen: Seen) -> list[Finding]:
    found = []
    for role, matrix in seen.matrices.items():
        bad = np.flatnonzero(~matrix.whole)
        if len(bad):
            message = f"rows of the {role} embeddings hold NaN or inf: all that reads them is lost"
            advice = "go back to an earlier checkpoint; training has diverged or the file is damaged"
            found.append(Finding("rows that are not finite", message, advice, len(bad), seen.show(bad)))
    return found


def _ids(seen: Seen) -> list[Finding]:
    """Specials: what the configurations name against what the tokenizer has."""
    found = []
    rows = len(seen.matrices["input"].norm)
    configs: dict[str, Any] = {"config.json": seen.model.config.get_text_config()}
    if getattr(seen.model, "generation_config", None) is not None:
        configs["generation_config.json"] = seen.model.generation_config
    for file, config in configs.items():
        for key, value in vars(config).items():
            if not key.endswith(IDS) or value is None:
                continue
            values = list(value) if isinstance(value, list | tuple) else [value]
            outside = [v for v in values if not 0 <= v < rows]
            own = seen.view.roles.get(key.removesuffix("_token_id"))
            if outside:
                message = f"{file}: {key} is {value}, and there are {rows:,} rows"
                found.append(Finding("special ids", message, f"set it to the tokenizer's ({own})"))
            elif own is not None and own not in values:
                message = (
                    f"{file}: {key} is {value} ({', '.join(seen.show(values))}), the tokenizer's is {own} "
                    f"({seen.view.tokens[own]}): texts begin, end or are padded with another token"
                )
                found.append(Finding("special ids", message, f"set it to {own}, unless the model was trained so"))
    needed = {"ForMaskedLM": ("mask", "pad"), "ForCausalLM": ("eos",), "LMHeadModel": ("eos",)}
    for ending, roles in needed.items():
        missing = [role for role in roles if role not in seen.view.roles]
        if missing and type(seen.model).__name__.endswith(ending):
            message = f"a {type(seen.model).__name__} needs these tokens, and the tokenizer has none for them"
            advice = "add them to the tokenizer, or build it with like= the source's"
            found.append(Finding("missing specials", message, advice, len(missing), missing))
    return found


def _padding(seen: Seen) -> list[Finding]:
    found = []
    pad = seen.view.roles.get("pad")
    index = seen.model.get_input_embeddings().padding_idx
    if index is not None and index != pad:
        is_now = "has none" if pad is None else f"pads with {pad}"
        shown = seen.show([index])[0]
        message = f"the embeddings hold {shown} for padding and never train it; the tokenizer {is_now}"
        found.append(Finding("padding", message, "set config.pad_token_id to the tokenizer's"))
    for module in seen.model.modules():
        table = getattr(module, "position_embeddings", None)
        start = getattr(table, "padding_idx", None)
        if start is not None and pad is not None and start != pad:
            message = (
                f"positions are counted from id {start}, the tokenizer pads with {pad}: every word is read elsewhere"
            )
            found.append(Finding("padding", message, "transplant again; the table of positions has to move along"))
    for role in ("unk", "eos"):
        if pad is not None and seen.view.roles.get(role) == pad:
            message = f"padding and {role} are one token: where padding is left out of the loss, so is {role}"
            found.append(Finding("padding", message, "give the tokenizer a padding token of its own"))
    return found


def _ties(seen: Seen) -> list[Finding]:
    if "output" not in seen.matrices:
        return []
    asked = bool(getattr(seen.model.config.get_text_config(), "tie_word_embeddings", False))
    first, second = seen.matrices["input"], seen.matrices["output"]
    same = first.matrix.shape == second.matrix.shape and np.array_equal(first.key, second.key)
    if asked:
        message = "config.json ties input and output embeddings, and they are two matrices" + (
            ", equal by chance" if same else ": on loading one of them may be lost"
        )
        return [Finding("ties", message, "set tie_word_embeddings to false, or save the model tied")]
    if same:
        megabytes = first.matrix.numel() * first.matrix.element_size() / 1e6
        message = (
            f"input and output embeddings are equal but not tied: {megabytes:,.0f} MB twice, and training parts them"
        )
        return [Finding("ties", message, "set tie_word_embeddings to true if they were meant to be one")]
    return []


def _bias(seen: Seen) -> list[Finding]:
    head = seen.model.get_output_embeddings()
    if head is None:
        return []
    found = []
    bias: Any = getattr(head, "bias", None)
    if bias is not None and len(bias) != len(head.weight):
        message = f"the output bias has {len(bias):,} numbers for {len(head.weight):,} rows"
        found.append(Finding("output bias", message, "transplant again: the bias follows the rows"))
    for tensor in biases_of(seen.model, head):
        values = take(tensor.detach().reshape(-1, 1), slice(None))[:, 0]
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            message = "the output bias holds NaN or inf: no probability can be computed"
            found.append(Finding("output bias", message, "go back to an earlier checkpoint", len(bad), seen.show(bad)))
    return found
