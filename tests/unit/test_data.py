"""Finding, downloading, caching and feeding the images."""

from __future__ import annotations

import hashlib
import http.server
import os
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_sources import RECOGNISED, make_archive, make_folder, make_tree, make_zip, message_of

from cnnprof_lib.base.errors import StoreError
from cnnprof_lib.measure.images import cache as data
from cnnprof_lib.measure.images import official, sources

WHOLE_DATA = os.environ.get("CNNPROF_DATA")
WHOLE_CACHE = os.environ.get("CNNPROF_CACHE")


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads the user's images, writes into the user's cache or leaves this machine."""
    monkeypatch.delenv("CNNPROF_DATA", raising=False)
    monkeypatch.setenv("CNNPROF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(data, "ARCHIVE_URL", "http://127.0.0.1:9/cifar-10-binary.tar.gz")


def files_in(folder: Path) -> list[str]:
    """Every file and empty folder below."""
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() or not any(path.iterdir())
    )


def no_decoding(source: sources.Source, progress: sources.Progress) -> data.DataSet:
    raise AssertionError("decoded again")


def decoded(path: Path) -> Path | None:
    """The file of a source's decoded arrays, None where they have to be decoded."""
    file = data._file_of(sources.recognise(path))
    return file if data._open(file) else None


# Loading and the cache


def test_import_needs_no_tensorflow_pooch_or_pillow() -> None:
    loaded = "[m for m in ('tensorflow', 'pooch', 'PIL') if m in sys.modules]"
    code = f"import sys, cnnprof_lib.measure.images.cache; print({loaded})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_second_load_reads_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make_archive(tmp_path / "a.tar.gz")
    first = data.load(archive)
    monkeypatch.setattr(sources, "decode", no_decoding)
    second = data.load(archive)
    assert second.sha256 == first.sha256 == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert (second.name, second.classes) == ("a", official.CLASSES)
    for name in data.ARRAYS:
        array = getattr(second, name)
        assert np.array_equal(array, getattr(first, name))
        assert isinstance(array, np.memmap)
        assert not array.flags.writeable
    assert second.train_images.dtype == np.uint8
    assert second.test_labels.dtype == np.int32


def test_changed_source_is_decoded_again(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip")
    first = data.load(path)
    make_zip(path, make_tree(tuple("abcdefghij")))
    assert data.load(path).classes == tuple("abcdefghij")
    folder = make_folder(tmp_path / "b")
    before = data.load(folder)
    (folder / "train/cat/1.png").unlink()
    after = data.load(folder)
    assert (len(before.train_images), len(after.train_images)) == (20, 19)
    assert before.sha256 != after.sha256 != first.sha256


def test_notices_are_said_at_every_load(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", make_tree() | {"train/cat/notes.txt": b"x"})
    expected = f"{path}: left out 1 file: 1 without the suffix of an image (train/cat/notes.txt)."
    for _ in range(2):
        said: list[str] = []
        assert data.load(path, progress=said.append).notices == (expected,)
        assert said[-1] == expected


def test_hidden_files_do_not_count_as_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_folder(tmp_path / "a")
    before = data.load(folder).sha256
    (folder / "train/.DS_Store").write_bytes(b"x")
    (folder / "train/cat/._0.png").write_bytes(b"x")
    monkeypatch.setattr(sources, "decode", no_decoding)
    assert data.load(folder).sha256 == before


@pytest.mark.parametrize("name", [*data.ARRAYS, *data.TEXTS])
@pytest.mark.parametrize("damage", ["gone", "short", "empty", "garbled"])
def test_damaged_cache_is_rebuilt(tmp_path: Path, name: str, damage: str) -> None:
    """One part of it is damaged, in a file that reads as a zip."""
    archive = make_archive(tmp_path / "a.tar.gz")
    data.load(archive)
    file = decoded(archive)
    assert file is not None
    whole = file.read_bytes()
    with zipfile.ZipFile(file) as saved:
        parts = {part: saved.read(part) for part in saved.namelist()}
        at = saved.getinfo(f"{name}.npy").header_offset
    content = parts.pop(f"{name}.npy")
    if damage in ("short", "empty"):
        parts[f"{name}.npy"] = content[:-1] if damage == "short" else b""
    make_zip(file, parts)
    if damage == "garbled":
        file.write_bytes(whole[:at] + b"\xff" * 128 + whole[at + 128 :])
    assert decoded(archive) is None
    assert data.load(archive).train_labels.tolist() == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5]
    assert file.read_bytes() == whole


@pytest.mark.parametrize("size", [0, 1, 100, 2_000, -1_000, -1])
def test_cache_cut_short_is_rebuilt(tmp_path: Path, size: int) -> None:
    archive = make_archive(tmp_path / "a.tar.gz")
    data.load(archive)
    file = decoded(archive)
    assert file is not None
    whole = file.read_bytes()
    file.write_bytes(whole[:size])
    assert decoded(archive) is None
    assert data.load(archive).train_labels.tolist() == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5]
    assert file.read_bytes() == whole


@pytest.mark.parametrize("arrays", [{}, {"name": "a"}, {"train_images": np.zeros(1)}, {"name": np.array(None)}])
def test_cache_of_another_kind_is_rebuilt(tmp_path: Path, arrays: dict[str, Any]) -> None:
    archive = make_archive(tmp_path / "a.tar.gz")
    data.load(archive)
    file = decoded(archive)
    assert file is not None
    np.savez(file, **arrays)
    assert len(data.load(archive).train_images) == 10


def test_failed_decoding_leaves_nothing(tmp_path: Path) -> None:
    cut = make_archive(tmp_path / "cut.tar.gz")
    cut.write_bytes(cut.read_bytes()[:-20])
    wrong = make_zip(tmp_path / "wrong.zip", make_tree() | {"test/dog/0.png": b"no image"})
    for path in (cut, wrong, tmp_path / "none"):
        message_of(lambda path=path: data.load(path))
    assert files_in(tmp_path / "cache") == []


def test_interrupted_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make_archive(tmp_path / "a.tar.gz")
    save = np.savez

    def interrupted(path: Path, **arrays: np.ndarray) -> None:
        save(path, **arrays)
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", interrupted)
    with pytest.raises(KeyboardInterrupt):
        data.load(archive)
    assert files_in(tmp_path / "cache") == []


def test_killed_while_moving_into_place_counts_as_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make_archive(tmp_path / "a.tar.gz")

    def killed(old: Path, new: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", killed)
        data.load(archive)
    assert decoded(archive) is None
    assert len(data.load(archive).train_images) == 10


def test_leavings_of_a_killed_process_go_after_a_day(tmp_path: Path) -> None:
    old, young = tmp_path / "cache/.partial-old", tmp_path / "cache/.partial-young"
    for folder in (old, young):
        folder.mkdir(parents=True)
        (folder / "train_images.npy").write_bytes(b"x")
    os.utime(old, (0, 0))
    data.load(make_archive(tmp_path / "a.tar.gz"))
    assert (old.exists(), young.exists()) == (False, True)


def test_two_processes_at_once(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "a.tar.gz")
    code = (
        "import sys, pathlib, cnnprof_lib.measure.images.cache as d\n"
        "print(flush=True); sys.stdin.readline()\n"
        "print(d.load(pathlib.Path(sys.argv[1])).train_labels.sum())"
    )
    command = [sys.executable, "-c", code, str(archive)]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()  # it has imported everything
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate()[0] for process in processes] == ["25\n", "25\n"]
    assert [process.returncode for process in processes] == [0, 0]
    assert len(files_in(tmp_path / "cache")) == 1


def test_other_process_finishing_first_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make_archive(tmp_path / "a.tar.gz")
    decode = sources.decode

    def slow_decode(source: sources.Source, progress: sources.Progress) -> data.DataSet:
        decoded = decode(source, progress)
        monkeypatch.setattr(sources, "decode", decode)
        data.load(archive)  # the other process
        return decoded

    monkeypatch.setattr(sources, "decode", slow_decode)
    assert len(data.load(archive).train_images) == 10
    assert len(files_in(tmp_path / "cache")) == 1


def test_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_bytes(b"")
    monkeypatch.setenv("CNNPROF_CACHE", str(blocked))
    archive = make_archive(tmp_path / "a.tar.gz")
    assert message_of(lambda: data.load(archive), StoreError) == (
        f"{blocked}: cannot be written. Received: File exists. Set CNNPROF_CACHE to another folder."
    )


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, **arrays: np.ndarray) -> None:
        path.write_bytes(b"x")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    archive = make_archive(tmp_path / "a.tar.gz")
    assert message_of(lambda: data.load(archive), StoreError) == (
        f"{tmp_path / 'cache'}: cannot be written. Received: No space left on device. "
        "Set CNNPROF_CACHE to another folder."
    )
    assert files_in(tmp_path / "cache") == []


def test_cache_folder_is_the_users_unless_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert data.cache_dir() == tmp_path / "cache"
    monkeypatch.delenv("CNNPROF_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data.cache_dir().name == "cnnprof"


# Which images


def test_variable_names_the_images_and_the_argument_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNNPROF_DATA", str(make_archive(tmp_path / "a.tar.gz")))
    assert data.load().name == "a"
    assert data.load(make_zip(tmp_path / "b.zip")).name == "b"
    monkeypatch.setenv("CNNPROF_DATA", str(tmp_path / "none"))
    assert message_of(data.load) == f"{tmp_path / 'none'}: no such file or folder. {RECOGNISED}"


def test_locate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    download = tmp_path / "cache" / "cifar-10-binary.tar.gz"
    expected = sources.Source("official archive", download, download, "download")
    assert (data.locate(), data.locate().exists) == (expected, False)
    download.parent.mkdir()
    make_archive(download)
    assert (data.locate(), data.locate().exists) == (expected, True)
    path = make_zip(tmp_path / "a.zip")
    monkeypatch.setenv("CNNPROF_DATA", str(path))
    expected = sources.Source("zip of images", path, path, "CNNPROF_DATA")
    assert (data.locate(), data.locate().exists) == (expected, True)
    data.load()
    found = data.locate(path)
    assert (found.origin, found.exists) == ("--data", True)
    file = decoded(path)
    assert file is not None
    assert np.load(file)["name"] == "a"
    assert (
        message_of(lambda: data.locate(tmp_path / "none"))
        == f"{tmp_path / 'none'}: no such file or folder. {RECOGNISED}"
    )


# The download


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A server on this machine; the dictionary says what it answers and counts what it sent."""
    answer: dict[str, Any] = {
        "content": make_archive(tmp_path / "served.tar.gz").read_bytes(),
        "status": 200,
        "sent": 0,
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(answer["status"])
            self.send_header("Content-Length", str(len(answer["content"])))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(answer["content"][: answer.get("cut")])
            answer["sent"] += 1

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as local:
        threading.Thread(target=local.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setattr(data, "ARCHIVE_URL", f"http://127.0.0.1:{local.server_port}/cifar-10-binary.tar.gz")
        monkeypatch.setattr(official, "ARCHIVE_MD5", hashlib.md5(answer["content"]).hexdigest())
        yield answer
        local.shutdown()


def test_download_once(tmp_path: Path, server: dict[str, Any]) -> None:
    said: list[str] = []
    loaded = data.load(progress=said.append)
    assert loaded.train_labels.tolist() == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5]
    assert loaded.sha256 == hashlib.sha256(server["content"]).hexdigest()
    assert said[0] == "Downloading cifar-10-binary.tar.gz (162 MB) from 127.0.0.1"
    assert data.load(download=False).sha256 == loaded.sha256
    assert server["sent"] == 1
    assert len(files_in(tmp_path / "cache")) == 2  # the archive and its arrays


def test_download_with_another_checksum(tmp_path: Path, server: dict[str, Any]) -> None:
    expected = official.ARCHIVE_MD5
    server["content"] = b"<html>Log in to the hotel's network</html>"
    assert message_of(data.load) == (
        f"cifar-10-binary.tar.gz: md5 of the download must be {expected}. "
        f"Received: {hashlib.md5(server['content']).hexdigest()}. "
        "Download it again, or give images with `--data PATH` or CNNPROF_DATA."
    )
    assert files_in(tmp_path / "cache") == []


def test_download_that_breaks_off(tmp_path: Path, server: dict[str, Any]) -> None:
    server["cut"] = 1_000
    assert message_of(data.load) == (
        "cifar-10-binary.tar.gz: could not be downloaded from 127.0.0.1. Received: ChunkedEncodingError. "
        "Check the network, or give images with `--data PATH` or CNNPROF_DATA."
    )
    assert files_in(tmp_path / "cache") == []


def test_download_that_the_server_refuses(tmp_path: Path, server: dict[str, Any]) -> None:
    server["status"] = 404
    assert message_of(data.load) == (
        "cifar-10-binary.tar.gz: could not be downloaded from 127.0.0.1. Received: HTTP 404. "
        "Check the network, or give images with `--data PATH` or CNNPROF_DATA."
    )
    assert files_in(tmp_path / "cache") == []


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:  # bound but not listening: nobody answers there
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setattr(data, "ARCHIVE_URL", f"http://127.0.0.1:{closed.getsockname()[1]}/a.tar.gz")
        assert message_of(data.load) == (
            "cifar-10-binary.tar.gz: could not be downloaded from 127.0.0.1. Received: ConnectionError. "
            "Check the network, or give images with `--data PATH` or CNNPROF_DATA."
        )
    assert files_in(tmp_path / "cache") == []


def test_name_look_up_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    end = threading.Event()
    monkeypatch.setattr(data, "REACH_S", 0.05)
    monkeypatch.setattr("requests.head", lambda *args, **kwargs: end.wait())
    message = message_of(data.load)
    end.set()
    assert message == (
        "cifar-10-binary.tar.gz: could not be downloaded from 127.0.0.1. Received: no answer in 0.05 s. "
        "Check the network, or give images with `--data PATH` or CNNPROF_DATA."
    )
    assert files_in(tmp_path / "cache") == []


def test_download_not_allowed(tmp_path: Path) -> None:
    assert message_of(lambda: data.load(download=False)) == (
        f"{tmp_path / 'cache' / 'cifar-10-binary.tar.gz'}: not downloaded yet. "
        "Allow the download, or give images with `--data PATH` or CNNPROF_DATA."
    )


@pytest.mark.skipif(not WHOLE_DATA, reason="CNNPROF_DATA names no images")
def test_whole_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNNPROF_CACHE", WHOLE_CACHE or "")
    whole = data.load(Path(str(WHOLE_DATA)))
    assert whole.name.startswith("CIFAR-10")
    assert whole.classes == official.CLASSES
    assert whole.train_images.shape == (50_000, 32, 32, 3)
    assert whole.test_images.shape == (10_000, 32, 32, 3)
    assert np.bincount(whole.train_labels).tolist() == [5_000] * 10
    assert np.bincount(whole.test_labels).tolist() == [1_000] * 10
    means = whole.train_images.mean((0, 1, 2))
    np.testing.assert_allclose(means, [125.27, 122.93, 113.86], atol=0.05)
