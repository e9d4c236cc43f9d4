"""The imports, and the list of dependencies: in pyproject.toml, environment.yml and constraints.txt."""

import ast
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HOUSE = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
TOOLS = {  # called by name, or by another package
    *("ipykernel", "jupyterlab", "papermill"),  # run notebooks
    *("nbval", "pandas-stubs", "pyright", "ruff"),  # check notebooks, types, style
    "setuptools",  # builds the wheel
}
ROOMS = {  # who may import what
    "companion": [],
    "workflow": [],
    "notebooks": [],
    "tests": ["test"],
    "conftest.py": ["test"],
    "benchmarks": ["test", "bench"],
}


def names(words: Iterable[str]) -> set[str]:
    """The distributions that requirements ask for."""
    return {canonicalize_name(Requirement(word).name) for word in words}


def modules(source: str) -> set[str]:
    """What a source imports, wherever in it: first names only, without its own package's."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(str(node.module).split(".")[0])
    return found


def imported(room: str) -> dict[str, set[str]]:
    """Distribution -> the files of a room that import it; no standard library, nothing of the project."""
    place = HOUSE / room
    own = {"companion", *(path.stem for room in ROOMS for path in (HOUSE / room).glob("*.py")), "conftest"}
    providers = packages_distributions() | {"cv2": ["opencv-python-headless"]}  # if installed
    found = {}
    for path in [place] if place.is_file() else [*place.rglob("*.py"), *place.rglob("*.ipynb")]:
        sources = [path.read_text(encoding="utf-8")]
        if path.suffix == ".ipynb":
            cells = nbformat.read(path, as_version=4).cells
            sources = [cell.source for cell in cells if cell.cell_type == "code"]
        for name in set().union(*map(modules, sources)) - own - sys.stdlib_module_names:
            for provider in providers.get(name, [name]):
                found.setdefault(canonicalize_name(provider), set()).add(str(path.relative_to(HOUSE)))
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_every_import_is_declared(room):
    declared = names(PROJECT["dependencies"]).union(*(names(EXTRAS[extra]) for extra in ROOMS[room]))
    found = imported(room)
    assert found
    assert {name: files for name, files in found.items() if name not in declared} == {}


def test_every_declaration_is_imported_or_a_tool():
    declared = names(PROJECT["dependencies"] + EXTRAS["test"] + EXTRAS["bench"])
    found = {name for room in ROOMS for name in imported(room)}
    assert declared - found == TOOLS


def test_conda_users_get_what_pip_users_get():
    conda = yaml.safe_load((HOUSE / "environment.yml").read_text())["dependencies"]
    (pip,) = (entry["pip"] for entry in conda if isinstance(entry, dict))
    assert f"python{PROJECT['requires-python']}" in conda
    assert sorted(pip) == sorted([*PROJECT["dependencies"], *EXTRAS["imagenet"], *EXTRAS["test"], "-e ."])


def test_every_dependency_is_pinned_within_its_range():
    pins = {}
    for line in (HOUSE / "constraints.txt").read_text().splitlines():
        name, version = line.split("==")
        pins[canonicalize_name(name)] = version
    for word in [*PROJECT["dependencies"], *EXTRAS["imagenet"], *EXTRAS["test"], *EXTRAS["slurm"]]:
        wanted = Requirement(word)
        assert wanted.specifier.contains(pins[canonicalize_name(wanted.name)]), word
