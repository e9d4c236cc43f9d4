"""What became of a job: papermill's own word, or SLURM's or snakemake's where papermill could not say one."""

import re
from pathlib import Path

from plan import ROOT, Job

from companion.files import scratch

SAID = re.compile(r"(?:error|exception|message): (?!None$)\S", re.IGNORECASE)


def shown(path: Path) -> Path:
    """From the repository, where it lies there."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def fresh(path: Path, start: float) -> bool:
    return path.exists() and path.stat().st_mtime >= start


def others(rule: str, name: str, log: Path, start: float) -> list[tuple[Path, str]]:
    """What was written about a job since `start` beside its own log: SLURM's log of it, then snakemake's."""
    folder = scratch() / ".snakemake"
    slurm, snakemake = (
        sorted((path for path in paths if fresh(path, start)), key=lambda path: -path.stat().st_mtime)
        for paths in ((folder / f"slurm_logs/rule_{rule}/{name}").glob("*.log"), folder.glob("log/*.log"))
    )
    return [(path, path.read_text(errors="replace")) for path in slurm] + [
        (path, part)
        for path in snakemake
        for part in path.read_text(errors="replace").split("\n[")  # each begins with a time
        if "Error in rule" in part and f"/{log.name}" in part
    ]


def failure(rule: str, name: str, log: Path, start: float) -> tuple[str, Path] | None:
    """Why a job failed since `start`, and the file that shows where; None if nothing was written about it."""
    text = log.read_text(errors="replace") if fresh(log, start) else ""
    own = [line for line in text.splitlines() if line.strip() and "[IPKernelApp]" not in line]
    beside = others(rule, name, log, start)
    if "Traceback (most recent call last):" not in own:  # else papermill said why
        for path, text in beside:
            lines = [line.strip() for line in text.splitlines() if SAID.search(line)]
            if said := [line for line in lines if "Exited with exit code" not in line]:
                return said[-1].removeprefix("message: "), path
    executed = log.with_suffix(".ipynb")
    where = executed if fresh(executed, start) and executed.stat().st_size else log
    if own:
        return own[-1], where
    return ("it was killed", where) if beside or fresh(log, start) else None


def outcome(job: Job, start: float) -> tuple[str, str]:
    """What became of a job since `start`: one word, and the reason if it failed or could not start."""
    stamps, logs = job.stamp.parents[1], job.log.parent
    if fresh(job.stamp, start):
        return "ran", ""
    if found := failure("notebook", job.name, job.log.with_suffix(".log"), start):
        return "failed", f"{found[0]}\n    {shown(found[1])} shows where"
    if job.stamp.exists() if job.profile == "quick" else job.stands():
        return "up to date", ""
    for key in job.releases():
        found = failure("release", key, logs / f"release-{key}.log", start)
        if found and not (stamps / "releases" / key).exists():
            return "not started", (f"its simulated release: {found[0]}\n    {shown(found[1])} shows where")
    return "not started", ""
