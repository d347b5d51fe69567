"""A run's models on one's own sentences: gaps filled, text gone on with, words labelled; the arms side by side."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import streamlit as st

from adapt.config import HANDED_OUT
from adapt.evaluate.task import TASKS
from adapt.predict import folders_of, predict
from app.parts.folders import RunFolder, read_json
from app.parts.guard import messages
from app.parts.progress import stage_title
from lexigraft import InputError

GAP = "___"
FILL, WRITE = "Fill in the gap", "Go on writing"
_KINDS = {"pseudo_bits_per_character": FILL, "bits_per_character": WRITE}  # by the unit that an arm was scored in
_MOST = 2_000  # characters that are read while somebody waits
_GUESSES, _NEW = 5, 40
_COLOURS = 6


def draw(run: RunFolder) -> None:
    """Ask for sentences, and show what each arm of a finished run makes of them."""
    st.fragment(_draw)(run)


def _draw(run: RunFolder) -> None:
    with messages():
        able = _able(run)
        if not able:
            st.info("This run kept nothing to try: no trained labels, and no language-modelling head.")
            return
        names = {what: what if what in (FILL, WRITE) else f"Label: {stage_title(what)}" for what in able}
        what = st.segmented_control("What to try", list(able), default=next(iter(able)), required=True,
                                    format_func=names.__getitem__, key=f"try:{run.name}")  # fmt: skip
        with st.form("try", border=False):
            arms = st.multiselect("Arms", able[what], default=able[what], key=f"try:{run.name}:{what}:arms")
            text = st.text_area(
                f"Sentences, one a line; {GAP} where a piece is missing" if what == FILL else "Sentences, one a line",
                _example(run, what), key=f"try:{run.name}:{what}:text", max_chars=_MOST,
            )  # fmt: skip
            asked = st.form_submit_button("Try", icon=":material/play_arrow:", type="primary")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if not asked or not lines or not arms:
            return
        panels = []
        for arm in arms:
            with st.spinner(f"Asking {arm} …", show_time=True):
                panels.append(
                    f'<section class="lx-panel"><h4>{escape(arm)}</h4>{_answer(run, arm, what, lines)}</section>'
                )
        st.html(f'<div class="lx-side lx-try">{"".join(panels)}</div>')


def _able(run: RunFolder) -> dict[str, list[str]]:
    """Say what can be tried, and which arms can, that first which the run hands out; told by its scores and heads."""
    able: dict[str, list[str]] = {}
    arms = [str(arm) for arm in run.settings.get("arms") or []]
    for arm in sorted(arms, key=lambda arm: (*HANDED_OUT, "source", arm).index(arm)):
        for path in run.files(f"evaluate/{arm}/lm/seed-*/scores.json")[:1]:
            found = read_json(path)
            if isinstance(found, dict) and found.get("main") in _KINDS:
                able.setdefault(_KINDS[found["main"]], []).append(arm)
        for task in TASKS:
            if task.predict is not None and run.files(f"evaluate/{arm}/{task.name}/seed-*/head.json"):
                able.setdefault(task.name, []).append(arm)
    return able


def _example(run: RunFolder, what: str) -> str:
    """Take a sentence of the run's held-out text; for gaps, with one in the place of a long word."""
    lines = (run.text("corpus/heldout.txt", 5_000) or "").splitlines()
    words = next((line for line in lines[1:] if 20 < len(line) < 120), lines[-1] if lines else "").split()
    if what == FILL and words:
        longest = max(range(len(words)), key=lambda n: len(words[n]))
        words[longest] = GAP
    elif what == WRITE:
        words = words[: len(words) // 2]
    return " ".join(words)


def _answer(run: RunFolder, arm: str, what: str, lines: Sequence[str]) -> str:
    if what == FILL:
        return "".join(_gaps_html(line, gaps(*_model(run, arm), line)) for line in lines)
    if what == WRITE:
        model = _model(run, arm)
        return "".join(f"<p>{escape(line)}<mark>{escape(written(*model, line))}</mark></p>" for line in lines)
    return "".join(_labels_html(row) for row in predict(run.path, what, lines, arm))


def gaps(model: Any, tokenizer: Any, text: str) -> list[list[tuple[str, float]]]:
    """Guess what stands in the gaps of a sentence, a piece each, all gaps at once.

    Args:
        model: with a masked language-modelling head.
        tokenizer: its tokenizer.
        text: a sentence with `GAP` in it.

    Returns:
        For each gap the most probable pieces, and how probable each is (0 to 1).

    Raises:
        InputError: there is no gap, or more text than the model reads.
    """
    import torch

    encoded = tokenizer(text.replace(GAP, tokenizer.mask_token), return_tensors="pt")
    ids, room = encoded["input_ids"], getattr(model.config, "max_position_embeddings", 512)
    places = (ids[0] == tokenizer.mask_token_id).nonzero().ravel()
    if not len(places):
        raise InputError("this sentence has no gap", found=text[:60], expected=f"{GAP} where a piece is missing")
    if ids.shape[1] > room - 2:
        raise InputError(
            "more text than the model reads at once", found=f"{ids.shape[1]} tokens", expected=f"{room - 2}"
        )
    with torch.inference_mode():
        found = model(**{name: encoded[name] for name in ("input_ids", "attention_mask")}).logits[0, places].softmax(-1)
    best = found.topk(_GUESSES)
    return [
        [(tokenizer.decode([index]).strip() or "␣", share) for index, share in zip(row, shares, strict=True)]
        for row, shares in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]


def written(model: Any, tokenizer: Any, text: str) -> str:
    """Go on with a text, the most probable token at each step.

    Args:
        model: a decoder.
        tokenizer: its tokenizer.
        text: how it begins.
    """
    import torch

    encoded = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
    begin = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    ids = torch.cat([torch.tensor([begin], dtype=encoded.dtype), encoded], dim=1)
    room = max(1, getattr(model.config, "max_position_embeddings", 512) - _NEW)
    ids = ids[:, -room:]
    with torch.inference_mode():
        made = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=_NEW)
    return str(tokenizer.decode(made[0, len(begin) :], skip_special_tokens=True))[len(text) :]


def _model(run: RunFolder, arm: str) -> tuple[Any, Any]:
    model, words = folders_of(run.path, arm)
    return _loaded(model, words, (model / "config.json").stat().st_mtime)


@st.cache_resource(max_entries=2, show_spinner=False)
def _loaded(model: Path, words: Path, _changed: float) -> tuple[Any, Any]:
    from adapt.tuning.adapters import load_tuned
    from vocab.tokenizer.load import load_tokenizer

    return load_tuned(model).float(), load_tokenizer(words)


def _gaps_html(line: str, found: Sequence[Sequence[tuple[str, float]]]) -> str:
    """Draw a sentence with the best guess in each gap, and below it all guesses."""
    parts = [escape(part) for part in line.split(GAP)]
    shown = "".join(f"{part}<mark>{escape(guesses[0][0])}</mark>" for part, guesses in zip(parts, found, strict=False))
    rows = "".join(
        f'<ol class="lx-guesses">{"".join(_guess_html(*guess) for guess in guesses)}</ol>' for guesses in found
    )
    return f"<p>{shown}{parts[-1]}</p>{rows}"


def _guess_html(piece: str, share: float) -> str:
    bar = f'<span class="lx-bar"><span style="width:{100 * share:.1f}%"></span></span>'
    return f"<li><span>{escape(piece)}</span>{bar}<small>{share:.1%}</small></li>"


def _labels_html(row: dict[str, Any]) -> str:
    """Draw a labelled sentence: a label below each word, the same colour for the same label; or one label for all."""
    if "label" in row:
        return f'<p>{escape(str(row["text"]))} <span class="lx-badge">{escape(str(row["label"]))}</span></p>'
    kinds = {kind: n for n, kind in enumerate(sorted({_kind(label) for label in row["labels"]}))}
    words = [
        f'<span class="lx-word"><span class="lx-p{"" if label == "O" else f" lx-c{kinds[_kind(label)] % _COLOURS}"}">'
        f'{escape(word)}</span><span class="lx-n">{"" if label == "O" else escape(label)}</span></span>'
        for word, label in zip(row["tokens"], row["labels"], strict=True)
    ]
    none = (
        "" if any(label != "O" for label in row["labels"]) else '<p class="lx-note">nothing found in this sentence</p>'
    )
    return f'<div class="lx-text">{" ".join(words)}</div>{none}'


def _kind(label: str) -> str:
    return label.removeprefix("B-").removeprefix("I-")
