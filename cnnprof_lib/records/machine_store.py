"""Stores what machines show of themselves, below ``outputs/check/``; see `store` for all paths.

Each machine has a folder there, by `MachineRecord.key`, so that results of several may be put together. Older versions
kept the check and the roofline of one machine, without such a folder; they are read where they are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from ..base.errors import StoreError
from ..base.files import read_spec, write_atomically
from ..base.spec import Spec
from .calibration import ProbesRecord
from .conditions import MachineRecord
from .machine import CheckRecord, ComparisonRecord, RooflineRecord
from .place import Place

_Spec = TypeVar("_Spec", bound=Spec)
_OfMachine = TypeVar("_OfMachine", CheckRecord, RooflineRecord)
_ROOFLINE = "roofline"
_FOLDERS: dict[str, type[Spec]] = {"xprof": ComparisonRecord, "calibration": ProbesRecord}
_MEASURE_AGAIN: dict[type[Spec], str] = {
    CheckRecord: "Check again: cnnprof check",
    RooflineRecord: "Measure again: cnnprof roofline",
    ComparisonRecord: "Compare again: cnnprof compare-xprof",
    ProbesRecord: "Measure again: cnnprof calibrate --again",
}


class MachineStore(Place):
    """Checks, rooflines and second opinions by machine, and calibrations."""

    def write_check(self, record: CheckRecord) -> Path:
        """Stores how the baseline compares with itself, in place of an earlier check of the runtime on that machine."""
        return self._write_machine(self._machine_path(record.runtime, record.machine), record)

    def read_check(self, runtime: str, machine: MachineRecord) -> CheckRecord | None:
        """The last check of a runtime on a machine; None where there was none that can be read."""
        return self._of_machine(CheckRecord, runtime, machine)

    def write_roofline(self, record: RooflineRecord) -> Path:
        """Stores what a machine can do at most, for the report."""
        return self._write_machine(self._machine_path(_ROOFLINE, record.machine), record)

    def read_roofline(self, machine: MachineRecord) -> RooflineRecord | None:
        """What a machine can do at most; None where it was not measured or cannot be read."""
        return self._of_machine(RooflineRecord, _ROOFLINE, machine)

    def _of_machine(self, spec: type[_OfMachine], name: str, machine: MachineRecord) -> _OfMachine | None:
        for path in (self._machine_path(name, machine), self._machine_path(name)):
            with contextlib.suppress(StoreError):  # `Store.unreadable` tells of it
                record = _read(spec, path)
                if record is not None and record.is_of(machine):
                    return record
        return None

    def write_comparison(self, record: ComparisonRecord) -> Path:
        """Stores a second opinion on one variant and runtime, in place of an earlier one on that machine."""
        name = f"xprof/{record.variant}-{record.runtime}"
        return self._write_machine(self._machine_path(name, record.machine), record)

    def read_comparisons(self) -> list[ComparisonRecord]:
        """All second opinions, those that older versions stored first."""
        found = []
        for path in sorted(self.machine_dir.rglob("xprof/*.json"), key=lambda path: (len(path.parts), path)):
            with contextlib.suppress(StoreError):  # `Store.unreadable` tells of it
                found.append(_read(ComparisonRecord, path))
        return [record for record in found if record is not None]

    def write_probes(self, record: ProbesRecord) -> Path:
        """Stores what a runtime was calibrated by, in place of an earlier calibration of it."""
        return self._write_machine(self._machine_path(f"calibration/{record.runtime}"), record)

    def read_probes(self, runtime: str) -> ProbesRecord | None:
        """What a runtime was calibrated by; None where it was not.

        Raises:
            StoreError: it cannot be read.
        """
        return _read(ProbesRecord, self._machine_path(f"calibration/{runtime}"))

    @property
    def machine_dir(self) -> Path:
        """The folder of what machines show of themselves."""
        return self.outputs / "check"

    def _machine_path(self, name: str, machine: MachineRecord | None = None) -> Path:
        """Where something of a machine stands; without one, where it is not told apart by machines."""
        return (self.machine_dir / machine.key if machine else self.machine_dir) / f"{name}.json"

    def _write_machine(self, final: Path, record: Spec) -> Path:
        content = record.model_dump_json(indent=1) + "\n"
        return self._keep(final, lambda path: write_atomically(path, content))

    def _machine_readings(self) -> Iterator[tuple[Path, Callable[[], object]]]:
        """All that there is, with how to read it."""
        for path in sorted(self.machine_dir.rglob("*.json")):
            spec = _FOLDERS.get(path.parent.name, RooflineRecord if path.stem == _ROOFLINE else CheckRecord)
            yield path, partial(_read, spec, path)


def _read(spec: type[_Spec], path: Path) -> _Spec | None:
    return read_spec(spec, path, _MEASURE_AGAIN[spec]) if path.exists() else None
