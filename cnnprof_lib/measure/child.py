"""Calls a function in a process of its own, which ends with the one that started it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, TypeVar, TypeVarTuple

from ..errors import MeasureError

OnText = Callable[[str], None]
_Arguments = TypeVarTuple("_Arguments")
_Result = TypeVar("_Result")


class _Outcome(NamedTuple):
    """The last that a child says."""

    result: Any = None
    error: Exception | None = None


def call_in_child(
    purpose: str,
    function: Callable[[OnText, *_Arguments], _Result],
    *arguments: *_Arguments,
    on_text: OnText | None = None,
) -> _Result:
    """Calls a function in a new process and returns its result.

    Whatever ends the call ends the child, an interrupt too, which the child itself does not hear. If this process is
    killed, the child ends by itself.

    Args:
        purpose: What the child does, for the message if it dies: "measures the peak rate".
        function: Of a module, for the child imports it; its first argument is how it tells this process a text.
        arguments: The others. They are pickled, as is what is returned or raised.
        on_text: Told what ``function`` tells on its way.

    Raises:
        MeasureError: the child died.
        Exception: what the function raises, with the child's traceback as a note.
    """
    context = multiprocessing.get_context("spawn")  # a fork would inherit TensorFlow with its threads
    ours, theirs = context.Pipe()
    child = context.Process(target=_answer, args=(theirs, function, arguments), daemon=True)
    try:
        with _interrupts_held_back():
            child.start()
        theirs.close()  # else the pipe would outlive the child, and waiting for it would never end
        while not isinstance(said := ours.recv(), _Outcome):
            if on_text:
                on_text(said)
    except (EOFError, ConnectionError):
        child.join()
        raise MeasureError(
            f"The process that {purpose} ended early. Received: exit status {child.exitcode}. "
            "Free some memory and run again."
        ) from None
    finally:
        if child.pid:
            child.kill()
            child.join()
    if said.error:
        raise said.error
    result: _Result = said.result
    return result


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Interrupts of this thread wait until the end; a process started meanwhile hears none in all its life.

    A terminal sends an interrupt to both. One that met the child while it starts made it die with a traceback, or
    left either waiting for the other.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _answer(
    connection: Connection, function: Callable[[OnText, *_Arguments], Any], arguments: tuple[*_Arguments]
) -> None:
    """The child."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        outcome = _Outcome(result=function(connection.send, *arguments))
    except Exception as error:
        error.add_note(f"In the process of its own:\n{traceback.format_exc()}")
        outcome = _Outcome(error=error)
    connection.send(outcome)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)  # whatever the other threads are at
