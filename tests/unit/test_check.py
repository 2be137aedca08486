"""The baseline against itself: what is called a difference where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnnprof_lib.analysis.resolution import checked_by, reach, resolution
from cnnprof_lib.records.machine import PartRecord
from cnnprof_lib.records.store import Store
from tests.builders import make_check, make_machine, make_record, make_untraced


def test_rounds_that_are_all_alike_tell_everything_apart() -> None:
    found = resolution(make_check(*[1.0] * 19))
    assert found is not None
    assert (found.excluding, found.width, found.smallest_ratio) == (0, 0.0, 1.0)
    assert found.distinguishes(1.001)


def test_a_ratio_within_the_noise_is_not_told_apart_whichever_way_it_points() -> None:
    found = resolution(make_check(*[1.0] * 10, *[1.02] * 5, *[1 / 1.02] * 5))
    assert found.excluding == 10
    assert found.smallest_ratio == pytest.approx(1.02)
    assert not found.distinguishes(1.01)
    assert not found.distinguishes(0.99)
    assert found.distinguishes(1.03)
    assert found.distinguishes(0.97)


def test_noise_between_blocks_widens_the_intervals() -> None:
    quiet, loud = (resolution(make_check(*[1.0] * 20, noise=noise)) for noise in (0.001, 0.05))
    assert quiet.width < loud.width
    assert quiet.smallest_ratio < loud.smallest_ratio


def test_a_check_without_layers_says_nothing_of_runs_that_were_traced(tmp_path: Path) -> None:
    rounds = [pair.model_copy(update={"parts": ()}) for pair in make_check().rounds]
    store = Store(tmp_path)
    store.write_check(make_check().model_copy(update={"rounds": tuple(rounds)}))
    resolution_of = checked_by(store)
    assert resolution_of(make_record("stride2", "stock")) is None
    found = resolution_of(make_untraced("stride2", "stock"))
    assert (found.smallest_ratio, np.isnan(found.kernel_ratio), np.isnan(found.side_ratio)) == (1.0, True, True)


def test_a_check_of_too_few_rounds_says_nothing() -> None:
    assert resolution(make_check(*[1.0] * 18)) is None
    short = {"first_s": ((1.0,),) * 5, "second_s": ((1.0,),) * 5}
    rounds = [pair.model_copy(update=short) for pair in make_check().rounds]
    assert resolution(make_check().model_copy(update={"rounds": tuple(rounds)})) is None  # blocks without an interval


@pytest.mark.parametrize(("count", "place"), [(19, 19), (20, 20), (39, 38), (40, 39), (100, 96)])
def test_a_new_ratio_is_beyond_the_reach_in_one_case_of_twenty(count: int, place: int) -> None:
    """Of n + 1 equally likely places a new one is beyond the k-th in n + 1 - k cases."""
    ratios = [1 + 0.01 * i for i in range(1, count + 1)]
    assert reach(ratios[::-1]) == pytest.approx(ratios[place - 1])
    assert (count + 1 - place) / (count + 1) <= 0.05


def test_intervals_are_widened_by_what_the_check_shows_that_they_miss() -> None:
    """Rounds of no width are off by 2%: with that as much again 95% hold 1. Noise that blocks see adds nothing."""
    found = resolution(make_check(*[1.0] * 18, 1.02))
    assert found is not None
    assert (found.excluding, found.unseen_ratio) == (1, pytest.approx(1.02))
    rounds = make_check().rounds[:1] * 19
    blocks = tuple((1.02 + 0.02 * i,) for i in (-2, -1, 0, 0, 1, 2))  # a median of 1.02 from 0.98 to 1.06
    noisy = [pair.model_copy(update={"first_s": blocks, "second_s": ((1.0,),) * 6}) for pair in rounds]
    found = resolution(make_check().model_copy(update={"rounds": tuple(noisy)}))
    assert found is not None
    assert (found.excluding, found.unseen_ratio, found.smallest_ratio) == (0, 1.0, pytest.approx(1.02))


def test_layers_are_judged_apart_from_whole_steps_and_kernels_from_the_rest() -> None:
    check = make_check()
    pair = check.rounds[0]
    parts = (
        PartRecord(layer="conv1", op="Conv2D", first_s=1.02, second_s=1.0),
        PartRecord(layer="conv1", op="Relu", first_s=0.5, second_s=0.55),
        PartRecord(layer="", op="QueueDequeueManyV2", first_s=0.004, second_s=0.008),  # a few per mille of the step
    )
    found = resolution(check.model_copy(update={"rounds": (pair.model_copy(update={"parts": parts}),) * 19}))
    assert found is not None
    assert (found.smallest_ratio, found.kernel_ratio, found.side_ratio) == pytest.approx((1.0, 1.02, 1.1))


def test_each_machine_has_a_check_of_its_own(tmp_path: Path) -> None:
    """A machine of another processor, of other cores or another TensorFlow is another one; another host is not."""
    store = Store(tmp_path)
    here, unfused = make_record("baseline", "stock"), make_record("baseline", "unfused")
    assert checked_by(store)(here) is None
    elsewhere = make_machine("stock", cpu="Another CPU", host="far")
    checks = [make_check(*[1.0] * 17, 1.02, 0.98), make_check(*[1.0] * 17, 1.5, 0.7, machine=elsewhere)]
    assert len({store.write_check(check) for check in checks}) == 2
    moved = [make_record("stride2", "stock", machine=elsewhere.model_copy(update={"host": name})) for name in "ab"]
    found = [checked_by(store)(run) for run in (here, *moved)]
    assert found == [resolution(checks[0]), resolution(checks[1]), resolution(checks[1])]
    changes: list[dict[str, object]] = [{"logical_cores": 4}, {"tensorflow": "2.22.0"}, {"gpus": ("A100",)}]
    others = [make_record("stride2", "stock", machine=make_machine("stock", **change)) for change in changes]
    assert [checked_by(store)(run) for run in (unfused, *others)] == [None] * 4


def test_the_outcome_in_a_clause() -> None:
    assert str(resolution(make_check(*[1.02] * 19))) == "two copies of the baseline differ by a ratio of up to 1.020"
