"""Words of sentences: foreign text made harmless, names in code type, lists, counts and intervals."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Iterable

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|~$-])")


def escape(text: str) -> str:
    """Text as it is: neither HTML nor Markdown in it takes effect."""
    return html.escape(_MARKDOWN.sub(r"\\\1", " ".join(text.split())))


def code(text: str) -> str:
    """A name in code type, in which Markdown has no effect but a backtick's."""
    return f"`{text.replace('`', '')}`"


def interval_text(low: float, high: float, form: Callable[[float], str]) -> str:
    """The ends of an interval in words, ``form`` making text of each; says so where they are missing."""
    return "too few blocks for an interval" if math.isnan(low) else f"95% interval {form(low)} to {form(high)}"


def listed(words: Iterable[str]) -> str:
    """At least one word, the last after an *and*."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def shortened(name: str, letters: int) -> str:
    """The end of a long name, which tells it from its neighbours: ``…ock_13_expand``."""
    return name if len(name) <= letters else f"…{name[1 - letters :]}"
