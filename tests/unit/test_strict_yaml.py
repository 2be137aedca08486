"""YAML as parameter files are read: what each scalar means, and one whole line with its place for what is refused."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest

from cnnprof_lib.base.errors import VariantError
from cnnprof_lib.params.strict_yaml import read_yaml

VALUES = {
    "1e-4": 0.0001,  # text to PyYAML
    "1E+3": 1000.0,
    "-1.5e3": -1500.0,
    ".5": 0.5,
    "-.5": -0.5,
    "1.": 1.0,
    "0.05": 0.05,
    "3": 3,
    "+3": 3,
    "-3": -3,
    "0": 0,
    "0x1F": 31,
    "0o17": 15,
    "9223372036854775807": 2**63 - 1,
    ".inf": math.inf,
    "-.INF": -math.inf,
    "true": True,
    "FALSE": False,
    "": None,
    "~": None,
    "Null": None,
    "NO": "NO",  # Norway, and false to PyYAML
    "yes": "yes",
    "on": "on",
    "y": "y",
    "2024-02-30": "2024-02-30",
    "2024-02-28 12:00:00": "2024-02-28 12:00:00",
    "01.02.2024": "01.02.2024",
    "1.2.3": "1.2.3",
    "1:60": "1:60",
    "0b2": "0b2",
    "1e": "1e",
    "e3": "e3",
    "._": "._",
    "_1": "_1",
    "conv_1": "conv_1",
    "=": "=",
    "'064'": "064",
    '"1:04"': "1:04",
    "'~'": "~",
    "'<<'": "<<",
    '"a\\tb\\u20ac"': "a\tb€",
    "'{{ filters }}'": "{{ filters }}",
    "|\n  two\n  lines": "two\nlines",
    "[1, [a, {b: 2}]]": [1, ["a", {"b": 2}]],
}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("net.yaml")


@pytest.mark.parametrize("text", VALUES)
def test_scalars_mean_what_version_1_2_says(file: Path, text: str) -> None:
    file.write_text(f"key: {text}")
    (value,) = read_yaml(file).values()
    assert (type(value), value) == (type(VALUES[text]), VALUES[text])


def test_not_a_number_is_a_number(file: Path) -> None:
    file.write_text("key: .nan")
    assert math.isnan(read_yaml(file)["key"])


NUMBERS = [
    *("064", "03", "-07", "08", "00", "00.5", "01e3", "1:04", "190:20:30", "1:04.5"),
    *("1_000", "1_000.5", ".5_0", "0_7", "1_", "1__0", "0b101", "-0b1", "0x1_F", "-0x1F", "+0x1F"),
]


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_that_readers_disagree_on_are_refused(file: Path, text: str) -> None:
    file.write_text(f"title: x\nlayers:\n  - {{name: c1, filters: {text}}}\n")
    with pytest.raises(VariantError) as caught:
        read_yaml(file)
    assert str(caught.value) == (
        "net.yaml: line 3 is not valid: a number must be plain digits, without leading zeros, `_` or `:`. "
        f"Received: '{text}'. Put it in quotes if it is text."
    )


MERGES: dict[str, dict[str, Any]] = {
    "{<<: *a}": {"x": 1, "y": 2},
    "{y: 3, <<: *a, z: 4}": {"x": 1, "y": 3, "z": 4},
    "{<<: [*b, *a]}": {"x": 9, "y": 2},
    "{<<: []}": {},
    "{'<<': 1}": {"<<": 1},
}


@pytest.mark.parametrize("text", MERGES)
def test_merge_keys_add_what_is_not_there(file: Path, text: str) -> None:
    file.write_text(f"a: &a {{x: 1, y: 2}}\nb: &b {{x: 9}}\nc: {text}\n")
    assert read_yaml(file)["c"] == MERGES[text]


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
BROKEN = {
    "a: {{ filters }}": (
        "line 1 is not valid: a key must be text, not a mapping. Fill in any template, such as `{{ x }}`."
    ),
    "[a]: 1": "line 1 is not valid: a key must be text, not a list. Fill in any template, such as `{{ x }}`.",
    "a: 1\n? {b: c}\n: 1": (
        "line 2 is not valid: a key must be text, not a mapping. Fill in any template, such as `{{ x }}`."
    ),
    "a: {1: 2}": "line 1 is not valid: a key must be text. Received: 1. Put it in quotes.",
    "a: 1\nnull: x": "line 2 is not valid: a key must be text. Received: None. Put it in quotes.",
    "a: 1\nb: 2\na: 3": "line 3 is not valid: `a` stands twice.",
    "a: &a {x: 1}\nb: {<<: *a, y: 1, y: 2}": "line 2 is not valid: `y` stands twice.",
    "a: &a {x: 1}\nb: {<<: *a, <<: *a}": "line 2 is not valid: `<<` stands twice.",
    "a:\n  <<: 3": "line 2 is not valid: `<<` must name a mapping or a list of mappings. Received: 3.",
    "a: !!python/object:os.system x": (
        "line 1 is not valid: tags are not read. Received: 'tag:yaml.org,2002:python/object:os.system'. "
        "Leave it out; quotes make text."
    ),
    **{
        f"a: !!{tag} foo": (
            f"line 1 is not valid: tags are not read. Received: 'tag:yaml.org,2002:{tag}'. "
            "Leave it out; quotes make text."
        )
        for tag in ("int", "binary", "timestamp", "str")
    },
    "a: !!set {b}": (
        "line 1 is not valid: tags are not read. Received: 'tag:yaml.org,2002:set'. Leave it out; quotes make text."
    ),
    "a: 1\nb: !foo 2": "line 2 is not valid: tags are not read. Received: '!foo'. Leave it out; quotes make text.",
    "a: " + "9" * 5000: (
        f"line 1 is not valid: a whole number must fit in 64 bits. Received: '{'9' * 99}... (5,002 characters)."
    ),
    "a: 9223372036854775808": (
        "line 1 is not valid: a whole number must fit in 64 bits. Received: '9223372036854775808'."
    ),
    "a:\n  " + "[" * 3000 + "]" * 3000: "line 2 is not valid: values must not nest in more than 50 levels.",
    "a: &a [*a]": "line 1 is not valid: values must not nest in more than 50 levels.",
    BOMB: "line 1 is not valid: a file must not stand for more than 100,000 values.",
    "a: 1\n---\nb: 2": ("line 2 is not valid: expected a single document in the stream, but found another document."),
    "a: b: c": "line 1 is not valid: mapping values are not allowed here.",
    "a: [\n  1\n": ("line 3 is not valid: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'."),
    "a: *b": "line 1 is not valid: found undefined alias 'b'.",
    'a: 1\nb: "x\x07y"': "line 2 is not valid: text must hold no control characters. Received: '\\x07'.",
    'a: "x\\ey"': "line 1 is not valid: text must hold no control characters. Received: 'x\\x1by'.",
    'a: "\\ud800"': "line 1 is not valid: text must hold no control characters. Received: '\\ud800'.",
    'a: 1\nb: "\\UFFFFFFFF"': "line 2 is not valid: a number of YAML's own is out of range.",
    "%YAML 1." + "9" * 5000 + "\n---\na: 1": "line 1 is not valid: a number of YAML's own is out of range.",
    "- a": "must hold keys and values. Received: ['a'].",
    "a": "must hold keys and values. Received: 'a'.",
    "# nothing": "must hold keys and values. Received: None.",
    "a: 1\n" + "#" * 1_000_000: "must not be larger than 1,000,000 bytes.",
}


@pytest.mark.parametrize("text", BROKEN, ids=lambda text: text[:20])
def test_what_cannot_be_read_is_one_line(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(VariantError) as caught:
        read_yaml(file)
    assert str(caught.value) == f"net.yaml: {BROKEN[text]}"


def test_bytes_are_utf_8_with_or_without_a_mark(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbftitle: caf\xc3\xa9\r\n")
    assert read_yaml(file) == {"title": "café"}
    file.write_bytes(b"title: caf\xe9\n")
    with pytest.raises(VariantError) as caught:
        read_yaml(file)
    assert str(caught.value) == (
        "net.yaml: cannot be read ('utf-8' codec can't decode byte 0xe9 in position 10: invalid continuation byte)."
    )


def test_only_files_are_read(file: Path) -> None:
    file.mkdir()
    pipe = Path("pipe.yaml")
    os.mkfifo(pipe)
    for path in (file, pipe):
        with pytest.raises(VariantError) as caught:
            read_yaml(path)
        assert str(caught.value) == f"{path}: must be a file, not a folder, pipe or device."
