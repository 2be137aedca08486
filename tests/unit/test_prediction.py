"""Latency predicted: sizes of units, a machine that is known, intervals, what lies outside, what is not calibrated."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

pytest.importorskip("sklearn")

from cnnprof_lib.analysis.prediction import model
from cnnprof_lib.analysis.prediction.numbers import Predictor
from cnnprof_lib.analysis.prediction.scores import ScoreRow, by_group, scores
from cnnprof_lib.analysis.prediction.shown import predicted_figure
from cnnprof_lib.analysis.prediction.units import CALL, Unit, units_of
from cnnprof_lib.app import cli
from cnnprof_lib.measure.calibration.design import BASELINE_FAMILY, FAMILIES, Designed, designed
from cnnprof_lib.params.network import Network, NetworkLayer, Tensor
from cnnprof_lib.params.reading import load_variant
from cnnprof_lib.params.variant import VariantSpec
from cnnprof_lib.records.calibration import ProbeRecord, ProbesRecord
from cnnprof_lib.records.store import Store
from tests.builders import PARAMS, make_machine

TUTORIAL = load_variant("baseline", PARAMS)
REFERENCE_S = 2e-3


# A machine whose times are known


def unit_s(unit: Unit, batch_size: int) -> float:
    """Multiply-adds at a rate that few channels lower, and values moved."""
    rate = {"grouped": 8e9, "dense": 2e10}.get(unit.kind, 6e10)
    rate /= (1 + 16 / unit.channels_in) * (1 + 16 / unit.channels_out)
    moved = batch_size * (unit.pixels_in * unit.channels_in + unit.pixels_out * unit.channels_out * (1 + unit.joins))
    return 4e-6 + batch_size * unit.macs / rate + moved * (5e-9 if unit.kind == "lrn" else 4e-10)


def step_s(network: Network, batch_size: int) -> tuple[float, dict[str, float]]:
    parts = {unit.layer: unit_s(unit, batch_size) for unit in units_of(network)[1:]}
    return 1e-4 + sum(parts.values()), parts


def make_probe(network: Designed, rng: np.random.Generator, *, traced: bool, noise: float = 0.01) -> ProbeRecord:
    time_s, parts = step_s(network.variant.network, network.batch_size)
    return ProbeRecord(
        family=network.family,
        network=network.variant.network,
        batch_size=network.batch_size,
        step_s=time_s * math.exp(rng.normal(0, noise)),
        reference_s=REFERENCE_S,
        waited_share=0.0,
        layers_s={name: part_s * math.exp(rng.normal(0, 2 * noise)) for name, part_s in parts.items() if traced},
    )


def make_calibration(count: int, *, traced: bool = True, noise: float = 0.01) -> ProbesRecord:
    rng = np.random.default_rng(7)
    probes = (make_probe(designed(i, 1, TUTORIAL), rng, traced=traced, noise=noise) for i in range(count))
    return ProbesRecord(
        created="2026-11-24T00:00:00+00:00",
        runtime="stock",
        machine=make_machine(),
        versions={},
        reference="baseline with batches of 8",
        seed=1,
        drawn=count,
        spent_s=60.0,
        probes=tuple(probes),
    )


@pytest.fixture(scope="module")
def calibration() -> ProbesRecord:
    return make_calibration(150)


@pytest.fixture(scope="module")
def predictor(calibration: ProbesRecord) -> Predictor:
    return Predictor.of(calibration)


def unseen(count: int, families: tuple[str, ...] = tuple(FAMILIES)) -> Iterator[Designed]:
    drawn = (designed(index, 2, TUTORIAL) for index in range(1000, 10000))
    chosen = (network for network in drawn if network.family in families)
    return (next(chosen) for _ in range(count))


# Units


def test_a_unit_holds_what_is_computed_with_its_first_layer() -> None:
    units = {unit.layer: unit for unit in units_of(load_variant("resnet8", PARAMS).network)}
    assert units["conv"].layers == ("conv", "conv_bn", "conv_relu")
    assert units["stack1_conv2"].layers == ("stack1_conv2", "stack1_bn2", "stack1_add", "stack1_relu2")
    assert units["stack1_conv2"].joins == 1
    assert units["stack2_shortcut"].layers == ("stack2_shortcut", "stack2_add", "stack2_relu2")  # the later of the two
    assert [units[name].kind for name in ("conv", "stack2_shortcut", "mean", "logits")] == [
        "conv",
        "pointwise",
        "mean",
        "dense",
    ]


def test_a_unit_has_the_sizes_of_its_layer() -> None:
    call, *units = units_of(TUTORIAL.network)
    assert (call.kind, call.channels_in, call.channels_out) == (CALL, 24 * 24 * 3, 9)
    conv2 = next(unit for unit in units if unit.layer == "conv2")
    assert (conv2.pixels_in, conv2.pixels_out, conv2.channels_in, conv2.channels_out) == (144, 144, 64, 64)
    assert (conv2.per_value, conv2.weights, conv2.macs) == (5 * 5 * 64, 5 * 5 * 64 * 64 + 64, 144 * 64 * 1600)
    local3 = next(unit for unit in units if unit.layer == "local3")
    assert (local3.pixels_in, local3.channels_in, local3.per_value) == (1, 6 * 6 * 64, 2304)
    assert [unit.kind for unit in units] == [
        *("conv", "max pool", "lrn", "conv", "lrn", "max pool", "dense", "dense", "dense")
    ]


def layer(type_: str, shape: tuple[int, ...], macs: int | None, inputs: tuple[str, ...] = ("x",)) -> NetworkLayer:
    return NetworkLayer(
        name=type_, type=type_, inputs=inputs, output_shape=shape, parameters=0, macs=macs, pixel_macs=macs
    )


def network_of(shape: tuple[int, ...], *layers: NetworkLayer) -> Network:
    outputs = (Tensor(name=layers[-1].name, shape=layers[-1].output_shape),)
    inputs = (Tensor(name="x", shape=shape),)
    return Network(name="own", title="own", file="own.onnx", inputs=inputs, outputs=outputs, layers=layers)


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (layer("Conv2D", (8, 8, 32), 8 * 8 * 32 * 9 * 16), "conv"),
        (layer("Conv2D", (8, 8, 32), 8 * 8 * 32 * 16), "pointwise"),
        (layer("Conv2D", (8, 8, 16), 8 * 8 * 16 * 9), "grouped"),  # only the multiply-adds tell
        (layer("DepthwiseConv2D", (8, 8, 16), 8 * 8 * 16 * 25), "grouped"),
        (layer("SeparableConv2D", (8, 8, 32), 8 * 8 * (16 * 9 + 16 * 32)), "separable"),
        (layer("MaxPooling2D", (4, 4, 16), 0), "max pool"),
        (layer("AveragePool", (4, 4, 16), 0), "avg pool"),
        (layer("GlobalAveragePooling2D", (16,), 0), "mean"),
        (layer("GlobalAveragePool", (1, 1, 16), 0), "mean"),
        (layer("LSTM", (16,), None), "uncounted LSTM"),
        (layer("Resizing", (16, 16, 16), 0), "other Resizing"),
    ],
)
def test_a_layer_of_a_model_is_known_by_its_shapes(made: NetworkLayer, kind: str) -> None:
    assert units_of(network_of((8, 8, 16), made))[1].kind == kind


def test_channels_may_come_first() -> None:
    (_, unit) = units_of(network_of((3, 32, 32), layer("Conv", (16, 30, 30), 30 * 30 * 16 * 27)))
    assert (unit.pixels_in, unit.channels_in, unit.pixels_out, unit.channels_out) == (1024, 3, 900, 16)
    assert unit.per_value == 27


# The design


def test_the_design_begins_with_the_baseline_and_then_the_families_take_turns() -> None:
    drawn = [designed(index, 1, TUTORIAL) for index in range(60)]
    assert [(d.family, d.batch_size) for d in drawn[:3]] == [
        (BASELINE_FAMILY, 1),
        (BASELINE_FAMILY, 2),
        (BASELINE_FAMILY, 4),
    ]
    families = [network.family for network in drawn[14:56]]
    assert {family: families.count(family) for family in FAMILIES} == {**dict.fromkeys(FAMILIES, 6), "tutorial": 12}
    assert drawn == [designed(index, 1, TUTORIAL) for index in range(60)]
    assert {designed(index, 1, TUTORIAL, (4,)).batch_size for index in range(12)} == {4}


# Predictions


def errors(predictor: Predictor, networks: Iterator[Designed]) -> tuple[Any, Any]:
    missed, covered = [], []
    for network in networks:
        found = predictor.predict(network.variant.network, network.batch_size)
        true_s, _ = step_s(network.variant.network, network.batch_size)
        missed.append(abs(found.latency_s / true_s - 1))
        covered.append(found.low_s <= true_s <= found.high_s)
    return np.array(missed), np.array(covered)


def test_a_known_machine_is_recovered(predictor: Predictor) -> None:
    families = tuple(family for family in FAMILIES if family != "alone")
    missed, covered = errors(predictor, unseen(60, families))
    assert np.median(missed) < 0.03
    assert (missed < 0.1).mean() >= 0.9
    assert covered.mean() >= 0.9


def test_a_machine_that_tells_nothing_of_layers_is_recovered_from_whole_steps() -> None:
    families = tuple(family for family in FAMILIES if family != "alone")
    missed, covered = errors(Predictor.of(make_calibration(200, traced=False)), unseen(60, families))
    assert np.median(missed) < 0.06
    assert covered.mean() >= 0.9


def test_intervals_widen_with_the_noise_of_the_calibration(predictor: Predictor) -> None:
    loud = Predictor.of(make_calibration(150, noise=0.08))
    network = next(unseen(1))
    found = [one.predict(network.variant.network, network.batch_size) for one in (predictor, loud)]
    quiet_width, loud_width = (math.log(each.high_s / each.low_s) for each in found)
    assert loud_width > 2 * quiet_width
    _, covered = errors(loud, unseen(40))
    assert covered.mean() >= 0.85


def test_the_times_of_layers_and_of_the_call_add_up(predictor: Predictor) -> None:
    found = predictor.predict(TUTORIAL.network, 48)
    parts = [time_s for time_s in found.layers_s.values() if time_s is not None]
    assert sum(parts) + found.call_s == pytest.approx(found.latency_s)
    _, true_parts = step_s(TUTORIAL.network, 48)
    assert found.layers_s["conv2"] == pytest.approx(true_parts["conv2"], rel=0.2)
    assert not found.measured


def test_a_layer_fused_into_another_has_no_time_of_its_own(predictor: Predictor) -> None:
    found = predictor.predict(load_variant("resnet8", PARAMS).network, 32)
    assert found.layers_s["conv"] is not None
    assert found.layers_s["conv_bn"] is None


def test_a_twin_of_a_measured_network_gets_its_figure(predictor: Predictor, calibration: ProbesRecord) -> None:
    twin = TUTORIAL.model_copy(update={"name": "twin", "title": "Another name"})
    found = predictor.predict(twin.network, 128)
    (probe,) = [p for p in calibration.probes if p.family == BASELINE_FAMILY and p.batch_size == 128]
    assert found.measured
    assert found.latency_s == pytest.approx(probe.step_s)
    assert found.low_s < probe.step_s < found.high_s < 1.2 * probe.step_s


def test_layers_unlike_any_measured_are_named(predictor: Predictor) -> None:
    assert predictor.predict(TUTORIAL.network, 128).outside == ()
    wide = TUTORIAL.model_dump()
    wide["layers"] = [
        {**keys, "filters": 4000} if keys["name"] == "conv2" else keys for keys in TUTORIAL.model_dump()["layers"]
    ]
    assert predictor.predict(VariantSpec.model_validate(wide).network, 1).outside == (
        "conv2",
        "norm2",
        "pool2",
        "local3",
    )
    own = network_of((8, 8, 16), layer("Resizing", (16, 16, 16), 0), layer("LSTM", (16,), None, ("Resizing",)))
    found = predictor.predict(own, 1)
    assert found.outside == ("Resizing", "LSTM")
    assert found.layers_s == {"Resizing": None, "LSTM": None}


def test_a_disturbed_measurement_counts_less() -> None:
    record = make_calibration(80)
    rng = np.random.default_rng(3)

    def disturbed(probe: ProbeRecord, waited_share: float) -> ProbeRecord:
        factor = math.exp(abs(rng.normal(0, 0.6)))
        return probe.model_copy(update={"step_s": probe.step_s * factor, "waited_share": waited_share})

    found = []
    for waited_share in (0.0, 1.0):
        probes = [disturbed(p, waited_share) if i % 4 == 3 else p for i, p in enumerate(record.probes)]
        missed, _ = errors(Predictor.of(record.model_copy(update={"probes": tuple(probes)})), unseen(40))
        found.append(np.median(missed))
    assert found[1] < found[0]


# Scores


def test_scores_are_summed_up_by_group() -> None:
    rows = [
        ScoreRow("strides", "stride2", 128, 1.0, 1.05, 0.9, 1.2, 0),
        ScoreRow("strides", "stride5", 128, 1.0, 1.2, 1.1, 1.3, 1),
        ScoreRow("pool", "pool-large", 128, 2.0, 2.0, 1.9, 2.1, 0),
    ]
    table = by_group(frame(rows)).set_index("group")
    assert list(table.index) == ["strides", "pool", "all"]
    assert table.loc["strides", ["networks", "within", "covered", "outside"]].tolist() == [2, 0.5, 0.5, 0.5]
    assert table.loc["all", "median_error"] == pytest.approx(0.05)
    figure_ax = predicted_figure(frame(rows), ax=plt.figure().gca())
    assert figure_ax.get_title() == "67% of 3 networks within 10%"
    assert len(by_group(frame([]))) == 0


def frame(rows: list[ScoreRow]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(ScoreRow._fields))


def test_scores_stand_beside_one_reference(predictor: Predictor) -> None:
    network = next(unseen(1))
    probe = make_probe(network, np.random.default_rng(1), traced=False, noise=0.0)
    slow = probe.model_copy(update={"step_s": 3 * probe.step_s, "reference_s": 3 * REFERENCE_S})  # all was slow
    (row,) = scores(predictor, [slow]).itertuples()
    assert row.measured_s == pytest.approx(probe.step_s)
    assert row.predicted_s == predictor.predict(probe.network, probe.batch_size).latency_s


# The command


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["cnnprof", "predict", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(PARAMS.parent)
    return tmp_path


def test_predict_prints_the_promised_keys(
    outputs: Path, calibration: ProbesRecord, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Store(outputs).write_probes(calibration)
    assert command(monkeypatch, "stride2", "--batch-size", "32", "--json", "--outputs", str(outputs)) == 0
    shown = json.loads(capsys.readouterr().out)
    assert list(shown) == ["latency_s", "layers", "outside"]
    low, high = shown["latency_s"]["ci95"]
    assert low < shown["latency_s"]["median"] < high
    assert [row["layer"] for row in shown["layers"]] == [row.name for row in TUTORIAL.layers]
    assert command(monkeypatch, "stride2", "--outputs", str(outputs)) == 0
    assert "predicted (95% interval" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("count", "line"),
    [
        (0, "Runtime stock is not calibrated. Run: cnnprof calibrate --runtime stock"),
        (
            3,
            "The calibration of runtime stock must hold at least 40 networks. Received: 3. "
            "Go on: cnnprof calibrate --runtime stock",
        ),
    ],
)
def test_without_a_calibration_predict_says_what_makes_one(
    count: int, line: str, outputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if count:
        Store(outputs).write_probes(make_calibration(count))
    assert command(monkeypatch, "stride2", "--outputs", str(outputs)) == 1
    assert capsys.readouterr().err == f"{line}\n"


def test_without_scikit_learn_predict_says_what_installs_it(
    outputs: Path, calibration: ProbesRecord, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Store(outputs).write_probes(calibration)
    monkeypatch.setattr(model, "find_spec", lambda name: None)
    assert command(monkeypatch, "stride2", "--outputs", str(outputs)) == 1
    assert capsys.readouterr().err == "Prediction: scikit-learn is not installed. pip install 'cnnprof[predict]'\n"


def test_a_damaged_calibration_is_told_of(outputs: Path) -> None:
    store = Store(outputs)
    path = store.write_probes(make_calibration(1))
    path.write_text("{}", encoding="utf-8")
    assert list(store.unreadable()) == [path]
