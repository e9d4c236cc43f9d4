"""Run the batch of a profile, then show the tables: `book.py [quick|full|paper] [local|slurm|trial]`.

One call at a time holds the lock. Snakemake runs inside this process, papermill dies with it, and a guard
cancels its SLURM jobs, so that whatever is killed, nothing goes on behind the lock's back.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import time
import uuid
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import yaml
from outcome import outcome
from plan import ROOT, jobs
from snakemake.cli import main as snakemake

from companion.records import PROFILES

HERE = Path(__file__).resolve().parent
PLACES = sorted(path.name for path in (HERE / "profiles").iterdir())
CANCEL = """cat
while sleep 1; ids=$(squeue --me --noheader --format='%j %i' | sed -n "s/^$0_.* //p"); test "$ids"; do
    scancel $ids
done"""


def lock() -> IO:
    """Hold the lock until this process ends; of its children only the guard inherits it."""
    path = ROOT / "results/quick/.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        sys.exit(f"make book is already running here (process {file.read()}); wait for it, or stop it first.")
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def guard(name: str, held: IO) -> subprocess.Popen:
    """Start a process that, when its input ends, cancels the SLURM jobs `<name>_...` and frees the lock."""
    return subprocess.Popen(
        ["sh", "-c", CANCEL, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=[held.fileno()],
    )


def find_data() -> None:
    """Make COMPANION_DATA, which make sets to ROOT as it was typed, the absolute path of a folder."""
    if root := os.environ.get("COMPANION_DATA"):
        path = os.path.realpath(os.path.expanduser(root))
        if not os.path.isdir(path):
            sys.exit(f"there is no folder {path}: ROOT is the folder that contains the datasets' folders.")
        os.environ["COMPANION_DATA"] = path


def main(profile: str = "quick", place: str = "local") -> int:
    """Exit status: 0 if everything of the profile stands."""
    if profile not in PROFILES:
        sys.exit(f"unknown PROFILE {profile!r}; choose one of {', '.join(PROFILES)}")
    if place not in PLACES:
        sys.exit(f"unknown ON {place!r}; choose one of {', '.join(PLACES)}")
    settings = yaml.safe_load((HERE / "profiles" / place / "config.yaml").read_text())
    on_slurm = settings.get("executor") == "slurm"
    if on_slurm and not (shutil.which("sbatch") and find_spec("snakemake_executor_plugin_slurm")):
        sys.exit(
            f"ON={place} needs sbatch and snakemake's SLURM plugin; workflow/README.md says how to get both."
        )
    find_data()
    held, start = lock(), time.time()
    call = ["--snakefile", str(HERE / "Snakefile"), "--profile", str(HERE / "profiles" / place)]
    call += ["--logger", "book"]
    if profile != "quick":  # only jobs whose records do not stand are named: an old stamp says nothing
        call += ["--forcerun", "notebook"]
    if on_slurm:
        name = f"companion-{uuid.uuid4().hex}"
        guarded = guard(name, held)
        call += ["--slurm-jobname-prefix", name]
    status = 0
    try:
        snakemake([*call, "--config", f"profile={profile}"])
    except SystemExit as end:
        status = int(bool(end.code))
    found = {job: outcome(job, start) for job in jobs(profile)}
    words = [word for word, _ in found.values()]
    print(
        "\n" + ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words)),
        f"({time.time() - start:.0f} s)",
    )
    for job, (word, reason) in found.items():
        if word in ("failed", "not started"):
            print(f"  {word}: {job.name}" + (f": {reason}" if reason else ""))
    print(flush=True)
    status |= subprocess.run([sys.executable, "-m", "companion", "tables", "--show"], cwd=ROOT).returncode
    print("\nNext: `make lab`, and open notebooks/00_the_lecture.ipynb.", end=" ")
    print("Your executed notebooks are in results/quick/notebooks.")
    if on_slurm:
        guarded.communicate()
    held.close()
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
