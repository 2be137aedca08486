"""One run of a sweep, on whatever host: `make_run` is what a worker calls, and starts this module as a fresh process.

What comes in and goes out are values: a request, files by name, numbers, texts. No code of the one who asks is run.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import platform
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from ..base.errors import CnnprofError, StoreError, received
from ..base.files import partial_name, sweep, writing
from ..base.processes import how_it_ended, stoppable
from ..params.settings import RunRequest
from ..records.project import Project, brought_along
from ..records.run import FailureRecord
from ..records.run_store import BESIDE
from . import runs

GRACE_S = 15
"""For a process to clear away what it holds, before it is killed, and beyond the limit of a cell."""
_BEAT_S = 1.0


class Made(NamedTuple):
    """What became of a run.

    Attributes:
        record: Its record as JSON; empty for a failure.
        files: What lies beside it, by name.
        error: Why it failed, as one line; empty for a run.
        host: Where it was made.
        commit: Of the cnnprof that made it.
        seconds: From the start of its notebook to its end.
    """

    record: bytes
    files: Mapping[str, bytes]
    error: str
    host: str
    commit: str | None
    seconds: float


def make_run(request: Mapping[str, Any], files: Mapping[str, bytes], limit_s: int) -> Made:
    """Makes one run in a fresh process, which is ended whatever happens here, and returns what it left.

    Args:
        request: A `RunRequest`, as a mapping.
        files: What it reads, by path in a project's folder, see `sweep_plan.files_for`.
        limit_s: How long a cell of its notebook may take, once no other run of this host is under way.
    """
    sent = {"request": dict(request), "limit_s": limit_s, "files": _as_text(files)}
    process = subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C in a terminal is for the one who asked
    )
    try:
        return _heard(process, json.dumps(sent).encode() + b"\n", limit_s + GRACE_S)
    finally:
        _end(process)


def _heard(process: subprocess.Popen[bytes], sent: bytes, limit_s: int) -> Made:
    """Tells the process what to do, and waits for what it has to say last."""
    told: queue.Queue[dict[str, Any] | None] = queue.Queue()
    words: list[bytes] = []
    assert process.stdin and process.stdout and process.stderr
    threading.Thread(target=_listen, args=(process.stdout, told), daemon=True).start()
    threading.Thread(target=lambda said: words.extend(said), args=(process.stderr,), daemon=True).start()
    with contextlib.suppress(BrokenPipeError):  # it died: heard below
        process.stdin.write(sent)
        process.stdin.flush()
    wanted, begun = _is_wanted(), None
    while True:
        try:
            message = told.get(timeout=_BEAT_S)
        except queue.Empty:
            if begun is not None and time.monotonic() - begun > limit_s:
                return _failed(f"The run took longer than {limit_s} s and was ended.", time.monotonic() - begun)
            if not wanted():
                return _failed("The run was not wanted any more.", 0.0)
            continue
        if message is None:
            last = next((word for line in reversed(words) if (word := line.decode(errors="replace").strip())), "")
            ended = f"The process of the run {how_it_ended(process.wait())}."
            return _failed(f"{ended} Its last words: {last[:300]}" if last else ended, 0.0)
        if "begun" in message:
            begun = time.monotonic()
        else:
            seconds = time.monotonic() - (begun or time.monotonic())
            kept = {name: base64.b64decode(text) for name, text in message.pop("files").items()}
            return Made(message.pop("record").encode(), kept, **message, host=platform.node(), seconds=seconds)


def _failed(error: str, seconds: float) -> Made:
    return Made(b"", {}, error, platform.node(), None, seconds)


def _listen(said: Any, told: queue.Queue[dict[str, Any] | None]) -> None:
    for line in said:
        told.put(json.loads(line))
    told.put(None)


def _is_wanted() -> Callable[[], bool]:
    """Tells whether the one who asked still waits, where Dask knows: a run goes on for minutes, and nobody stops it."""
    try:
        from distributed import worker as of_dask

        key: str = vars(of_dask)["thread_state"].key
        tasks: Any = of_dask.get_worker().state.tasks
    except (ImportError, AttributeError, ValueError):  # no worker of Dask's
        return lambda: True
    return lambda: key in tasks and tasks[key].state not in ("cancelled", "released", "forgotten")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the process and the kernel it may have started."""
    with contextlib.suppress(BrokenPipeError):
        if process.stdin:
            process.stdin.close()  # it hears that it is alone, and clears away
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# The fresh process


def main() -> None:
    """Makes the run that a line on standard input asks for, and says on standard output what became of it."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else is printed is no message
    job = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_stop_when_alone, daemon=True).start()
    place = Path(tempfile.gettempdir())
    sweep(place)
    folder = place / partial_name("run")
    try:
        with writing(folder):
            folder.mkdir()
        made = _made(job, folder, partial(_say, out))
    except CnnprofError as error:
        made = {"record": "", "files": {}, "error": str(error), "commit": None}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _say(out, made)


def _made(job: dict[str, Any], root: Path, say: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    request = RunRequest.model_validate_json(json.dumps(job["request"]))
    own = brought_along()
    if own is None:
        raise CnnprofError("cnnprof was installed without its notebooks. Install it again.")
    shutil.copytree(own / "notebooks", root / "notebooks")
    unpack_below({name: base64.b64decode(text) for name, text in job["files"].items()}, root)
    os.chdir(root)
    project = Project(Path(), Path("outputs"))

    def on_stage(share: float, stage: str) -> None:
        if stage == runs.STARTING:
            say({"begun": True})

    result = runs.run_notebook(request, project, on_stage, job["limit_s"])
    home = project.store.run_dir(result)
    return {
        "record": "" if isinstance(result, FailureRecord) else (home / "record.json").read_text(encoding="utf-8"),
        "files": _as_text({path.name: path.read_bytes() for path in home.glob("*") if path.name in BESIDE}),
        "error": result.error if isinstance(result, FailureRecord) else "",
        "commit": Project(own, own).commit(),
    }


def unpack_below(files: Mapping[str, bytes], folder: Path) -> None:
    """Writes files into a folder, and none elsewhere.

    Raises:
        StoreError: a name leads out of it.
    """
    for name, content in files.items():
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in name:
            raise StoreError(f"{folder}: a file sent with a run must have a path below it. {received(name)}")
        path = folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _stop_when_alone() -> None:
    """Stops this process, as Ctrl-C would, as soon as nobody can hear it: the one who started it has gone."""
    while sys.stdin.buffer.read(1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _as_text(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: base64.b64encode(content).decode() for name, content in files.items()}


def _say(out: Any, message: dict[str, Any]) -> None:
    out.write(json.dumps(message).encode() + b"\n")
    out.flush()


if __name__ == "__main__":
    with stoppable():
        main()
