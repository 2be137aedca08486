"""What the project stands on: requirements, import directions, stored notebooks, `make`."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "cnnprof_lib"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = ("3.11", "3.12", "3.13")
TARGETS = (
    "setup", "report", "render", "html", "pdf", "scaling", "sweep", "train", "lab", "test", "test-browser", "lint",
    "clean", "lock",
)  # fmt: skip


# Requirements


def requirement_key(text: str) -> tuple[str, str]:
    requirement = Requirement(text)
    return canonicalize_name(requirement.name), str(requirement.specifier)


def lock_lines() -> list[str]:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def pins(python: str) -> list[tuple[str, str]]:
    """Name and version of every line of the lock file that applies to one Python on Linux."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "sys_platform": "linux",
        "os_name": "posix",
    }
    found = []
    for line in lock_lines():
        requirement = Requirement(line)
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", f"{line}: not pinned"
        if requirement.marker is None or requirement.marker.evaluate(environment):
            found.append((canonicalize_name(requirement.name), specifier.version))
    return found


def test_environment_yml_repeats_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *conda, pip_part = environment["dependencies"]
    *requirements, project = pip_part["pip"]
    assert project == "-e ."
    assert sorted(map(requirement_key, requirements)) == sorted(map(requirement_key, PROJECT["dependencies"]))
    python, pip = conda
    assert requirement_key(python) == requirement_key(f"python{PROJECT['requires-python']}")
    assert pip == "pip"


@pytest.mark.parametrize("python", PYTHONS)
def test_lock_pins_every_requirement_once(python):
    found = pins(python)
    versions = dict(found)
    assert len(versions) == len(found), "a package is pinned twice"
    extras = PROJECT["optional-dependencies"]
    requirements = [
        Requirement(text) for text in [*PROJECT["dependencies"], *extras["dev"], *extras["explore"], *extras["pdf"]]
    ]
    assert len(requirements) > 20
    for requirement in requirements:
        version = versions[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement}: pinned to {version}"


def test_lock_holds_no_address_and_no_option():
    assert "://" not in (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert [line for line in lock_lines() if not re.match(r"[a-z0-9]", line)] == []


def test_lock_says_how_it_is_made():
    first_lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()[:2]
    command = first_lines[1].lstrip("# ")
    extras = "".join(f" --extra {name}" for name in ("dev", "explore", "pdf", "runtimes", "sweep", "predict"))
    assert command.startswith(f"uv pip compile --universal --python-version 3.11{extras} pyproject.toml")


# Import directions


def module_files() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    files = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


MODULES = module_files()


def imports_of(name: str) -> set[str]:
    """Dotted names of all modules that a module imports, on top, in functions or for types only."""
    path = MODULES[name]
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                found.add(whole if whole in MODULES else base)
    return found


def own_imports(name: str) -> set[str]:
    """The modules of this package that a module imports, without the bare package (its version)."""
    return {other for other in imports_of(name) if other in MODULES} - {"cnnprof_lib"}


def reached_from(name: str) -> set[str]:
    """All that importing a module may load: itself, what it imports and the packages around them, to the end.

    The package around all loads its front doors only when they are asked for.
    """
    seen: set[str] = set()
    waiting = {name}
    while waiting:
        module = waiting.pop()
        seen.add(module)
        parents = {module.rpartition(".")[0]} & MODULES.keys()
        new = parents | imports_of(module) if module in MODULES and module != "cnnprof_lib" else parents
        waiting |= new - seen
    return seen


def modules_below(*names: str) -> list[str]:
    wholes = [f"cnnprof_lib.{name}" for name in names]
    return sorted(m for m in MODULES for whole in wholes if m == whole or m.startswith(f"{whole}."))


WINGS = {
    "base": set(),
    "params": {"base"},
    "records": {"base", "params"},
    "measure": {"base", "params", "records"},
    "page": {"base"},
    "analysis": {"base", "params", "records", "page"},
    "thesis": {"base", "params", "records", "page", "analysis"},
    "app": {"base", "params", "records", "measure", "page", "analysis", "thesis"},
}
"""Which other wings the modules of a wing may import."""


def wing_of(module: str) -> str:
    return module.removeprefix("cnnprof_lib").lstrip(".").partition(".")[0]


def test_every_module_stands_in_a_wing():
    assert {wing_of(module) for module in MODULES} == {"", "__main__", *WINGS}
    assert own_imports("cnnprof_lib.params.reading") >= {"cnnprof_lib.base.errors", "cnnprof_lib.params.variant"}


@pytest.mark.parametrize("wing", WINGS)
def test_a_wing_imports_only_those_below_it(wing):
    modules = modules_below(wing)
    assert len(modules) > 1
    for module in modules:
        assert {wing_of(other) for other in own_imports(module)} <= {wing, *WINGS[wing]}, module


def test_the_package_itself_imports_its_front_doors_only_when_asked():
    assert own_imports("cnnprof_lib") == {"cnnprof_lib.app.study", "cnnprof_lib.app.profiling"}
    code = "import sys, cnnprof_lib; sys.exit(any(name.startswith('cnnprof_lib.') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


TOPICS = sorted(path.parent.name for path in (PACKAGE / "analysis").glob("*/numbers.py"))
DRAWING = {"matplotlib", "seaborn"}


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_computes_in_numbers_and_shows_in_shown(topic):
    folder = f"cnnprof_lib.analysis.{topic}"
    modules = {name.removeprefix(f"{folder}.") for name in modules_below(f"analysis.{topic}")} - {folder}
    assert modules >= {"numbers", "shown"}
    for module in modules:
        imported = imports_of(f"{folder}.{module}")
        if module.startswith("shown"):
            assert {
                name for name in imported if name.split(".")[0] == "scipy" or name.endswith((".estimates", ".cautions"))
            } == set()
        else:
            assert {name for name in imported if name.split(".")[0] in DRAWING or "formats" in name} == set(), module
            assert {name for name in imported if wing_of(name) == "page"} == set(), module
            assert {name for name in imported if name.rpartition(".")[2].startswith("shown")} == set(), module


def test_what_shows_says_what_it_makes():
    shown = [name for name in modules_below(*(f"analysis.{topic}" for topic in TOPICS)) if ".shown" in name]
    functions = {
        node.name
        for name in shown
        for node in ast.parse(MODULES[name].read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }
    assert len(functions) > 20
    assert {name for name in functions if not name.endswith(("_table", "_figure", "_text"))} == set()


def test_topics_are_the_only_folders_of_analysis():
    folders = {path.name for path in (PACKAGE / "analysis").iterdir() if (path / "__init__.py").exists()}
    assert folders == set(TOPICS)
    assert len(TOPICS) == 13


_COMMAND_MODULES = ("cli", "cli_optimize", "cli_predict", "cli_search", "cli_stored", "cli_sweep")
COMMANDS = {"cnnprof_lib.__main__", *(f"cnnprof_lib.app.{name}" for name in _COMMAND_MODULES)}
"""Modules whose functions are commands, called as users type them."""

STILL_TWICE = {
    "COLUMNS",
    "Images",
    "OnStage",
    "Part",
    "Progress",
    "RECORD",
    "Rate",
    "TRAINING",
    "check",
    "compare",
    "decode",
    "load",
    "profile",
    "tf1",
}
"""Public names that stand in two modules or more. None is to be added."""


def public_names(name: str) -> set[str]:
    """What a module defines itself: functions, classes, constants."""
    found = set()
    for node in ast.parse(MODULES[name].read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
    return {each for each in found if not each.startswith("_")}


def test_a_public_name_stands_in_one_module():
    counted = Counter(name for module in MODULES.keys() - COMMANDS for name in public_names(module))
    assert counted["by_op"] == 1
    assert {name for name, count in counted.items() if count > 1} <= STILL_TWICE


@pytest.mark.parametrize(
    "name", ["records", "page", "thesis", "analysis", "app.report", "app.report_text", "app.explore"]
)
def test_rendering_reaches_neither_measure_nor_tensorflow(name):
    modules = modules_below(name)
    assert modules, f"cnnprof_lib/{name} does not exist"
    for module in modules:
        reached = reached_from(module)
        assert {m for m in reached if m.startswith("cnnprof_lib.measure")} == set(), module
        assert {m for m in reached if m.split(".")[0] in ("tensorflow", "keras")} == set(), module


def test_latency_reaches_no_tensorflow():
    reached = reached_from("cnnprof_lib.measure.clock")
    assert {m for m in reached if m.split(".")[0] in ("tensorflow", "keras")} == set()


def loaded_by(module: str) -> set[str]:
    """What a fresh Python has loaded after importing one module."""
    code = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stdout))


def test_importing_the_package_loads_nothing_heavy():
    loaded = loaded_by("cnnprof_lib")
    assert "cnnprof_lib" in loaded
    assert loaded & {"tensorflow", "keras", "pandas", "numpy", "pydantic"} == set()


def test_importing_the_command_line_loads_no_tensorflow():
    loaded = loaded_by("cnnprof_lib.app.cli")
    assert "cnnprof_lib.app.cli" in loaded
    assert loaded & {"tensorflow", "keras"} == set()


# Notebooks


def notebook_cells(name: str) -> list[dict[str, Any]]:
    return json.loads((ROOT / "notebooks" / name).read_text(encoding="utf-8"))["cells"]


def test_notebooks_are_stored_without_outputs():
    names = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
    assert {"run_variant.ipynb", "report.ipynb", "explore.ipynb"} <= set(names)
    for name in names:
        for cell in notebook_cells(name):
            assert not cell.get("outputs"), f"{name}: {cell}"
            assert cell.get("execution_count") is None, f"{name}: {cell}"


@pytest.mark.parametrize("name", ["run_variant.ipynb", "report.ipynb"])
def test_notebook_has_one_parameters_cell(name):
    tagged = [cell for cell in notebook_cells(name) if "parameters" in cell["metadata"].get("tags", [])]
    assert [cell["cell_type"] for cell in tagged] == ["code"]


# make


def make(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    outer = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES")
    environment = {key: value for key, value in os.environ.items() if key not in outer}
    return subprocess.run(
        ["make", *arguments], cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )


def bare_project(folder: Path, python: str) -> Path:
    """A folder, with a space in its name, holding what a set-up reads, and `python`, a script in place of Python."""
    project = folder / "my project"
    project.mkdir()
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        (project / name).write_bytes((ROOT / name).read_bytes())
    script = project / "python"
    script.write_text(f"#!/bin/sh\n{python}\n", encoding="utf-8")
    script.chmod(0o755)
    return project


def test_make_help_names_every_target():
    helped = make("help")
    assert helped.returncode == 0
    listed = re.findall(r"^  make ([\w-]+) +\S", helped.stdout, flags=re.MULTILINE)
    assert set(TARGETS) <= set(listed)
    assert make().stdout == helped.stdout
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert phony is not None
    assert sorted(phony[1].split()) == sorted(listed)


def test_setup_refuses_another_python_in_one_line(tmp_path):
    project = bare_project(tmp_path, "echo 3.9.18")
    run = make("setup", "PYTHON=./python", cwd=project)
    assert run.returncode != 0
    first, last = run.stderr.splitlines()
    assert first == (
        "cnnprof needs Python 3.11 to 3.13. Received: ./python, 3.9.18. Name another one: make setup PYTHON=python3.12"
    )
    assert last.startswith("make: ***")
    assert not (project / ".venv").exists()


FAKE_PYTHON = """
echo "$*" >> calls
case "$*" in
*"-m venv"*) mkdir -p .venv/bin; cp python .venv/bin/python ;;
*"-m pip"*) test ! -e broken ;;
*) echo 3.12.1 ;;
esac
"""


def test_setup_that_failed_leaves_no_stamp_and_starts_again(tmp_path):
    project = bare_project(tmp_path, FAKE_PYTHON)
    (project / "broken").touch()
    failed = make("setup", "PYTHON=./python", cwd=project)
    assert failed.returncode != 0
    assert not (project / ".venv" / ".stamp").exists()

    (project / "broken").unlink()
    (project / ".venv" / "left-over").touch()
    done = make("setup", "PYTHON=./python", cwd=project)
    assert done.returncode == 0, done.stderr
    assert (project / ".venv" / ".stamp").exists()
    assert not (project / ".venv" / "left-over").exists()
    assert re.search(r"^Installing up to \d+ packages from requirements.lock ", done.stdout, flags=re.MULTILINE)

    calls = (project / "calls").read_text(encoding="utf-8")
    make("setup", "PYTHON=./python", cwd=project)
    assert (project / "calls").read_text(encoding="utf-8") == calls, "a finished set-up was done again"


def test_two_set_ups_at_once_do_not_meet(tmp_path):
    project = bare_project(tmp_path, FAKE_PYTHON)
    (project / ".venv.lock").mkdir()  # as the other one makes it
    second = make("setup", "PYTHON=./python", cwd=project)
    assert second.returncode != 0
    assert second.stderr.splitlines()[0] == (
        "Another make is setting up .venv: wait for it. If there is none, remove the folder .venv.lock."
    )
    assert not (project / ".venv").exists()

    (project / ".venv.lock").rmdir()
    done = make("setup", "PYTHON=./python", cwd=project)
    assert done.returncode == 0, done.stderr
    assert not (project / ".venv.lock").exists()
