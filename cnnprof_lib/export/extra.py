"""Whether the packages for a PDF are there, found out without loading them."""

from __future__ import annotations

import importlib.util

NEEDED = ("pypandoc", "typst")
HOW_TO_GET = "The PDF needs the extra cnnprof[pdf]. Install it: make setup, or pip install -e '.[pdf]'"


def is_available() -> bool:
    """Whether the extra is installed."""
    return all(importlib.util.find_spec(name) for name in NEEDED)
