"""The widgets without a notebook: a control is changed, and call and view follow."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cnnprof_lib.app import explore
from cnnprof_lib.app.calls import Call
from cnnprof_lib.app.study import Study
from cnnprof_lib.base.errors import ReportError
from cnnprof_lib.page import style
from cnnprof_lib.records.run_store import TracedFiles
from cnnprof_lib.records.store import Store
from tests.builders import make_machine, make_record, write_run
from tests.networks import make_mobilenet, make_run

RUN_ID, LATER = "20261124T000000Z-0000", "20261124T000001Z-0000"
RUN_IDS = {"unfused": RUN_ID, "stock": LATER}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "outputs")


@pytest.fixture
def explorer(store: Store) -> explore.Explorer:
    for runtime in ("unfused", "stock"):
        for variant in ("baseline", "stride2"):
            write_run(store, make_record(variant, runtime, run_id=RUN_IDS[runtime]))
    write_run(store, make_record("stride5", "stock", run_id=RUN_IDS["stock"]))
    return explore.Explorer(Study(store))


def opened(explorer: explore.Explorer, title: str) -> explore.View:
    """The tab of that title, in sight."""
    titles = [view.title for view in explorer.views]
    explorer.tab.selected_index = titles.index(title)
    return explorer.views[titles.index(title)]


def test_the_first_view_sets_the_first_variant_beside_the_last(explorer: explore.Explorer) -> None:
    view = explorer.views[explorer.tab.selected_index]
    assert repr(view.call()) == (
        "explore.side_by_side_figure(\n"
        f'    study.nodes("baseline", "unfused", "{RUN_ID}"),\n'
        f'    study.nodes("stride5", "stock", "{LATER}"),\n'
        '    value="time_s",\n    by="op",\n    share=False,\n)'
    )
    assert "From baseline · unfused to stride5 · stock: " in view.place.widget.value
    assert "<title>Conv2D, " in view.place.widget.value  # what a bar says when hovered over
    assert plt.get_fignums() == []


def test_every_control_of_a_view_changes_it(explorer: explore.Explorer) -> None:
    view, seen = explorer.views[0], set()
    changes = [
        (explorer.first.variant, "stride2"),
        (explorer.first.runtime, "stock"),
        (explorer.second.variant, "baseline"),
        (explorer.second.runtime, "unfused"),
        (explorer.value, "requested_bytes"),
        (explorer.value, "occurrences"),
        (explorer.by, "layer"),
        (explorer.share, True),
    ]
    for control, value in changes:
        seen.add((view.text.value, view.place.widget.value))
        control.value = value
    seen.add((view.text.value, view.place.widget.value))
    assert len({text for text, _ in seen}) == len({picture for _, picture in seen}) == len(changes) + 1


def test_a_runtime_that_the_variant_was_not_run_in_gives_way(explorer: explore.Explorer) -> None:
    picker, told = explorer.first, []
    picker.observe(lambda: told.append(picker.key))
    picker.variant.value = "stride5"
    assert picker.runtime.options == ("stock",)
    picker.variant.value = "baseline"
    assert [key[:2] for key in told] == [("stride5", "stock"), ("baseline", "stock")]


def test_the_run_of_a_command_is_offered_with_those_of_its_processes(store: Store) -> None:
    for number in (0, 1):
        write_run(store, make_record("baseline", run_id=f"{RUN_ID}-0{number}", series=RUN_ID))
    run = explore.Explorer(Study(store)).first.run
    assert run.options == (
        (f"{RUN_ID} (2 processes)", RUN_ID),
        (f"{RUN_ID}-01", f"{RUN_ID}-01"),
        (f"{RUN_ID}-00", f"{RUN_ID}-00"),
    )
    assert run.value == RUN_ID


def test_only_what_is_in_sight_is_drawn(explorer: explore.Explorer) -> None:
    assert [bool(view.text.value) for view in explorer.views] == [True] + [False] * (len(explorer.views) - 1)
    steps = opened(explorer, "Steps")
    assert "Steps of baseline, unfused" in steps.place.widget.value
    explorer.first.variant.value = "stride2"
    assert "Steps of stride2, unfused" in steps.place.widget.value
    assert '"baseline"' in explorer.views[0].text.value.replace("&quot;", '"')


def test_variants_are_taken_out_of_the_picture_of_all(explorer: explore.Explorer) -> None:
    view = opened(explorer, "All variants")
    assert [box.description for box in explorer.checked] == ["baseline", "stride2", "stride5"]
    explorer.checked[0].value = False
    assert repr(view.call()) == (
        'explore.op_times_figure(study.nodes_of("unfused", ["stride2", "stride5"]), share=False)'
    )
    assert ">stride2<" in view.place.widget.value
    assert ">baseline<" not in view.place.widget.value


@pytest.mark.parametrize("title", ["Side by side", "Waterfall", "All variants"])
def test_no_legend_is_cut(explorer: explore.Explorer, monkeypatch: pytest.MonkeyPatch, title: str) -> None:
    drawn: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda figure, *a, **how: (drawn.append(figure), save(figure, *a, **how)))
    with matplotlib.rc_context():
        style.use_style()
        explorer.first.runtime.value = "stock"
        explorer.second.variant.value = "stride2"
        opened(explorer, title)
    FigureCanvasAgg(drawn[-1]).draw()
    legend = drawn[-1].axes[0].get_legend().get_window_extent()
    page = drawn[-1].bbox
    assert (page.x0 <= legend.x0, page.y0 <= legend.y0, legend.x1 <= page.x1) == (True, True, True)


def test_what_cannot_be_shown_is_said_in_its_place(explorer: explore.Explorer) -> None:
    view = opened(explorer, "All variants")
    for box in explorer.checked:
        box.value = False
    assert "none of the variants was run in unfused. Received: no variant." in view.place.widget.value
    view = opened(explorer, "Waterfall")
    assert "were not run alike: runtime (unfused / stock)" in view.place.widget.value


def test_the_nodes_are_a_table_to_filter_that_needs_no_network(explorer: explore.Explorer) -> None:
    view = opened(explorer, "Nodes")
    (output,) = view.place.widget.outputs
    shown = output["data"]["text/html"]
    assert "conv2/Conv2D_" in shown
    assert "import(" not in shown.replace("await import(url)", "")
    assert "unpkg" not in shown


def test_one_run_alone_is_explored_too(store: Store) -> None:
    write_run(store, make_record("stride2", "stock", machine=make_machine("stock")))
    explorer = explore.Explorer(Study(store))
    for view in explorer.views:
        opened(explorer, view.title)
        assert view.text.value
    assert "<svg" in explorer.views[0].place.widget.value


def test_views_of_many_layers_have_room_for_their_texts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for prefix, blocks in (("mobilenetv2/", 16), ("", 12)):
        network = make_mobilenet(prefix, blocks).model_copy(update={"name": f"net{blocks}"})
        record, ops = make_run(network, run_id=RUN_ID)
        store.write_run(record, TracedFiles(ops, "", b""))
    drawn: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda figure, *a, **how: (drawn.append(figure), save(figure, *a, **how)))
    with matplotlib.rc_context():
        style.use_style()
        explorer = explore.Explorer(Study(store))
        explorer.by.value = "layer"
        for view in explorer.views[:-1]:
            opened(explorer, view.title)
            assert "<svg" in view.place.widget.value, view.title
            FigureCanvasAgg(drawn[-1]).draw()
            ax = drawn[-1].axes[0]
            names = [label.get_window_extent() for label in ax.get_yticklabels() if label.get_text()]
            assert min((name.x0 for name in names), default=0) >= 0, view.title
            rows = sorted((name.y0 + name.y1) / 2 for name in names) if view.title != "Waterfall" else []
            letters = min((name.height for name in names), default=0)
            assert all(above - below >= 0.7 * letters for below, above in pairwise(rows)), view.title


def test_without_the_extra_one_line_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "itables", None)
    monkeypatch.delitem(sys.modules, "cnnprof_lib.app.explore")
    with pytest.raises(ReportError) as caught:
        import cnnprof_lib.app.explore  # noqa: F401
    assert str(caught.value) == (
        "Exploring needs the extra cnnprof[explore]; itables is missing. "
        "Install it: make setup, or pip install -e '.[explore]'"
    )


def test_a_call_is_what_it_says() -> None:
    inner = Call("max", max, (1, 2))
    call = Call("pow", pow, (inner, 3), {"mod": 5})
    assert repr(call) == "pow(max(1, 2), 3, mod=5)"
    assert call() == eval(repr(call)) == 3
    text = Call("str", str, ("a \"quoted\" 'name'",))
    assert eval(repr(text)) == text()
    pairs = Call("dict", dict, ([("a", "b")],))
    assert eval(repr(pairs)) == pairs() == {"a": "b"}
