"""A sheet of test images that one network alone gets right, drawn from the user's own images to a file they name."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from ..analysis.accuracy.forgets import Forgotten
from ..analysis.accuracy.shown_forgets import contact_figure
from ..base.errors import DataError, ReportError
from ..base.files import write_atomically
from ..measure.images import cache
from ..measure.images.official import class_positions

_DPI = 150


def write_sheet(path: Path, found: Forgotten, source: Path | None) -> Path:
    """Draws the images that only the network before gets right.

    Args:
        path: A PNG file.
        found: The two networks.
        source: The images; None for those that CNNPROF_DATA names. Nothing is downloaded for it.

    Returns:
        The path.

    Raises:
        DataError: there are no images, or not those that the networks were scored on.
        ReportError: the path is not that of a PNG file.
        StoreError: it cannot be written.
    """
    if path.suffix.lower() != ".png":
        raise ReportError(f"{path}: `--images` must end in .png. Received: {path.suffix or 'no ending'}.")
    data = cache.load(source, download=False)
    positions = class_positions(data.classes, found.names) if found.names else None
    labels = data.test_labels if positions is None else positions[data.test_labels]
    if not np.array_equal(labels, found.outcomes["label"]):
        raise DataError(
            f"{data.name}: holds other test images than {found.after.name} ({found.after.run_id}) was scored on. "
            "Name those with --data."
        )
    figure = contact_figure(found, data.test_images)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    plt.close(figure)
    write_atomically(path, buffer.getvalue())
    return path
