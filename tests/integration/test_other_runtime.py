"""A runtime of another package, which can neither trace nor tell its memory, from its entry point to the report."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

from cnnprof_lib import Study
from cnnprof_lib.records.store import Store

ROOT = Path(__file__).parents[2]
TOY = '''
"""Keras' own forward pass, op by op."""

from cnnprof_lib.measure.runtimes.contract import Runtime, Session


class Eager(Runtime):
    name = "eager"
    loads = "tensorflow"

    def limit_threads(self, threads):
        raise NotImplementedError

    def open(self, network, images):
        return Steps(network.model, images.values[0][: network.batch_size])

    def versions(self):
        return {"toy": "0.1"}


class Steps(Session):
    def __init__(self, model, batch):
        self.model, self.batch = model, batch

    def step(self):
        self.model(self.batch, training=False)

    def outputs(self, values):
        return self.model(*values, training=False).numpy()
'''


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which `smoke` and the baseline were run in the toy, and `smoke` in the reference runtime."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("params", "notebooks"):
        shutil.copytree(ROOT / name, folder / name)
    site = folder / "site"
    info = site / "toy-0.1.dist-info"
    info.mkdir(parents=True)
    (site / "toy_runtime.py").write_text(TOY)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[cnnprof.runtimes]\neager = toy_runtime:Eager\n")
    cnnprof(folder, "run", "smoke", "baseline", "--preset", "smoke", "--runtime", "eager", "--generated")
    cnnprof(folder, "run", "smoke", "--preset", "smoke", "--runtime", "stock", "--generated")
    return folder


def environment(folder: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key != "TF_ENABLE_ONEDNN_OPTS"}
    return kept | {"PYTHONPATH": os.pathsep.join([str(folder / "site"), str(ROOT)])}


def cnnprof(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "cnnprof_lib", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_it_cannot_tell_is_null(project: Path) -> None:
    told = json.loads(cnnprof(project, "show", "smoke", "--runtime", "eager", "--json"))
    assert told["latency_s"]["median"] > 0
    assert 0 < told["ratio_to_baseline"]["median"] < 1
    missing = ("profiled_over_plain", "unattributed_s", "unattributed_share")
    assert [told[key] for key in missing] == [None] * len(missing)
    assert told["ops"] == []
    assert {layer["layer"] for layer in told["layers"]} >= {"conv1", "logits"}
    assert {(layer["time_s"], layer["time_share"]) for layer in told["layers"]} == {(None, None)}
    assert told["memory"].pop("rss_bytes") > 0
    assert told["memory"] == {"requested_bytes": None, "live_peak_bytes": None}
    shown = cnnprof(project, "show", "smoke", "--runtime", "eager")
    assert "smoke, runtime eager" in shown
    assert "memory: an unknown amount requested in a step, an unknown amount live at its peak, " in shown
    assert "a profiled step" not in shown


def test_its_record_has_its_versions_and_no_files_of_a_trace(project: Path) -> None:
    store = Store(project / "outputs")
    (run,) = store.newest_runs("smoke", "eager")
    assert run.versions == {"toy": "0.1"}
    assert sorted(path.name for path in store.run_dir(run).iterdir()) == ["notebook.ipynb", "record.json"]
    assert store.read_ops(run).empty


def test_runs_are_not_explained_layer_by_layer_without_traces(project: Path) -> None:
    command = [sys.executable, "-m", "cnnprof_lib", "diff", "baseline", "smoke", "--runtime", "eager"]
    done = subprocess.run(command, cwd=project, env=environment(project), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    (run,) = Store(project / "outputs").newest_runs("baseline", "eager")
    assert done.stderr.strip() == (
        f"baseline ({run.run_id}): runtime eager cannot trace, so it is not known what its layers take. "
        "Name another --runtime."
    )


def test_it_stands_in_the_report_beside_the_others(project: Path) -> None:
    cnnprof(project, "report")
    page = (project / "outputs" / "report" / "report.html").read_text(encoding="utf-8")
    overview = Study.open(project / "outputs").overview().set_index(["variant", "runtime"])
    assert overview.loc[("smoke", "eager"), "ratio"] < 1
    assert pd.isna(overview.loc[("smoke", "eager"), ["profiled_over_plain", "unattributed_share"]]).all()
    assert not pd.isna(overview.loc[("smoke", "stock"), ["profiled_over_plain", "unattributed_share"]]).any()
    assert "In <code>eager</code></strong> a step takes" in page
    assert "Ops of smoke, stock" in page
    assert "Ops of smoke, eager" not in page


def test_it_can_be_explored(project: Path) -> None:
    notebook = nbformat.read(ROOT / "notebooks" / "explore.ipynb", as_version=4)
    show_all = (
        "explorer = _\n"
        'explorer.first.runtime.value = "eager"\n'
        "for index in range(len(explorer.views)):\n"
        "    explorer.tab.selected_index = index\n"
        "    place = explorer.views[index].place.widget\n"
        '    print(explorer.views[index].title, "cannot trace" in str(getattr(place, "value", place)))\n'
    )
    place = next(i for i, cell in enumerate(notebook.cells) if "Explorer" in cell.source) + 1
    notebook.cells.insert(place, nbformat.v4.new_code_cell(show_all))
    client = NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": project / "notebooks"}})
    client.execute(env=environment(project))
    told = "".join(o.text for o in notebook.cells[place].outputs if o.output_type == "stream")
    assert told.splitlines() == [
        "Side by side True",
        "Waterfall True",
        "One run True",
        "All variants True",
        "Steps False",
        "Network False",
        "Nodes True",
    ]
