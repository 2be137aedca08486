"""Where a project's folders are: the one around the working directory, or the one named."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from ..base.errors import CnnprofError
from .store import Store


@dataclass(frozen=True)
class Project:
    """A folder with ``params/``, ``notebooks/`` and ``outputs/``, or any with those that cnnprof brings along.

    Attributes:
        root: The folder.
        outputs: Where results go.
        brought: Where ``params/`` and ``notebooks/`` are instead, if not in the folder.
    """

    root: Path
    outputs: Path
    brought: Path | None = None

    @property
    def params(self) -> Path:
        """The folder of parameter files."""
        return (self.brought or self.root) / "params"

    @property
    def notebooks(self) -> Path:
        """The folder of notebooks."""
        return (self.brought or self.root) / "notebooks"

    @property
    def store(self) -> Store:
        """What was measured and trained."""
        return Store(self.outputs)

    def commit(self) -> str | None:
        """The Git commit of the project, with ``+changes`` where files differ from it; None outside Git."""
        head = self._git("rev-parse", "HEAD")
        if head is None:
            return None
        changed = self._git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!outputs")
        return f"{head}+changes" if changed else head

    def _git(self, *arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", *arguments], cwd=self.root, capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None


def find_project(outputs: str | Path = "") -> Project:
    """Finds the project in the working directory or the nearest folder above it; without one that directory is it.

    Args:
        outputs: Another folder for what is measured; empty for the project's own.

    Raises:
        CnnprofError: no folder there has ``params/`` and ``notebooks/``, and cnnprof was installed without its own.
    """
    start = Path.cwd()
    for folder in (start, *start.parents):
        if _is_whole(folder):
            root = Path(os.path.relpath(folder))  # short in messages: params/wide.yaml
            return Project(root, Path(outputs) if outputs else root / "outputs")
    brought = brought_along()
    if brought is None:
        raise CnnprofError(
            f"{start}: neither it nor a folder above it has params/ and notebooks/, and cnnprof was installed without "
            "its own. Go to a cnnprof project, or install cnnprof again."
        )
    return Project(Path(), Path(outputs or "outputs"), brought)


def brought_along() -> Path | None:
    """The folder of the ``params/`` and ``notebooks/`` that cnnprof was installed with; None where it has none."""
    places = (Path(__file__).resolve().parents[2], Path(sysconfig.get_path("data")) / "share" / "cnnprof")
    return next(filter(_is_whole, places), None)


def _is_whole(folder: Path) -> bool:
    return (folder / "params").is_dir() and (folder / "notebooks").is_dir()
