"""Readers of the places CIFAR-10 comes from: the official archive or its folder, a folder or zip of images.

Nothing is unpickled and nothing is unpacked to disk: archives are read as streams of bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..errors import DataError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32  # pixels, height and width of every image
TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE = "test_batch.bin"
NAMES_FILE = "batches.meta.txt"
OFFICIAL_FILES = (*TRAIN_FILES, TEST_FILE, NAMES_FILE)
RECORD_BYTES = 1 + 3 * SIDE * SIDE  # a label, then the red, green and blue plane, each row by row
SPLITS = ("train", "test")
SUFFIXES = (".png", ".jpg", ".jpeg")
CHUNK = 500  # images that one thread decodes at a time
TOLD_EVERY = 5000  # images between two lines of progress
AGAIN = "Download the archive again."
RECOGNISED = (
    "Give cifar-10-binary.tar.gz, the folder unpacked from it, "
    "or a folder or .zip of train/<class>/ and test/<class>/ with .png or .jpg images."
)

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int32]
Progress = Callable[[str], None]
Kind = Literal["official archive", "official folder", "folder of images", "zip of images"]


@dataclass(frozen=True, eq=False)
class DataSet:
    """Training and test images of ten classes, in the order of their source.

    Attributes:
        name: "CIFAR-10" for the official files, "CIFAR-10 (JPEG copy)" or "CIFAR-10 (PNG copy)" for its 60,000
            images as such files, else the name of the folder or archive.
        sha256: For an archive, the hash of its bytes. For a folder, the hash of the sorted names, sizes and
            modification times (ns) of its files: it tells folders apart but does not stand for their pixels.
        classes: Ten names; a label is an index into them.
        train_images: uint8 of shape `(n, 32, 32, 3)`, RGB.
        train_labels: int32 of shape `(n,)`, 0 to 9.
        test_images: As `train_images`.
        test_labels: As `train_labels`.
    """

    name: str
    sha256: str
    classes: tuple[str, ...]
    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels


@dataclass(frozen=True)
class Source:
    """A place that images can be read from.

    Attributes:
        kind: What it was recognised as.
        path: The file or folder as it was named.
        root: The file itself, or the folder that holds the .bin files or `train/` and `test/`.
    """

    kind: Kind
    path: Path
    root: Path


def recognise(path: Path) -> Source:
    """Tells by names alone, without reading an image, what kind of source a path is.

    Raises:
        DataError: If nothing is there, or nothing that is recognised.
    """
    path = path.expanduser()
    with _reading(path):
        if path.is_file():
            if path.name.lower().endswith((".tar.gz", ".tgz")):
                return Source("official archive", path, path)
            if path.name.lower().endswith(".zip"):
                return Source("zip of images", path, path)
            raise DataError(f"{path}: not recognised. Received: a file that is no .tar.gz or .zip. {RECOGNISED}")
        if not path.is_dir():
            raise DataError(f"{path}: no such file or folder. {RECOGNISED}")
        inner = [entry for entry in path.iterdir() if entry.is_dir() and _is_plain(entry.name)]
        for root in (path, path / "cifar-10-batches-bin", *(inner if len(inner) == 1 else ())):
            if any((root / name).is_file() for name in (*TRAIN_FILES, TEST_FILE)):
                return Source("official folder", path, root)
            if any((root / split).is_dir() for split in SPLITS):
                return Source("folder of images", path, root)
    raise DataError(f"{path}: not recognised. Received: a folder without .bin files, train/ or test/. {RECOGNISED}")


def fingerprint(source: Source) -> str:
    """A text that changes when the source does, cheap enough for every start: no file's content is read."""
    with _reading(source.path):
        facts = source.root.stat()
        mark = f"{facts.st_size} {facts.st_mtime_ns}" if source.root.is_file() else _sha256(source)
        return f"{source.path.resolve()} {mark}"


def decode(source: Source, progress: Progress) -> DataSet:
    """Reads all images of a source into memory (184 MB for CIFAR-10).

    Raises:
        DataError: If the source cannot be read, is incomplete or damaged, or holds images of another kind.
    """
    with _reading(source.path):
        if source.kind == "official archive":
            return _decode_records(source, _unpack(source, progress))
        if source.kind == "official folder":
            files = {name: (source.root / name).read_bytes() for name in _names(source)}
            return _decode_records(source, files)
        if source.kind == "folder of images":
            return _decode_tree(source, _names(source), lambda name: (source.root / name).read_bytes(), progress)
        try:
            archive = zipfile.ZipFile(source.root)
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise _damaged(source) from error
        with archive:
            return _decode_tree(source, archive.namelist(), archive.read, progress)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{path}: cannot be read. Received: {reason}. Check the path and its permissions.") from error


def _damaged(source: Source) -> DataError:
    size = source.root.stat().st_size
    return DataError(f"{source.path}: truncated or damaged. Received: {size:,} bytes that do not unpack. Get it again.")


def _is_plain(name: str) -> bool:
    return not name.startswith((".", "__MACOSX"))  # those are an operating system's own


def _is_image(name: str) -> bool:
    return _is_plain(name) and name.lower().endswith(SUFFIXES)


def _names(source: Source) -> list[str]:
    """Names of the files of a folder that count, relative to its root, sorted."""
    if source.kind == "official folder":
        return sorted(name for name in OFFICIAL_FILES if (source.root / name).is_file())
    folders = [folder for split in SPLITS for folder in source.root.glob(f"{split}/*") if folder.is_dir()]
    files = [(folder, file) for folder in folders for file in os.listdir(folder) if _is_image(file)]
    return sorted(f"{folder.parent.name}/{folder.name}/{file}" for folder, file in files)


def _sha256(source: Source) -> str:
    if source.root.is_file():
        import pooch

        return str(pooch.file_hash(str(source.root), alg="sha256"))
    digest = hashlib.sha256()
    for name in _names(source):
        facts = os.stat(f"{source.root}/{name}")
        digest.update(f"{name}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _own_name(source: Source) -> str:
    """The name of the folder, or of the file without its suffix."""
    name = source.path.resolve().name
    suffixes = (".tar.gz", ".tgz", ".zip") if source.root.is_file() else ()
    return next((name[: -len(suffix)] for suffix in suffixes if name.lower().endswith(suffix)), name)


def _unpack(source: Source, progress: Progress) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    try:
        with gzip.open(source.root) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                content = archive.extractfile(member) if member.isfile() and name in OFFICIAL_FILES else None
                if content is not None:
                    progress(f"Reading {name}")
                    files[name] = content.read()
            while stream.read(1 << 20):  # to the end, where gzip compares its checksum
                pass
    except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError) as error:
        raise _damaged(source) from error
    return files


def _decode_records(source: Source, files: dict[str, bytes]) -> DataSet:
    missing = [name for name in (*TRAIN_FILES, TEST_FILE) if name not in files]
    if missing:
        raise DataError(
            f"{source.path}: must hold {TRAIN_FILES[0]} to {TRAIN_FILES[-1]} and {TEST_FILE}. "
            f"Received: no {', '.join(missing)}. Give the whole binary version, cifar-10-binary.tar.gz."
        )
    classes = tuple(files.get(NAMES_FILE, " ".join(CLASSES).encode()).decode("utf-8", "replace").split())
    if len(classes) != len(CLASSES):
        raise DataError(f"{NAMES_FILE}: must hold 10 class names. Received: {len(classes)}. {AGAIN}")
    train = [_split_records(name, files[name]) for name in TRAIN_FILES]
    test_images, test_labels = _split_records(TEST_FILE, files[TEST_FILE])
    images, labels = (np.concatenate(parts) for parts in zip(*train, strict=True))
    is_whole = (len(images), len(test_images)) == (50_000, 10_000)
    name = "CIFAR-10" if is_whole else _own_name(source)
    return DataSet(name, _sha256(source), classes, images, labels, test_images, test_labels)


def _split_records(name: str, content: bytes) -> tuple[Images, Labels]:
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


def _decode_tree(source: Source, names: Iterable[str], read: Callable[[str], bytes], progress: Progress) -> DataSet:
    """Decodes images named `[top/]train/<class>/<file>`; labels follow the sorted class names."""
    tree: dict[str, dict[str, list[str]]] = {split: {} for split in SPLITS}
    tops = set()
    for name in sorted(set(names)):
        parts = name.split("/")
        if len(parts) in (3, 4) and parts[-3] in SPLITS and _is_image(parts[-1]) and all(map(_is_plain, parts)):
            tops.add("/".join(parts[:-2]))
            tree[parts[-3]].setdefault(parts[-2], []).append(name)
    classes = _check_tree(source, tree, tops)
    files = {split: [name for folder in classes for name in tree[split][folder]] for split in SPLITS}
    images = {split: _decode_images(source, files[split], read, split, progress) for split in SPLITS}
    counts = {split: [len(tree[split][folder]) for folder in classes] for split in SPLITS}
    labels = {split: np.repeat(np.arange(len(classes), dtype=np.int32), counts[split]) for split in SPLITS}
    name = _own_name(source)
    if classes == CLASSES and (len(files["train"]), len(files["test"])) == (50_000, 10_000):
        suffixes = {Path(file).suffix.lower() for split in SPLITS for file in files[split]}
        name = "CIFAR-10 (PNG copy)" if suffixes == {".png"} else name
        name = "CIFAR-10 (JPEG copy)" if suffixes <= {".jpg", ".jpeg"} else name
    return DataSet(name, _sha256(source), classes, images["train"], labels["train"], images["test"], labels["test"])


def _check_tree(source: Source, tree: dict[str, dict[str, list[str]]], tops: set[str]) -> tuple[str, ...]:
    """Returns the ten class names, sorted, once train and test are known to hold the same."""
    for split in SPLITS:
        if not tree[split]:
            raise DataError(f"{source.path}: no images found in {split}/<class>/. {RECOGNISED}")
    if len({top.rpartition("/")[0] for top in tops}) > 1:
        places = ", ".join(f"{top}/" for top in sorted(tops))
        raise DataError(f"{source.path}: must hold one train/ beside one test/. Received: {places}. {RECOGNISED}")
    train, test = sorted(tree["train"]), sorted(tree["test"])
    if train != test or len(train) != len(CLASSES):
        odd = ", ".join(sorted(set(train) ^ set(test))[:3]) or "none"
        raise DataError(
            f"{source.path}: must hold the same 10 classes in train/ and test/. Received: {len(train)} and "
            f"{len(test)}, in one of them only: {odd}. Give ten folders of images in each."
        )
    return tuple(train)


def _decode_images(
    source: Source, names: list[str], read: Callable[[str], bytes], split: str, progress: Progress
) -> Images:
    images = np.empty((len(names), SIDE, SIDE, 3), np.uint8)

    def decode_chunk(start: int) -> int:
        stop = min(start + CHUNK, len(names))
        for index in range(start, stop):
            images[index] = _decode_image(source, names[index], read)
        return stop

    with ThreadPool(os.cpu_count()) as pool:  # one thread decodes while another waits for the disk
        for done in pool.imap(decode_chunk, range(0, len(names), CHUNK)):
            if done % TOLD_EVERY == 0 or done == len(names):
                progress(f"Decoding {split} images: {done:,} of {len(names):,}")
    return images


def _decode_image(source: Source, name: str, read: Callable[[str], bytes]) -> Images:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(read(name)), formats=("JPEG", "PNG")) as image:
            size = image.size
            if size == (SIDE, SIDE):  # before the pixels are decoded: a wrong image may be huge
                pixels = image if image.mode == "RGB" else image.convert("RGB")
                return np.frombuffer(pixels.tobytes(), np.uint8).reshape(SIDE, SIDE, 3)  # faster than np.asarray
    except Exception as error:  # damaged bytes make zipfile and Pillow raise a dozen kinds of errors
        reason = type(error).__name__
        raise DataError(f"{name} in {source.path}: cannot be decoded. Received: {reason}. Get it again.") from error
    raise DataError(f"{name} in {source.path}: must be 32x32 pixels. Received: {size[0]}x{size[1]}. Remove it.")
