"""The package outside the repository: a wheel is built, unpacked and used from elsewhere."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from companion import files

HOUSE = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with what the wheel holds and nothing else of the repository."""
    source, place = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(HOUSE / name, source)
    shutil.copytree(HOUSE / "companion", source / "companion", ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*pip, "-w", source, source], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = source.glob("companion-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    return place


def run(installed: Path, *words: str) -> str:
    """What a Python that finds the unpacked wheel first prints, with a home and a cache of its own."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("COMPANION_")}
    env |= {"PYTHONPATH": str(installed), "XDG_CACHE_HOME": str(installed / "cache")}
    done = subprocess.run(
        [sys.executable, *words], cwd=installed.parent, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_every_file_of_the_package(installed):
    def held(house: Path) -> set[str]:
        paths = (path.relative_to(house) for path in (house / "companion").rglob("*"))
        return {str(path) for path in paths if path.suffix in (".py", ".yaml", ".html")}

    assert held(installed) == held(HOUSE)


def test_rooms_are_imported_from_the_wheel(installed):
    rooms = [name for name in ("formats", "datasets", "models") if (HOUSE / "companion" / name).is_dir()]
    code = f"""
import importlib, pkgutil
from companion import files
for room in {rooms}:
    package = importlib.import_module("companion." + room)
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        print(importlib.import_module(module.name).__file__)
print(files.REPOSITORY, files.scratch())
"""
    *modules, last = run(installed, "-c", code).splitlines()
    assert modules and all(Path(path).is_relative_to(installed) for path in modules)
    assert last == f"None {installed / 'cache/companion'}"


def test_the_doctor_works_without_a_checkout(installed):
    text = run(installed, "-m", "companion", "doctor")
    assert "companion   " in text and "cpu" in text
    assert str(HOUSE) not in text


def test_a_chapter_is_trained_and_data_are_checked_without_a_checkout(installed, tmp_path):
    words = (
        "train",
        "hard_attention",
        "--variant",
        "fc-4",
        "--protocol",
        "centred-28",
        "--out",
        str(tmp_path),
    )
    said = run(installed, "-m", "companion", *words)
    (path,) = tmp_path.rglob("*.json")
    assert said.startswith(f"{path}: error ")
    assert "complete" in run(installed, "-m", "companion", "data", "check", "digits")


def test_what_needs_the_repository_says_so(installed):
    """Tables, committed weights, and a record without a place, in one sentence each."""
    code = """
from companion.__main__ import app
for words in (["tables"], ["train", "pose_is_not_enough", "--variant", "crops"],
              ["train", "hard_attention", "--profile", "full", "--variant", "fc-4"]):
    try:
        app(words)
    except SystemExit as end:
        print(end.code)
"""
    env = {"PYTHONPATH": str(installed), "HOME": str(installed), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=installed.parent, env=env, capture_output=True, text=True
    )
    assert done.stdout.split() == ["1", "1", "1"], done.stderr
    tables, weights, place = done.stderr.splitlines()
    assert "this needs the repository: clone it" in tables and "this needs the repository" in weights
    assert "an installed package has no results/runs; say with out where records go" in place


def test_a_folder_of_another_project_is_no_checkout(tmp_path):
    assert files.repository(tmp_path) is None
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "another"\n')
    assert files.repository(tmp_path) is None
    assert files.repository(HOUSE) == HOUSE == files.checkout()


def test_scratch_is_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COMPANION_OUT")
    assert files.scratch() == HOUSE / "results/quick"
    monkeypatch.setenv("COMPANION_OUT", "here")
    assert files.scratch() == HOUSE / "here"
    monkeypatch.setattr(files, "REPOSITORY", None)
    assert files.scratch() == tmp_path / "here"
    monkeypatch.setenv("COMPANION_OUT", str(tmp_path / "there"))
    assert files.scratch() == tmp_path / "there"
    monkeypatch.delenv("COMPANION_OUT")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.scratch() == tmp_path / ".cache/companion"
