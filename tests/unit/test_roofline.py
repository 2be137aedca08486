"""The roof of a machine, measured with a clock that the test turns, and the layers below it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from cnnprof_lib.analysis.machine import numbers, shown
from cnnprof_lib.base.errors import MeasureError
from cnnprof_lib.measure import roofline
from cnnprof_lib.measure.clock import Clock
from cnnprof_lib.params.costs import LayerTraffic, layer_traffic
from cnnprof_lib.params.variant import VariantSpec
from cnnprof_lib.records.machine import RooflineRecord
from tests.builders import Node, make_machine, make_ops, make_record, make_roofline


def ticking_clock() -> Clock:
    """A second later each time it is looked at; unlike a function of this file it can be sent to another process."""
    return iter(range(10**6)).__next__


class FakeWork:
    """Work that takes the times it is given, by its own clock."""

    def __init__(self, *seconds: float) -> None:
        self.seconds, self.now_s, self.runs = seconds, 0.0, 0

    def run(self) -> None:
        self.now_s += self.seconds[self.runs]
        self.runs += 1

    def clock(self) -> float:
        return self.now_s


# Measuring


def test_the_fastest_repeat_counts_and_the_first_run_does_not() -> None:
    work = FakeWork(0.125, 4.0, 0.5, 2.0, 1.0)
    assert roofline.best_rate(work.run, 10, work.clock, budget_s=7) == 20.0
    assert work.runs == 5


def test_a_few_repeats_are_made_however_long_they_take() -> None:
    work = FakeWork(9.0, 9.0, 8.0, 9.0)
    assert roofline.best_rate(work.run, 16, work.clock, budget_s=1) == 2.0
    assert work.runs == 1 + roofline.MIN_REPEATS


def test_a_clock_that_stands_still_is_refused() -> None:
    with pytest.raises(MeasureError) as caught:
        roofline.best_rate(lambda: None, 1, lambda: 7.0, budget_s=1)
    assert str(caught.value) == "The clock did not advance while the roofline was measured. Received: 0.0 s."


def test_peak_is_that_of_the_fastest_size() -> None:
    assert roofline.peak_macs_per_s(1, ticking_clock(), sizes=(8, 16, 4)) == 16**3


def test_peak_in_a_new_process_leaves_this_one_alone() -> None:
    before = dict(os.environ)
    assert roofline.peak_in_new_process(1, ticking_clock()) == max(roofline.PRODUCT_SIZES) ** 3
    assert dict(os.environ) == before


def _abort(*_: object) -> None:
    os.abort()


def test_a_process_that_dies_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "_set_up_and_measure", _abort)
    with pytest.raises(MeasureError) as caught:
        roofline.peak_in_new_process(2, ticking_clock())
    assert str(caught.value) == (
        "The process that measures the peak rate with 2 threads died of SIGABRT. Start the command again."
    )


def test_one_thread_is_told_of_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(roofline, "in_new_process", lambda what, *_: told.append(what) or 1.0)
    roofline.peak_in_new_process(1, ticking_clock())
    assert told == ["measures the peak rate with 1 thread"]


@pytest.mark.parametrize("threads", [1, 3])
def test_bandwidth_counts_bytes_read_and_written(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[int] = []
    monkeypatch.setattr(np, "copyto", lambda target, source: copied.append(min(target.nbytes, source.nbytes)))
    assert roofline.bandwidth_bytes_per_s(threads, ticking_clock(), array_bytes=1000) == 2000
    assert len(copied) % threads == 0
    assert sum(copied) == 1000 * len(copied) // threads


@pytest.mark.parametrize(
    ("cache", "array"),
    [(2**20, 128 * 2**20), (64 * 2**20, 256 * 2**20), (2**30, 2**30), (-1, 128 * 2**20)],
)
def test_copies_are_larger_than_the_cache(cache: int, array: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", lambda name: cache, raising=False)
    assert roofline._uncached_bytes() == array


def test_a_system_that_does_not_tell_its_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert roofline._uncached_bytes() == roofline.MIN_COPY_BYTES


class CpuTimes(NamedTuple):
    user: float
    idle: float


def measure(cores: int, peak: dict[int, float], bandwidth: dict[int, float], patch: pytest.MonkeyPatch) -> list[float]:
    """The four rates of a machine whose rates are known by number of threads; others use an eighth of it meanwhile."""
    spent = CpuTimes(user=100.0, idle=100.0)

    def take(rate: float) -> float:
        nonlocal spent
        spent = CpuTimes(spent.user + 1, spent.idle + 7)
        return rate

    patch.setattr(roofline.machine.psutil, "cpu_times", lambda: spent)
    patch.setattr(roofline.machine, "_own_s", lambda: 0.0)
    patch.setattr(roofline.machine, "usable_cores", lambda: cores)
    record = roofline.measure_roofline(
        peak=lambda threads, clock: take(peak[threads]), bandwidth=lambda threads, clock: take(bandwidth[threads])
    )
    assert (record.threads, record.schema_version, record.busy_percent) == (cores, 2, 12.5)
    return [
        record.peak_macs_per_s_1_thread,
        record.peak_macs_per_s_all_threads,
        record.bandwidth_bytes_per_s_1_thread,
        record.bandwidth_bytes_per_s_all_threads,
    ]


def test_one_thread_and_all_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measure(8, {1: 40e9, 8: 300e9}, {1: 10e9, 8: 25e9}, monkeypatch) == [40e9, 300e9, 10e9, 25e9]


def test_a_single_core_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measure(1, {1: 40e9}, {1: 10e9}, monkeypatch) == [40e9, 40e9, 10e9, 10e9]


def test_all_threads_reach_what_one_of_them_does(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measure(2, {1: 40e9, 2: 80e9}, {1: 10e9, 2: 9e9}, monkeypatch) == [40e9, 80e9, 10e9, 10e9]


# The cache


class CountedMeasurement:
    def __init__(self, **changes: float) -> None:
        self.count, self.changes = 0, changes

    def __call__(self) -> RooflineRecord:
        self.count += 1
        return make_roofline(busy_percent=float(self.count), **self.changes)


def test_a_roofline_is_measured_once_per_machine(tmp_path: Path) -> None:
    measured = CountedMeasurement()
    first = roofline.cached_roofline(tmp_path / "new", "a", measure=measured)
    assert roofline.cached_roofline(tmp_path / "new", "a", measure=measured) == first
    assert measured.count == 1
    assert roofline.cached_roofline(tmp_path / "new", "b", measure=measured) != first
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["roofline-a.json", "roofline-b.json"]


@pytest.mark.parametrize("damage", [lambda text: text[:50], lambda text: "", lambda text: text.replace("1.0", "-1.0")])
def test_a_damaged_cache_is_measured_anew(tmp_path: Path, damage: Callable[[str], str]) -> None:
    measured = CountedMeasurement()
    roofline.cached_roofline(tmp_path, "a", measure=measured)
    path = tmp_path / "roofline-a.json"
    path.write_text(damage(path.read_text("utf-8")), "utf-8")
    again = roofline.cached_roofline(tmp_path, "a", measure=measured)
    assert measured.count == 2
    assert RooflineRecord.model_validate_json(path.read_bytes()) == again


def test_what_was_measured_on_a_busy_machine_is_not_kept(tmp_path: Path) -> None:
    busy = roofline.cached_roofline(tmp_path, "a", measure=lambda: make_roofline(busy_percent=15.1))
    assert (busy.is_undisturbed, list(tmp_path.iterdir())) == (False, [])
    quiet = roofline.cached_roofline(tmp_path, "a", measure=lambda: make_roofline(busy_percent=15.0))
    assert quiet.is_undisturbed
    assert roofline.cached_roofline(tmp_path, "a", measure=CountedMeasurement()) == quiet


@pytest.mark.parametrize("doubt", [{"busy_percent": 40.0}, {"schema_version": 1, "busy_percent": 0.0}])
def test_a_cached_roofline_in_doubt_is_measured_again_and_the_better_limits_kept(
    tmp_path: Path, doubt: dict[str, float]
) -> None:
    path = tmp_path / "roofline-a.json"
    cached = make_roofline(peak_macs_per_s_1_thread=40e9, bandwidth_bytes_per_s_1_thread=6e9, **doubt)
    path.write_text(cached.model_dump_json(exclude={"schema_version"} if "schema_version" in doubt else None), "utf-8")
    again = roofline.cached_roofline(tmp_path, "a", measure=CountedMeasurement(peak_macs_per_s_1_thread=45e9))
    assert again == make_roofline(peak_macs_per_s_1_thread=45e9, bandwidth_bytes_per_s_1_thread=6e9, busy_percent=1.0)
    assert RooflineRecord.model_validate_json(path.read_bytes()) == again


def test_a_cache_that_cannot_be_written_does_not_cost_the_measurement(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder", "utf-8")
    assert roofline.cached_roofline(file, "a", measure=make_roofline) == make_roofline()


def test_the_key_holds_what_times_depend_on() -> None:
    key = make_machine().key
    assert re.fullmatch("made-up-cpu-[0-9a-f]{8}", key)
    same = [make_machine("stock"), make_machine(python="3.13.0"), make_machine(memory_bytes=1)]
    others = [make_machine(cpu="Other"), make_machine(logical_cores=4), make_machine(tensorflow="2.22.0")]
    assert {machine.key for machine in same} == {key}
    assert len({key, *(machine.key for machine in others)}) == 4


# Traffic


def test_traffic_is_input_output_and_weights_once() -> None:
    variant = VariantSpec.model_validate(
        {
            "name": "small",
            "title": "Small",
            "input": {"height": 4, "width": 4, "channels": 3},
            "classes": 5,
            "layers": [
                {"name": "conv", "type": "conv", "filters": 8, "kernel": 3},
                {"name": "pool", "type": "max_pool", "window": 2, "stride": 2},
                {"name": "flat", "type": "flatten"},
                {"name": "drop", "type": "dropout", "rate": 0.5},
                {"name": "dense", "type": "dense", "units": 5, "use_bias": False},
            ],
        }
    )
    assert layer_traffic(variant.network, 10) == (
        LayerTraffic("conv", "conv", 10 * 16 * 8 * 27, 4 * (10 * 16 * 3 + 10 * 16 * 8 + 27 * 8 + 8)),
        LayerTraffic("pool", "max_pool", 0, 4 * (10 * 16 * 8 + 10 * 4 * 8)),
        LayerTraffic("flat", "flatten", 0, 0),
        LayerTraffic("drop", "dropout", 0, 0),
        LayerTraffic("dense", "dense", 10 * 32 * 5, 4 * (10 * 32 + 10 * 5 + 32 * 5)),
    )


def test_larger_batches_share_the_weights() -> None:
    variant = make_record().variant
    one, many = ({row.name: row.macs_per_byte for row in layer_traffic(variant.network, size)} for size in (1, 128))
    assert one["local3"] == pytest.approx(0.249, abs=5e-4)
    assert many["local3"] == pytest.approx(23.03, abs=5e-3)
    assert one["pool1"] == many["pool1"] == 0


# The table. conv1 of the baseline is 353,894,400 MACs and 19,778,560 bytes in a batch of 128.

NODES = (
    Node("Conv2D", "conv1", 0.007_000_000),
    Node("Relu", "conv1", 0.000_077_888),
    Node("MaxPool", "pool1", 0.004_718_592),
    Node("MatMul", "softmax_linear", 0.000_044_458),
)


def table(nodes: Sequence[Node] = NODES, **changes: object) -> pd.DataFrame:
    record = make_record(nodes=nodes, **changes)
    return numbers.under_roofline(record, make_ops(record, nodes), make_roofline())


def test_a_layer_bound_by_computing() -> None:
    row = table().set_index("layer").loc["conv1"]
    assert row[["variant", "runtime", "type", "bound"]].tolist() == ["baseline", "unfused", "conv", "compute"]
    assert (row["step_macs"], row["step_bytes"]) == (353_894_400, 19_778_560)
    assert row["macs_per_byte"] == pytest.approx(17.892829)
    assert row["time_s"] == pytest.approx(0.007077888)
    assert row["attainable_macs_per_s"] == 100e9
    assert row["macs_per_s"] == pytest.approx(50e9)
    assert row["least_s"] == pytest.approx(0.003538944)
    assert row["share_of_attainable"] == pytest.approx(0.5)


def test_a_layer_bound_by_memory() -> None:
    row = table().set_index("layer").loc["softmax_linear"]
    assert row["bound"] == "memory"
    assert row["attainable_macs_per_s"] == pytest.approx(245_760 / 111_144 * 10e9)
    assert row["macs_per_s"] == pytest.approx(245_760 / 44.458e-6)
    assert row["share_of_attainable"] == pytest.approx(row["macs_per_s"] / row["attainable_macs_per_s"])
    assert row["share_of_attainable"] == pytest.approx(0.25, abs=1e-5)


def test_a_layer_without_macs_is_measured_by_its_bytes() -> None:
    row = table().set_index("layer").loc["pool1"]
    assert (row["macs_per_byte"], row["attainable_macs_per_s"], row["macs_per_s"]) == (0, 0, 0)
    assert row["bound"] == "memory"
    assert row["share_of_attainable"] == pytest.approx(23_592_960 / 10e9 / 0.004718592) == pytest.approx(0.5)


def test_a_layer_that_took_no_time_reaches_nothing() -> None:
    rows = table()
    assert rows["layer"].tolist() == [layer.name for layer in make_record().variant.layers]
    row = rows.set_index("layer").loc["conv2"]
    assert row[["macs_per_s", "share_of_attainable"]].isna().all()
    assert (row["time_s"], row["bound"]) == (0, "compute")


def test_a_run_held_to_one_thread_is_compared_with_one() -> None:
    shares = {threads: table(threads=threads).set_index("layer")["share_of_attainable"] for threads in (None, 1, 2)}
    assert shares[1]["conv1"] == pytest.approx(1.0)
    assert shares[None]["conv1"] == shares[2]["conv1"] == pytest.approx(0.5)


CONV1_COMPUTED = 353_894_400 * 114**2 // 120**2
"""By kernels that skip padding, which leaves 114 of 120 products along each side."""


def table_of_stock(roof: RooflineRecord, conv1_s: float, pool1_s: float = 1.0) -> pd.DataFrame:
    nodes = (Node("Conv2D", "conv1", conv1_s, kernel="_MklNativeFusedConv2D"), Node("MaxPool", "pool1", pool1_s))
    record = make_record(runtime="stock", nodes=nodes)
    return numbers.under_roofline(record, make_ops(record, nodes), roof)


def test_a_kernel_that_skips_padding_is_judged_by_the_products_it_computes() -> None:
    row = table_of_stock(make_roofline(), CONV1_COMPUTED / 80e9).set_index("layer").loc["conv1"]
    assert (row["step_macs"], row["bound"]) == (CONV1_COMPUTED, "compute")
    assert row["macs_per_s"] == pytest.approx(80e9)
    assert row["share_of_attainable"] == pytest.approx(0.8)


def test_a_share_above_all_says_where_it_may_come_from() -> None:
    def cautions(conv1_s: float = 1.0, pool1_s: float = 1.0, **changes: float) -> dict[str, str]:
        table = table_of_stock(make_roofline(**changes), conv1_s, pool1_s).set_index("layer")
        assert (table["share_of_attainable"] > 1).equals(table["caution"].notna())
        found: dict[str, str] = table["caution"].dropna().to_dict()
        return found

    conv1_s = CONV1_COMPUTED / 120e9
    assert cautions() == {}
    assert cautions(conv1_s) == {
        "conv1": "its kernel needs fewer products, or the processor was slower when the roof was measured"
    }
    assert cautions(pool1_s=1e-3) == {"pool1": "its input was still in a cache, faster than the memory of the roof"}
    busy = "the roof was measured while other programs used 40% of the processors"
    assert cautions(conv1_s, 1e-3, busy_percent=40.4) == {"conv1": busy, "pool1": busy}
    assert cautions(conv1_s, schema_version=1) == {
        "conv1": "the roof was measured without a look at what else the machine did"
    }


def test_the_table_has_a_column_of_cautions_where_there_are_any() -> None:
    headers = [
        shown.roofline_table(table_of_stock(make_roofline(busy_percent=percent), time_s)).to_html()
        for percent, time_s in ((1.0, 1.0), (40.0, 1e-3))
    ]
    assert ["why above 100%" in text for text in headers] == [False, True]
    assert "while other programs used 40% of the processors" in headers[1]


# The figure


@pytest.fixture
def ax() -> Iterator[Axes]:
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def test_the_figure_draws_the_roofs_and_the_layers_with_macs(ax: Axes) -> None:
    data = pd.concat([table(), table(runtime="stock")])
    assert shown.roofline_figure(data, make_roofline(), ax=ax) is ax
    every, one, unfused, stock = ax.lines
    left, right = 245_760 / 111_144 / 2, 353_894_400 / 19_778_560 * 4
    assert every.get_xdata().tolist() == pytest.approx([left, 10, right])
    assert every.get_ydata().tolist() == pytest.approx([left * 10, 100, 100])
    assert one.get_ydata().tolist() == pytest.approx([left * 5, 50, 50])
    assert unfused.get_xdata().tolist() == pytest.approx([17.892829, 2.211185])
    assert unfused.get_ydata().tolist() == pytest.approx([50, 5.527914])
    # oneDNN computes 114 of 120 products along each side.
    assert stock.get_xdata().tolist() == pytest.approx([17.892829 * 0.9025, 2.211185])
    assert stock.get_ydata().tolist() == pytest.approx([50 * 0.9025, 5.527914])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "2 threads: 100 GMAC/s, 10 GB/s",
        "1 thread: 50 GMAC/s, 5 GB/s",
        "unfused",
        "stock",
    ]
    assert sorted(text.get_text() for text in ax.texts) == ["conv1", "softmax_linear"]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("arithmetic intensity [MAC/byte]", "rate [GMAC/s]")
    assert ax.get_title() == "conv1 of baseline reaches 45% of its roof, stock"


def test_of_many_layers_the_longest_are_named(ax: Axes) -> None:
    one = table().set_index("layer").loc["conv1"]
    many = pd.DataFrame([one.rename(None)] * 40).assign(layer=[f"l{i}" for i in range(40)], time_s=range(40))
    shown.roofline_figure(many.astype(table().dtypes), make_roofline(), ax=ax)
    assert {text.get_text() for text in ax.texts} == {f"l{i}" for i in range(28, 40)}
    assert len(ax.lines[-1].get_xdata()) == 40


def test_a_roof_in_doubt_says_so(ax: Axes) -> None:
    busy = make_roofline(busy_percent=40.0, peak_macs_per_s_all_threads=25e9)
    record = make_record(nodes=NODES)
    shown.roofline_figure(numbers.under_roofline(record, make_ops(record, NODES), busy), busy, ax=ax)
    doubt = "the roof was measured while other programs used 40% of the processors"
    assert ax.get_title() == f"conv1 of baseline reaches 200% of its roof, unfused:\n{doubt}"
    assert ax.get_legend().get_title().get_text() == doubt


def test_a_single_core_has_one_roof(ax: Axes) -> None:
    shown.roofline_figure(table(), make_roofline(threads=1), ax=ax)
    assert [line.get_label() for line in ax.lines] == ["1 thread: 50 GMAC/s, 5 GB/s", "unfused"]


def test_names_keep_clear_of_points_and_of_each_other(ax: Axes) -> None:
    close = table().set_index("layer").loc[["conv1"] * 5].assign(layer=["a1", "b1", "c1", "d1", "e1"])
    close["macs_per_byte"] = [10.0, 10.6, 11.2, 11.8, 12.4]
    shown.roofline_figure(close, make_roofline(), ax=ax)
    ax.figure.canvas.draw()
    points = ax.transData.transform([(x, 50) for x in close["macs_per_byte"]])
    boxes = sorted((text.get_window_extent() for text in ax.texts), key=lambda box: box.x0)
    assert len(boxes) == 5
    assert not [(box, point) for box in boxes for point in points if box.contains(*point)]
    assert not [pair for pair in pairwise(boxes) if pair[0].overlaps(pair[1])]


def test_a_run_without_timed_layers_shows_the_roof(ax: Axes) -> None:
    shown.roofline_figure(table().assign(macs_per_s=float("nan")), make_roofline(), ax=ax)
    assert len(ax.lines) == 2
    assert ax.get_title() == "No layer with multiply-adds was timed"
