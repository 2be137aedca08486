"""Trains in a process of its own, so that the memory and the runtime of the one that measures stay as they were."""

from __future__ import annotations

from collections.abc import Callable

from ...base.errors import TrainingError
from ...base.processes import in_new_process
from ...params.reading import load_recipe, load_variant
from ...params.settings import RunRequest
from ...records.project import Project
from ...records.training import HistoryRow
from ..runtimes import environment as runtimes

OnText = Callable[[str], None]


def train_first(request: RunRequest, project: Project, on_text: OnText) -> bool:
    """Trains reference weights if the request asks for it, and says whether it did.

    Args:
        request: What is about to be run.
        project: Where parameters and weights are.
        on_text: Told how the training goes, a line at each checkpoint.

    Raises:
        CnnprofError: see `train.train`.
    """
    missing = project.store.read_training(request.variant) is None
    if request.train == "never" or (request.train == "if missing" and not missing):
        return False
    in_new_process(f"trains {request.variant}", _train, request, project, hear=on_text)
    return True


def _train(say: OnText, request: RunRequest, project: Project) -> None:
    """The process: TensorFlow is loaded only once its runtime is chosen."""
    runtimes.set_up("Training", runtimes.TRAINING)
    runtimes.load_tensorflow()
    from ..prepare import load_dataset
    from .train import train

    variant, recipe = load_variant(request.variant, project.params), load_recipe(request.recipe, project.params)
    dataset = load_dataset(request.source, project.params, variant)
    if dataset is None:
        raise TrainingError(
            f"{request.variant}: training needs images. Received: none. Name them with --data PATH or CNNPROF_DATA."
        )

    def tell(row: HistoryRow) -> None:
        say(f"{row.describe_rest(recipe)}: {row.describe()}")

    train(variant, recipe, dataset, project.store, tell)
