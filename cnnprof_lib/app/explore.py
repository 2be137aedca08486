"""Widgets of ``explore.ipynb``: controls above a view, and below it the call that makes the same in a cell.

A view is one call of a public function. What is shown of it and what is called come from one `Call`, so that they
cannot differ. A change of a control draws one figure, the one in sight, from frames that `Study` keeps; it is laid
out once, at a fixed size, on a figure that pyplot does not know and therefore does not keep.
"""

from __future__ import annotations

import gc
import html
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib
import pandas as pd
from IPython.display import HTML, display
from matplotlib.figure import Figure

from ..analysis.differences.shown import waterfall_figure
from ..analysis.frames import RunKey
from ..analysis.profile.quantities import QUANTITIES
from ..analysis.profile.shown import op_times_figure, profile_figure, step_distribution_figure
from ..analysis.profile.shown_network import network_figure
from ..analysis.profile.shown_pair import side_by_side_figure
from ..analysis.profile.shown_tables import nodes_table
from ..base.errors import CnnprofError, ReportError
from ..page import hover, pictures, style
from .calls import Call
from .study import Study

try:
    import ipywidgets as widgets
    import itables
    from itables.javascript import generate_init_offline_itables_html
except ImportError as error:
    raise ReportError(
        f"Exploring needs the extra cnnprof[explore]; {error.name} is missing. "
        "Install it: make setup, or pip install -e '.[explore]'"
    ) from None

_WIDTH, _LEFT, _TOP = 9.5, 1.75, 0.4
"""Of every figure, in inches: its width, and what is left of and above its axes."""
_QUICK = {
    "svg.fonttype": "none",  # letters are left to the browser: a third of the size
    "axes.titley": 1.0,  # else all ticks are laid out once more to find a place for the title
}
_PRE = "user-select: all; white-space: pre-wrap; margin: 0; padding: 0.5em; background: var(--jp-layout-color2, #eee)"


def prepare() -> None:
    """Makes a notebook ready for `Explorer`.

    Sets the style of figures, and puts the script for tables into the notebook, so that no network is asked for it.
    """
    style.use_style()
    # What the libraries have made by now stays: looking through it for garbage would delay some answers by 0.2 s.
    gc.collect()
    gc.freeze()
    # Not by `itables.init_notebook_mode`, which first runs what needs the script and then brings it.
    display(HTML(generate_init_offline_itables_html(itables.options.dt_bundle)))  # type: ignore[no-untyped-call]


def node_table(data: pd.DataFrame) -> HTML:
    """The nodes of a run as a table to sort and, under each header, to filter.

    Args:
        data: From `Study.nodes`.
    """
    table = nodes_table(data)
    texts = [place for place, kind in enumerate(table.dtypes) if not pd.api.types.is_numeric_dtype(kind)]
    return HTML(
        itables.to_html_datatable(
            table,
            connected=False,
            maxBytes=0,  # all of it
            column_filters="header",
            columnDefs=[{"targets": texts, "className": "dt-left"}],
            layout={"topStart": "info", "topEnd": "search", "bottomStart": None, "bottomEnd": "paging"},
            lengthMenu=[12],
            style="table-layout: auto; width: 100%; margin: 0; font-size: 12px",
            css=".dt-container thead input { width: 100%; min-width: 7em; box-sizing: border-box; font-size: 12px }",
        )
    )


class RunPicker:
    """Three lists: variant, the runtimes it was run in, the runs of these, the newest first."""

    def __init__(self, study: Study, label: str, variant: str) -> None:
        self._study = study
        self._listeners: list[Callable[[], None]] = []
        self._moving = False
        self.variant = _list(label, study.variants, variant)
        self.runtime = _list("Runtime", study.runtimes(variant))
        self.run = _list("Run", [])
        self._fill_runs()
        for control in (self.variant, self.runtime, self.run):
            control.observe(self._changed, "value")

    @property
    def key(self) -> RunKey:
        """The run that is picked."""
        return RunKey(self.variant.value, self.runtime.value, self.run.value)

    @property
    def controls(self) -> list[widgets.Widget]:
        """The three lists."""
        return [self.variant, self.runtime, self.run]

    def observe(self, listener: Callable[[], None]) -> None:
        """Has ``listener`` called once after each change, when the three lists agree again."""
        self._listeners.append(listener)

    def _changed(self, change: Mapping[str, Any]) -> None:
        if self._moving:
            return
        self._moving = True
        try:
            if change["owner"] is self.variant:
                runtimes, runtime = self._study.runtimes(self.variant.value), self.runtime.value
                self.runtime.options = runtimes
                self.runtime.value = runtime if runtime in runtimes else runtimes[0]
            if change["owner"] is not self.run:
                self._fill_runs()
        finally:
            self._moving = False
        for listener in self._listeners:
            listener()

    def _fill_runs(self) -> None:
        labels = self._study.run_ids(self.variant.value, self.runtime.value)
        self.run.options = [(label, run_id) for run_id, label in labels.items()]
        self.run.value = next(iter(labels))


class Canvas:
    """Shows the figure that a call draws, always of one size."""

    def __init__(self, height_in: float = 4.6, right_in: float = 1.2, bottom_in: float = 0.8) -> None:
        self._height_in = height_in
        self._right_in = right_in
        self._bottom_in = bottom_in
        self.widget = widgets.HTML(layout=widgets.Layout(min_height=f"{height_in * 96:.0f}px"))
        # A hatch that a figure in a hidden tab defines under the same name would be taken from there, and not be seen.
        self._settings: dict[Any, Any] = {**_QUICK, "svg.hashsalt": f"canvas {id(self)}"}

    def show(self, call: Call) -> None:
        """Draws as SVG, whose bars tell their numbers when hovered over."""
        height = self._height_in
        svg = io.StringIO()
        with matplotlib.rc_context(self._settings):
            figure = Figure(figsize=(_WIDTH, height))
            figure.subplots_adjust(
                left=_LEFT / _WIDTH,
                right=1 - self._right_in / _WIDTH,
                top=1 - _TOP / height,
                bottom=self._bottom_in / height,
            )
            call(ax=figure.add_subplot())
            hover.attach(figure)
            figure.savefig(svg, format="svg")
        drawn = pictures.read(svg.getvalue())
        drawn.root.set("style", "max-width: 100%; height: auto")
        self.put(drawn.svg)

    def put(self, text: str) -> None:
        """Shows HTML in place of what was there."""
        self.widget.value = text


class Page:
    """Shows the HTML that a call returns, and lets its scripts run, which a `Canvas` does not."""

    def __init__(self) -> None:
        self.widget = widgets.Output()

    def show(self, call: Call) -> None:
        """Makes and shows it."""
        self.put(call().data)

    def put(self, text: str) -> None:
        """Shows HTML in place of what was there."""
        self.widget.outputs = ({"output_type": "display_data", "data": {"text/html": text}, "metadata": {}},)


@dataclass(frozen=True)
class View:
    """One tab: what can be chosen, the call that this makes, and where its result and its text are shown."""

    title: str
    rows: Sequence[Sequence[widgets.Widget]]
    call: Callable[[], Call]
    place: Canvas | Page = field(default_factory=Canvas)
    text: widgets.HTML = field(default_factory=widgets.HTML)

    def show(self) -> None:
        """Shows the call of the present choice and what it makes, unless that is what is there."""
        call = self.call()
        text = f'<pre style="{_PRE}" title="Click, copy, and paste it into a cell">{html.escape(repr(call))}</pre>'
        if text == self.text.value:
            return
        self.text.value = text
        try:
            self.place.show(call)
        except CnnprofError as error:
            self.place.put(f"<p>{html.escape(str(error))}</p>")

    @property
    def box(self) -> widgets.VBox:
        """The tab's content."""
        rows = [widgets.HBox(list(row), layout=widgets.Layout(flex_flow="row wrap")) for row in self.rows]
        return widgets.VBox([*rows, self.place.widget, self.text])


class Explorer:
    """The widgets: a tab per view, whose controls are the same wherever they appear."""

    def __init__(self, study: Study) -> None:
        self._study = study
        variants = study.variants
        for variant in variants:  # now, at once, rather than with the first change of a control
            for runtime in study.runtimes(variant):
                if study.run(variant, runtime).record.is_traced:
                    study.nodes(variant, runtime)
        self.first = RunPicker(study, "Variant", variants[0])
        self.second = RunPicker(study, "Other", variants[-1])
        self.value = _buttons([(quantity.noun, column) for column, quantity in QUANTITIES.items()])
        self.by = _buttons(["op", "layer"])
        self.share = _buttons([("absolute", False), ("share", True)])
        self.checked = [widgets.Checkbox(True, description=name, indent=False, layout=_layout()) for name in variants]
        self.views = self._views()
        self.tab = widgets.Tab([view.box for view in self.views], titles=[view.title for view in self.views])
        for picker in (self.first, self.second):
            picker.observe(self._show)
        for control in (self.value, self.by, self.share, *self.checked):
            control.observe(self._show, "value")
        self.tab.observe(self._show, "selected_index")
        self._show()

    def _ipython_display_(self) -> None:
        for line in self._study.store.unreadable().values():
            print("Passed over:", line)
        display(self.tab)  # type: ignore[no-untyped-call]

    def _show(self, _: object = None) -> None:
        self.views[self.tab.selected_index or 0].show()

    def _views(self) -> list[View]:
        first, second = self.first.controls, self.second.controls
        kind = [self.value, self.by, self.share]
        return [
            View("Side by side", [first, second, kind], self._side_by_side),
            View("Waterfall", [first, second], self._waterfall, Canvas(height_in=7.5, bottom_in=1.2)),
            View("One run", [first, kind], self._plot),
            View("All variants", [self.checked, [self.first.runtime, self.share]], self._op_times, Canvas(right_in=2)),
            View("Steps", [first], self._step_distribution),
            View("Network", [first], self._network, Canvas(height_in=6.6)),
            View("Nodes", [first], self._node_table, Page()),
        ]

    def _side_by_side(self) -> Call:
        return Call(
            "explore.side_by_side_figure",
            side_by_side_figure,
            (self._profile(self.first), self._profile(self.second)),
            self._kind(),
        )

    def _waterfall(self) -> Call:
        fall = Call("study.diff", self._study.diff, (self.first.key, self.second.key))
        return Call("explore.waterfall_figure", waterfall_figure, (fall,))

    def _plot(self) -> Call:
        return Call("explore.profile_figure", profile_figure, (self._profile(self.first),), self._kind())

    def _op_times(self) -> Call:
        names = [box.description for box in self.checked if box.value]
        newest = Call("study.nodes_of", self._study.nodes_of, (self.first.key.runtime, names))
        return Call("explore.op_times_figure", op_times_figure, (newest,), {"share": self.share.value})

    def _step_distribution(self) -> Call:
        steps = Call("study.steps", self._study.steps, self.first.key)
        return Call("explore.step_distribution_figure", step_distribution_figure, (steps,))

    def _network(self) -> Call:
        spec = Call("study.network", self._study.network, self.first.key)
        return Call(
            "explore.network_figure", network_figure, (spec, Call("study.layers", self._study.layers, self.first.key))
        )

    def _node_table(self) -> Call:
        return Call("explore.node_table", node_table, (self._profile(self.first),))

    def _profile(self, picker: RunPicker) -> Call:
        return Call("study.nodes", self._study.nodes, picker.key)

    def _kind(self) -> dict[str, Any]:
        return {"value": self.value.value, "by": self.by.value, "share": self.share.value}


def _list(label: str, options: Sequence[str], value: str | None = None) -> widgets.Dropdown:
    value = value or next(iter(options), None)
    style = {"description_width": "4.5em"}
    return widgets.Dropdown(options=options, value=value, description=label, layout=_layout(), style=style)


def _buttons(options: Sequence[Any]) -> widgets.ToggleButtons:
    return widgets.ToggleButtons(options=options, layout=_layout(), style={"button_width": "auto"})


def _layout() -> widgets.Layout:
    return widgets.Layout(width="auto", margin="2px 16px 2px 0")
