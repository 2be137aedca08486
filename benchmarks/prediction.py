"""How well `cnnprof predict` knows networks that it never saw: errors and intervals, by group.

    .venv/bin/python benchmarks/prediction.py [--runtime stock] [--figure FILE] [--keep DIR] [--outputs DIR]

Measures, as a calibration does, networks that are in none: the variants of params/, residual networks of all widths,
MobileNetV2-like ones, each with batches of 1, 32 and 128. Then it predicts them from the stored calibration: from all
of it, and without what is most like the group. At last it predicts the calibration's own networks, family by family and
batch size by batch size, from the others. Needs a calibration: cnnprof calibrate.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pandas as pd

from cnnprof_lib.analysis.prediction.numbers import Predictor
from cnnprof_lib.analysis.prediction.scores import by_group, scores
from cnnprof_lib.analysis.prediction.shown import predicted_figure
from cnnprof_lib.measure.calibration.design import BASELINE_FAMILY, Designed
from cnnprof_lib.measure.runtimes.contract import ready_runtime
from cnnprof_lib.page.style import use_style
from cnnprof_lib.params.reading import load_variant
from cnnprof_lib.params.variant import VariantSpec
from cnnprof_lib.records.calibration import ProbeRecord, ProbesRecord
from cnnprof_lib.records.project import Project, find_project
from cnnprof_lib.records.store import Store

BATCH_SIZES = (1, 32, 128)
VARIANTS = {
    "strides": ("stride2", "stride3", "stride5", "stride2-filters32"),
    "pool": ("pool-large",),
    "filters": ("filters32",),
    "resnet8": ("resnet8",),
}
WIDTHS = (16, 20, 24, 32)
ALIKE = {"residual": ("residual",), "resnet8": ("residual",), "mobile": ("mobile", "separable")}
"""Families of the calibration that are left out for a group; for the others those of the tutorial's network."""


def main() -> None:
    """Measures what is missing and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", default="stock")
    parser.add_argument("--figure", type=Path, help="also draw predicted against measured")
    parser.add_argument("--keep", type=Path, help="where the networks measured are kept, unless in prediction/ there")
    parser.add_argument("--outputs", default="", help="where the calibration is")
    arguments = parser.parse_args()
    project = find_project(outputs=arguments.outputs)
    record = project.store.read_probes(arguments.runtime)
    if record is None:
        parser.exit(1, f"Run: cnnprof calibrate --runtime {arguments.runtime}\n")
    keep = Store(arguments.keep or project.outputs / "prediction")
    unseen = measured(record, list(networks(project)), keep, project)
    print(f"{record.runtime}: {len(record.probes)} networks in {record.spent_s / 60:.1f} minutes, {record.machine.cpu}")
    everything = scores(Predictor.of(record), unseen)
    show("unseen networks", everything)
    alike = pd.concat([without_alike(record, unseen, group) for group in dict.fromkeys(p.family for p in unseen)])
    show("unseen networks, without the families most like them", alike)
    show("families left out", pd.concat(list(left_out(record, "family"))))
    show("batch sizes left out", pd.concat(list(left_out(record, "batch_size"))))
    if arguments.figure:
        use_style()
        predicted_figure(everything, ax=plt.figure(figsize=(6, 6)).gca())
        plt.savefig(arguments.figure, bbox_inches="tight")


def networks(project: Project) -> Iterator[Designed]:
    """All networks to predict, by group."""
    for group, names in VARIANTS.items():
        for name in names:
            yield from under_each_batch(group, load_variant(name, project.params))
    for width in WIDTHS:
        yield from under_each_batch("residual", residual(width))
    for width, expansion in ((8, 6), (16, 4), (24, 3), (16, 6)):
        yield from under_each_batch("mobile", mobile(width, expansion))


def under_each_batch(group: str, variant: VariantSpec) -> Iterator[Designed]:
    """The network with batches of each size."""
    return (Designed(group, variant, batch_size) for batch_size in BATCH_SIZES)


class Layers(list[dict[str, Any]]):
    """Layers with names of their own."""

    def put(self, type_: str, **keys: Any) -> str:
        """Adds one and returns its name."""
        self.append({"name": f"{type_}{len(self) + 1}", "type": type_, **keys})
        return str(self[-1]["name"])

    def normed(self, type_: str, activation: str = "relu", **keys: Any) -> str:
        """Adds a convolution with batch normalisation and an activation, if any."""
        self.put(type_, use_bias=False, **keys)
        last = self.put("batch_norm")
        return self.put(activation) if activation else last

    def network(self, name: str, side: int) -> VariantSpec:
        """Of a classifier that ends in these."""
        self.put("global_avg_pool")
        self.put("dense", units=10)
        size = {"height": side, "width": side, "channels": 3}
        return VariantSpec.model_validate({"name": name, "title": name, "input": size, "classes": 10, "layers": self})


def residual(width: int) -> VariantSpec:
    """A stem with stride 2, then blocks of two 3x3 convolutions with widths w, 2w, 3w and strides 1, 2, 2."""
    layers = Layers()
    last, before = layers.normed("conv", filters=width, kernel=3, stride=2), width
    for filters, stride in ((width, 1), (2 * width, 2), (3 * width, 2)):
        layers.normed("conv", inputs=[last], filters=filters, kernel=3, stride=stride)
        main = layers.normed("conv", "", filters=filters, kernel=3)
        side = last
        if filters != before:
            side = layers.normed("conv", "", inputs=[last], filters=filters, kernel=1, stride=stride)
        layers.put("add", inputs=[side, main])
        last, before = layers.put("relu"), filters
    return layers.network(f"residual{width}", 24)


def mobile(width: int, expansion: int) -> VariantSpec:
    """Inverted residuals on images of 32x32."""
    layers = Layers()
    last, before = layers.normed("conv", "relu6", filters=width, kernel=3), width
    for filters, stride in ((width, 1), (2 * width, 2), (2 * width, 1), (4 * width, 2)):
        layers.normed("conv", "relu6", inputs=[last], filters=before * expansion, kernel=1)
        layers.normed("depthwise_conv", "relu6", kernel=3, stride=stride)
        main = layers.normed("conv", "", filters=filters, kernel=1)
        last = layers.put("add", inputs=[last, main]) if (filters, stride) == (before, 1) else main
        before = filters
    return layers.network(f"mobile{width}x{expansion}", 32)


def measured(
    record: ProbesRecord, wanted: Sequence[Designed], keep: Store, project: Project
) -> tuple[ProbeRecord, ...]:
    """Measures what was not measured yet since the calibration."""
    stored = keep.read_probes(record.runtime)
    probes = list(stored.probes) if stored and stored.created == record.created else []
    missing = wanted[len(probes) :]
    if missing:
        runtime = ready_runtime(record.runtime)
        from cnnprof_lib.measure.calibration.bench import Bench

        bench = Bench(runtime, project)
        for network in missing:
            probes.append(bench.measure(network))
            keep.write_probes(record.model_copy(update={"probes": tuple(probes)}))
        bench.close()
    return tuple(probes)


def without_alike(record: ProbesRecord, unseen: Sequence[ProbeRecord], group: str) -> pd.DataFrame:
    """Scores of a group, predicted without what is most like it."""
    families = (*ALIKE.get(group, ("tutorial",)), BASELINE_FAMILY)
    rest = tuple(probe for probe in record.probes if probe.family not in families)
    predictor = Predictor.of(record.model_copy(update={"probes": rest}))
    return scores(predictor, [probe for probe in unseen if probe.family == group])


def left_out(record: ProbesRecord, key: str) -> Iterator[pd.DataFrame]:
    """Scores of the calibration's own networks, each predicted without those that agree with it in ``key``."""
    for value in sorted({getattr(probe, key) for probe in record.probes}):
        rest = tuple(probe for probe in record.probes if getattr(probe, key) != value)
        mine = [probe for probe in record.probes if getattr(probe, key) == value]
        scored = scores(Predictor.of(record.model_copy(update={"probes": rest})), mine)
        yield scored.assign(group=f"{key} {value}")


def show(title: str, scored: pd.DataFrame) -> None:
    """Prints a table by group."""
    formats = {"median_error": "{:.1%}", "error_95": "{:.1%}", "within": "{:.0%}", "covered": "{:.0%}"}
    table = by_group(scored)
    texts = table.assign(**{name: table[name].map(form.format) for name, form in formats.items()})
    print(f"\n{title}\n{texts.round(2).to_string(index=False)}", flush=True)


if __name__ == "__main__":
    main()
