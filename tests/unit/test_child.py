"""A function in a process of its own, and how the process ends: real processes, interrupted and killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from cnnprof_lib.errors import MeasureError
from cnnprof_lib.measure.child import OnText, call_in_child

ROOT = Path(__file__).parents[2]


def count(tell: OnText, texts: int) -> int:
    for number in range(texts):
        tell(f"text {number}")
    return texts


def fail(tell: OnText) -> None:
    raise MeasureError("One line.")


def die(tell: OnText) -> None:
    os.abort()


def say_who_and_wait(tell: OnText) -> None:
    tell(str(os.getpid()))
    time.sleep(600)


def wait_in_child() -> None:
    """What the parent does that is interrupted or killed below."""
    call_in_child("waits", say_who_and_wait, on_text=lambda text: print(text, flush=True))


def test_what_is_told_comes_before_what_is_returned() -> None:
    told: list[str] = []
    assert call_in_child("counts", count, 3, on_text=told.append) == 3
    assert told == ["text 0", "text 1", "text 2"]
    assert call_in_child("counts", count, 1) == 1


def test_what_the_function_raises_is_raised_here_with_where_it_was() -> None:
    with pytest.raises(MeasureError) as caught:
        call_in_child("fails", fail)
    assert str(caught.value) == "One line."
    (note,) = caught.value.__notes__
    assert note.startswith("In the process of its own:\nTraceback (most recent call last):")


def test_a_child_that_dies_is_told_in_one_line() -> None:
    with pytest.raises(MeasureError) as caught:
        call_in_child("measures", die)
    assert str(caught.value) == (
        f"The process that measures ended early. Received: exit status -{signal.SIGABRT:d}. "
        "Free some memory and run again."
    )


def test_nothing_is_left_when_what_is_told_is_not_taken() -> None:
    def refuse(text: str) -> None:
        raise MeasureError(text)

    with pytest.raises(MeasureError) as caught:
        call_in_child("waits", say_who_and_wait, on_text=refuse)
    assert not psutil.pid_exists(int(str(caught.value)))


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_child_ends_with_its_parent(ended_by: signal.Signals) -> None:
    parent = start()
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    os.kill(parent.pid, ended_by)
    assert parent.wait(timeout=60) == -ended_by
    child.wait(timeout=60)


@pytest.mark.parametrize("wait_s", [0.1, 0.25, 0.3, 0.35, 0.4, 0.5])
def test_an_interrupt_of_both_ends_both_whenever_it_comes(wait_s: float) -> None:
    parent = start()
    time.sleep(wait_s)  # which of them is at what is left to chance
    os.killpg(parent.pid, signal.SIGINT)
    parent.wait(timeout=60)
    deadline = time.monotonic() + 60
    while left := members(parent.pid):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def start() -> subprocess.Popen[str]:
    """`wait_in_child` in a session of its own, as a terminal makes one for a command."""
    code = "from tests.unit.test_child import wait_in_child; wait_in_child()"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def members(session: int) -> list[int]:
    """The processes of a session that have not ended."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found
