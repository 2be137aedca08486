"""Trains in a process of its own, so that the memory and the runtime of the one that measures stay as they were."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from ..errors import TrainingError
from ..params import load_recipe, load_variant
from ..project import Project
from ..settings import RunRequest
from . import runtime as runtimes


def train_first(request: RunRequest, project: Project) -> bool:
    """Trains reference weights if the request asks for it, and says whether it did.

    Raises:
        CnnprofError: see `train.train`.
    """
    missing = project.store.read_training(request.variant) is None
    if request.train == "never" or (request.train == "if missing" and not missing):
        return False
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        pool.submit(_train, request, project).result()
    return True


def _train(request: RunRequest, project: Project) -> None:
    """The process: TensorFlow is loaded only once its runtime is chosen."""
    runtimes.set_up("stock")
    runtimes.load_tensorflow()
    from .prepare import load_dataset
    from .train import train

    dataset = load_dataset(request.source)
    if dataset is None:
        raise TrainingError(
            f"{request.variant}: training needs images. Received: none. Name them with --data PATH or CNNPROF_DATA."
        )
    variant = load_variant(request.variant, project.params)
    train(variant, load_recipe(request.recipe, project.params), dataset, project.store)
