"""Progress: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from cnnprof_lib.analysis.profile.for_scripts import run_for_scripts
from cnnprof_lib.app import terminal
from cnnprof_lib.params.settings import RunRequest
from tests.builders import make_failure, make_record, make_thesis_training
from tests.networks import make_mobilenet, make_run


@pytest.fixture(params=[True, False], ids=["terminal", "pipe"])
def console(request: pytest.FixtureRequest) -> Console:
    return Console(file=io.StringIO(), width=150, force_terminal=request.param, color_system=None, markup=False)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_training_and_a_check_move_a_bar_or_print_lines(console: Console) -> None:
    training = make_thesis_training()
    assert training.settings is not None
    with terminal.LiveBar(console, training.settings.steps) as bar:
        for row in training.history:
            terminal.show_training(bar, "[b]", training.settings, row)
    with terminal.LiveBar(console, 4) as bar:
        for done in range(1, 5):
            terminal.show_check(bar, "stock", 4, done)
    rows = [f"[b]: {row.describe()}" for row in training.history]
    if console.is_terminal:
        assert f"{rows[-1]} ━" in printed(console)
        assert "check stock: round 4 of 4 ━" in printed(console)
        assert "min left" not in printed(console)
    else:
        lines = [
            f"{text}, {row.describe_rest(training.settings)}" for text, row in zip(rows, training.history, strict=True)
        ]
        assert printed(console).splitlines() == [*lines, "check stock: round 1 of 4", "check stock: round 2 of 4"]


def test_runs_move_a_bar_or_print_lines_and_each_tells_how_it_ended(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 60.0])
    monkeypatch.setattr(terminal, "monotonic", lambda: next(now))
    requests = [
        RunRequest(variant=name, runtime="stock", preset="smoke", run_id=name, series="a") for name in ("smoke", "wide")
    ]

    def execute(request: RunRequest, on_stage: object) -> object:
        on_stage(0.5, "timing")  # type: ignore[operator]
        return make_failure("wide", error="one line") if request.variant == "wide" else make_record("smoke", "stock")

    assert terminal.run_each(requests, execute, console) == 1  # type: ignore[arg-type]
    ends = ["[1/2] smoke stock: 1.25ms per step", "[2/2] wide stock failed: one line"]
    if console.is_terminal:
        assert "[2/2] wide stock, timing ━" in printed(console)
        assert all(f"{end}\n" in printed(console) for end in ends)
        assert "stock ..." not in printed(console)
    else:
        starts = ["[1/2] smoke stock ...", "[2/2] wide stock ... 1.0 min left"]
        assert printed(console).splitlines() == [starts[0], ends[0], starts[1], ends[1]]


@pytest.mark.parametrize("console", [False], indirect=True)
def test_a_run_of_many_layers_is_shown_as_a_tree_by_block(console: Console) -> None:
    network = make_mobilenet("mobilenetv2/")
    uncounted = network.layers[0].model_copy(update={"macs": None})
    network = network.model_copy(update={"layers": (uncounted, *network.layers[1:])})
    fused = {"mobilenetv2/block_1_expand_BN": "mobilenetv2/block_1_expand"}
    record, ops = make_run(network, fused_into=fused)
    shown = run_for_scripts(record, ops)
    for part in terminal.show_parts(shown):
        console.print(part, highlight=False)
    lines = printed(console).splitlines()
    assert "MACs per image without 1 layer that cannot be counted" in printed(console)
    rows = [re.split(r"\s{2,}", line.rstrip()) for line in lines]
    tree = rows[[row[-1] for row in rows].index("output") :]
    assert tree[0] == [" layer", *("fused into", "time", "share", "MACs", "GMAC/s", "output")]
    assert tree[1][:2] == [" mobilenetv2/Conv1", "1us"]
    assert tree[1][-1] == "524.29KB"
    block = next(i for i, row in enumerate(tree) if row[0] == " mobilenetv2/block_1 (7 layers)")
    assert tree[block][1:] == ["199us", "0.73%", "192.00k", "123.5"]
    assert tree[block + 1][:3] == ["", "mobilenetv2/block_1_expand", "65us"]
    assert tree[block + 2][1:4] == ["mobilenetv2/block_1_expand_BN", "mobilenetv2/block_1_expand", "1us"]
    assert tree[block + 8][0] == " mobilenetv2/block_2 (8 layers)"
    assert len(tree) == 1 + 130 + sum(len(of["layers"]) > 1 for of in shown["blocks"]) + 1
    assert [name for of in shown["blocks"] for name in of["layers"]] == [of["layer"] for of in shown["layers"]]
    total = sum(of["time_s"] for of in shown["blocks"]) + shown["unattributed_s"]
    assert total == pytest.approx(record.latency.profiled_mean_s)
