"""What else a machine does while steps are timed, with counters that the test turns."""

from __future__ import annotations

from types import SimpleNamespace
from typing import NamedTuple

import pytest

from cnnprof_lib.measure import machine

UNCOUNTED: dict[str, tuple[tuple[int, ...], ...]] = {"plain": (), "profiled": (), "baseline": ()}


class Times(NamedTuple):
    """Seconds of all processors since the start."""

    user: float
    system: float
    idle: float
    iowait: float
    steal: float
    guest: float


def watch(monkeypatch: pytest.MonkeyPatch, before: Times, after: Times, own_s: float) -> machine.LoadWatch:
    """A watch whose next look at the counters sees ``after``; half of our time is that of children."""
    monkeypatch.setattr(machine.time, "process_time", lambda: 2.0)
    monkeypatch.setattr(machine.os, "times", lambda: (1.0, 1.0, 1.0, 1.0, 0.0))
    monkeypatch.setattr(machine.psutil, "cpu_times", lambda: before)
    made = machine.LoadWatch()
    monkeypatch.setattr(machine.time, "process_time", lambda: 2.0 + own_s / 2)
    monkeypatch.setattr(machine.os, "times", lambda: (9.0, 9.0, 1.0 + own_s / 4, 1.0 + own_s / 4, 60.0))
    monkeypatch.setattr(machine.psutil, "cpu_times", lambda: after)
    return made


def test_others_are_all_that_is_neither_idle_nor_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Times(user=100, system=10, idle=500, iowait=5, steal=0, guest=20)
    after = Times(user=112, system=12, idle=503, iowait=6, steal=2, guest=22)  # guests stand in user, too
    assert watch(monkeypatch, before, after, own_s=12.0).record(UNCOUNTED).others_percent == pytest.approx(100 * 4 / 20)


def test_counters_too_coarse_for_us_leave_nothing_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Times(0, 0, 0, 0, 0, 0)
    after = Times(user=1, system=0, idle=9, iowait=0, steal=0, guest=0)
    assert watch(monkeypatch, before, after, own_s=1.01).record(UNCOUNTED).others_percent == 0
    assert watch(monkeypatch, before, before, own_s=0.0).record(UNCOUNTED).others_percent == 0


def test_frequencies_are_kept_where_the_system_tells_them(monkeypatch: pytest.MonkeyPatch) -> None:
    times = Times(0, 0, 0, 0, 0, 0)
    made = watch(monkeypatch, times, times, own_s=0.0)
    for frequency in (SimpleNamespace(current=2400.0), None, SimpleNamespace(current=0.0)):
        monkeypatch.setattr(machine.psutil, "cpu_freq", lambda frequency=frequency: frequency)
        made.look()
    assert made.record(UNCOUNTED).cpu_mhz == (2400.0,)


CPUINFO = """processor\t: 0
model name\t: AMD EPYC
flags\t\t: fpu avx2{}
bugs\t\t: sysret_ss_attrs

processor\t: 1
model name\t: Another
flags\t\t: fpu amx_tile
"""


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ("", "AMD EPYC (AVX2)"),
        (" avx512f", "AMD EPYC (AVX-512)"),
        (" avx512f avx512_bf16", "AMD EPYC (AVX-512 BF16)"),
        (" avx512f avx512_bf16 amx_tile", "AMD EPYC (AMX)"),
    ],
)
def test_processors_of_one_name_are_told_apart_by_their_vectors(flags: str, name: str) -> None:
    assert machine.name_in(CPUINFO.format(flags)) == name


def test_a_processor_without_name_or_flags_is_called_what_is_known() -> None:
    assert machine.name_in("model name\t: AMD EPYC\n") == "AMD EPYC"
    assert machine.name_in("Features\t: fp asimd\n") == ""


def test_a_gpu_is_called_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    devices = [SimpleNamespace(name=f"/physical_device:GPU:{number}") for number in (0, 1)]
    names = {devices[0].name: {"device_name": "NVIDIA H100 80GB HBM3"}, devices[1].name: {}}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: devices)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: names[device.name])
    assert machine.describe(onednn=False).gpus == ("NVIDIA H100 80GB HBM3", "/physical_device:GPU:1")
