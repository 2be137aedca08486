"""What each runtime's own benchmark says of the same network: `benchmark_app` of OpenVINO, ONNX Runtime's own test.

    .venv/bin/python benchmarks/second_opinions.py [--batch-size 128] [--rounds 6] [--seconds 2] [VARIANT ...]

Prints for each the step as cnnprof and as they time it, the ratio with a 95% interval, and whether all of that is
within 5%. Both get one ONNX file, the same batch, one thread for each core, and made-up values. Rounds of both
alternate, so that a drift of the machine falls on both.

ONNX Runtime's wheel holds no `onnxruntime_perf_test`. The `onnxruntime_test` that it holds tells a mean alone, so means
are compared, and takes ONNX Runtime's own settings, by which threads spin while they wait.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cnnprof_lib.base import units
from cnnprof_lib.measure.machine import usable_cores
from cnnprof_lib.measure.runtimes.contract import Session, find_runtime, ready_runtime

WITHIN = 0.05


class Tool(NamedTuple):
    """A runtime's own benchmark.

    Attributes:
        name: Its command.
        statistic: Which it tells, of the steps' times.
        arguments: Its command line, from the file and the number of steps.
        told: How it tells the time of a step, a number and its unit.
    """

    name: str
    statistic: Callable[[Sequence[float]], float]
    arguments: Callable[[Path, int], list[str]]
    told: re.Pattern[str]


def benchmark_app_arguments(model: Path, steps: int) -> list[str]:
    """One stream of float32, as cnnprof's runtime ``openvino`` has it."""
    settings = {"-hint": "none", "-nstreams": "1", "-nthreads": f"{usable_cores()}", "-infer_precision": "f32"}
    more = {"-m": str(model), "-d": "CPU", "-api": "sync", "-pin": "NO", "-niter": str(steps)}
    return [text for pair in {**more, **settings}.items() for text in pair]


TOOLS = {
    "openvino": Tool(
        "benchmark_app", statistics.median, benchmark_app_arguments, re.compile(r"Median: +([\d.]+) (ms|us)")
    ),
    "onnxruntime": Tool(
        "onnxruntime_test",
        statistics.fmean,
        lambda model, steps: [str(model), str(steps)],
        re.compile(r"avg latency: ([\d.e-]+) (ms)"),
    ),
}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*", default=["baseline", "stride5"])
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=6, help="of each; fewer than 6 have no interval")
    parser.add_argument("--seconds", type=float, default=2.0, help="of steps in a round, about")
    arguments = parser.parse_args()
    ready_runtime("stock")
    print("onnxruntime: its wheel has no onnxruntime_perf_test; onnxruntime_test tells a mean alone")
    print(f"batch {arguments.batch_size}, {units.counted(usable_cores(), 'thread')}, {arguments.rounds} rounds")
    for variant in arguments.variants:
        print(f"\n{variant}")
        with tempfile.TemporaryDirectory() as folder:
            compare(variant, arguments, Path(folder) / "model.onnx")


def compare(variant_name: str, arguments: argparse.Namespace, model: Path) -> None:
    """Times a network in every runtime that has a benchmark of its own, and prints a line for each."""
    from cnnprof_lib.measure.models.load import load_network
    from cnnprof_lib.measure.models.to_onnx import onnx_of
    from cnnprof_lib.measure.prepare import prepare_images
    from cnnprof_lib.params.reading import load_variant
    from cnnprof_lib.records.project import find_project

    project = find_project()
    variant = load_variant(variant_name, project.params)
    network = load_network(variant, project.store, batch_size=arguments.batch_size, seed=1)
    images = prepare_images(None, network.network.inputs, arguments.batch_size, seed=1)
    for name, tool in TOOLS.items():
        runtime = find_runtime(name)
        if missing := runtime.missing():
            print(f"  {missing}")
            continue
        if not model.exists():
            model.write_bytes(onnx_of(network.frozen).SerializeToString())
        session = runtime.open(network, images)
        steps = max(5, round(arguments.seconds / statistics.median(timed(session, 5))))
        ours, theirs = [], []
        for number in range(arguments.rounds):
            for own in (True, False) if number % 2 else (False, True):
                if own:
                    ours.append([tool.statistic(timed(session, steps))])
                else:
                    theirs.append([run(tool, model, steps)])
        session.close()
        print_row(name, tool, ours, theirs)


def timed(session: Session, steps: int) -> list[float]:
    """Seconds of each step, after a few that warm up."""
    seconds = []
    for number in range(-3, steps):
        session.prepare()
        start = time.perf_counter()
        session.step()
        if number >= 0:
            seconds.append(time.perf_counter() - start)
    return seconds


def run(tool: Tool, model: Path, steps: int) -> float:
    """Seconds of a step, as the tool tells them."""
    command = [str(Path(sys.executable).with_name(tool.name)), *tool.arguments(model, steps)]
    done = subprocess.run(command, capture_output=True, text=True)
    if not (found := tool.told.search(done.stdout)):
        raise SystemExit(f"{tool.name}: told no time. Received:\n{done.stdout}{done.stderr}")
    return float(found[1]) * {"ms": 1e-3, "us": 1e-6}[found[2]]


def print_row(name: str, tool: Tool, ours: Any, theirs: Any) -> None:
    """One line: both times, their ratio, its interval, and whether all of that is within 5%."""
    from cnnprof_lib.analysis.estimates import median_of_blocks, ratio_of_blocks

    own, their = (units.seconds(median_of_blocks(blocks).value) for blocks in (ours, theirs))
    ratio = ratio_of_blocks(theirs, ours)
    low, high = 1 - WITHIN, 1 + WITHIN
    if low <= ratio.low and ratio.high <= high:
        verdict = "within 5%"
    else:
        verdict = "not within 5%" if ratio.high < low or high < ratio.low else "undecided: measure more rounds"
    print(
        f"  {name:12} {own:>8}  {tool.name:16} {their:>8}  {tool.statistic.__name__:6}  "
        f"{ratio.value:6.3f}  ({ratio.low:.3f} to {ratio.high:.3f})  {verdict}"
    )


if __name__ == "__main__":
    main()
