"""The package is built as CONTRIBUTING.md draws it: imports go down the floors."""

import ast
import re
from pathlib import Path

from companion.lecture import TOPICS

HOUSE = Path(__file__).resolve().parents[1]
PACKAGE = HOUSE / "companion"


def drawn() -> dict[str, tuple[int, int]]:
    """Room -> its floor, and its place on it from the left."""
    drawing = re.search(r"<!-- drawing -->\n```\n(.*?)```", (HOUSE / "CONTRIBUTING.md").read_text(), re.S)
    rooms = {}
    for line in drawing[1].splitlines():
        if floor := re.match(r"(\d)   ((?:\w+  ?)*\w+)", line):
            for place, room in enumerate(floor[2].split()):
                rooms[room] = (int(floor[1]), place)
    return rooms


def built() -> dict[str, set[str]]:
    """Room -> the rooms that its files import, anywhere in them."""
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            found.setdefault(room, set()).update(
                name.split(".")[1] for name in names if name.startswith("companion.")
            )
    return found


def test_every_room_is_drawn():
    assert drawn().keys() == built().keys() - {"__init__"}


def test_imports_go_down_or_to_the_right():
    rooms, wrong = drawn(), []
    for room, others in built().items():
        for other in others - {room}:
            (floor, place), (below, right) = rooms[room], rooms[other]
            if not (below < floor or (below == floor and right > place)):
                wrong.append(f"{room} imports {other}")
    assert wrong == []


def test_no_import_is_relative():
    """The fingerprint of code follows absolute imports alone."""
    for path in PACKAGE.rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text()))
        assert not [node for node in nodes if isinstance(node, ast.ImportFrom) and node.level], path


def test_models_and_datasets_do_not_know_each_other():
    assert "datasets" not in built()["models"] and "models" not in built()["datasets"]


def test_every_chapter_has_code_presets_and_a_notebook_or_its_notebook_is_planned():
    notebooks = {path.stem for path in (HOUSE / "notebooks").glob("*.ipynb")}
    notebooks |= {topic.notebook for topic in TOPICS if not topic.exists}
    for presets in (PACKAGE / "experiments").glob("*.yaml"):
        assert presets.with_suffix(".py").is_file()
        assert presets.stem in {name[3:] for name in notebooks}
