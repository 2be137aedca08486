"""The sections of the report, each a call in a cell of ``report.ipynb``: what is shown of what was computed.

What needs the thesis is in `thesis_sections`; without that wing the report does without it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import HTML, Markdown, display
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from ..analysis import frames
from ..analysis.differences.numbers import largest_steps
from ..analysis.differences.shown import waterfall_figure
from ..analysis.machine import numbers as machine
from ..analysis.machine import shown as machine_shown
from ..analysis.memory import numbers as memory
from ..analysis.memory import shown as memory_shown
from ..analysis.profile import numbers as profile
from ..analysis.profile import shown as profile_shown
from ..analysis.profile import shown_tables as profile_tables
from ..analysis.profile.picture import network_height
from ..analysis.profile.shown_network import NETWORK_CAPTION, network_figure
from ..analysis.profile.shown_text import variant_text
from ..analysis.training import numbers as training
from ..analysis.training import shown as training_shown
from ..analysis.trust import numbers as trust
from ..analysis.trust import shown as trust_shown
from ..analysis.variants import numbers as variants
from ..analysis.variants import shown as variants_shown
from ..base.errors import MeasureError
from ..page import style
from ..page.table import beside, folded, folded_table
from ..page.text import escape
from ..params.runtimes import REFERENCE_RUNTIME
from ..records.machine import RooflineRecord
from ..records.project import find_project
from ..records.run import RunRecord
from . import report_text
from .answer_sections import answer_parts, is_answered
from .optimized_sections import optimized_parts
from .provenance import lock_sha256
from .runtime_sections import runtime_parts
from .search_sections import search_parts
from .stored_run import Run
from .study import Study, has_thesis
from .sweep_sections import sweep_parts

Parts = Iterator[object]
"""What a section shows, in order: figures, tables, and text in Markdown."""


def section(parts: Callable[..., Parts]) -> Callable[..., None]:
    """Has a method show the parts that it yields."""

    @functools.wraps(parts)
    def show(self: Any) -> None:
        for part in parts(self):
            display(Markdown(part) if isinstance(part, str) else part)  # type: ignore[no-untyped-call]
            if isinstance(part, Figure):
                plt.close(part)

    return show


def thesis_sections(study: Study) -> Any:
    """What the thesis adds to the report; None where its wing was removed."""
    if not has_thesis():
        return None
    from .thesis_sections import ThesisSections

    return ThesisSections(study)


class Report:
    """The report of a study; every method shows one section."""

    def __init__(self, study: Study) -> None:
        style.use_style()
        self._every = study
        self._study = study.detailed()
        self._shown = study.runtimes_in_full
        self._several = len(study.machines) > 1
        self._thesis = thesis_sections(study)

    @section
    def introduction(self) -> Parts:
        """What was measured."""
        cited = self._thesis.citation() if self._thesis else ""
        yield f"{report_text.introduction_text(self._every.records)} {cited}"

    @section
    def answer(self) -> Parts:
        """Which network to take, in which runtime."""
        yield from answer_parts(self._every, self._thesis.published_points() if self._thesis else None)

    @section
    def overview(self) -> Parts:
        """All variants in a table, and how much of the latency each leaves."""
        overview = self._study.overview()
        if not is_answered(self._every):  # else the answer says more
            yield variants_shown.findings_text(overview)
        yield variants_shown.passed_over_text(self._study.store.unreadable().values())
        yield variants_shown.overview_table(self._everywhere)
        if not self._study.runs:
            return
        figure, ax = plt.subplots(figsize=(9, 4.5))
        variants_shown.ratio_figure(overview, ax=ax)
        yield variants_shown.RATIO_CAPTION.put(figure)

    @section
    def runtimes(self) -> Parts:
        """Every network in each runtime."""
        yield from runtime_parts(self._every)

    @section
    def ops(self) -> Parts:
        """What a step is made of, in each runtime that tells."""
        ops = frames.ops(self._study.records)
        for runtime in ops["runtime"].unique():
            grid = {"wspace": 0.08}
            figure, (left, right) = plt.subplots(1, 2, figsize=(12, 3.6), sharey=True, gridspec_kw=grid)
            of_runtime = ops[ops["runtime"] == runtime]
            profile_shown.op_times_figure(of_runtime, legend=False, ax=left)
            profile_shown.op_times_figure(of_runtime, share=True, ax=right)
            yield profile_shown.OP_TIMES_CAPTION.put(figure, runtime)

    @section
    def stride(self) -> Parts:
        """The thesis's series of strides."""
        if self._thesis:
            yield from self._thesis.stride()

    @section
    def trust(self) -> Parts:
        """How far each run can be trusted."""
        if runs := self._runs_everywhere:
            books = trust.books(runs, self._every.resolution_of, self._every.store.read_comparisons())
            yield trust_shown.books_table(books)
            yield trust_shown.all_cautions_text(self._everywhere)

    @section
    def resolution(self) -> Parts:
        """What the baseline against itself shows."""
        yield trust_shown.checked_text(trust.checked(self._every.runs, self._every.resolution_of))

    @section
    def overhead(self) -> Parts:
        """What profiling costs."""
        overhead = trust.overhead(self._study.runs)
        if overhead.empty:
            return
        published = self._thesis.slowdown() if self._thesis else ""
        yield f"{trust_shown.overhead_text(overhead)} {published}"
        figure, ax = plt.subplots(figsize=(9, 4))
        trust_shown.overhead_figure(overhead, ax=ax)
        yield trust_shown.OVERHEAD_CAPTION.put(figure)
        yield trust_shown.overhead_table(overhead)
        yield trust_shown.ranks_text(trust.rank_changes(self._study.overview()))

    @section
    def unattributed(self) -> Parts:
        """When in a step no kernel ran."""
        times = trust.unattributed_times(self._study.runs)
        if not times.empty:
            yield trust_shown.unattributed_table(times)

    @section
    def memory(self) -> Parts:
        """Three answers to how much memory."""
        answers = memory.memory(self._study.runs)
        if answers.empty:
            return
        first = answers["runtime"].iloc[0]
        figure, ax = plt.subplots(figsize=(9, 4))
        memory_shown.memory_figure(answers[answers["runtime"] == first], ax=ax)
        yield memory_shown.MEMORY_CAPTION.put(figure, first)
        yield memory_shown.memory_table(answers)
        yield memory_shown.memory_text(answers)

    @section
    def roofline(self) -> Parts:
        """The layers of the baseline under the roof of each machine."""
        for kind in self._every.machines or [""]:
            runs = [run for run in self._runs_everywhere if run.machine.kind == kind]
            roofs = [self._every.store.read_roofline(run.machine) for run in runs]
            where = kind if self._several else ""
            if not any(roofs):
                yield machine_shown.NO_ROOFLINE.format(f" on {escape(where)}" if where else "")
            for run, roof in zip(runs, roofs, strict=True):
                if roof and run.name == self._study.baseline and run.is_traced and not run.machine.gpus:
                    yield from self._under(roof, self._every.of_record(run), where)

    def _under(self, roof: RooflineRecord, run: Run, where: str) -> Parts:
        table = machine.under_roofline(run.record, run.executions, roof)
        figure, ax = plt.subplots(figsize=(8, 4.5))
        machine_shown.roofline_figure(table, roof, ax=ax)
        yield machine_shown.ROOFLINE_CAPTION.put(figure, run.record.runtime, where)
        yield _folded_if_long("All layers under the roofline", machine_shown.roofline_table(table))

    @section
    def sweeps(self) -> Parts:
        """What sweeps show: nothing where none is stored."""
        yield from sweep_parts(self._study)

    @section
    def searches(self) -> Parts:
        """What searches tried: nothing where none is stored."""
        yield from search_parts(self._study)

    @section
    def optimized(self) -> Parts:
        """What became of trained networks that were made cheaper: nothing where none was."""
        yield from optimized_parts(self._study)

    @section
    def scaling(self) -> Parts:
        """Other batch sizes and numbers of threads."""
        if scaled := self._study.store.scaling_runs():
            yield machine_shown.scaling_table(machine.scaling(scaled, self._study.store.read_roofline))
        else:
            yield machine_shown.NO_SCALING

    @section
    def differences(self) -> Parts:
        """Where the time went between the baseline and each variant, in one runtime."""
        runtimes = self._runtimes
        runtime = REFERENCE_RUNTIME if REFERENCE_RUNTIME in runtimes else next(iter(runtimes), "")
        for base in self._runs_of(self._study.baseline, runtime):
            for run in self._runs_of(None, runtime):
                if run.record.name != base.record.name:
                    yield from self._waterfall(base, run)

    def _waterfall(self, base: Run, run: Run) -> Parts:
        try:
            fall = self._study.between(base, run)
        except MeasureError as error:  # runs that were not made alike are not compared
            yield str(error)
            return
        figure, ax = plt.subplots(figsize=(9, 0.25 * len(largest_steps(fall)) + 1))
        waterfall_figure(fall, ax=ax)
        yield figure

    @section
    def thesis(self) -> Parts:
        """What of the thesis holds here."""
        if self._thesis:
            yield from self._thesis.claims()
            yield from self._thesis.errata()

    @section
    def training(self) -> Parts:
        """How the networks were trained."""
        records = self._study.trainings
        if not records:
            yield "No network that was run has been trained here."
            return
        if self._thesis:
            yield from self._thesis.recipes(records)
        trained = training.trainings(records)
        yield HTML(folded_table("Each training", training_shown.trainings_table(trained)))
        figure, ax = plt.subplots(figsize=(8, 4))
        training_shown.training_curves_figure(training.training_history(records), ax=ax)
        ax.set_title("How accuracy grows with training")
        yield training_shown.TRAINING_CAPTION.put(figure)
        published_s = self._thesis.published_step_s() if self._thesis else {}
        baseline = self._study.baseline
        timed = training.comparable_trainings(trained, baseline)
        if not timed.empty:
            times = training.training_step_times(timed, published_s, baseline)
            rows = times["source"].nunique() * timed["variant"].nunique()
            figure, ax = plt.subplots(figsize=(9, 2 + 0.2 * rows))
            training_shown.step_times_figure(times, ax=ax)
            yield training_shown.STEP_TIMES_CAPTION.put(figure)

    @section
    def environment(self) -> Parts:
        """Machine, software and data."""
        yield report_text.data_text(self._every.records)
        if self._every.runs:
            yield report_text.environment_table(self._every.records)

    @section
    def architecture(self) -> Parts:
        """The networks: the baseline and the fastest as pictures, the first in full, the shapes of all."""
        pictured = [run for run in variants.baseline_and_fastest(self._study.runs) if run.is_traced]
        if pictured:
            shown = [(run.network, self._study.of_record(run).layers()) for run in pictured]
            height = max(network_height(*of_run) for of_run in shown)
            figure, axes = plt.subplots(1, len(pictured), figsize=(12, height), squeeze=False)
            for of_run, ax in zip(shown, axes[0], strict=True):
                network_figure(*of_run, ax=ax)
            yield NETWORK_CAPTION.put(figure, pictured[0].runtime)
        networks = list({run.name: run.network for run in self._study.runs}.values())
        for network in networks[:1]:
            yield f"`{network.name}` in full:"
            table = profile_tables.architecture_table(profile.architecture(network))
            yield _folded_if_long(f"Layers of {network.name}", table)
        if len(networks) > 1:
            yield "Output shapes of all:"
            table = profile_tables.shapes_table(profile.shapes(networks))
            yield _folded_if_long("Output shapes of all networks", table)

    @section
    def variants(self) -> Parts:
        """Each variant: its ops, its steps, its layers."""
        for name in dict.fromkeys(map(frames.variant_name, self._study.records)):
            records = [record for record in self._study.records if frames.variant_name(record) == name]
            published = self._thesis.published(name) if self._thesis else ""
            yield f"{variant_text(records, self._study.overview())}\n\n{published}"
            if runs := self._runs_of(name):
                yield from self._variant(name, runs)

    def _variant(self, name: str, runs: list[Run]) -> Parts:
        traced = [run for run in runs if run.record.is_traced]
        wide = [1.5] if traced else []
        figure, axes = plt.subplots(
            1, len(wide) + len(runs), figsize=(12, 3.8), width_ratios=[*wide, *(1 for _ in runs)], squeeze=False
        )
        if traced:
            profile_shown.op_bars_figure(frames.ops([run.record for run in traced]), ax=axes[0, 0])
        for run, ax in zip(runs, axes[0, len(wide) :], strict=True):
            profile_shown.step_distribution_figure(run.steps(), ax=ax)
        yield figure
        for run in traced:
            beside_it = self._thesis.tables_beside(run.record) if self._thesis else []
            title = f"Ops of {name}, {run.record.runtime}"
            yield HTML(beside((title, profile_tables.ops_table(run.ops())), *beside_it))
        if traced:
            layers = {run.record.runtime: run.layers() for run in traced}
            yield HTML(profile_tables.layers_text(traced[0].record.network, layers))
        for run in traced:
            if text := run.profiler_text:
                yield HTML(folded(f"What the profiler prints of {name}, {run.record.runtime}", text))

    @section
    def provenance(self) -> Parts:
        """What the numbers rest on."""
        project = find_project()
        yield report_text.rendered_text(project.commit(), lock_sha256(project))
        if self._every.runs:
            yield report_text.provenance_table(self._every.records)

    @property
    def _everywhere(self) -> pd.DataFrame:
        """The overview of the runtimes that are shown in full, on all machines."""
        overview = self._every.overview()
        return overview[overview["runtime"].isin(self._shown)].reset_index(drop=True)

    @property
    def _runs_everywhere(self) -> list[RunRecord]:
        return [run for run in self._every.runs if run.runtime in self._shown]

    @property
    def _runtimes(self) -> list[str]:
        return list(dict.fromkeys(run.runtime for run in self._study.runs))

    def _runs_of(self, name: str | None, runtime: str = "") -> list[Run]:
        """The newest runs of a variant, or of all, in one runtime or in each."""
        return [
            self._study.of_record(run)
            for run in self._study.runs
            if name in (None, run.name) and runtime in ("", run.runtime)
        ]


def _folded_if_long(title: str, table: Styler) -> HTML | Styler:
    """A table as it is, or where it has more rows than a page should begin with, to be opened on a click."""
    return HTML(folded_table(title, table)) if len(table.index) > profile_tables.MOST_ROWS + 1 else table
