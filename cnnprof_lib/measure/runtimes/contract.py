"""What a runtime has to do to be measured: the contract of every adapter, found by name.

An adapter is registered as an entry point of the group ``cnnprof.runtimes``, see `params.runtimes`. Nothing else knows
a runtime by name. Importing an adapter must not load what it runs on: its environment is set up first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from ...base.errors import MeasureError
from ...params.runtimes import runtime_entry
from . import environment

if TYPE_CHECKING:
    import pandas as pd

    from ..models.load import LoadedNetwork
    from ..prepare import Images


@dataclass(frozen=True)
class Profile:
    """What traced steps tell beside the executions themselves; empty or None is what a runtime does not tell.

    Attributes:
        fused_into: Layers without a kernel of their own, each with the layer whose kernel computes it.
        fused_ops: What else a node computes, such as BiasAdd and Relu, by the node's name.
        unowned: Nodes of the network of which it is not known for which layer they work.
        live_peak: Most bytes alive at one moment of the median step, and the layer that allocated last before it.
        add_step_s: Seconds in which the runtime's own profiler added each step to its books.
        text: What the runtime's own profiler prints of the steps.
    """

    fused_into: Mapping[str, str] = field(default_factory=dict)
    fused_ops: Mapping[str, Sequence[str]] = field(default_factory=dict)
    unowned: frozenset[str] = frozenset()
    live_peak: tuple[int, str] | None = None
    add_step_s: tuple[float, ...] = ()
    text: str = ""


class Session(ABC):
    """A network opened on images, stepped one batch at a time."""

    can_trace: ClassVar[bool] = False
    """Whether `traced_step`, `executions` and `profile` are there."""

    def prepare(self) -> None:  # noqa: B027
        """Gets the next batch ready. Not part of a step's time."""

    @abstractmethod
    def step(self) -> None:
        """Runs one prepared batch without tracing."""

    def traced_step(self) -> Any:
        """Runs one prepared batch with tracing; returns what `executions` and `profile` read afterwards."""
        raise NotImplementedError

    def executions(self, steps: Sequence[Any]) -> pd.DataFrame:
        """One row per node execution of traced steps, in order; columns as in `records.run.EXECUTIONS`.

        ``self_ns`` adds up, in each step, to the time in which any kernel ran.
        """
        raise NotImplementedError

    def profile(self, steps: Sequence[Any], median: int) -> Profile:
        """What else the traced steps tell.

        Args:
            steps: As `traced_step` returned them.
            median: Which of them took the median time.
        """
        raise NotImplementedError

    def close(self) -> None:  # noqa: B027
        """Frees what it holds."""


class Runtime(ABC):
    """One way to run a network."""

    name: ClassVar[str]
    environment: ClassVar[Mapping[str, str | None]] = {}
    """Variables that must be set so before `loads` is imported; None is for unset."""
    loads: ClassVar[str]
    """The module that reads them once, at its import."""

    def set_up(self) -> None:
        """Sets this process up, before anything heavy is imported.

        Raises:
            MeasureError: it is too late for that.
        """
        environment.set_up(f"Runtime {self.name}", self.environment, self.loads)

    @abstractmethod
    def limit_threads(self, threads: int) -> None:
        """Holds the runtime to so many threads. Called before anything is computed."""

    @abstractmethod
    def open(self, network: LoadedNetwork, images: Images) -> Session:
        """Opens a network on images, which are fed in turn."""

    def versions(self) -> dict[str, str]:
        """Versions of its libraries, by name; those of TensorFlow and Keras stand in every record."""
        return {}


def find_runtime(name: str) -> Runtime:
    """The adapter of that name.

    Raises:
        VariantError: there is none.
        MeasureError: it cannot be loaded, or is no runtime.
    """
    entry = runtime_entry(name)
    try:
        runtime = entry.load()()
    except ImportError as error:
        raise MeasureError(f"Runtime {name}: cannot be loaded ({error}). Install what it needs.") from None
    if not isinstance(runtime, Runtime):
        raise MeasureError(f"Runtime {name}: {entry.value} must name a class of Runtime. Received: {runtime!r}.")
    return runtime
