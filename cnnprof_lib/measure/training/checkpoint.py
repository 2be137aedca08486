"""Where a training stands, on disk: whole or not there, and for one process at a time."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tensorflow as tf

from ...base.errors import TrainingError
from ...base.files import write_atomically
from ...params.settings import RecipeSpec
from ...params.variant import VariantSpec
from ...records.training import HistoryRow


@dataclass
class Progress:
    """Where a training stands, besides its variables."""

    step: int = 0
    seconds: float = 0.0
    """Spent in training steps and input, all resumed parts together."""
    history: list[HistoryRow] = field(default_factory=list)


class Checkpoint:
    """The file a training resumes from.

    Args:
        path: The file.
        identity: Names network, recipe, data set and teacher, see `identity`; only a checkpoint of the same is resumed.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self.path, self._identity = path, identity

    def save(self, progress: Progress, state: list[tf.Variable]) -> None:
        """Replaces the checkpoint.

        Raises:
            StoreError: it cannot be written; the older checkpoint stays.
        """
        arrays = {f"variable_{i}": variable.numpy() for i, variable in enumerate(state)}
        history = "\n".join(row.model_dump_json() for row in progress.history)
        buffer = io.BytesIO()
        np.savez(
            buffer, identity=self._identity, step=progress.step, seconds=progress.seconds, history=history, **arrays
        )
        write_atomically(self.path, buffer.getvalue())

    def restore(self, state: list[tf.Variable]) -> Progress:
        """Loads the checkpoint into ``state``; changes nothing where there is none.

        Raises:
            TrainingError: it is damaged, or belongs to another network, recipe, teacher or data set.
        """
        if not self.path.is_file():
            return Progress()
        try:
            with np.load(self.path, allow_pickle=False) as saved:
                content = {key: saved[key] for key in saved.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise TrainingError(f"{self.path}: cannot be read ({error}). Move it aside to start again.") from None
        if str(content["identity"]) != self._identity:
            raise TrainingError(
                f"{self.path}: belongs to another network, recipe, teacher or data set of the same name. "
                "Move it aside to start again."
            )
        for i, variable in enumerate(state):
            variable.assign(content[f"variable_{i}"])
        history = [HistoryRow.model_validate_json(line) for line in str(content["history"]).splitlines()]
        return Progress(int(content["step"]), float(content["seconds"]), history)

    def remove(self) -> None:
        """Removes the file of a training that is done."""
        self.path.unlink(missing_ok=True)

    def describe(self, step: int) -> str:
        """Names the file and its step, for messages; says so where there is none yet."""
        if not self.path.is_file():
            return "There is no checkpoint yet"
        return f"The last good checkpoint is {self.path}, of step {step}"


def identity(variant: VariantSpec, recipe: RecipeSpec, *sha256: str) -> str:
    """What a checkpoint must agree with to be resumed: network, recipe, and the SHA-256 of data set and teacher."""
    network = variant.model_dump_json(include={"input", "layers"})
    return "\n".join((network, recipe.model_dump_json(), *sha256))
