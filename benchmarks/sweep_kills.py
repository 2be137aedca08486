"""What a sweep loses when its workers, or the one who asked for it, are killed at random moments: real processes.

    .venv/bin/python benchmarks/sweep_kills.py [--kills 20] [--asker-kills 3] [--sweep smoke] [--seed 1]

Runs a sweep of small networks on this host and ends its workers by SIGKILL. Then counts what is stored: each run is to
be there once, whole, and with the same files and keys as one made without kills.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

COMMAND = [sys.executable, "-m", "cnnprof_lib"]
COMMON = ["--preset", "smoke", "--generated"]


def main() -> int:
    """Kills, counts, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="of workers")
    parser.add_argument("--asker-kills", type=int, default=0, help="of the command itself, which is then started again")
    parser.add_argument("--sweep", default="smoke")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--longest-pause-s", type=float, default=15.0, help="between two kills")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outputs = Path(folder) / "outputs"
        begun = time.monotonic()
        killed, stopped = kill_while_it_runs(arguments, outputs, random.Random(arguments.seed))
        print(f"{time.monotonic() - begun:.0f} s with {arguments.workers} workers")
        lost, doubled, half = counted(arguments.sweep, outputs, form_without_kills(Path(folder) / "without"))
        left = sum(is_left(process, folder) for process in psutil.process_iter(["cmdline"]))
    print(f"killed {killed} workers and {stopped} commands: lost {lost}, doubled {doubled}, half {half}, left {left}")
    return int(bool(lost or doubled or half or left))


def kill_while_it_runs(arguments: argparse.Namespace, outputs: Path, rng: random.Random) -> tuple[int, int]:
    """Runs the sweep to its end; returns how many workers and commands were killed meanwhile."""
    asked = [*COMMAND, "sweep", arguments.sweep, *COMMON, "--workers", str(arguments.workers), "--outputs", outputs]
    workers_left, commands_left = arguments.kills, arguments.asker_kills
    command = subprocess.Popen(asked)
    while True:
        try:
            status = command.wait(rng.uniform(0.5, arguments.longest_pause_s))
            if status == 0:
                return arguments.kills - workers_left, arguments.asker_kills - commands_left
            print(f"The command ended with {status}; it is started again.")
            command = subprocess.Popen(asked)
        except subprocess.TimeoutExpired:
            if commands_left and (not workers_left or rng.random() < 0.3):
                command.kill()
                command.wait()
                commands_left -= 1
                print("Killed the command.", flush=True)
                command = subprocess.Popen(asked)
            elif workers_left and (workers := workers_of(command.pid)):
                rng.choice(workers).kill()
                workers_left -= 1
                print("Killed a worker.", flush=True)


def workers_of(pid: int) -> list[psutil.Process]:
    """The processes of Dask's workers of a command."""
    found = []
    for child in psutil.Process(pid).children():
        try:
            if "--multiprocessing-fork" in child.cmdline():
                found.append(child)
        except psutil.Error:  # it ended meanwhile
            continue
    return found


def counted(sweep: str, outputs: Path, expected: Any) -> tuple[int, int, int]:
    """How many runs of the sweep are missing, there twice, or unlike ``expected`` in form."""
    from cnnprof_lib.app.sweep_plan import plan
    from cnnprof_lib.params.reading import load_preset
    from cnnprof_lib.params.sweep import load_sweep
    from cnnprof_lib.records.project import find_project

    project = find_project(outputs=outputs)
    lost = len(
        plan(load_sweep(sweep, project.params), load_preset("smoke", project.params), project, source="").missing
    )
    folders = project.store.run_dirs("sweeps")
    doubled = sum(count - 1 for count in Counter(folder.parent for folder in folders).values())
    unlike = [folder for folder in folders if form_of(folder) != expected]
    for folder in unlike:
        print(f"{folder}: {form_of(folder)} instead of {expected}")
    half = len(project.store.unreadable()) + len(unlike)
    return lost, doubled, half


def form_without_kills(outputs: Path) -> Any:
    """The form of a run that nothing happened to."""
    asked = ["run", "smoke", *COMMON, "--runtime", "stock", "--baseline", "smoke", "--outputs", str(outputs)]
    subprocess.run([*COMMAND, *asked], check=True, stdout=subprocess.DEVNULL)
    (folder,) = (outputs / "runs" / "smoke" / "stock").iterdir()
    return form_of(folder)


def form_of(folder: Path) -> Any:
    """The files of a run and the keys of its record."""
    return sorted(path.name for path in folder.iterdir()), keys_of(json.loads((folder / "record.json").read_text()))


def keys_of(value: Any) -> Any:
    """Keys of mappings all the way down, and in lists those of the first item; `change` is the network's own."""
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, dict):
        return {key: keys_of(inner) for key, inner in value.items() if key != "change"}
    return None


def is_left(process: psutil.Process, folder: str) -> bool:
    """Whether a process works on what is in a folder."""
    return any(folder in word for word in process.info["cmdline"] or ())


if __name__ == "__main__":
    sys.exit(main())
