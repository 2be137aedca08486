"""Processes: stopped in one line, started out of the reach of Ctrl-C, and ended with the one that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from cnnprof_lib.base import processes
from cnnprof_lib.base.errors import MeasureError, StoreError

WAITS = """
import sys, time
from cnnprof_lib.base.processes import stoppable
with stoppable():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("cleared away", flush=True)
"""
FAILS_WHEN_INTERRUPTED = """
import sys, time
from cnnprof_lib.base.processes import stoppable
with stoppable():
    try:
        print("ready", flush=True)
        time.sleep(60)
    except SystemExit:
        raise ImportError("half imported")
    finally:
        print("cleared away", flush=True)
"""
LEAVES_A_FAILED_TASK = """
import asyncio, time
from cnnprof_lib.base.processes import stoppable

async def fails():
    raise ValueError("that nobody asks for")

async def main():
    left = asyncio.create_task(fails())
    await asyncio.sleep(0)
    print("ready", flush=True)
    time.sleep(60)

with stoppable():
    try:
        asyncio.run(main())
    finally:
        print("cleared away", flush=True)
"""


@pytest.mark.parametrize("code", [WAITS, FAILS_WHEN_INTERRUPTED, LEAVES_A_FAILED_TASK], ids=["waits", "fails", "task"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_process_told_to_stop_says_so_in_one_line(code: str, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, number)
    assert process.communicate(timeout=30) == (
        "cleared away\n",
        "Stopped. Complete results are stored; a training or a sweep continues where it stopped.\n",
    )
    assert process.returncode == 128 + number


def test_what_must_not_be_left_in_the_middle_is_finished_first() -> None:
    code = (
        "import os, signal\nfrom cnnprof_lib.base.processes import stoppable, undisturbed\n"
        "with stoppable():\n"
        "    with undisturbed():\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        print('finished', flush=True)\n"
        "    print('not reached')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("finished\n", f"{processes.STOPPED}\n", 130)


def test_what_stops_by_itself_is_left_alone() -> None:
    code = "from cnnprof_lib.base.processes import stoppable\nwith stoppable():\n    raise SystemExit(3)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (3, "")


def _echo(tell: Callable[[object], None], value: int) -> int:
    tell(f"got {value}")
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    tell(signal.SIGINT in blocked and signal.SIGTERM not in blocked)
    return value + 1


def _refuse() -> None:
    raise StoreError("a line")


def _die(number: int) -> None:
    os.kill(os.getpid(), number)


def test_a_function_in_a_new_process_tells_returns_and_raises() -> None:
    heard: list[object] = []
    assert processes.in_new_process("echoes", _echo, 1, hear=heard.append) == 2
    assert heard == ["got 1", True]
    with pytest.raises(StoreError, match=r"^a line$"):
        processes.in_new_process("refuses", _refuse)


DEATHS = {
    signal.SIGKILL: "was killed (SIGKILL): by somebody, or because the machine ran out of memory",
    signal.SIGABRT: "died of SIGABRT",
}


@pytest.mark.parametrize("number", DEATHS)
def test_a_process_that_dies_is_told_of(number: signal.Signals) -> None:
    with pytest.raises(MeasureError) as caught:
        processes.in_new_process("dies", _die, number)
    assert str(caught.value) == f"The process that dies {DEATHS[number]}. Start the command again."


def _tell_pid_and_wait(tell: Callable[[int], None]) -> None:
    tell(os.getpid())
    time.sleep(60)


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_process_ends_with_the_one_that_started_it(number: signal.Signals) -> None:
    code = (
        "import functools\nfrom cnnprof_lib.base.processes import in_new_process, stoppable\n"
        "from tests.unit.test_processes import _tell_pid_and_wait\n"
        "with stoppable():\n"
        "    in_new_process('waits', _tell_pid_and_wait, hear=functools.partial(print, flush=True))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.send_signal(number)
    process.communicate(timeout=30)
    deadline = time.monotonic() + 30
    while _is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_alive(child)
