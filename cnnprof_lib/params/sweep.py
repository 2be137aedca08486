"""Sweeps: many networks under many conditions, as ``params/sweeps/`` names them, and the cluster to run them on."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from ..base.errors import VariantError
from ..base.spec import PositiveInt, Spec
from . import reading
from .model import is_model, model_of, network_name
from .settings import RuntimeName
from .strict_yaml import read_yaml
from .variant import VariantSpec

MOST_RUNS = 10_000
"""A slip in a grid is told before a plan of a million runs is made of it. Own choice."""

Value = bool | int | float | str | Annotated[tuple[int, int], Field(strict=False)]
Change = dict[str, dict[str, Any]]
"""Keys to replace, by layer, as in a variant's ``change``."""


class Factor(Spec):
    """One axis of a grid: a key of some layers and the values that it takes."""

    layers: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
    values: Annotated[tuple[Value, ...], Field(strict=False, min_length=1)]
    key: str | None = None
    """Of the layers; None where the factor has the key's name."""


class SweepSpec(Spec):
    """What to run: every network in every runtime, under every batch size and number of threads."""

    name: str
    title: Annotated[str, Field(min_length=1)]
    extends: str | None = None
    """A file of ``params/``: the variant that the grid and the changes start from."""
    grid: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], Factor] = Field(default_factory=dict)
    """Factors by name; every combination of their values is a network."""
    changes: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")], Change] = Field(default_factory=dict)
    """Single networks by what is put behind the name of what they extend."""
    variants: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """More networks: files of ``params/``, or models, by their path in the project or as dotted names."""
    runtimes: Annotated[tuple[RuntimeName, ...], Field(strict=False, min_length=1)]
    batch_sizes: Annotated[tuple[PositiveInt, ...], Field(strict=False)] = ()
    """Without any, the preset's."""
    threads: Annotated[tuple[PositiveInt, ...], Field(strict=False)] = ()
    """Without any, the runtime's choice."""
    baseline: str | None = None
    """What all are compared with; None for the variant that they extend, else the preset's."""

    @model_validator(mode="after")
    def _check(self) -> SweepSpec:
        changes = bool(self.grid or self.changes)
        count = self._networks() * math.prod(len(each) or 1 for each in (self.runtimes, self.batch_sizes, self.threads))
        found = {
            ("extends", "must name a variant where there is a `grid` or `changes`", self.extends): (
                changes and self.extends is None
            ),
            ("grid", "must have factors, or `changes` or `variants` must name networks", 0): count == 0,
            ("grid", f"must make at most {MOST_RUNS:,} runs, with all conditions", count): count > MOST_RUNS,
        }
        for (key, rule, value), holds in found.items():
            if holds:
                raise PydanticCustomError("rule", "{rule}", {"key": key, "rule": rule, "value": value})
        return self

    def _networks(self) -> int:
        combined = math.prod(len(factor.values) for factor in self.grid.values()) if self.grid else 0
        return combined + len(self.changes) + len(self.variants)

    def all_changes(self) -> Iterator[tuple[str, Change]]:
        """What each network of the grid and of the changes is called behind its parent's name, and what it changes."""
        for values in itertools.product(*(factor.values for factor in self.grid.values())) if self.grid else ():
            change: Change = {}
            for (name, factor), value in zip(self.grid.items(), values, strict=True):
                for layer in factor.layers:
                    change.setdefault(layer, {})[factor.key or name] = value
            yield "-".join(map(_level, self.grid, values)), change
        yield from self.changes.items()


def load_sweep(name: str, params_dir: Path) -> SweepSpec:
    """Loads ``params_dir/sweeps/<name>.yaml``; raises `VariantError` as `reading.validate` does."""
    return reading.load_settings(SweepSpec, name, params_dir / "sweeps")


def networks_of(sweep: SweepSpec, params_dir: Path, root: Path) -> dict[str, VariantSpec | None]:
    """The networks of a sweep by how a run names them; None for a model, which is not opened for this.

    Args:
        sweep: The sweep.
        params_dir: The folder of parameter files.
        root: What paths of models are relative to.

    Raises:
        VariantError: one of them cannot be made, or two have one name.
    """
    path = params_dir / "sweeps" / f"{sweep.name}.yaml"
    found: dict[str, VariantSpec | None] = {}
    if sweep.extends is not None:
        parent = reading.load_variant(sweep.extends, params_dir)
        for suffix, change in sweep.all_changes():
            name = f"{parent.name}-{suffix}"
            _refuse_twice(name, found, path)
            title = f"{parent.name} with {_in_words(change)}"
            try:
                found[name] = reading.changed(parent, name, title, change, path)
            except VariantError as error:
                raise VariantError(f"{path}: {name}: {str(error).removeprefix(f'{path}: ')}") from None
    for reference in sweep.variants:
        _refuse_twice(network_name(reference), found, path)
        if is_model(reference):
            model_of(str(root / reference) if (root / reference).exists() else reference)
            found[reference] = None
        else:
            spec = reading.load_spec(reference, params_dir)
            found[reference] = spec if isinstance(spec, VariantSpec) else None
    return found


def _refuse_twice(name: str, found: Mapping[str, object], path: Path) -> None:
    if name in map(network_name, found):
        raise VariantError(f"{path}: two networks would be called `{name}`. Rename one, or leave one out.")


def _level(factor: str, value: Value) -> str:
    """``stride3``, ``kernel3x5``, ``rate0-5``: a name that a variant may have."""
    text = "x".join(map(str, value)) if isinstance(value, tuple) else str(value).lower()
    return f"{factor.replace('_', '-')}{re.sub(r'[^a-z0-9]+', '-', text).strip('-')}"


def _in_words(change: Change) -> str:
    """``stride 3, filters 32 in conv1, conv2``."""
    layers: dict[str, list[str]] = {}
    for layer, keys in change.items():
        text = ", ".join(f"{key} {value}" for key, value in keys.items())
        layers.setdefault(text, []).append(layer)
    return "; ".join(f"{text} in {', '.join(names)}" for text, names in layers.items())


BatchSystem = Literal["slurm", "pbs", "sge", "lsf", "oar", "htcondor", "moab", "local"]
"""Those that dask-jobqueue knows; ``local`` starts its jobs on this host, to try a file out."""


class ClusterSpec(Spec):
    """Jobs of a batch system, each one worker."""

    name: str
    kind: BatchSystem
    jobs: PositiveInt
    """How many to ask for."""
    options: dict[str, bool | int | float | str | list[str]] = Field(default_factory=dict)
    """Of dask-jobqueue's class, such as ``queue``, ``cores``, ``memory`` and ``walltime``."""


def load_cluster(path: Path) -> ClusterSpec:
    """Loads a file such as ``slurm.yaml``.

    Raises:
        VariantError: it is missing or wrong.
    """
    if not path.is_file():
        raise VariantError(f"{path}: no such file. Name one with `kind`, `jobs` and `options`.")
    return reading.validate(ClusterSpec, {"name": path.stem, **read_yaml(path)}, path)
