"""The baseline against itself: what is called a difference where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnprof_lib.analysis.check import resolution, resolutions
from cnnprof_lib.store import Store
from tests.builders import make_check, make_machine, make_record


def test_rounds_that_are_all_alike_tell_everything_apart() -> None:
    found = resolution(make_check(1.0, 1.0, 1.0))
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


def test_a_check_counts_on_its_own_machine_only(tmp_path: Path) -> None:
    store = Store(tmp_path)
    runs = [make_record("baseline", runtime) for runtime in ("unfused", "stock")]
    assert resolutions(store, runs) == {}
    check = make_check(1.0, 1.02, 0.98)
    store.write_check(check)
    assert resolutions(store, runs) == {"stock": resolution(check)}
    moved = make_record("stride2", "stock", machine=make_machine("stock", cpu="Another CPU"))
    assert resolutions(store, [*runs, moved]) == {}


def test_the_outcome_in_a_clause() -> None:
    assert (
        str(resolution(make_check(1.02, 1.02, 1.02))) == "two copies of the baseline differ by a ratio of up to 1.020"
    )
