"""A changed sentence leaves what is made by code alone; a changed number does not."""

import shutil
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from companion import code

RAM = "companion/models/ram.py"
CHAPTERS = ("hard_attention", "attention_on_joints")


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A copy of the package that may be changed."""
    shutil.copytree(code.PACKAGE, tmp_path / "companion", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "PACKAGE", tmp_path / "companion")
    return tmp_path


def closures() -> dict[str, dict[str, str]]:
    return {name: code.closure(f"companion.experiments.{name}", "companion.training") for name in CHAPTERS}


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) >= 1, old
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    "old, new",
    [
        (
            '"""Cross-entropy, squared error of the baselines',
            '"""Another sentence, squared error of the baselines',
        ),
        ("# B K D", "# other words"),
        (
            "    total = F.cross_entropy(read.logits, labels)",
            "\n    total = (F.cross_entropy(read.logits, labels))",
        ),
    ],
)
def test_a_changed_docstring_comment_or_blank_makes_nothing_old(house, old, new):
    before = closures()
    change(house / RAM, old, new)
    assert closures() == before


@pytest.mark.parametrize(
    "file, old, new, older",
    [
        (RAM, "+ reinforce * policy", "+ 2 * reinforce * policy", CHAPTERS[:1]),
        ("companion/metrics/joints.py", "read.frames + 1e-12", "read.frames + 1e-6", CHAPTERS[1:]),
        ("companion/training.py", "clip: float = 5.0", "clip: float = 6.0", CHAPTERS),
        ("companion/ops/pose.py", "import torch", "import torch\nx = 1", CHAPTERS[1:]),
    ],
)
def test_a_changed_number_makes_the_chapters_old_that_use_it(house, file, old, new, older):
    before = closures()
    change(house / file, old, new)
    after = closures()
    for name in CHAPTERS:
        changed = {path for path in before[name] if before[name][path] != after[name].get(path)}
        assert changed == ({file} if name in older else set())


def test_where_numbers_are_kept_is_not_what_they_are(house):
    before = closures()
    change(house / "companion/records.py", 'PROFILES = ("quick"', 'PROFILES = ("swift", "quick"')
    assert closures() == before


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(ModuleNotFoundError, match="the package has no module companion.models.rum"):
        code.closure("companion.models.rum")


def test_the_first_sentence_of_an_empty_file_makes_nothing_old(tmp_path):
    for name, text in {"x": "", "y": '"""A sentence."""\n'}.items():
        (tmp_path / f"{name}.py").write_text(text)
    assert code.semantics(tmp_path / "x.py") == code.semantics(tmp_path / "y.py")


def test_a_file_that_is_no_python_is_named(tmp_path):
    (tmp_path / "x.py").write_text("def f(:")
    with pytest.raises(ValueError, match="x.py is no Python"):
        code.semantics(tmp_path / "x.py")


FACTOR = 2


def twice(x):
    return FACTOR * x


def user(x):
    return twice(x)


def test_functions_outside_the_package_count_with_what_they_use(monkeypatch):
    """As those of a notebook: their text, the functions that they call, the numbers that they read."""
    first = code.defined(partial(user, 3))
    assert set(first) == {"test_code.user", "test_code.twice"}
    assert code.defined(print, Path, partial(code.closure)) == {}
    monkeypatch.setitem(globals(), "FACTOR", 3)
    other = code.defined(user)
    assert other["test_code.twice"] != first["test_code.twice"]
    assert other["test_code.user"] == first["test_code.user"]


def test_what_has_no_source_cannot_be_compared():
    space = {"__name__": "nowhere"}
    exec("def f(x):\n    return x", space)
    with pytest.raises(ValueError, match="the source of nowhere.f cannot be read"):
        code.defined(space["f"])


class Scaled:
    """A loss that is an object."""

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return self.factor * x


TABLE = np.arange(3)
CALLS = [twice]


def by_table(x):
    return TABLE[x]


def by_list(x):
    return CALLS[0](x)


def test_objects_caches_and_arrays_count(monkeypatch):
    assert code.defined(Scaled(2)) != code.defined(Scaled(3))
    assert set(code.defined(Scaled(2))) == {"test_code.Scaled", "test_code.Scaled object"}
    assert code.defined(cache(twice)) == code.defined(twice)
    assert code.defined(nn.Dropout(0.1)) != code.defined(nn.Dropout(0.2)) != {}
    first = code.defined(by_table)
    monkeypatch.setitem(globals(), "TABLE", np.arange(3) + 1)
    assert code.defined(by_table) != first
    with pytest.raises(ValueError, match="CALLS is a list, which cannot be compared; make it inside"):
        code.defined(by_list)
