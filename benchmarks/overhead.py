"""What profiling a step costs: unprofiled, cnnprof, TensorFlow's two profilers, on the same graph in one run.

    .venv/bin/python benchmarks/overhead.py [--runtime stock] [--rounds 20] [VARIANT ...]

Prints for each variant the median step and its ratio to the unprofiled one, with a 95% interval. The kinds of step
alternate in blocks, so that a drift of the machine falls on all alike. Times are made on generated images.
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

import numpy as np

from cnnprof_lib.base import units
from cnnprof_lib.measure.runtimes.contract import find_runtime, ready_runtime

BATCH = 128


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*", default=["baseline", "stride5"])
    parser.add_argument("--runtime", choices=["unfused", "stock"], default="stock")
    parser.add_argument("--rounds", type=int, default=20, help="blocks of each kind; fewer than 6 have no interval")
    arguments = parser.parse_args()
    ready_runtime(arguments.runtime)
    print(f"runtime {arguments.runtime}, batch {BATCH}, {arguments.rounds} blocks of 5 steps of each kind")
    for variant in arguments.variants:
        print(f"\n{variant}")
        for name, blocks, plain in measure(variant, arguments.runtime, arguments.rounds):
            print_row(name, blocks, plain)


def measure(variant_name: str, runtime: str, rounds: int) -> list[tuple[str, Any, Any]]:
    """Times every kind of step; returns name, seconds by block, and the unprofiled ones'."""
    from cnnprof_lib.measure.clock import time_blocks
    from cnnprof_lib.measure.models.load import load_network
    from cnnprof_lib.measure.prepare import prepare_images
    from cnnprof_lib.params.reading import load_variant
    from cnnprof_lib.records.project import find_project

    project = find_project()
    variant = load_variant(variant_name, project.params)
    network = load_network(variant, project.store, batch_size=BATCH, seed=1)
    images = prepare_images(None, network.network.inputs, BATCH, seed=1)
    session = find_runtime(runtime).open(network, images)
    with tempfile.TemporaryDirectory() as logs:
        times = time_blocks(
            kinds_of_step(session, logs),
            blocks=rounds,
            steps_per_block=5,
            warmup_steps=5,
            rng=np.random.default_rng(1),
        )
    return [(name, blocks, times["unprofiled"]) for name, blocks in times.items()]


def kinds_of_step(session: Any, logs: str) -> dict[str, Any]:
    """The same step under each profiler, as each is used."""
    import tensorflow as tf

    from cnnprof_lib.measure.clock import TimedStep

    profiler = tf.compat.v1.profiler.Profiler(graph=session.graph)
    options = tf.compat.v1.RunOptions(trace_level=tf.compat.v1.RunOptions.FULL_TRACE)
    count = iter(range(10**9))

    def profiler_in_the_loop() -> None:
        metadata = tf.compat.v1.RunMetadata()
        session.run_with(options, metadata)
        profiler.add_step(next(count), metadata)

    tracer = Tracer(logs)

    def prepare() -> None:
        tracer.end()  # of a step that was not timed
        session.prepare()

    def prepare_traced() -> None:
        prepare()
        tracer.begin()

    return {
        "unprofiled": TimedStep(session.step, prepare),
        "cnnprof": TimedStep(session.traced_step, prepare),
        "tf.compat.v1.profiler, add_step": TimedStep(profiler_in_the_loop, prepare),
        "tf.profiler.experimental": TimedStep(session.step, prepare_traced, lambda result: tracer.end()),
    }


class Tracer:
    """tf.profiler.experimental, of which a process can have one session at a time."""

    def __init__(self, logs: str) -> None:
        self._logs, self._active = logs, False

    def begin(self) -> None:
        """Starts a session."""
        import tensorflow as tf

        tf.profiler.experimental.start(self._logs)
        self._active = True

    def end(self) -> None:
        """Ends the session, if there is one, without writing it."""
        import tensorflow as tf

        if self._active:
            tf.profiler.experimental.stop(save=False)
        self._active = False


def print_row(name: str, blocks: Any, plain: Any) -> None:
    """One line: median step, ratio to the unprofiled step, interval."""
    from cnnprof_lib.analysis.estimates import median_of_blocks, ratio_of_blocks

    median_s, ratio = median_of_blocks(blocks).value, ratio_of_blocks(blocks, plain)
    print(f"  {name:32} {units.seconds(median_s):>8}  {ratio.value:6.3f}  ({ratio.low:.3f} to {ratio.high:.3f})")


if __name__ == "__main__":
    main()
