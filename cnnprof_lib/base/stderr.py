"""Keeps what a library writes on standard error out of the terminal.

TensorFlow announces missing accelerators there, from C++, in a way that no setting turns off.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def stderr_aside() -> Iterator[None]:
    """Drops what this process, and those it starts, write on standard error."""
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
