"""What a store of thousands of runs costs: seconds and memory to list, to open, to report. Made of one real run.

    .venv/bin/python benchmarks/store_scale.py RUN_FOLDER [--runs 10000] [--sweep]

RUN_FOLDER is that of a stored run, for example outputs/runs/baseline/stock/<run_id>. Its copies are runs of 20 networks
and runtimes; with --sweep each is a network of its own, of a grid of three factors. Each figure is of a process of its
own: seconds on the clock, seconds of processor time, and the most memory of it and its children.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

COPIED = ("ops.parquet", "profiler.txt")
OPENED = "from cnnprof_lib import Study; study = Study.open({!r}); {}"


def main() -> None:
    """Makes, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a stored run")
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--sweep", action="store_true", help="of a sweep, each a network of its own")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outputs = Path(folder) / "outputs"
        for number in range(arguments.runs):
            (copy_of_grid if arguments.sweep else copy_of_study)(arguments.run, outputs, number)
        print(f"{arguments.runs:,} runs")
        root = "sweeps" if arguments.sweep else "runs"
        python = [sys.executable, "-c"]
        measured("nothing but Python", [*python, "from cnnprof_lib.app.study import Study"])
        measured("list all folders", [*python, OPENED.format(str(outputs), f"study.store.run_dirs({root!r})")])
        measured("look for damage", [*python, OPENED.format(str(outputs), "study.store.unreadable()")])
        measured("open, all newest", [*python, OPENED.format(str(outputs), "study.overview()")])
        measured("a row of every run", [*python, OPENED.format(str(outputs), "study.all_runs()")])
        measured("report", [sys.executable, "-m", "cnnprof_lib", "report", "--outputs", str(outputs)])


def copy_of_study(run: Path, outputs: Path, number: int) -> None:
    """One of many runs of ten networks in two runtimes."""
    name, runtime = f"net{number // 2 % 10}", ("stock", "unfused")[number % 2]
    write(run, outputs / "runs", name, runtime, number, {"purpose": "study"})


def copy_of_grid(run: Path, outputs: Path, number: int) -> None:
    """A network of a grid of strides, filters and kernels; its times follow them."""
    stride, filters, kernel = 1 + number % 25, 1 + number // 25 % 20, 1 + number // 500
    name = f"baseline-stride{stride}-filters{filters}-kernel{kernel}"
    change = {"conv1": {"stride": stride, "filters": filters, "kernel": kernel}}
    write(run, outputs / "sweeps", name, "stock", number, {"purpose": "sweep"}, change, filters / stride**2)


def write(
    run: Path,
    root: Path,
    name: str,
    runtime: str,
    number: int,
    fields: dict[str, Any],
    change: dict[str, Any] | None = None,
    factor: float = 1.0,
) -> None:
    """Writes a copy of a run under another name and id, its unprofiled steps ``factor`` times as long."""
    record = json.loads((run / "record.json").read_bytes())
    run_id = f"20260101T{number:06d}Z-0000-00"
    record |= {**fields, "run_id": run_id, "series": run_id, "runtime": runtime}
    record["network"]["name"] = name
    if change is not None:
        record["variant"] |= {"name": name, "extends": "baseline", "change": change}
    record["latency"]["plain_s"] = [[s * factor for s in block] for block in record["latency"]["plain_s"]]
    folder = root / name / runtime / run_id
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(json.dumps(record, indent=1))
    for file in COPIED:
        os.link(run / file, folder / file)


def measured(what: str, command: list[str]) -> None:
    """Runs a command and prints what it took."""
    begun, before, peak = time.monotonic(), os.times(), 0
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        try:
            every = [process, *process.children(recursive=True)]
            peak = max(peak, sum(each.memory_info().rss for each in every))
        except psutil.Error:  # one ended meanwhile
            pass
        time.sleep(0.05)
    seconds, after = time.monotonic() - begun, os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    print(f"{what:20} {seconds:7.1f} s, {cpu_s:6.1f} s of processor time, {peak / 1e9:.2f} GB", flush=True)


if __name__ == "__main__":
    main()
