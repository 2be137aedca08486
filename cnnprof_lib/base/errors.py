"""What can go wrong, as one line each.

Every message names the file or value it is about, the key, what was received and what to do.
The command line prints the message alone and exits with status 1; a notebook shows it alone as well.
"""

from __future__ import annotations

import re

_SPACES = re.compile(r"[\t-\r\x1c-\x1f\x85\u2028\u2029]+")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_MOST_SHOWN = 100


def one_line(text: str) -> str:
    """Text of a file as it may be shown: on one line, with what moves the cursor, colours or reorders escaped."""
    return _CONTROLS.sub(lambda found: repr(found[0])[1:-1], _SPACES.sub(" ", text)).strip()


class CnnprofError(Exception):
    """Base of every error that cnnprof raises on purpose; its text is one line.

    Args:
        text: What is wrong; names of files and keys in it may hold anything, see `one_line`.
    """

    def __init__(self, text: str) -> None:
        super().__init__(one_line(text))

    def _render_traceback_(self) -> list[str]:
        """The lines that IPython shows in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]


def received(value: object) -> str:
    """``Received: 'same'.``, as messages end or go on to the remedy; a long value is cut short."""
    text = repr(value)
    if len(text) > _MOST_SHOWN:
        text = f"{text[:_MOST_SHOWN]}... ({len(text):,} characters)"
    return f"Received: {text}."


class VariantError(CnnprofError):
    """A parameter file that cannot become a variant, recipe or preset."""


class DataError(CnnprofError):
    """Images that are missing, damaged or of another kind than expected."""


class TrainingError(CnnprofError):
    """A training that cannot start, resume or go on."""


class MeasureError(CnnprofError):
    """A measurement that cannot be made or whose numbers contradict each other."""


class StoreError(CnnprofError):
    """A record that is missing, incomplete, damaged or of another schema version."""


class ReportError(CnnprofError):
    """A notebook or report that could not be executed or rendered."""
