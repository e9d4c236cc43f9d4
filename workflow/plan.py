"""What the batch runs: one job a (notebook, source, seed) of a profile, as `config.yaml` says."""

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from companion import experiments, presets, records
from companion.files import fingerprint, scratch

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Job:
    """One papermill call. The source `none` stands for a notebook that takes no parameters."""

    notebook: str
    source: str
    profile: str
    seed: int
    reads: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.notebook}-{self.source}-{self.profile}-seed{self.seed}"

    @property
    def chapter(self) -> str:
        return self.notebook.partition("_")[2]

    @property
    def log(self) -> Path:
        """The executed notebook; beside it, ending in `.log`, what papermill said."""
        return scratch() / "notebooks" / f"{self.name}.ipynb"

    @property
    def stamp(self) -> Path:
        return scratch() / "stamps/notebooks" / self.name

    def plan(self) -> dict[records.Run, dict]:
        """The runs that are to be recorded, with their params; none for a notebook that trains nothing."""
        if self.source == "none":
            return {}
        return presets.plan(self.chapter, self.source, self.profile, seed=self.seed)

    def releases(self) -> dict[str, str]:
        """The simulated releases that the notebook reads: fingerprint -> JSON of their parameters."""
        plans = self.plan().values()
        read = [{"seed": self.seed} | params["release"] for params in plans if "release" in params]
        return {fingerprint(text.encode()): text for text in (json.dumps(r, sort_keys=True) for r in read)}

    def parameters(self) -> str:
        """The words of papermill."""
        values = {"source": self.source, "profile": self.profile, "seed": self.seed}
        return (
            "" if self.source == "none" else " ".join(f"-p {name} {value}" for name, value in values.items())
        )

    def train(self, processes: int) -> str:
        """The words that train all its runs first, on several processes; the notebook finds their records."""
        if processes == 1 or not self.plan():
            return ":"
        python = shlex.quote(sys.executable)
        where = 'import torch; print("" if torch.cuda.is_available() else "env ACCELERATE_USE_CPU=1")'
        launch = f"-m torch.distributed.run --standalone --nproc_per_node {processes} -m companion train"
        words = f"{self.chapter} --source {self.source} --profile {self.profile} --seed {self.seed}"
        alone = "env OMP_NUM_THREADS=1 MKL_NUM_THREADS=1"  # snakemake lets each have all threads of the job
        return f"{alone} $({python} -c {shlex.quote(where)}) {python} {launch} {words}"

    def inputs(self) -> list[str]:
        """What makes a quick run stale; `full` and `paper` look at their records alone."""
        if self.profile != "quick":
            return []
        package = ("companion/**/*.py", "companion/experiments/*.yaml")
        globs = (f"notebooks/{self.notebook}.ipynb", *package, *self.reads)
        return sorted(str(path) for glob in globs for path in ROOT.glob(glob))

    def stands(self) -> bool:
        """True if a `full` or `paper` job has nothing to do: all its records are there, and stand."""
        return self.profile != "quick" and all(found(run, params) for run, params in self.plan().items())


def found(run: records.Run, params: dict) -> bool:
    """Is the committed record there, and does it stand? A broken one does not: its notebook names it."""
    try:
        experiment = experiments.prepare(run, params)
        codes, data = experiments.codes(run, experiment), experiment.data()
        return not records.standing(records.read(run.path()), experiment.params, codes, data)
    except (OSError, ValueError):
        return False


def jobs(profile: str) -> list[Job]:
    """All jobs of a profile that have something to do, in the order of `config.yaml`."""
    runs = yaml.safe_load((ROOT / "workflow/config.yaml").read_text())["runs"]
    named = [
        Job(notebook, source, profile, seed, tuple(profiles[profile].get("reads", ())))
        for notebook, profiles in runs.items()
        if profile in profiles
        for source in profiles[profile]["sources"]
        for seed in profiles[profile].get("seeds", [0])
    ]
    most = {job: presets.seeds(job.chapter, job.source, profile) for job in named if job.source != "none"}
    return [job for job in named if job.seed < most.get(job, job.seed + 1)]
