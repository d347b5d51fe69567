"""Memory that was freed, handed back to the system."""

from __future__ import annotations

import contextlib
import ctypes
import sys


def give_back() -> None:
    """Hand back at once what was freed, where the C library (glibc) would keep it for later; elsewhere do nothing.

    Worth its milliseconds where much was freed and something large of another kind comes next.
    """
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
