"""Run the batch of a profile, then show the tables: `book.py [quick|full|paper] [local|slurm]`.

One call at a time holds the lock. Snakemake runs inside this process and papermill dies with it, so that
whatever is killed, nothing goes on behind the lock's back.
"""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

from plan import ROOT, Job, jobs
from snakemake.cli import main as snakemake

from companion.records import PROFILES

HERE = Path(__file__).resolve().parent
PLACES = sorted(path.name for path in (HERE / "profiles").iterdir())


def lock() -> object:
    """Hold the lock until this process ends; its children do not inherit it."""
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


def outcome(job: Job, start: float) -> tuple[str, str]:
    """What became of a job since `start`: one word, and the last line of the traceback if it failed."""
    text = job.log.with_suffix(".log")
    if not (text.exists() and text.stat().st_mtime >= start):
        stands = job.stamp.exists() if job.profile == "quick" else job.stands()
        return ("up to date" if stands else "not started"), ""
    if job.stamp.exists() and job.stamp.stat().st_mtime >= start:
        return "ran", ""
    lines = [
        line
        for line in text.read_text(errors="replace").splitlines()
        if line.strip() and "[IPKernelApp]" not in line
    ]
    return "failed", lines[-1] if lines else "papermill was killed"


def main(profile: str = "quick", place: str = "local") -> int:
    """Exit status: 0 if everything of the profile stands."""
    if profile not in PROFILES:
        sys.exit(f"unknown PROFILE {profile!r}; choose one of {', '.join(PROFILES)}")
    if place not in PLACES:
        sys.exit(f"unknown ON {place!r}; choose one of {', '.join(PLACES)}")
    held, start = lock(), time.time()
    call = [
        "--snakefile",
        str(HERE / "Snakefile"),
        "--profile",
        str(HERE / "profiles" / place),
        "--logger",
        "book",
    ]
    if (
        profile != "quick"
    ):  # the Snakefile names only jobs whose records do not stand: an old stamp says nothing
        call += ["--forcerun", "notebook"]
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
            print(
                f"  {word}: {job.name}"
                + (f": {reason}\n    {job.log.relative_to(ROOT)} shows where" if reason else "")
            )
    print(flush=True)
    status |= subprocess.run([sys.executable, "-m", "companion", "tables", "--show"], cwd=ROOT).returncode
    print("\nNext: `make lab`, and open notebooks/00_the_lecture.ipynb.", end=" ")
    print("Your executed notebooks are in results/quick/notebooks.")
    held.close()
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
