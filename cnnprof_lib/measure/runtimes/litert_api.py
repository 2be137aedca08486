"""LiteRT by its C API: its Python API has no profiler.

Both are of one library, ``libLiteRt.so`` in the package ai-edge-litert. Its profiler times every operator, those inside
XNNPACK included. Source: litert/c/*.h and g3doc/apis/litert_profiler_api.md, github.com/google-ai-edge/LiteRT.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...base.errors import MeasureError
from ...base.stderr import stderr_aside

BUILTIN, DELEGATED = 1 << 1, 1 << 3
"""Events that are an operator by a kernel of LiteRT's own, and by a delegate's. Source: litert_profiler_event.h."""
_OLDEST = (2, 3)
"""Before, functions took other arguments."""
_CPU = 1
_READ_AND_WRITE = 2
_ELEMENT_TYPES = {"float32": 1, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int16": 7, "int8": 9, "float16": 10}
"""Source: ``LiteRtElementType``, litert_model_types.h."""
_LARGEST_EVENT_BYTES = 512
_UNWRITTEN = 0xA5

_Handle = ctypes.c_void_p


class _TensorType(ctypes.Structure):
    """``LiteRtRankedTensorType``, litert_model_types.h."""

    _fields_ = (
        ("element_type", ctypes.c_int),
        ("rank", ctypes.c_uint),
        ("dimensions", ctypes.c_int32 * 8),
        ("strides", ctypes.c_uint32 * 8),
    )


class Event(NamedTuple):
    """Something that LiteRT timed.

    Attributes:
        tag: The operator, as what runs it calls it.
        kind: Such as `BUILTIN` and `DELEGATED`.
        start_us: When it began, on the system's monotonic clock, for all but those of a delegate.
        duration_us: How long it took, in whole microseconds.
        number: The operator's: in the flatbuffer if it is built in, else in its part of the delegate's.
    """

    tag: str
    kind: int
    start_us: int
    duration_us: int
    number: int


@cache
def _library() -> Any:
    found = metadata.version("ai-edge-litert")
    folder = Path(str(metadata.distribution("ai-edge-litert").locate_file("ai_edge_litert")))
    libraries = [*folder.glob("libLiteRt.*")]
    if tuple(map(int, found.split(".")[:2])) < _OLDEST or not libraries:
        oldest = ".".join(map(str, _OLDEST))
        raise MeasureError(
            f"LiteRT: must be ai-edge-litert {oldest} or later, with its library libLiteRt. Received: {found}. "
            f"pip install -U 'ai-edge-litert>={oldest}'"
        )
    return ctypes.CDLL(str(libraries[0]))


def _call(name: str, *arguments: Any) -> None:
    """Calls a function that returns a status."""
    status = getattr(_library(), name)(*arguments)
    if status:
        raise MeasureError(f"LiteRT: {name} must return 0. Received: {status}. Use another runtime.")


def _made(name: str, *arguments: Any) -> _Handle:
    """What a function makes, which it gives by its last argument."""
    made = _Handle()
    _call(name, *arguments, ctypes.byref(made))
    return made


@cache
def _environment() -> _Handle:
    """One for the process. It looks for accelerators, and says which it finds."""
    with stderr_aside():
        return _made("LiteRtCreateEnvironment", 0, None)


@ctypes.CFUNCTYPE(None, ctypes.c_void_p)
def _keep(_: Any) -> None:
    """Frees nothing: Python does."""


class Buffer:
    """An array that LiteRT reads or writes where it is.

    Args:
        shape: Of the array.
        dtype: Its type.
        requirements: What a model wants of its memory.
    """

    def __init__(self, shape: Sequence[int], dtype: str, requirements: _Handle) -> None:
        if dtype not in _ELEMENT_TYPES:
            raise MeasureError(f"LiteRT: values must be one of {', '.join(_ELEMENT_TYPES)}. Received: {dtype}.")
        kind = _TensorType(_ELEMENT_TYPES[dtype], len(shape), (ctypes.c_int32 * 8)(*shape))
        create = "LiteRtCreateManagedTensorBufferFromRequirements"
        self.handle = _made(create, _environment(), ctypes.byref(kind), requirements)
        address = _Handle()
        _call("LiteRtLockTensorBuffer", self.handle, ctypes.byref(address), _READ_AND_WRITE)
        _call("LiteRtUnlockTensorBuffer", self.handle)
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        memory = (ctypes.c_uint8 * size).from_address(address.value or 0)
        self.array: npt.NDArray[Any] = np.ctypeslib.as_array(memory).view(dtype).reshape(shape)

    def close(self) -> None:
        """Frees the array, which must not be used any more."""
        _library().LiteRtDestroyTensorBuffer(self.handle)


class Model:
    """A flatbuffer made ready for the CPU: XNNPACK runs what it has kernels for, and LiteRT's own kernels the rest.

    Args:
        flatbuffer: The network.
        threads: Threads that XNNPACK uses.
        profiled: Whether `profiled` is to be called.
    """

    def __init__(self, flatbuffer: bytes, threads: int, *, profiled: bool = False) -> None:
        self._flatbuffer = flatbuffer  # is read where it is
        length = ctypes.c_size_t(len(flatbuffer))
        options = _made("LiteRtCreateOptions")
        _call("LiteRtSetOptionsHardwareAccelerators", options, _CPU)
        texts = {"xnnpack": f"num_threads = {threads}\n"}
        if profiled:
            texts["runtime_options_string"] = "enable_profiling = true\n"
        self._texts = [ctypes.create_string_buffer(text.encode()) for text in texts.values()]
        for identifier, text in zip(texts, self._texts, strict=True):
            added = _made("LiteRtCreateOpaqueOptions", identifier.encode(), text, _keep)
            _call("LiteRtAddOpaqueOptions", options, added)
        with stderr_aside():  # an error raises
            self._model = _made("LiteRtCreateModelFromBuffer", _environment(), flatbuffer, length)
            self._compiled = _made("LiteRtCreateCompiledModel", _environment(), self._model, options)
        _library().LiteRtDestroyOptions(options)
        self._profiler = _made("LiteRtCompiledModelGetProfiler", self._compiled) if profiled else None

    def values(self, number: int, shape: Sequence[int], dtype: str, *, of_output: bool = False) -> Buffer:
        """Memory for an input or an output.

        Args:
            number: Which, in the flatbuffer's order.
            shape: Its shape.
            dtype: Its type.
            of_output: Whether it is an output.
        """
        which = "Output" if of_output else "Input"
        name = f"LiteRtGetCompiledModel{which}BufferRequirements"
        requirements = _made(name, self._compiled, ctypes.c_size_t(0), ctypes.c_size_t(number))
        return Buffer(shape, dtype, requirements)

    def on(self, inputs: Sequence[Buffer], output: Buffer) -> Callable[[], None]:
        """A function that computes the output of the inputs, which is there on its return."""
        handles = (_Handle * len(inputs))(*(values.handle for values in inputs))
        first, one = ctypes.c_size_t(0), ctypes.c_size_t(1)
        arguments = self._compiled, first, ctypes.c_size_t(len(inputs)), handles, one, ctypes.byref(output.handle)
        return lambda: _call("LiteRtRunCompiledModel", *arguments)

    def start_profiler(self) -> None:
        """Forgets what was timed, and times what follows."""
        _call("LiteRtStartProfiler", self._profiler)

    def events(self) -> list[Event]:
        """What was timed since the profiler was started.

        An event's size has grown with LiteRT's versions, between its first and its last fields; it is told from how
        many bytes are written.
        """
        count = ctypes.c_int()
        _call("LiteRtGetNumProfilerEvents", self._profiler, ctypes.byref(count))
        memory = np.full(max(count.value, 1) * _LARGEST_EVENT_BYTES, _UNWRITTEN, np.uint8)
        _call("LiteRtGetProfilerEvents", self._profiler, count, _Handle(memory.ctypes.data))
        written = int(np.flatnonzero(memory != _UNWRITTEN)[-1]) + 1
        words = -(-written // (8 * count.value))
        rows = memory[: count.value * words * 8].view(np.uint64).reshape(count.value, words)
        return [
            Event(
                tag=ctypes.string_at(int(row[0])).decode(),
                kind=int(row[1]) & 0xFFFFFFFF,
                start_us=int(row[2]),
                duration_us=int(row[3]),
                number=int(row[-3]),
            )
            for row in rows
        ]

    def close(self) -> None:
        """Frees it."""
        _library().LiteRtDestroyCompiledModel(self._compiled)
        _library().LiteRtDestroyModel(self._model)
