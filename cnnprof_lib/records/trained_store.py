"""Stores weights and how they came about, below ``outputs/reference/``; see `store` for all paths."""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.errors import StoreError
from ..base.files import new_folder, read_spec
from ..params.settings import RecipeSpec
from ..params.variant import VariantSpec
from .place import Place
from .training import TrainingRecord

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

WEIGHTS = "model.weights.h5"
OUTCOMES = "outcomes.npz"
TRAINING = "training.json"
TRAINED_FILES = (WEIGHTS, OUTCOMES, TRAINING)


class TrainedStore(Place):
    """Reference weights, those beside them, and trainings under way."""

    def reference_dir(self, variant: str) -> Path:
        """The folder of a variant's reference weights."""
        return self.outputs / "reference" / variant

    def weights_path(self, variant: str, key: str | None = None) -> Path:
        """The file of a variant's reference weights, or of those of a recipe's key, there or not."""
        return self._trained_dir(variant, key) / WEIGHTS

    def training_dir(self, variant: str, key: str) -> Path:
        """The folder of a training under way."""
        return self.outputs / "training" / variant / key

    def answers_path(self, teacher: str, key: str) -> Path:
        """The file of what a teacher answered to the batches that ``key`` stands for, there or not."""
        return self.outputs / "training" / teacher / f"answers-{key}.npy"

    def write_training(
        self,
        record: TrainingRecord,
        weights: bytes,
        predicted: npt.NDArray[np.int32],
        labels: npt.NDArray[np.int32],
        key: str | None = None,
    ) -> None:
        """Stores the results of a training; older ones stay whole unless all is written.

        Args:
            record: How the weights came about.
            weights: A ``.weights.h5`` file.
            predicted: The most probable class of every test image.
            labels: The right one.
            key: The recipe's key, to put the results beside the reference; None makes them the reference.
        """
        final = self._trained_dir(record.variant.name, key)
        with new_folder(final, TRAINED_FILES) as folder:
            (folder / WEIGHTS).write_bytes(weights)
            (folder / OUTCOMES).write_bytes(packed_outcomes(predicted, labels))
            (folder / TRAINING).write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")

    def read_training(self, variant: str, key: str | None = None) -> TrainingRecord | None:
        """How weights of a variant came about: the reference, or those of a recipe's key; None if there are none.

        Raises:
            StoreError: the record is damaged, or missing beside what belongs to it.
        """
        folder = self._trained_dir(variant, key)
        if not any((folder / name).exists() for name in TRAINED_FILES):
            return None
        return read_spec(TrainingRecord, folder / TRAINING, self.restore(variant, key))

    def training_by(self, variant: VariantSpec, recipe: RecipeSpec) -> TrainingRecord | None:
        """How weights of these layers came about by this very recipe, the reference or beside it; None without any.

        Raises:
            StoreError: a record is damaged, or missing beside what belongs to it.
        """
        for key in (None, recipe.key):
            record = self.read_training(variant.name, key)
            if record and record.settings == recipe and record.variant.layers == variant.layers:
                return record
        return None

    def restore(self, variant: str, key: str | None = None) -> str:
        """What to do where a file of a training is missing or damaged, and nothing that took hours may be lost."""
        folder = self._trained_dir(variant, key)
        return f"Restore it, for example from Git, or move {folder} aside and train again: cnnprof train {variant}"

    def trainings(self) -> list[TrainingRecord]:
        """All finished trainings: of each variant the reference, then those beside it."""
        found = []
        for place in self._trained():
            with contextlib.suppress(StoreError):  # `Store.unreadable` tells of it
                found.append(self.read_training(*place))
        return [record for record in found if record is not None]

    def _trained(self) -> list[tuple[str, str | None]]:
        """Where there are trainings, or parts of them."""
        return [(variant, key) for variant in self.trained_variants() for key in (None, *self.trained_keys(variant))]

    def trained_variants(self) -> list[str]:
        """Names of the variants that have reference weights, or parts of them."""
        return sorted(path.name for path in (self.outputs / "reference").glob("*") if path.is_dir())

    @staticmethod
    def training_beside(weights: Path) -> TrainingRecord | None:
        """How the weights of a file came about, where a training of this project wrote them."""
        path = weights.with_name(TRAINING)
        ours = weights.name == WEIGHTS and path.is_file()
        return read_spec(TrainingRecord, path, "Restore it, or move it aside") if ours else None

    def read_outcomes(self, variant: str, key: str | None = None) -> pd.DataFrame:
        """What the weights of `read_training` made of every test image, so that pairs of them can be compared.

        Returns:
            One row per test image in the data set's order: ``predicted`` and ``label``, classes as int32.

        Raises:
            StoreError: the file is missing or damaged.
        """
        return outcomes_in(self._trained_dir(variant, key), self.restore(variant, key))

    def outcomes_of(self, record: TrainingRecord) -> pd.DataFrame:
        """The outcomes that `read_outcomes` finds of one of the `trainings`."""
        name = record.variant.name
        beside = record.settings if record != self.read_training(name) else None
        return self.read_outcomes(name, beside.key if beside else None)

    def trained_keys(self, variant: str) -> list[str]:
        """The keys of all recipes whose results stand beside the reference."""
        found = (path for name in TRAINED_FILES for path in self.reference_dir(variant).glob(f"*/{name}"))
        return sorted({path.parent.name for path in found})

    def _trained_dir(self, variant: str, key: str | None) -> Path:
        return self.reference_dir(variant) / key if key else self.reference_dir(variant)

    def _trained_readings(self) -> Iterator[tuple[Path, Callable[[], object]]]:
        """All trainings that there are, with how to read each."""
        yield from ((self._trained_dir(*place), partial(self.read_training, *place)) for place in self._trained())


def outcomes_in(folder: Path, remedy: str) -> pd.DataFrame:
    """The outcomes stored in a folder, see `TrainedStore.read_outcomes`.

    Raises:
        StoreError: the file is missing or damaged; ``remedy`` says what to do.
    """
    import numpy as np
    import pandas as pd

    path = folder / OUTCOMES
    try:
        with np.load(path, allow_pickle=False) as saved:
            return pd.DataFrame({name: saved[name].astype(np.int32) for name in ("predicted", "label")})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        what = "cannot be read" if path.exists() else "is missing"
        raise StoreError(f"{path}: {what}. {remedy}") from error


def packed_outcomes(predicted: npt.NDArray[np.int32], labels: npt.NDArray[np.int32]) -> bytes:
    """Outcomes as a compressed ``.npz`` file; the same ones give the same bytes."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, predicted=predicted.astype(np.int32), label=labels.astype(np.int32))
    return buffer.getvalue()
