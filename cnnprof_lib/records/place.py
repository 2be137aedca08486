"""A folder of results, and what becomes of a result that finds no room there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..base.errors import StoreError
from ..base.files import writing


class Place:
    """One ``outputs/`` folder."""

    def __init__(self, outputs: Path) -> None:
        self.outputs = outputs

    def _keep(self, path: Path, write: Callable[[Path], None]) -> Path:
        """Has a result written that took time to get; where its place cannot be written, into a folder of its own.

        Args:
            path: A place below ``outputs``.
            write: Writes it there or elsewhere; raises `StoreError` where it cannot.

        Returns:
            The path.

        Raises:
            StoreError: it could not be written; the message says where it is kept, if anywhere.
        """
        try:
            write(path)
        except StoreError as error:
            rescue = Path(tempfile.mkdtemp(prefix="cnnprof-"))
            try:
                write(rescue / path.relative_to(self.outputs))
            except StoreError:
                shutil.rmtree(rescue, ignore_errors=True)
                raise error from None
            kept = f"What was measured is kept: copy {rescue}/ to {self.outputs}/, or read it with --outputs {rescue}"
            with writing(path, kept):
                raise error.__cause__ or error from None
        return path
