"""Keeps what a library writes on standard error out of the terminal.

TensorFlow announces missing accelerators there, from C++, in a way that no setting turns off.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def stderr_aside(lines: list[str]) -> Iterator[None]:
    """Puts standard error of this process and of those it starts aside.

    Args:
        lines: Gets what was written, when the block ends.
    """
    saved = os.dup(2)
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            aside.seek(0)
            lines.extend(aside.read().decode(errors="replace").strip().splitlines())
