"""Stores what the machine shows of itself, below ``outputs/check/``; see `store` for all paths."""

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
from .machine import CheckRecord, ComparisonRecord, RooflineRecord
from .place import Place

_Spec = TypeVar("_Spec", bound=Spec)
_ROOFLINE = "roofline"
_XPROF = "xprof"
_CALIBRATION = "calibration"
_MEASURE_AGAIN: dict[type[Spec], str] = {
    CheckRecord: "Check again: cnnprof check",
    RooflineRecord: "Measure again: cnnprof roofline",
    ComparisonRecord: "Compare again: cnnprof compare-xprof",
    ProbesRecord: "Measure again: cnnprof calibrate --again",
}


class MachineStore(Place):
    """Checks, rooflines, second opinions and calibrations."""

    def write_check(self, record: CheckRecord) -> Path:
        """Stores how the baseline compares with itself, in place of an earlier check of the runtime."""
        return self._write_machine(record.runtime, record)

    def read_check(self, runtime: str) -> CheckRecord | None:
        """The last check of a runtime; None where there was none that can be read."""
        with contextlib.suppress(StoreError):  # `Store.unreadable` tells of it
            return self._read_machine(CheckRecord, runtime)
        return None

    def write_roofline(self, record: RooflineRecord) -> Path:
        """Stores what this machine can do at most, for the report."""
        return self._write_machine(_ROOFLINE, record)

    def read_roofline(self) -> RooflineRecord | None:
        """What the machine can do at most; None where it was not measured or cannot be read."""
        with contextlib.suppress(StoreError):  # `Store.unreadable` tells of it
            return self._read_machine(RooflineRecord, _ROOFLINE)
        return None

    def write_comparison(self, record: ComparisonRecord) -> Path:
        """Stores a second opinion on one variant and runtime, in place of an earlier one."""
        return self._write_machine(f"{_XPROF}/{record.variant}-{record.runtime}", record)

    def read_comparisons(self) -> list[ComparisonRecord]:
        """All second opinions."""
        found = []
        for name in self._in_folder(_XPROF):
            with contextlib.suppress(StoreError):  # `Store.unreadable` tells of it
                found.append(self._read_machine(ComparisonRecord, name))
        return [record for record in found if record is not None]

    def _in_folder(self, folder: str) -> list[str]:
        return sorted(f"{folder}/{path.stem}" for path in (self.machine_dir / folder).glob("*.json"))

    def write_probes(self, record: ProbesRecord) -> Path:
        """Stores what a runtime was calibrated by, in place of an earlier calibration of it."""
        return self._write_machine(f"{_CALIBRATION}/{record.runtime}", record)

    def read_probes(self, runtime: str) -> ProbesRecord | None:
        """What a runtime was calibrated by; None where it was not.

        Raises:
            StoreError: it cannot be read.
        """
        return self._read_machine(ProbesRecord, f"{_CALIBRATION}/{runtime}")

    @property
    def machine_dir(self) -> Path:
        """The folder of what the machine shows of itself."""
        return self.outputs / "check"

    def _machine_path(self, name: str) -> Path:
        return self.machine_dir / f"{name}.json"

    def _write_machine(self, name: str, record: Spec) -> Path:
        content = record.model_dump_json(indent=1) + "\n"
        return self._keep(self._machine_path(name), lambda path: write_atomically(path, content))

    def _read_machine(self, spec: type[_Spec], name: str) -> _Spec | None:
        path = self._machine_path(name)
        return read_spec(spec, path, _MEASURE_AGAIN[spec]) if path.exists() else None

    def _machine_readings(self) -> Iterator[tuple[Path, Callable[[], object]]]:
        """All that there is, with how to read it."""
        stored: list[tuple[type[Spec], str]] = [
            *((CheckRecord, path.stem) for path in self.machine_dir.glob("*.json") if path.stem != _ROOFLINE),
            (RooflineRecord, _ROOFLINE),
            *((ComparisonRecord, name) for name in self._in_folder(_XPROF)),
            *((ProbesRecord, name) for name in self._in_folder(_CALIBRATION)),
        ]
        yield from ((self._machine_path(name), partial(self._read_machine, spec, name)) for spec, name in stored)
