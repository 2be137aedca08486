"""Facts of the machine and of the process, as a record keeps them."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from ..records.conditions import LoadRecord, MachineRecord

_VECTORS = {"amx_tile": "AMX", "avx512_bf16": "AVX-512 BF16", "avx512f": "AVX-512", "avx2": "AVX2"}
"""Instruction sets with kernels of their own in oneDNN, by their flag in Linux; who has one has those after it.

Source: https://oneapi-src.github.io/oneDNN/dev_guide_cpu_dispatcher_control.html
"""


def describe(onednn: bool) -> MachineRecord:
    """Describes machine and libraries; loads TensorFlow and Keras.

    Args:
        onednn: Whether oneDNN kernels were executed.
    """
    import keras
    import tensorflow as tf

    return MachineRecord(
        cpu=cpu_name(),
        logical_cores=usable_cores(),
        memory_bytes=psutil.virtual_memory().total,
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        tensorflow=tf.__version__,
        keras=keras.__version__,
        onednn=onednn,
        gpus=tuple(
            tf.config.experimental.get_device_details(device).get("device_name", device.name)
            for device in tf.config.list_physical_devices("GPU")
        ),
        host=platform.node(),
    )


def cpu_name() -> str:
    """The processor's name; Linux keeps it where `platform` does not look, with the instructions it knows."""
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        cpuinfo = ""
    return name_in(cpuinfo) or platform.processor() or platform.machine()


def name_in(cpuinfo: str) -> str:
    """The name of the first processor in the text of ``/proc/cpuinfo``, as ``AMD EPYC (AVX-512 BF16)``; empty if none.

    Virtual machines call processors of several generations by one name, so the best of `_VECTORS` is part of it.
    """
    facts: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    flags = facts.get("flags", "").split()
    name = facts.get("model name", "")
    vectors = next((text for flag, text in _VECTORS.items() if flag in flags), "")
    return f"{name} ({vectors})" if name and vectors else name


def usable_cores() -> int:
    """Logical cores this process may use, which is how many threads TensorFlow makes unless told."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return psutil.cpu_count() or 1


class LoadWatch:
    """Watches from its making on what else the machine does."""

    def __init__(self) -> None:
        self._all, self._own_s = psutil.cpu_times(), _own_s()
        self._cpu_mhz: list[float] = []

    def look(self) -> None:
        """Notes the clock frequency, where the system tells it."""
        frequency = psutil.cpu_freq()
        if frequency and frequency.current > 0:
            self._cpu_mhz.append(frequency.current)

    def record(self, faults: Mapping[str, tuple[tuple[int, ...], ...]]) -> LoadRecord:
        """What was seen up to now, with the page faults of the steps by their kind."""
        by_kind = {f"{kind}_faults": blocks for kind, blocks in faults.items()}
        return LoadRecord(others_percent=self.others_percent(), cpu_mhz=tuple(self._cpu_mhz), **by_kind)

    def others_percent(self) -> float:
        """Time of all processors up to now that neither this process used nor children of it that have ended."""
        every = psutil.cpu_times()
        # As psutil's cpu_percent counts: guests stand in user time too, and waiting for a disk is idle.
        spent = {name: getattr(every, name) - getattr(self._all, name) for name in every._fields}
        total = sum(spent.values()) - spent.get("guest", 0.0) - spent.get("guest_nice", 0.0)
        busy = total - spent["idle"] - spent.get("iowait", 0.0)
        others = max(busy - (_own_s() - self._own_s), 0.0) / total if total > 0 else 0.0
        return round(100 * others, 3)


def _own_s() -> float:
    """Processor time of this process and of its children that have ended."""
    return time.process_time() + sum(os.times()[2:4])


def resident_bytes() -> int:
    """Resident memory of this process."""
    return int(psutil.Process().memory_info().rss)
