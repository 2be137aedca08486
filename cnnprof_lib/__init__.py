"""cnnprof: what each operation of a convolutional network costs, and what a change of it buys.

Importing this package loads neither TensorFlow nor pandas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app.profiling import profile
    from .app.study import Study

__version__ = "0.1.0"
__all__ = ["Study", "profile"]


def __getattr__(name: str) -> Any:
    """Loads the front door when it is asked for."""
    if name == "Study":
        from .app.study import Study

        return Study
    if name == "profile":
        from .app.profiling import profile

        return profile
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
