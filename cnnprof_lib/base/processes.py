"""Processes: how this one stops when it is told to, how it starts others, and what is said of one that died."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

from .errors import MeasureError

STOPPED = "Stopped. Complete results are stored; a training or a sweep continues where it stopped."
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Stopped(SystemExit):
    """Raised in the main thread when this process is told to stop.

    Libraries let a `SystemExit` through, event loops included; click ends at a `KeyboardInterrupt` without a word.
    """


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Ends the process in one line with 128 and the signal's number when Ctrl-C or SIGTERM tells it to stop.

    The block is left like by any exception, so that files and processes that it holds are cleared away. A second signal
    ends the process at once.
    """
    told: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        told.append(number)
        logging.disable()  # event loops that are left in the middle log each task that was
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        raise Stopped(128 + number)

    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup leaves it
            signal.signal(number, stop)
    try:
        yield
    except BaseException:
        if not told:
            raise
        # Whatever it is: an import that is interrupted in the middle raises errors of its own.
        with contextlib.suppress(OSError):  # there may be no terminal any more
            print(STOPPED, file=sys.stderr, flush=True)
        raise SystemExit(128 + told[0]) from None


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Holds back what tells this process to stop until the block is done.

    A process is then started whole or not at all, and out of the reach of Ctrl-C: whoever starts it also ends it. And
    an import is not left in the middle, where TensorFlow's swallow the exception and go on.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # which a process inherits
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def in_new_process(
    what: str, function: Callable[..., Any], *arguments: Any, hear: Callable[[Any], None] | None = None
) -> Any:
    """Calls a function in a new Python that shares nothing with this one, and ends it whatever happens here.

    Args:
        what: What the process does, for the message: ``trains baseline``.
        function: What to call; it can be imported, and what it is given, returns and raises can be pickled.
        arguments: Its arguments. If ``hear`` is given, a function that reaches it comes first.
        hear: Called with what the function tells while it works.

    Raises:
        MeasureError: the process died; else whatever the function raises.
    """
    context = multiprocessing.get_context("spawn")  # a fork would inherit TensorFlow with its threads
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sender, function, arguments, hear is not None), daemon=True)
    try:
        resource_tracker.ensure_running()  # starting it lets the signals through again
        with undisturbed():
            process.start()
        sender.close()
        for kind, content in iter(lambda: _received(receiver), ("died", None)):
            if kind == "returned":
                return content
            if kind == "raised":
                raise content
            if hear:
                hear(content)
        process.join()
        raise MeasureError(f"The process that {what} {how_it_ended(process.exitcode)}. Start the command again.")
    finally:
        if process.pid is not None:
            process.kill()
            process.join()
        receiver.close()


def _received(receiver: Connection) -> tuple[str, Any]:
    try:
        return receiver.recv()  # type: ignore[no-any-return]
    except EOFError:
        return "died", None


def _work(sender: Connection, function: Callable[..., Any], arguments: tuple[Any, ...], tells: bool) -> None:
    """The new process."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS[1:])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        tell = (lambda content: sender.send(("told", content)),) if tells else ()
        sender.send(("returned", function(*tell, *arguments)))
    except Exception as error:
        sender.send(("raised", error))


def _end_with_parent() -> None:
    """Ends this process as soon as the one that started it is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def how_it_ended(status: int | None) -> str:
    """What to say of a process that ended early, after its name.

    Args:
        status: Its exit status, or minus the signal that ended it, as `subprocess` gives it.
    """
    if status == -signal.SIGKILL:
        return "was killed (SIGKILL): by somebody, or because the machine ran out of memory"
    if status is not None and status < 0:
        return f"died of {signal.Signals(-status).name}"
    return f"ended early, with status {status}"
