"""Measures the roof of this machine: its peak rate of multiply-adds and its memory bandwidth.

The two limits of the roofline model of Williams, Waterman and Patterson, "Roofline: An Insightful Visual
Performance Model for Multicore Architectures", CACM 52(4), 2009. Both are what software reaches here, not what
a data sheet says, and both are those of the processor; an accelerator is left out.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from ..base.errors import MeasureError, StoreError
from ..base.files import write_atomically
from ..base.processes import in_new_process
from ..base.stamps import utc_now
from ..base.units import counted
from ..records.machine import RooflineRecord
from . import machine
from .clock import Clock
from .runtimes import environment

PRODUCT_SIZES = (256, 512, 1024, 2048)
"""Rows and columns of the matrices; which size is fastest depends on caches and threads."""
PRODUCT_S = 0.6
"""Time for each size; with two thread counts, the copies and two starts of TensorFlow about 20 s in all."""
COPY_S = 1.0
MIN_REPEATS = 3
MIN_COPY_BYTES = 128 * 2**20
MAX_COPY_BYTES = 2**30
CACHES_PER_COPY = 4
"""An array is this many times the last-level cache, the rule of the STREAM benchmark (McCalpin, 1995)."""

Rate = Callable[[int, Clock], float]
"""Something per second that so many threads reach by this clock."""


def best_rate(run: Callable[[], Any], work: float, clock: Clock, budget_s: float) -> float:
    """The most work per second in any of several repeats: whatever disturbs a repeat only lowers it.

    Args:
        run: Does the work; called once before the clock is looked at.
        work: What one call does, in any unit.
        clock: Seconds, monotonic.
        budget_s: Repeats go on for so long, but are `MIN_REPEATS` at least.

    Raises:
        MeasureError: the clock did not advance during a repeat.
    """
    run()
    times: list[float] = []
    while len(times) < MIN_REPEATS or sum(times) < budget_s:
        start = clock()
        run()
        elapsed = clock() - start
        if elapsed <= 0:
            raise MeasureError(f"The clock did not advance while the roofline was measured. Received: {elapsed} s.")
        times.append(elapsed)
    return work / min(times)


def peak_macs_per_s(threads: int, clock: Clock, sizes: Sequence[int] = PRODUCT_SIZES) -> float:
    """Most float32 multiply-adds per second in TensorFlow's MatMul, the library the networks run on.

    An n x n product is n**3 multiply-adds. TensorFlow makes its threads with the first session or tensor of a
    process and keeps them, so ``threads`` holds only in a process that has had neither: `peak_in_new_process`.
    """
    import tensorflow as tf

    tf1 = tf.compat.v1
    config = tf1.ConfigProto(intra_op_parallelism_threads=threads, device_count={"GPU": 0})
    rates = []
    for size in sizes:
        with tf.Graph().as_default(), tf1.Session(config=config) as session:
            # Variables, for a product of constants would be computed once and folded away.
            factors = [tf1.Variable(tf.random.uniform((size, size))) for _ in range(2)]
            session.run(tf1.global_variables_initializer())
            product = session.make_callable(tf.matmul(*factors).op)
            rates.append(best_rate(product, size**3, clock, PRODUCT_S))
    return max(rates)


def peak_in_new_process(threads: int, clock: Clock) -> float:
    """`peak_macs_per_s` in a process of its own, with TensorFlow as shipped whatever runtime this process is.

    Raises:
        MeasureError: the process died.
    """
    what = f"measures the peak rate with {counted(threads, 'thread')}"
    return float(in_new_process(what, _set_up_and_measure, threads, clock))


def _set_up_and_measure(threads: int, clock: Clock) -> float:
    environment.set_up("The roofline", {environment.ONEDNN: None})
    environment.load_tensorflow()
    return peak_macs_per_s(threads, clock)


def bandwidth_bytes_per_s(threads: int, clock: Clock, array_bytes: int | None = None) -> float:
    """Most bytes per second in a copy from memory to memory, each thread copying a part of its own.

    Counted are the bytes read and the bytes written, twice the array, as STREAM counts its copy. ``copyto`` of a
    whole array is a memcpy, which releases Python's lock, and bypasses the caches on most processors; where it
    does not, the target is also read before it is written, and the count falls short of the traffic.

    Args:
        threads: How many copy at once.
        clock: Seconds, monotonic.
        array_bytes: Size of the array; unless given, `CACHES_PER_COPY` times the last-level cache.
    """
    array_bytes = array_bytes or _uncached_bytes()
    source = np.ones(array_bytes, np.uint8)
    target = np.ones(array_bytes, np.uint8)  # written to, so that the copy does not wait for pages
    targets, sources = np.array_split(target, threads), np.array_split(source, threads)
    with ThreadPoolExecutor(threads) as pool:
        return best_rate(lambda: list(pool.map(np.copyto, targets, sources)), 2 * array_bytes, clock, COPY_S)


def _uncached_bytes() -> int:
    """Size of an array that no cache holds; where the system does not tell its caches, the smallest that is tried."""
    try:
        cache = os.sysconf("SC_LEVEL3_CACHE_SIZE")
    except (AttributeError, OSError, ValueError):  # not Linux, or a processor without such a cache
        cache = 0
    return min(max(CACHES_PER_COPY * cache, MIN_COPY_BYTES), MAX_COPY_BYTES)


def measure_roofline(
    clock: Clock = time.perf_counter,
    *,
    peak: Rate = peak_in_new_process,
    bandwidth: Rate = bandwidth_bytes_per_s,
) -> RooflineRecord:
    """Measures both limits with one thread and with all, in about 20 s on an idle machine.

    Args:
        clock: Seconds, monotonic.
        peak: Multiply-adds per second of so many threads.
        bandwidth: Bytes per second of so many threads.
    """
    watch = machine.LoadWatch()
    threads = machine.usable_cores()
    one = peak(1, clock), bandwidth(1, clock)
    many = (peak(threads, clock), bandwidth(threads, clock)) if threads > 1 else one
    return RooflineRecord(
        schema_version=2,
        cpu=machine.cpu_name(),
        threads=threads,
        peak_macs_per_s_1_thread=one[0],
        peak_macs_per_s_all_threads=max(one[0], many[0]),  # with all threads at hand, one may still do the work
        bandwidth_bytes_per_s_1_thread=one[1],
        bandwidth_bytes_per_s_all_threads=max(one[1], many[1]),
        busy_percent=watch.others_percent(),
        created=utc_now(),
    )


def cached_roofline(
    cache_dir: Path, machine_key: str, *, measure: Callable[[], RooflineRecord] = measure_roofline
) -> RooflineRecord:
    """The roofline of this machine: measured until it once was not busy, read from the cache afterwards.

    Args:
        cache_dir: The user's cache; ``roofline-<machine_key>.json`` in it is removed to measure anew.
        machine_key: From `MachineRecord.key`.
        measure: How to measure where the cache holds nothing, a damaged file or what may have been disturbed.
    """
    path = cache_dir / f"roofline-{machine_key}.json"
    cached = None
    with contextlib.suppress(OSError, ValidationError):
        cached = RooflineRecord.model_validate_json(path.read_bytes())
        if cached.is_undisturbed:
            return cached
    roofline = measure()
    if cached:
        roofline = roofline.best_with(cached)
    if roofline.is_undisturbed:
        with contextlib.suppress(StoreError):  # without a cache it is measured again, no reason to lose it now
            write_atomically(path, roofline.model_dump_json(indent=1) + "\n")
    return roofline
