"""Run the batch of a profile, then show the tables: `book.py [quick|full|paper] [local|slurm|trial]`.

One call at a time holds the lock. Snakemake runs inside this process, and a guard outlives it, which ends all
that was started, SLURM jobs too: whatever is killed, nothing goes on behind the lock's back.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import yaml
from outcome import outcome, shown
from plan import ROOT, jobs
from snakemake.cli import main as snakemake

from companion.files import scratch
from companion.records import PROFILES

HERE = Path(__file__).resolve().parent
PLACES = sorted(path.name for path in (HERE / "profiles").iterdir())
LEAST = 64 << 20  # bytes, without which snakemake itself ends in tracebacks
MARK = "COMPANION_BATCH"  # in the environment of all that is started
CANCEL = """
while sleep 1; ids=$(squeue --me --noheader --format='%j %i' | sed -n "s/^$0_.* //p"); test "$ids"; do
    scancel $ids
done
"""
END = f"""
while pids=$(grep -lszx "{MARK}=$0" /proc/[0-9]*/environ | cut -d/ -f3); test "$pids"; do
    kill -9 $pids
    sleep 0.1
done
rm -rf "$1"
"""


def lock() -> IO:
    """Hold the lock until this process ends; of its children only the guard inherits it."""
    path = scratch() / ".lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(path.parent).free < LEAST:
            sys.exit(f"{path.parent} has no {LEAST >> 20} MB free; set COMPANION_OUT to another folder.")
        file = path.open("a+")
        for wait in (0.1,) * 30 + (0,):  # the guard of a call that was killed has some work left
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(wait)
        else:
            file.seek(0)
            pid = file.read()
            sys.exit(f"make book is already running here (process {pid}); wait for it, or stop it first.")
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
    except OSError as error:
        sys.exit(f"cannot write {path}: {error.strerror}; set COMPANION_OUT to another folder.")
    return file


def guard(name: str, held: IO, temporary: Path, on_slurm: bool) -> subprocess.Popen:
    """Start a process that, when its input ends, ends what this one has started and frees the lock.

    Args:
        name: of the mark, and of the SLURM jobs `<name>_...`.
        temporary: a folder, which goes.
    """
    return subprocess.Popen(
        ["sh", "-c", "cat" + CANCEL * on_slurm + END, name, str(temporary)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=[held.fileno()],
    )


def surround(name: str, temporary: Path) -> None:
    """Mark what this process starts, and say where it may write; what a killed call has left there goes."""
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    os.environ[MARK] = name
    for place in ("TMPDIR", "XDG_CACHE_HOME", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
        os.environ[place] = str(temporary)
    os.environ["MPLCONFIGDIR"] = str(scratch() / "matplotlib")
    tempfile.tempdir = None


def find_data() -> None:
    """Make COMPANION_DATA, which make sets to ROOT as it was typed, the absolute path of a folder."""
    if root := os.environ.get("COMPANION_DATA"):
        path = os.path.realpath(os.path.expanduser(root))
        if not os.path.isdir(path):
            sys.exit(f"there is no folder {path}: ROOT is the folder that contains the datasets' folders.")
        os.environ["COMPANION_DATA"] = path


class Batch(threading.Thread):
    """Snakemake, in a thread, so that signals are not its own: it would wait for what runs to end."""

    def __init__(self, call: list[str]) -> None:
        super().__init__(daemon=True)
        self.call, self.status = call, 1

    def run(self) -> None:
        try:
            snakemake(self.call)
            self.status = 0
        except SystemExit as end:
            self.status = int(bool(end.code))


def report(profile: str, start: float) -> int:
    """Print what became of each job, and the tables; 0 if these could be printed."""
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
    status = subprocess.run([sys.executable, "-m", "companion", "tables", "--show"], cwd=ROOT).returncode
    print("\nNext: `make lab`, and open notebooks/00_the_lecture.ipynb.", end=" ")
    print(f"Your executed notebooks are in {shown(scratch() / 'notebooks')}.")
    return status


def main(profile: str = "quick", place: str = "local", processes: str = "1") -> int:
    """Exit status: 0 if everything of the profile stands."""
    if profile not in PROFILES:
        sys.exit(f"unknown PROFILE {profile!r}; choose one of {', '.join(PROFILES)}")
    if place not in PLACES:
        sys.exit(f"unknown ON {place!r}; choose one of {', '.join(PLACES)}")
    if not (processes.isdecimal() and int(processes)):
        sys.exit(f"PROCESSES is {processes!r}; give a whole number from 1, of processes that train together.")
    settings = yaml.safe_load((HERE / "profiles" / place / "config.yaml").read_text())
    on_slurm = settings.get("executor") == "slurm"
    if on_slurm and not (shutil.which("sbatch") and find_spec("snakemake_executor_plugin_slurm")):
        sys.exit(
            f"ON={place} needs sbatch and snakemake's SLURM plugin; workflow/README.md says how to get both."
        )
    find_data()
    held, start = lock(), time.time()
    name, temporary = f"companion-{uuid.uuid4().hex}", scratch() / "tmp"
    guarded = guard(name, held, temporary, on_slurm)
    surround(name, temporary)
    call = ["--snakefile", str(HERE / "Snakefile"), "--profile", str(HERE / "profiles" / place)]
    call += ["--directory", str(scratch()), "--logger", "book"]
    if profile != "quick":  # only jobs whose records do not stand are named: an old stamp says nothing
        call += ["--forcerun", "notebook"]
    if on_slurm:
        call += ["--slurm-jobname-prefix", name]
    call += ["--config", f"profile={profile}", f"processes={int(processes)}"]
    batch = Batch(call)
    try:
        batch.start()
        batch.join()
        status = report(profile, start) | batch.status
    except KeyboardInterrupt:
        print("\nstopped: what is written stays, and the next call goes on.", flush=True)
        os._exit(130)  # snakemake's threads would go on; the guard does the rest
    guarded.communicate()
    held.close()
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
