"""The reference beside a run: whether it is slowed there, and what of it stands in the record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnprof_lib.analysis.cautions import cautions
from cnnprof_lib.analysis.resolution import ratio_to_reference
from cnnprof_lib.base.errors import MeasureError
from cnnprof_lib.measure import reference as measured
from cnnprof_lib.measure.clock import TimedStep
from cnnprof_lib.measure.reference import Reference, is_slowed
from cnnprof_lib.measure.runtimes import contract
from cnnprof_lib.measure.runtimes.contract import Runtime, Session
from cnnprof_lib.params.reading import load_preset
from cnnprof_lib.records.run import AgreementRecord, ReferenceRecord
from tests.builders import PARAMS, make_record


class Idle(Session):
    def step(self) -> None:
        pass

    def outputs(self, values: Any) -> Any:
        return np.zeros((1, 10))


@pytest.mark.parametrize(("beside_s", "slowed"), [(0.010, False), (0.012, False), (0.013, True), (0.5, True)])
def test_a_reference_is_slowed_that_takes_a_quarter_longer_beside_the_runtime(beside_s: float, slowed: bool) -> None:
    step = TimedStep(lambda: beside_s, timed_itself=float)
    reference = Reference("baseline", step, False, ((0.010, 0.010), (0.010, 0.010)), lambda: None)
    assert is_slowed(reference, Idle(), load_preset("smoke", PARAMS)) == slowed


def test_a_step_that_times_itself_is_not_timed_from_outside() -> None:
    times = measured._timed({"": TimedStep(lambda: 7.0, timed_itself=float)}, 2, load_preset("smoke", PARAMS))
    assert {seconds for block in times[""] for seconds in block} == {7.0}


def test_the_ratio_to_the_reference_is_of_paired_blocks() -> None:
    plain, base = tuple((s,) for s in (1, 2, 3, 4, 5, 6)), tuple((4 * s,) for s in (1, 2, 3, 4, 5, 6))
    assert ratio_to_reference(make_record(plain_s=plain, reference_s=base), None) == (0.25, 0.25, 0.25)
    assert np.isnan(ratio_to_reference(make_record(), None).value)


def test_a_disturbed_reference_and_other_classes_are_told() -> None:
    alone = ReferenceRecord(network="baseline", own_process=False, alone_s=((0.010,),) * 6)
    quiet = make_record("stride2", reference_s=((0.0101,),) * 6)
    disturbed = make_record("stride2", reference_s=((0.012,),) * 6, baseline_s=((0.01, 0.01),) * 6)
    told = [
        [text for text in cautions(record.model_copy(update={"reference": alone})) if "reference" in text]
        for record in (quiet, disturbed)
    ]
    assert told[0] == []
    assert told[1] == [
        "The reference took 1.20 times as long between steps of unfused as alone (95%: 1.20 to 1.20): "
        "one disturbed the other, or the machine changed meanwhile"
    ]
    apart = AgreementRecord(images=1000, max_abs=1.0, argmax_share=0.99)
    (text,) = (text for text in cautions(quiet.model_copy(update={"agreement": apart})) if "class" in text)
    assert text == "1.00% of the images get another class than in the reference runtime"
    int8 = quiet.model_copy(update={"agreement": apart, "precision": "int8"})
    assert not [text for text in cautions(int8) if "class" in text]


class Absent(Runtime):
    name = "absent"
    loads = "tensorflow"
    needs = ("no_such_module", "numpy", "no.such.package")
    extra = "absent"

    def open(self, network: Any, images: Any) -> Session:
        raise NotImplementedError


def test_a_runtime_that_is_not_installed_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Entry:
        value = "tests:Absent"

        def load(self) -> type[Runtime]:
            return Absent

    monkeypatch.setattr(contract, "runtime_entry", lambda name: Entry())
    with pytest.raises(MeasureError) as caught:
        contract.find_runtime("absent")
    assert str(caught.value) == (
        "Runtime absent: no_such_module and no.such.package are not installed. Install: pip install 'cnnprof[absent]'"
    )
