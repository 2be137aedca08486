"""Makes a search: short trainings of its candidates, then full ones of the best. What is stored is not made again."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..base.errors import CnnprofError, MeasureError, StoreError, TrainingError
from ..base.files import write_atomically
from ..params.settings import RecipeSpec
from ..params.variant import VariantSpec
from ..params.writing import variant_yaml
from ..records.project import Project
from ..records.search import CandidateRecord
from ..records.store import Store
from ..records.training import HistoryRow, TrainingRecord, TrialRecord
from .search_plan import SearchPlan, costed

if TYPE_CHECKING:
    from ..measure.images.cache import DataSet

_Made = TypeVar("_Made", TrialRecord, TrainingRecord)
_OnRow = Callable[[HistoryRow], None]
OnHistory = Callable[[VariantSpec, RecipeSpec, HistoryRow], None]
OnEnded = Callable[[VariantSpec, TrialRecord | TrainingRecord | CnnprofError], None]


def check_data(plan: SearchPlan, data: DataSet, project: Project) -> None:
    """Refuses images that the networks do not take, or on which others of the search were not tried.

    Raises:
        VariantError: they have another size, or other classes.
        StoreError: there are trials on others.
    """
    from ..measure.images import fit

    spec = plan.record.spec
    for candidate in plan.candidates:
        if candidate.picked:
            fit.check_images(data, candidate.variant, project.params)
        else:  # which has the input and the classes that the file of the search says
            variant = candidate.variant.model_copy(update={"name": spec.name})
            fit.check_images(data, variant, project.params / "searches")
        if candidate.trial and candidate.trial.dataset_sha256 != data.sha256:
            raise StoreError(
                f"{project.store.search_dir(spec.name)}: holds networks tried on {candidate.trial.dataset}. "
                f"Received: {data.name}, other images. Name the same, or move the folder aside to begin anew."
            )


def store_plan(plan: SearchPlan, store: Store) -> None:
    """Stores a search and its candidates, tried or not, with what is predicted of them by now."""
    for candidate in plan.candidates:
        store.write_candidate(plan.record.spec.name, candidate)
    store.write_search(plan.record)


def make_search(
    plan: SearchPlan, data: DataSet, store: Store, on_row: OnHistory, on_end: OnEnded
) -> list[CnnprofError]:
    """Tries what was not tried, then trains the finalists that are not trained. TensorFlow must be set up for it.

    Args:
        plan: What to do.
        data: The images.
        store: Where results go.
        on_row: Told of each new row of a training's history.
        on_end: Told how each training ended.

    Returns:
        What went wrong with single networks.

    Raises:
        StoreError: something cannot be written.
        TrainingError: no candidate could be trained.
    """
    from ..measure.training.train import train, try_out

    failed: list[CnnprofError] = []

    def attempt(variant: VariantSpec, recipe: RecipeSpec, make: Callable[[_OnRow], _Made]) -> _Made | None:
        try:
            made = make(lambda row: on_row(variant, recipe, row))
        except (TrainingError, MeasureError) as error:  # of one network, which holds up no other
            failed.append(error)
            on_end(variant, error)
            return None
        on_end(variant, made)
        return made

    proxy, recipe = plan.proxy, plan.record.recipe
    tried: list[CandidateRecord] = []
    for candidate in plan.candidates:
        variant = candidate.variant
        if candidate.trial is None:
            trial = attempt(variant, proxy, partial(try_out, variant, proxy, data, store))
            candidate = candidate.model_copy(update={"trial": trial})
            store.write_candidate(plan.record.spec.name, candidate)
        tried += [candidate] if candidate.trial else []
    for finalist in _finalists(plan, tried, store):
        variant = finalist.variant
        if store.training_by(variant, recipe) is None:
            is_first = store.read_training(variant.name) is None
            attempt(variant, recipe, partial(train, variant, recipe, data, store, reference=is_first))
    return failed


def _finalists(plan: SearchPlan, tried: list[CandidateRecord], store: Store) -> list[CandidateRecord]:
    """Chooses the finalists among the candidates that were tried, and stores the choice.

    Raises:
        TrainingError: there is none.
    """
    if all(candidate.picked for candidate in tried):
        raise TrainingError(
            f"{plan.record.spec.name}: no candidate could be trained by {plan.proxy.name}. Change the recipe."
        )
    record = costed(replace(plan, candidates=tuple(tried)), store).record
    store.write_search(record)
    by_key = {candidate.key: candidate for candidate in tried}
    return [by_key[key] for key in record.finalists]


def keep_finalists(search: str, project: Project) -> list[Path]:
    """Writes the finalists of a stored search as variants into ``params/``, and returns their files.

    Raises:
        CnnprofError: a file of the name is there and holds something else.
    """
    record, stored = project.store.read_search(search), project.store.candidates(search)
    paths = []
    for finalist in (stored[key] for key in record.finalists) if record else ():
        name = finalist.variant.name
        path = project.params / f"{name}.yaml"
        text = variant_yaml(finalist.variant, f"Found by cnnprof search {search}.")
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise CnnprofError(f"{path}: is there already, and not as the search would write it. Move it aside.")
        write_atomically(path, text)
        paths.append(path)
    return paths


def draw_tried(search: str, project: Project) -> Path:
    """Draws what a search tried and returns the file."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    from ..analysis.searches.shown import tried_figure
    from ..page import style
    from .study import Study

    study = Study(project.store)
    rows, record = study.tried(), project.store.read_search(search)
    with matplotlib.rc_context():
        style.use_style()
        figure, ax = plt.subplots(figsize=(9, 4.5))
        tried_figure(rows[rows["search"] == search], record.spec.target_ratio if record else 1.0, ax=ax)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", bbox_inches="tight")
        plt.close(figure)
    return project.store.write_tried_figure(search, buffer.getvalue())
