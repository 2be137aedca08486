"""The official release of CIFAR-10, binary version: its files, and how to tell it from another set in its form.

Source: https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...base.errors import DataError

ARCHIVE_NAME = "cifar-10-binary.tar.gz"
ARCHIVE_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32  # pixels, height and width of every image
TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE = "test_batch.bin"
NAMES_FILE = "batches.meta.txt"
FILES = (*TRAIN_FILES, TEST_FILE, NAMES_FILE)
RECORD_BYTES = 1 + 3 * SIDE * SIDE  # a label, then the red, green and blue plane, each row by row
COUNTS = {"train": 50_000, "test": 10_000}
CHANNEL_SUMS = {
    "train": (6_415_714_204, 6_295_060_180, 5_829_907_619),
    "test": (1_290_492_328, 1_266_775_083, 1_176_108_223),
}
"""Of all red, green and blue values: the published channel means of both parts times their numbers of pixels."""
MAX_IMAGES = 500_000  # that any source may hold: eight times CIFAR-10, 1.5 GB of pixels
MAX_BYTES = MAX_IMAGES * RECORD_BYTES
SLACK_BYTES = 1 << 20  # that an archive may spend on the headers of one file
AGAIN = "Download the archive again."

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int32]
Part = tuple[Images, Labels]
"""A split's: uint8 of shape ``(n, rows, columns, 3)``, and ``(n,)``."""


def too_large(path: Path) -> DataError:
    """What refuses a source before it fills the memory."""
    return DataError(
        f"{path}: must hold at most {MAX_IMAGES:,} images, {MAX_BYTES:,} bytes. Received: more. Give a smaller set."
    )


def unpack(path: Path, progress: Callable[[str], None]) -> dict[str, bytes]:
    """The official files of a ``.tar.gz``, by name.

    Raises:
        DataError: It unpacks to more than a data set may hold; no more than that is read.
        EOFError, OSError, tarfile.TarError, zlib.error: It is truncated or damaged.
    """
    files: dict[str, bytes] = {}
    total = 0
    with _Bounded(path) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
        for member in archive:
            total += member.size + SLACK_BYTES
            if total > MAX_BYTES:
                raise too_large(path)
            name = member.name.rpartition("/")[2]
            content = archive.extractfile(member) if member.isfile() and name in FILES else None
            if content is not None:
                progress(f"Reading {name}")
                files[name] = b"".join(iter(partial(content.read, SLACK_BYTES), b""))
        if len(stream.read(SLACK_BYTES)) == SLACK_BYTES:  # to the end, where gzip compares its checksum
            raise too_large(path)
    return files


class _Bounded(gzip.GzipFile):
    """Refuses to unpack more than `SLACK_BYTES` at once: tarfile reads headers of any size whole."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= SLACK_BYTES:
            raise too_large(Path(self.name))
        return super().read(size)


def decode(path: Path, files: dict[str, bytes]) -> tuple[tuple[str, ...], Part, Part]:
    """The names of the classes, the training images and the test images.

    Raises:
        DataError: Files are missing, cut short or hold a label that is not 0 to 9.
    """
    missing = [name for name in (*TRAIN_FILES, TEST_FILE) if name not in files]
    if missing:
        raise DataError(
            f"{path}: must hold {TRAIN_FILES[0]} to {TRAIN_FILES[-1]} and {TEST_FILE}. "
            f"Received: no {', '.join(missing)}. Give the whole binary version, {ARCHIVE_NAME}."
        )
    classes = tuple(files[NAMES_FILE].decode("utf-8", "replace").split()) if NAMES_FILE in files else CLASSES
    if len(classes) != len(CLASSES):
        raise DataError(f"{NAMES_FILE}: must hold 10 class names. Received: {len(classes)}. {AGAIN}")
    images, labels = zip(*(_split(name, files[name]) for name in TRAIN_FILES), strict=True)
    return classes, (np.concatenate(images), np.concatenate(labels)), _split(TEST_FILE, files[TEST_FILE])


def _split(name: str, content: bytes) -> Part:
    """The images and labels of one of the files."""
    if not content or len(content) % RECORD_BYTES:
        raise DataError(
            f"{name}: must hold whole records of {RECORD_BYTES:,} bytes. Received: {len(content):,} bytes. {AGAIN}"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD_BYTES)
    labels = records[:, 0].astype(np.int32)
    wrong = np.flatnonzero(labels >= len(CLASSES))
    if wrong.size:
        raise DataError(f"{name}: label must be 0 to 9. Received: {labels[wrong[0]]} at record {wrong[0]}. {AGAIN}")
    return records[:, 1:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1), labels


def has_its_pixels(split: str, images: Images, labels: Labels) -> bool:
    """Whether images may be the release's: as many of each class, and the same sum of every channel.

    The release publishes a checksum of its archive, none of the files in it. This one holds for them however they
    were unpacked; a changed value shows, two values exchanged do not.
    """
    each = COUNTS[split] // len(CLASSES)
    if np.bincount(labels, minlength=len(CLASSES)).tolist() != [each] * len(CLASSES):
        return False
    return tuple(int(images[..., channel].sum(dtype=np.int64)) for channel in range(3)) == CHANNEL_SUMS[split]


def class_positions(classes: tuple[str, ...], wanted: tuple[str, ...]) -> Labels | None:
    """Where each of ``classes`` stands among those ``wanted``; None where they are not the same classes.

    Capitals make no difference. Ten classes called 0 to 9 are those of CIFAR-10 in the release's order.
    """
    names, places = _plain(classes), _plain(wanted)
    if len(set(places)) < len(places) or sorted(names) != sorted(places):
        return None
    return np.array([places.index(name) for name in names], np.int32)


def _plain(classes: tuple[str, ...]) -> list[str]:
    names = [name.casefold() for name in classes]
    return [CLASSES[int(name)] for name in names] if sorted(names) == sorted("0123456789") else names
