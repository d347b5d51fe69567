"""Errors as messages: what the user gave wrong is said in full, what we did wrong in one line and in the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from lexigraft import InputError

_LOG = logging.getLogger("lexigraft.app")


@contextmanager
def messages() -> Iterator[None]:
    """Show an error inside the page instead of a traceback; the rest of the page stays."""
    try:
        yield
    except InputError as error:
        st.error(plain(str(error)), icon=":material/error:")
    except Exception as error:
        _LOG.exception("the page failed")
        text = f"Something went wrong on this page ({type(error).__name__}: {error}). The terminal has the details."
        st.error(plain(text), icon=":material/error:")


def plain(text: str) -> str:
    """Text that Markdown leaves as it is: every sign that could mean something is escaped."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]()#+-.!|<>$~:&^" else c for c in text).replace("\n", "  \n")
