"""How much of k hosts a sweep would use: its schedule simulated with real times, for one machine is not k hosts.

    .venv/bin/python benchmarks/sweep_efficiency.py OUTPUTS [--runs 1000]

Takes how long the stored sweep's runs took, and measures here what Dask and the one who asks need for each: sending a
run with its weights, hearing of it, storing it. Then hands runs to k hosts, one at a time each. Prints the speedup over
k, which is 1 where no host ever waits.
"""

from __future__ import annotations

import argparse
import heapq
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

HOSTS = (1, 2, 4, 8, 16, 32)


def main() -> None:
    """Measures, simulates, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outputs", type=Path, help="a folder with a stored sweep")
    parser.add_argument("--runs", type=int, default=1000, help="of the simulated sweep, drawn from the stored ones")
    arguments = parser.parse_args()
    durations_s = stored_durations(arguments.outputs)
    overhead_s = measured_overhead(arguments.outputs)
    print(
        f"{len(durations_s)} stored runs of {statistics.median(durations_s):.1f} s (median); "
        f"{overhead_s * 1e3:.0f} ms for each to be sent, heard of and stored"
    )
    drawn = np.random.default_rng(1).choice(durations_s, arguments.runs)
    for hosts in HOSTS:
        speedup = sum(drawn) / makespan(list(drawn), hosts, overhead_s)
        print(f"{hosts:3} hosts: {arguments.runs} runs {speedup:6.2f} times as fast, {speedup / hosts:.3f} of {hosts}")


def stored_durations(outputs: Path) -> list[float]:
    """Seconds that the notebooks of the stored sweep's runs took."""
    notebooks = outputs.glob("sweeps/*/*/*/notebook.ipynb")
    return [json.loads(path.read_bytes())["metadata"]["papermill"]["duration"] for path in notebooks]


def measured_overhead(outputs: Path, runs: int = 30) -> float:
    """Seconds that a run of no length takes on two workers here, sent with weights, and stored as a real one."""
    from cnnprof_lib.app.sweep_engine import Where, connected
    from cnnprof_lib.records.store import Store

    stored = next(Store(outputs).sweep_runs())
    folder = Store(outputs).run_dir(stored)
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "record.json"}
    with tempfile.TemporaryDirectory() as elsewhere, connected(Where(workers=2)) as client:
        store = Store(Path(elsewhere))
        client.submit(echoed, files, b"", pure=False).result()
        begun = time.monotonic()
        for number in range(runs):
            back = client.submit(echoed, files, bytes(5_000_000), pure=False).result()
            store.write_files(stored.model_copy(update={"run_id": f"run-{number}"}), back)
        return (time.monotonic() - begun) / runs


def echoed(files: dict[str, bytes], weights: bytes) -> dict[str, bytes]:
    """What a run of no length sends back."""
    return files


def makespan(durations_s: list[float], hosts: int, overhead_s: float) -> float:
    """Seconds until the last run is stored, if a host is sent its next run only when it has none: at most so many."""
    asker_s, free = 0.0, [0.0] * hosts
    for duration_s in durations_s:
        asker_s = max(heapq.heappop(free), asker_s) + overhead_s  # who asks does one thing at a time
        heapq.heappush(free, asker_s + duration_s)
    return max(free)


if __name__ == "__main__":
    main()
