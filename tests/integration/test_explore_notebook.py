"""``explore.ipynb`` in a kernel of its own: every control is changed there, and its view follows."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from cnnprof_lib.records.store import Store
from tests.builders import make_failure, make_record, write_run

ROOT = Path(__file__).parents[2]
STEPS_S = ((0.05,) * 5,) * 20  # as many as the preset "quick" times

CHANGE_ALL = """
import contextlib, io, json, time
import matplotlib.pyplot as plt

explorer = _  # what the last cell showed
names = {name: thing for name, thing in globals().items() if name in ("study", "explore")}


def shown():
    place = explorer.views[explorer.tab.selected_index].place.widget
    return place.value if hasattr(place, "value") else place.outputs[0]["data"]["text/html"]


def change(name, control, value):
    before = shown()
    start_s = time.perf_counter()
    control.value = value
    answer_s = time.perf_counter() - start_s
    view = explorer.views[explorer.tab.selected_index]
    changes.append({"view": view.title, "control": name, "changed": shown() != before, "answer_s": answer_s})


changes, results = [], []
for index, view in enumerate(explorer.views):
    explorer.tab.selected_index = index
    # The same call in a cell of one's own.
    plt.figure()
    results.append({"view": view.title, "result": type(eval(repr(view.call()), names)).__name__, "shown": shown()})
    plt.close()
    change("variant", explorer.first.variant, "stride2")
    change("runtime", explorer.first.runtime, "stock")
    change("run", explorer.first.run, explorer.first.run.options[-1][1])
    change("other variant", explorer.second.variant, "baseline")
    change("other runtime", explorer.second.runtime, "stock")
    change("time or bytes", explorer.value, "requested_bytes")
    change("op or layer", explorer.by, "layer")
    change("share", explorer.share, True)
    change("variants", explorer.checked[0], False)
    explorer.checked[0].value = True
    explorer.share.value, explorer.by.value, explorer.value.value = False, "op", "time_s"
    explorer.second.variant.value, explorer.second.runtime.value = "stride2", "unfused"
    explorer.first.variant.value, explorer.first.runtime.value = "baseline", "unfused"
print(json.dumps({"changes": changes, "results": results, "figures": plt.get_fignums()}))
"""
PICKER = {"variant", "runtime", "run"}
OTHER = {"other variant", "other runtime"}
KIND = {"time or bytes", "op or layer", "share"}
CONTROLS = {
    "Side by side": PICKER | OTHER | KIND,
    "Waterfall": PICKER | OTHER,
    "One run": PICKER | KIND,
    "All variants": {"runtime", "share", "variants"},
    "Steps": PICKER,
    "Network": PICKER,
    "Nodes": PICKER,
}
"""What each view answers to."""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return Store(tmp_path / "outputs")


def execute(store: Store, *more: str) -> nbformat.NotebookNode:
    """The notebook on a store, executed with more cells behind that of the widgets."""
    notebook = nbformat.read(ROOT / "notebooks" / "explore.ipynb", as_version=4)
    (parameters,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    parameters.source = f"outputs = {str(store.outputs)!r}"
    place = next(i for i, cell in enumerate(notebook.cells) if "Explorer" in cell.source) + 1
    notebook.cells[place:place] = [nbformat.v4.new_code_cell(source) for source in more]
    NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": ROOT / "notebooks"}}).execute()
    return notebook


def failure_of(store: Store) -> tuple[str, list[str]]:
    """The error that ends the notebook, and the lines that it shows of it."""
    with pytest.raises(CellExecutionError) as caught:
        execute(store)
    return f"{caught.value.ename}: {caught.value.evalue}", caught.value.traceback.splitlines()


def test_every_control_changes_its_views_and_every_call_can_be_repeated(store: Store) -> None:
    for runtime, seconds in (("unfused", 0.001), ("stock", 0.002)):
        for number, variant in enumerate(("baseline", "stride2")):
            for run in (0, 1):
                record = make_record(
                    variant,
                    runtime,
                    run_id=f"2026112{run}T000000Z-0000-0{number}",
                    series=f"2026112{run}T000000Z-0000",
                    unattributed_s=seconds * (1 + run),
                    plain_s=STEPS_S,
                )
                write_run(store, record)
    notebook = execute(store, CHANGE_ALL)
    (output,) = (o for c in notebook.cells if c.source == CHANGE_ALL for o in c.outputs if o.output_type == "stream")
    told = json.loads(output.text)

    for row in (row for row in told["changes"] if row["changed"]):
        print(f"{row['view']:12}  {row['control']:14}  {row['answer_s']:.3f} s")
    changed: dict[str, set[str]] = {}
    for row in told["changes"]:
        changed.setdefault(row["view"], set()).update([row["control"]] * row["changed"])
    assert changed == CONTROLS
    assert {row["view"]: row["result"] for row in told["results"]} == {
        **dict.fromkeys(CONTROLS, "Axes"),
        "Nodes": "HTML",
    }
    assert all("<svg" in row["shown"] or "<table" in row["shown"] for row in told["results"])
    assert told["figures"] == []


def test_one_run_alone_is_explored(store: Store) -> None:
    write_run(store, make_record("stride2", "stock"))
    store.write_failure(make_failure("stride3"))
    notebook = execute(store)
    data = [output.data for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    assert sum("application/vnd.jupyter.widget-view+json" in shown for shown in data) == 1
    assert sum("image/svg+xml" in shown for shown in data) == 1


def test_nothing_measured_is_said_in_one_line(store: Store) -> None:
    message = f"StoreError: {store.outputs / 'runs'}: nothing measured yet. Measure first: cnnprof run"
    error, lines = failure_of(store)
    assert error == message
    assert lines.count(message) >= 1
    assert "Traceback" not in "".join(lines)


def test_a_missing_extra_is_said_in_one_line(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = store.outputs.parent / "hidden"
    hidden.mkdir()
    (hidden / "ipywidgets.py").write_text("raise ModuleNotFoundError('hidden', name='ipywidgets')\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(hidden), str(ROOT)]))
    write_run(store, make_record())
    error, lines = failure_of(store)
    assert error == (
        "ReportError: Exploring needs the extra cnnprof[explore]; ipywidgets is missing. "
        "Install it: make setup, or pip install -e '.[explore]'"
    )
    assert "Traceback" not in "".join(lines)
