"""Private names of TensorFlow and Keras: found as they are, and one line where a version has them no more."""

from __future__ import annotations

import keras
import pytest

from cnnprof_lib.base.errors import MeasureError
from cnnprof_lib.measure import private


def test_a_name_that_is_gone_is_one_line() -> None:
    for owner, where in (
        ("tensorflow.python.no_such_module", None),
        (keras.Sequential(), "keras.src.models.sequential"),
    ):
        with pytest.raises(MeasureError) as caught:
            private.private(owner, "_no_such_name")
        assert str(caught.value) == (
            f"{where or owner}: has no `_no_such_name`, which cnnprof needs and these versions do not promise. "
            "Install versions known to work: pip install tensorflow==2.21.* keras==3.15.*"
        )


def test_nothing_else_names_what_is_private() -> None:
    from tests.builders import PARAMS

    measure = PARAMS.parent / "cnnprof_lib" / "measure"
    names = ("tensorflow.python", "_run_through_graph", "_make_callable", "keras.src")
    found = {
        str(path.relative_to(measure)): name
        for path in measure.rglob("*.py")
        for name in names
        if name in path.read_text(encoding="utf-8") and path.name != "private.py"
    }
    assert found == {}
