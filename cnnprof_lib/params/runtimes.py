"""The runtimes by name: entry points, as papermill finds its engines, so that a package can bring its own.

Their names are known without loading any of them.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Final

from ..base.errors import VariantError, received

GROUP = "cnnprof.runtimes"
"""Each entry names a class of `measure.runtimes.contract.Runtime`."""
REFERENCE_RUNTIME: Final = "stock"
"""What a command takes that names no runtime: TensorFlow as shipped."""


def runtime_names() -> tuple[str, ...]:
    """All names, sorted."""
    return tuple(sorted({entry.name for entry in entry_points(group=GROUP)}))


def runtime_entry(name: str) -> EntryPoint:
    """Where the runtime of a name is to be loaded from.

    Raises:
        VariantError: there is none of that name.
    """
    for entry in entry_points(group=GROUP, name=name):
        return entry
    raise VariantError(f"runtime: must be one of {', '.join(runtime_names()) or 'none'}. {received(name)}")
