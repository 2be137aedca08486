"""What a sweep asks for, which of it is stored, what the rest will take, and what each run needs elsewhere."""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..base.errors import VariantError
from ..base.stamps import new_run_id
from ..base.units import counted
from ..params import reading
from ..params.model import ModelSpec, is_model, is_model_file, network_name
from ..params.settings import NO_BASELINE, PresetSpec, RunRequest
from ..params.sweep import SweepSpec, networks_of
from ..params.variant import VariantSpec
from ..records.project import Project
from ..records.run import RunRecord
from ..records.trained_store import TRAINED_FILES

MOST_BYTES = 2**30
"""Of what is sent with one run. Own choice."""
_LOOKED_AT = 5
"""Stored runs by which one is expected to take as long."""


class Identity(NamedTuple):
    """What makes a run of a sweep the one that was asked for."""

    network: str
    runtime: str
    batch_size: int
    threads: int | None
    preset: str

    def __str__(self) -> str:
        held = f", {counted(self.threads, 'thread')}" if self.threads else ""
        return f"{self.network} {self.runtime}, batch of {self.batch_size}{held}"


@dataclass(frozen=True)
class PlannedRun:
    """One run to make.

    Attributes:
        identity: What is asked for.
        request: The same as a run is asked for; its id is that of the run wherever and however often it is tried.
        variant: The network; None for a model.
        expected_s: How long stored runs like it took; None where there is none.
    """

    identity: Identity
    request: RunRequest
    variant: VariantSpec | None
    expected_s: float | None


@dataclass(frozen=True)
class Plan:
    """A sweep, costed."""

    sweep: SweepSpec
    missing: tuple[PlannedRun, ...]
    stored: int
    """Complete runs that are there already."""

    @property
    def expected_s(self) -> float | None:
        """How long the missing runs take, one after the other; None where that cannot be told."""
        known = [run.expected_s for run in self.missing if run.expected_s is not None]
        return statistics.fmean(known) * len(self.missing) if known else None

    def describe(self) -> str:
        """What it costs, in a line."""
        total = len(self.missing) + self.stored
        there = f"{self.stored:,} stored, {len(self.missing):,} to make"
        if not self.missing:
            return f"{self.sweep.name}: {counted(total, 'run')}, all stored."
        if self.expected_s is None:
            return f"{self.sweep.name}: {counted(total, 'run')}: {there}; no stored run tells how long that takes."
        return f"{self.sweep.name}: {counted(total, 'run')}: {there}, about {self.expected_s / 60:.0f} min on one host."


def plan(sweep: SweepSpec, preset: PresetSpec, project: Project, *, source: str) -> Plan:
    """Plans a sweep: the networks in an order drawn from the preset's seed, so that no factor grows with time.

    Args:
        sweep: The sweep.
        preset: How much to measure; of it each run is made in as many processes as that says.
        project: Where parameters and results are.
        source: Images, as for a run.

    Raises:
        VariantError: a network of it cannot be made.
    """
    networks = networks_of(sweep, project.params, project.root)
    sizes: list[int | None] = [*sweep.batch_sizes] or [None]
    counts: list[int | None] = [*sweep.threads] or [None]
    baseline = sweep.baseline or sweep.extends
    if baseline is None and (preset.baseline is None or any(map(is_model, networks))):
        baseline = NO_BASELINE
    asked = list(itertools.product(networks, sweep.runtimes, sizes, counts))
    durations = {runtime: _durations(project, runtime, preset) for runtime in sweep.runtimes}
    series, stored = new_run_id(), 0
    missing: list[PlannedRun] = []
    for place in np.random.default_rng(preset.seed).permutation(len(asked)):
        reference, runtime, batch_size, threads = asked[place]
        name = network_name(reference)
        identity = Identity(name, runtime, batch_size or preset.batch_size, threads, preset.name)
        there = _stored(identity, networks[reference], preset.baseline if baseline is None else baseline, project)
        stored += min(len(there), preset.processes)
        for _ in range(preset.processes - len(there)):
            request = RunRequest(
                variant=reference,
                runtime=runtime,
                preset=preset.name,
                baseline=baseline,
                source=source,
                run_id=f"{series}-{len(missing):04d}",
                series=there[0].series if there else series,
                batch_size=batch_size,
                threads=threads,
            )
            missing.append(PlannedRun(identity, request, networks[reference], durations[runtime]))
    return Plan(sweep, tuple(missing), stored)


def _stored(identity: Identity, variant: VariantSpec | None, baseline: str | None, project: Project) -> list[RunRecord]:
    """The complete runs of an identity, of the same layers and against the same baseline."""
    return [
        run
        for run in project.store.runs("sweeps", identity.network, identity.runtime)
        if isinstance(run, RunRecord)
        and (run.batch_size, run.threads, run.preset) == identity[2:]
        and run.baseline == (network_name(baseline) if baseline else None)
        and (variant is None or run.variant is None or _is_same(run.variant, variant))
    ]


def _is_same(one: VariantSpec, other: VariantSpec) -> bool:
    return one.layers == other.layers and one.input == other.input


def _durations(project: Project, runtime: str, preset: PresetSpec) -> float | None:
    """How long the newest runs in a runtime by a preset took, their median; None where there is none."""
    found: list[float] = []
    for notebook in project.store.notebooks(runtime):
        try:
            told = json.loads(notebook.read_bytes())["metadata"]["papermill"]
            if told["parameters"]["preset"] == preset.name and not told["exception"]:
                found.append(float(told["duration"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if len(found) == _LOOKED_AT:
            break
    return statistics.median(found) if found else None


def files_for(run: PlannedRun, project: Project) -> dict[str, bytes]:
    """What a run reads, by its path in a project's folder: parameters, models and weights, for a host without them.

    Raises:
        CnnprofError: something is missing, or larger than `MOST_BYTES` together.
    """
    preset = reading.file_of(run.request.preset, project.params / "presets")
    found = {f"params/presets/{preset.name}": preset.read_bytes()}
    for reference in dict.fromkeys((run.request.variant, run.request.baseline or "")):
        if reference:
            found.update(_files_of(reference, run.variant if reference == run.request.variant else None, project))
    if (size := sum(map(len, found.values()))) > MOST_BYTES:
        raise VariantError(
            f"{run.identity.network}: its files must be at most {MOST_BYTES:,} bytes. Received: {size:,}."
        )
    return found


def _files_of(reference: str, variant: VariantSpec | None, project: Project) -> Iterator[tuple[str, bytes]]:
    if is_model(reference):
        if is_model_file(str(project.root / reference)):
            yield from _files_below(project.root / reference, project)
        return
    if variant is not None and not (project.params / f"{reference}.yaml").is_file():
        written = {"title": variant.title, "extends": variant.extends, "change": variant.change}
        yield f"params/{reference}.yaml", json.dumps(written).encode()  # which is YAML, too
        paths = reading.files_of(str(variant.extends), project.params)
    else:
        paths = reading.files_of(reference, project.params)
        spec = reading.load_spec(reference, project.params)
        if isinstance(spec, ModelSpec):
            if spec.is_file:
                yield from _files_below(Path(spec.model), project)
        else:
            variant = spec
    yield from ((f"params/{path.name}", path.read_bytes()) for path in paths)
    if variant is not None:
        yield from _weights_of(variant, project)


def _files_below(path: Path, project: Project) -> Iterator[tuple[str, bytes]]:
    """A file, or all files of a folder, by their paths in the project."""
    for file in [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file()):
        try:
            name = file.resolve().relative_to(project.root.resolve())
        except ValueError:
            raise VariantError(f"{file}: a model of a sweep must lie in the project's folder. Copy it there.") from None
        yield name.as_posix(), file.read_bytes()


def _weights_of(variant: VariantSpec, project: Project) -> Iterator[tuple[str, bytes]]:
    """The reference weights of a variant, or of another with the same layers, if there are any."""
    store = project.store
    for name in (variant.name, *store.trained_variants()):
        training = store.read_training(name)
        if training is not None and _is_same(training.variant, variant):
            for file in TRAINED_FILES:
                path = store.reference_dir(name) / file
                if path.is_file():
                    yield f"outputs/reference/{variant.name}/{file}", path.read_bytes()
            return
