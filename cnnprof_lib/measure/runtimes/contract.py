"""What a runtime has to do to be measured: the contract of every adapter, found by name.

An adapter is registered as an entry point of the group ``cnnprof.runtimes``, see `params.runtimes`. Nothing else knows
a runtime by name. Importing an adapter must not load what it runs on: its environment is set up first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from ...base.errors import MeasureError
from ...params.runtimes import runtime_entry
from ..clock import TimedStep
from . import environment

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from ...records.conditions import CalibrationRecord
    from ..models.load import LoadedNetwork
    from ..prepare import Images


@dataclass(frozen=True)
class Profile:
    """What traced steps tell beside the executions themselves; empty or None is what a runtime does not tell.

    Attributes:
        fused_into: Layers without a kernel of their own, each with the layer whose kernel computes it.
        fused_ops: What else a node computes, such as BiasAdd and Relu, by the node's name.
        unowned: Nodes of the network of which it is not known for which layer they work.
        conversions: Nodes that only change a layout or a number format, such as a reorder or a quantisation.
        fell_back: Nodes whose kernel is not what the runtime is for, each with what it is instead: a reference kernel,
            say, or floats in an int8 network.
        live_peak: Most bytes alive at one moment of the median step, and the layer that allocated last before it.
        add_step_s: Seconds in which the runtime's own profiler added each step to its books.
        text: What the runtime's own profiler prints of the steps.
    """

    fused_into: Mapping[str, str] = field(default_factory=dict)
    fused_ops: Mapping[str, Sequence[str]] = field(default_factory=dict)
    unowned: frozenset[str] = frozenset()
    conversions: frozenset[str] = frozenset()
    fell_back: Mapping[str, str] = field(default_factory=dict)
    live_peak: tuple[int, str] | None = None
    add_step_s: tuple[float, ...] = ()
    text: str = ""


class Session(ABC):
    """A network opened on images, stepped one batch at a time."""

    can_trace: ClassVar[bool] = False
    """Whether `traced_step`, `executions` and `profile` are there."""
    traced_steps_per_block: ClassVar[int | None] = None
    """Traced steps in a block; None for as many as there are of others. Fewer where one takes long."""
    precision: str = "float32"
    """Of its multiplications, as far as it has kernels for that."""
    model_bytes: int | None = None
    """Size of the network as a file of the runtime's own format; None where it has none."""
    calibration: CalibrationRecord | None = None
    """What its number formats were chosen by; None where nothing was to be chosen."""

    def prepare(self) -> None:  # noqa: B027
        """Gets the next batch ready. Not part of a step's time."""

    @abstractmethod
    def step(self) -> None:
        """Runs one prepared batch without tracing."""

    @abstractmethod
    def outputs(self, values: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """What the network answers.

        Args:
            values: Of each input, in order, a whole batch: (batch size, *shape of one image).

        Returns:
            Its first output, (batch size, ...).
        """

    def traced_step(self) -> Any:
        """Runs one prepared batch with tracing; returns what `executions` and `profile` read afterwards."""
        raise NotImplementedError

    def traced_s(self, traced: Any) -> float | None:
        """Seconds of a traced step as the session timed it itself; None where the call is the step, as it mostly is."""
        return None

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


def plain_step(session: Session) -> TimedStep:
    """A step of a session without tracing, to be timed."""
    return TimedStep(session.step, session.prepare)


def traced_step(session: Session, keep: Callable[[Any], None]) -> TimedStep:
    """A step of a session with tracing, to be timed; ``keep`` is handed what it returns."""
    return TimedStep(session.traced_step, session.prepare, keep, session.traced_s, session.traced_steps_per_block)


class Runtime(ABC):
    """One way to run a network."""

    name: ClassVar[str]
    environment: ClassVar[Mapping[str, str | None]] = {}
    """Variables that must be set so before `loads` is imported; None is for unset."""
    loads: ClassVar[str]
    """The module that reads them once, at its import."""
    needs: ClassVar[Sequence[str]] = ()
    """Modules that it runs on, beside TensorFlow."""
    extra: ClassVar[str] = ""
    """The extra of this package that installs them."""
    _held_to: int | None = None

    @classmethod
    def missing(cls) -> str:
        """What is not installed, and what installs it, as a sentence; empty where nothing is missing."""
        absent = [name for name in cls.needs if find_spec(name.partition(".")[0]) is None]
        if not absent:
            return ""
        verb = "is" if len(absent) == 1 else "are"
        wanted = f"'cnnprof[{cls.extra}]'" if cls.extra else " ".join(absent)
        return f"Runtime {cls.name}: {' and '.join(absent)} {verb} not installed. Install: pip install {wanted}"

    def set_up(self) -> None:
        """Sets this process up, before anything heavy is imported.

        Raises:
            MeasureError: it is too late for that.
        """
        environment.set_up(f"Runtime {self.name}", self.environment, self.loads)

    def limit_threads(self, threads: int) -> None:
        """Holds the sessions to be opened to so many threads. Called before anything is computed."""
        self._held_to = threads

    @property
    def threads(self) -> int:
        """Threads that a session is to compute with: one for each logical core of the process, unless held to fewer."""
        from ..machine import usable_cores

        return self._held_to or usable_cores()

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
        MeasureError: it cannot be loaded, what it runs on is not installed, or it is no runtime.
    """
    entry = runtime_entry(name)
    try:
        runtime = entry.load()()
    except ImportError as error:
        raise MeasureError(f"Runtime {name}: cannot be loaded ({error}). Install what it needs.") from None
    if not isinstance(runtime, Runtime):
        raise MeasureError(f"Runtime {name}: {entry.value} must name a class of Runtime. Received: {runtime!r}.")
    if missing := runtime.missing():
        raise MeasureError(missing)
    return runtime


def ready_runtime(name: str) -> Runtime:
    """The adapter of that name in a process that is set up for it, with TensorFlow loaded; raises as both do."""
    runtime = find_runtime(name)
    runtime.set_up()
    environment.load_tensorflow()
    return runtime
