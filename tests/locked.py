"""A folder that cannot be written, and no home."""

import os
import subprocess
from pathlib import Path

import pytest

MOUNT = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && cd "$0" && exec "$@"'
NO_HOME = {"HOME": "/proc/nowhere"}  # where root cannot make a folder either


def run(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess:
    """Call in a folder that the call cannot write: root sees it mounted so, others have no right to."""
    if os.getuid() == 0:
        words = ("unshare", "--mount", "sh", "-c", MOUNT, str(folder), *words)
        if subprocess.run([*words[:6], "true"], capture_output=True).returncode:
            pytest.skip("root can write everywhere, and may mount nothing here")
    inside = [path for path in (folder, *folder.rglob("*")) if path.is_dir()]
    for path in inside:
        path.chmod(0o555)
    kept = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=folder, env=kept | NO_HOME | env, text=True, capture_output=True)
    for path in inside:
        path.chmod(0o755)
    return done
