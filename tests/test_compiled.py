"""What is compiled is kept where it may be, and works without."""

import shutil
import sys
from pathlib import Path

import pytest
from locked import run

HOUSE = Path(__file__).resolve().parents[1]
TWICE = """
from companion.ops.compiled import njit

@njit(nogil=True)
def twice(x):
    return 2 * x
"""
CALL = (
    "from twice import twice; assert twice(21) == 42; print(twice.stats.cache_path, *twice.stats.cache_hits)"
)
FULL = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); "


@pytest.fixture
def house(tmp_path):
    """A copy of the package, and a module that compiles."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(HOUSE / "companion", tmp_path / "house/companion", ignore=ignored)
    shutil.copy(HOUSE / "pyproject.toml", tmp_path / "house")
    (tmp_path / "house/twice.py").write_text(TWICE)
    return tmp_path / "house"


def where(house: Path, before: str = "", **env: str) -> str:
    """In a tree that cannot be written compile or load; call; say where it is kept and what was loaded."""
    done = run(house, sys.executable, "-c", before + CALL, **env)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_without_a_place_that_can_be_written_it_compiles_all_the_same(house):
    assert where(house) == "None"


def test_it_is_kept_where_all_that_is_made_lies(house, tmp_path):
    out = tmp_path / "out"
    assert where(house, COMPANION_OUT=str(out)).startswith(f"{out}/numba/")
    assert list(out.rglob("twice.twice-*.nbi"))
    own = tmp_path / "own"
    assert where(house, COMPANION_OUT=str(out), NUMBA_CACHE_DIR=str(own)).startswith(f"{own}/")


def test_a_full_disk_and_a_damaged_cache_do_no_harm(house, tmp_path):
    out = tmp_path / "out"
    (place,) = where(house, FULL, COMPANION_OUT=str(out)).split()
    assert not list(out.rglob("*.nbi"))
    assert where(house, COMPANION_OUT=str(out)) == place
    assert where(house, COMPANION_OUT=str(out)) == f"{place} (int64,)"
    for ending in ("nbc", "nbi"):
        (kept,) = out.rglob(f"*.{ending}")
        kept.write_bytes(kept.read_bytes()[:100])
        assert where(house, COMPANION_OUT=str(out)) == place


def test_what_reads_and_simulates_works_without_it(house, tmp_path):
    out = str(tmp_path / "made")
    words = ["--groups", "motion", "--subjects", "2", "--cameras", "1", "--height", "0"]
    for call in (["simulate", out, *words], ["check", "ntu", out]):
        done = run(house, sys.executable, "-m", "companion", "data", *call)
        assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "ntu: complete, 18 of 18\n"
