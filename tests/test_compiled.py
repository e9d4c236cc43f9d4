"""What is compiled is kept where it may be, and works without."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[1]
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.getuid() == 0 else []
TWICE = """
from companion.ops.compiled import njit

@njit(nogil=True)
def twice(x):
    return 2 * x
"""


@pytest.fixture
def locked():
    """A copy of the package that the caller cannot write; `tmp_path` would be closed to others."""
    if subprocess.run([*NOBODY, sys.executable, "-c", ""]).returncode:
        pytest.skip("this needs a Python that another user can run")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(
            HOUSE / "companion", folder / "companion", ignore=shutil.ignore_patterns("__pycache__")
        )
        shutil.copy(HOUSE / "pyproject.toml", folder)
        (folder / "twice.py").write_text(TWICE)
        parts = [path for path in (folder, *folder.rglob("*")) if path.is_dir()]
        for part in parts:
            part.chmod(0o555)
        yield folder
        for part in parts:
            part.chmod(0o755)


def where(folder: Path, **env: str) -> str:
    """Compile, call, and say in which cache it is kept."""
    call = [
        *NOBODY,
        sys.executable,
        "-c",
        "from twice import twice; assert twice(21) == 42; print(twice.stats.cache_path)",
    ]
    done = subprocess.run(
        call, cwd=folder, env={"PATH": os.environ["PATH"]} | env, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_without_a_place_that_can_be_written_it_compiles_all_the_same(locked):
    assert where(locked) == "None"


def test_it_is_kept_where_all_that_is_made_lies(locked, tmp_path):
    out = locked / "out"
    locked.chmod(0o777)
    assert where(locked, COMPANION_OUT="out").startswith(f"{out}/numba/")
    assert list(out.rglob("twice.twice-*.nbi"))
    assert where(locked).startswith(f"{locked}/results/quick/numba/")
    assert where(locked, NUMBA_CACHE_DIR=str(locked / "own")).startswith(f"{locked}/own/")
