"""What the command line prints: tables, progress, single lines."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ..base import units
from ..base.errors import StoreError
from ..base.locks import WAITING
from ..params.model import ModelSpec
from ..params.settings import RecipeSpec, RunRequest
from ..params.variant import VariantSpec
from ..records.machine import ComparisonRecord, RooflineRecord
from ..records.run import AccuracyRecord, FailureRecord, RunRecord
from ..records.store import Store
from ..records.training import HistoryRow, TrainingRecord

if TYPE_CHECKING:
    from ..analysis.resolution import Resolution
    from ..measure.images.sources import DataSet, Source

ColumnForm = tuple[str, Callable[[Any], str]]


def say(line: str) -> None:
    """One line of progress or notice, on standard error so that output can be piped."""
    print(line, file=sys.stderr, flush=True)


_WIDEST_NAME = 24
"""Letters of a network's name in a line of `variants_table`; what a search names may be longer. Own choice."""


def passed_over(lines: Sequence[str]) -> str:
    """What cannot be read, from `Store.unreadable`, in a line."""
    more = f" ({len(lines) - 1} more)" if len(lines) > 1 else ""
    return f"Passed over: {lines[0]}{more}"


def variants_table(variants: list[VariantSpec], models: list[ModelSpec], store: Store) -> Table:
    """One line per variant: what it is, its size, and how well its reference weights do; then models by their files."""
    table = Table(box=None, expand=True)  # the title takes the width that the others leave
    names = ["variant", *(variant.name for variant in variants), *(model.name for model in models)]
    table.add_column("variant", overflow="fold", width=min(max(map(len, names)), _WIDEST_NAME))
    table.add_column("title", no_wrap=True, overflow="ellipsis", min_width=10, ratio=1)
    for heading in ("parameters", "MACs", "top-1"):
        table.add_column(heading, justify="right", no_wrap=True)
    for variant in variants:
        row = (
            variant.name,
            variant.title,
            f"{variant.network.parameters:,}",
            units.count(variant.network.macs_per_image),
        )
        table.add_row(*row, _top1(variant, store))
    for model in models:
        table.add_row(model.name, model.title, "", "", "")
    return table


def _top1(variant: VariantSpec, store: Store) -> str:
    """The accuracy of a variant's reference weights, or why there is none."""
    try:
        training = store.read_training(variant.name)
    except StoreError:
        return "unreadable"
    if training is None:
        return "not trained"
    return units.percent(training.test.top1) if variant.computes_as(training.variant) else "changed since trained"


def location_text(location: Source, dataset: DataSet | None) -> str:
    """Where the images are and how many, or how to get them."""
    if dataset is None:
        return (
            f"No images yet. Download the {location.kind} with `cnnprof data --download`, "
            "or name a folder, .zip or .tar.gz with --data PATH or CNNPROF_DATA."
        )
    counts = f"{len(dataset.train_images):,} training and {len(dataset.test_images):,} test images"
    return f"{location.path}: {location.kind}, chosen by {location.origin}: {dataset.name}, {counts}."


def training_text(record: TrainingRecord) -> str:
    """A finished training in a line."""
    held_out = f", held out {units.percent(record.held_out.top1)}" if record.held_out else ""
    step = f" of {units.seconds(record.step_s)}" if record.step_s else ""
    return (
        f"{record.variant.name}: {units.counted(record.steps, 'step')}{step} in {record.seconds / 60:.1f} min"
        f"{held_out}, test {units.percent(record.test.top1)} on {record.dataset}"
    )


def accuracy_text(record: AccuracyRecord) -> str:
    """An accuracy in a line."""
    images = f"{record.correct:,} of {units.counted(record.images, 'image')}"
    return f"top-1 {units.percent(record.top1)}: {images} of {record.dataset}"


def show_parts(shown: dict[str, Any]) -> Iterator[RenderableType]:
    """A run for people, from the object that ``show --json`` prints."""
    latency, ratio = shown["latency_s"], shown["ratio_to_baseline"]
    yield Text(f"{shown['variant']}, runtime {shown['runtime']}, run {shown['run_id']}", style="bold")
    held = f", threads: {shown['threads']}" if shown["threads"] else ""
    compared = "" if ratio["median"] is None else f"; ratio to baseline {_interval(ratio, units.ratio)}"
    yield (
        f"latency {_interval(latency, units.seconds)} per step of {units.counted(shown['batch_size'], 'image')} "
        f"({units.counted(latency['steps'], 'step')}{held}){compared}"
    )
    if shown["profiled_over_plain"] is not None:
        yield (
            f"a profiled step takes {units.ratio(shown['profiled_over_plain'])} times as long; "
            f"in {units.percent(shown['unattributed_share'])} of it no kernel runs"
        )
    left_out = units.left_out(len(shown["uncounted_layers"]))
    macs = f"{units.count(shown['macs_per_image'])} MACs per image{left_out}"
    yield f"{units.counted(shown['parameters'], 'parameter')}, {macs}"
    yield _accuracy_line(shown["accuracy"])
    sizes = shown["memory"].items()
    memory = {key: "an unknown amount" if value is None else units.num_bytes(value) for key, value in sizes}
    yield (
        f"memory: {memory['requested_bytes']} requested in a step, {memory['live_peak_bytes']} live at its peak, "
        f"{memory['rss_bytes']} resident in the process"
    )
    rest = {"time_s": shown["unattributed_s"], "time_share": shown["unattributed_share"]}
    times: dict[str, ColumnForm] = {"time": ("time_s", units.seconds), "share": ("time_share", units.percent)}
    ops = [{**row, "renamed": ", ".join(name for name in row["kernels"] if name != row["op"])} for row in shown["ops"]]
    yield rows_table(
        [*ops, {"op": "unattributed", **rest}],
        {
            "op": ("op", str),
            "executed as": ("renamed", str),
            **times,
            "requested": ("requested_bytes", units.num_bytes),
            "times": ("occurrences", "{:g}".format),
        },
    )
    fell_back = any(layer["fell_back"] for layer in shown["layers"])
    yield rows_table(
        [*_tree(shown), {"layer": "unattributed", **rest}],
        {
            "layer": ("layer", str),
            "fused into": ("fused_into", str),
            **times,
            "MACs": ("macs", units.count),
            **({"GMAC/s": ("gmacs_per_s", "{:.1f}".format)} if shown["blocks"] else {}),
            "output": ("output_bytes", units.num_bytes),
            **({"kernel": ("kernel", str), "instead of the runtime's own": ("fell_back", str)} if fell_back else {}),
        },
    )
    for warning in shown["warnings"]:
        yield Text(f"Warning: {warning}.", style="yellow")


def node_data_text(times: Path, graph: Path) -> str:
    """How to open what Model Explorer reads."""
    return (
        f"{times} and {graph} are for Google's Model Explorer (pip install ai-edge-model-explorer). The layers:\n"
        f"  model-explorer {graph} --node_data_paths={times}\n"
        "The nodes of an ONNX model that was profiled (pip install model-explorer-onnx):\n"
        f"  model-explorer MODEL.onnx --extensions=model_explorer_onnx --node_data_paths={times}"
    )


def _tree(shown: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A row for each block of a run, its layers below it, then what is in none."""
    layers = iter(shown["layers"])
    for block in shown["blocks"]:
        within = [next(layers) for _ in block["layers"]]
        if len(within) > 1:
            yield {**block, "layer": f"{block['block']} ({len(within)} layers)"}
            within = [{**layer, "layer": f"  {layer['layer']}"} for layer in within]
        yield from within
    yield from layers


def _interval(value: dict[str, Any], form: Any) -> str:
    low, high = value["ci95"]
    interval = "too few blocks for an interval" if low is None else f"95%: {form(low)} to {form(high)}"
    return f"{form(value['median'])} ({interval})"


def _accuracy_line(accuracy: dict[str, Any] | None) -> str:
    if accuracy is None:
        return "accuracy: not measured"
    low, high = accuracy["ci95"]
    how = "measured here" if accuracy["measured"] else "recorded, not measured here"
    return (
        f"top-1 {units.percent(accuracy['top1'])} (95%: {units.percent(low)} to {units.percent(high)}) "
        f"on {units.counted(accuracy['images'], 'image')} of {accuracy['dataset']}, {how}"
    )


def rows_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, ColumnForm]) -> Table:
    """Texts to the left and numbers to the right, nothing where a row has no value; empty columns are left out.

    Args:
        rows: Values by their keys.
        columns: Of each heading the key and the form of its values; `escape` is that of texts.
    """
    table = Table(box=None)
    cells = []
    for heading, (key, form) in columns.items():
        texts = ["" if row.get(key) is None else form(row[key]) for row in rows]
        if any(texts):
            table.add_column(heading, justify="left" if form is str else "right")
            cells.append(texts)
    for row_texts in zip(*cells, strict=True):
        table.add_row(*row_texts)
    return table


def check_text(runtime: str, found: Resolution) -> str:
    """What the baseline against itself says, in a line."""
    intervals = units.counted(len(found.rounds), "interval")
    kernels, side = f"{found.kernel_ratio:.3f} (multiply-adds)", f"{found.side_ratio:.3f} (other operations)"
    layers = "" if math.isnan(found.kernel_ratio) else f"; in one layer, below {kernels} and {side}"
    return (
        f"{runtime}: the true ratio, 1, lies outside {found.excluding} of {intervals} of the baseline against itself "
        f"(median width {found.width:.3f}). Ratios below {found.smallest_ratio:.3f} are not distinguishable here"
        + layers
    )


def roofline_text(record: RooflineRecord) -> str:
    """What a machine can do at most, in a line."""
    one, every = record.peak_macs_per_s_1_thread / 1e9, record.peak_macs_per_s_all_threads / 1e9
    slow, fast = record.bandwidth_bytes_per_s_1_thread / 1e9, record.bandwidth_bytes_per_s_all_threads / 1e9
    threads = units.counted(record.threads, "thread")
    busy = "" if record.is_undisturbed else ", so the limits may be too low; they will be measured again"
    return (
        f"1 thread: {one:.1f} GMAC/s, {slow:.1f} GB/s; {threads}: {every:.1f} GMAC/s, {fast:.1f} GB/s "
        f"(other programs used {record.busy_percent:.0f}% of the processors{busy})"
    )


def comparison_parts(found: ComparisonRecord) -> Iterator[RenderableType]:
    """The ops' shares by cnnprof and by XProf, side by side."""
    rows = [{"op": op.op, "ours": op.our_share, "xprof": op.xprof_share, "pp": op.difference_pp} for op in found.ops]
    yield rows_table(
        rows,
        {
            "op": ("op", str),
            "cnnprof": ("ours", units.percent),
            "XProf": ("xprof", units.percent),
            "difference": ("pp", "{:+.2f}".format),
        },
    )
    steps = units.counted(found.steps, "step")
    yield (
        f"largest difference {found.largest_difference_pp:.2f} percentage points ({found.largest.op}); "
        f"between cnnprof's own odd and even blocks {found.own_difference_pp:.2f}; {steps} on each side"
    )
    yield f"left out: {', '.join(found.left_out) or 'none'}, {units.percent(found.left_out_share)} of the kernels' time"


class LiveBar(Progress):
    """A progress bar on a terminal; elsewhere there is none, and plain lines are printed.

    Args:
        console: Where.
        total: What ``done`` will have come to at the end.
    """

    def __init__(self, console: Console, total: float) -> None:
        times = TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()
        description = TextColumn("{task.description}", markup=False)
        super().__init__(description, BarColumn(bar_width=20), *times, console=console, disable=not console.is_terminal)
        self._task = self.add_task("", total=total)

    def show(self, done: float, text: str, line: str = "") -> None:
        """Moves the bar.

        Args:
            done: Of the total.
            text: What stands beside the bar.
            line: What is printed where there is no bar, if anything.
        """
        self.update(self._task, completed=done, description=text)
        if line and self.disable:
            self.console.print(line, highlight=False, soft_wrap=True)


def show_training(bar: LiveBar, name: str, recipe: RecipeSpec, row: HistoryRow) -> None:
    """Step, loss, accuracy and images/s of one training, and where there is no bar the time left."""
    text = f"{name}: {row.describe()}"
    bar.show(row.step, text, f"{text}, {row.describe_rest(recipe)}")


def show_check(bar: LiveBar, runtime: str, rounds: int, done: int) -> None:
    """Which round of a check is done; the first and the middle one where there is no bar."""
    text = f"check {runtime}: round {done} of {rounds}"
    bar.show(done, text, text if done in (1, rounds // 2) else "")


def run_each(
    requests: Sequence[RunRequest],
    execute: Callable[[RunRequest, Callable[[float, str], None]], RunRecord | FailureRecord],
    console: Console,
) -> int:
    """Shows which run of how many it is, its stage, the time left and how each ended; returns how many failed.

    Args:
        requests: The runs.
        execute: Makes one, and tells the share of it that is done and the stage.
        console: Where.
    """
    total, failures, begun = len(requests), 0, monotonic()
    with LiveBar(console, total) as bar:
        for done, request in enumerate(requests):
            about = f"[{done + 1}/{total}] {request.describe()}"
            left = f" {(monotonic() - begun) / done * (total - done) / 60:.1f} min left" if done else ""
            bar.show(done, f"{about}, starting", f"{about} ...{left}")

            def on_stage(share: float, stage: str, before: int = done, about: str = about) -> None:
                bar.show(before + share, f"{about}, {stage}", f"{about}, {stage}" if stage == WAITING else "")

            result = execute(request, on_stage)
            console.print(f"{about}{end_of(result)}", highlight=False, soft_wrap=True)
            failures += isinstance(result, FailureRecord)
    return failures


def end_of(result: RunRecord | FailureRecord) -> str:
    """How a run ended, to stand behind what it is."""
    from ..analysis.estimates import latency

    if isinstance(result, FailureRecord):
        return f" failed: {result.error}"
    return f": {units.seconds(latency(result).value)} per step"
