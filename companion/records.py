"""Run records: what was asked, what was measured, and what it was measured on.

One JSON file a (variant, fold, seed), so that a campaign stops and goes on anywhere:

    <out>/<notebook>/<source>/<profile>/<protocol>/<variant>-fold<F>-seed<N>.json
"""

import json
import math
import os
import platform
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import yaml

from companion.files import REPOSITORY, fingerprint, scratch, write_whole

PROFILES = ("quick", "full", "paper")
CONFIG = REPOSITORY / "workflow" / "config.yaml"
PACKAGES = ("torch", "torchvision", "numpy", "accelerate")
FIELDS = {"run": dict, "params": dict, "metrics": dict, "claims": dict, "provenance": dict}


@dataclass(frozen=True)
class Run:
    """What one record is about.

    Raises:
        ValueError: an unknown profile, or a name that could leave its folder.
    """

    notebook: str
    source: str
    profile: str = "quick"
    protocol: str = "default"
    variant: str = "default"
    fold: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise ValueError(f"unknown profile {self.profile!r}; choose one of {', '.join(PROFILES)}")
        for name, value in asdict(self).items():
            if isinstance(value, str) and not re.fullmatch(r"\w[\w.+-]*", value):
                raise ValueError(
                    f"{name} {value!r} cannot be part of a file name; use letters, digits, . + - _"
                )

    def path(self, out: str | Path | None = None) -> Path:
        """The record's file in the folder `out`, which is resolved from the repository root.

        Default: `results/quick/runs` for the quick profile, else `results/runs`, which is in git.
        The environment variable COMPANION_OUT takes the place of `results/quick`.
        """
        out = out or (f"{scratch()}/runs" if self.profile == "quick" else "results/runs")
        name = f"{self.variant}-fold{self.fold}-seed{self.seed}.json"
        return REPOSITORY / out / self.notebook / self.source / self.profile / self.protocol / name


def plan(
    notebook: str,
    source: str,
    profile: str,
    seed: int = 0,
    protocol: str | None = None,
    variant: str | None = None,
    fold: int | None = None,
) -> dict[Run, dict]:
    """What one call of a notebook measures, from `workflow/config.yaml`: each run and its params.

    A preset's `folds` and `seeds` say how many there are (default 1 fold, any seed); a variant may have
    its own. They are no params, so that more seeds leave the records of the others as they are.

    Args:
        protocol, variant, fold: only these; a variant that the preset does not list gets the numbers
            that the protocol's variants share.

    Raises:
        ValueError: no preset for this source, profile, protocol or fold.
    """
    presets = yaml.safe_load(CONFIG.read_text())["presets"][notebook]
    if source not in presets.get(profile, {}):
        known = ", ".join(f"{s} in {p}" for p, sources in presets.items() for s in sources)
        raise ValueError(
            f"{notebook} has no preset for source {source!r} in profile {profile!r}; there are {known}"
        )
    protocols = presets[profile][source]
    if protocol is not None and protocol not in protocols:
        raise ValueError(f"unknown protocol {protocol!r} of {notebook}; choose one of {', '.join(protocols)}")
    chosen = {}
    for name in [protocol] if protocol else protocols:
        shared = {key: value for key, value in protocols[name].items() if key != "variants"}
        own = protocols[name]["variants"]
        for which in [variant] if variant else own:
            params = shared | (own.get(which) or {})
            folds, seeds = params.pop("folds", 1), params.pop("seeds", seed + 1)
            if fold is not None and not 0 <= fold < folds:
                raise ValueError(f"unknown fold {fold} of {name}; choose one of 0 to {folds - 1}")
            if seed < seeds or variant:
                for number in range(folds) if fold is None else [fold]:
                    chosen[Run(notebook, source, profile, name, which, number, seed)] = params
    return chosen


def checkpoint(run: Run, params: dict) -> Path:
    """Where the run's weights lie on this machine; those of other params or other code lie elsewhere.

    Code is the whole package for `quick`, else the imported files that numbers depend on.
    """
    made_by = package_fingerprint() if run.profile == "quick" else json.dumps(code())
    key = fingerprint([json.dumps(params, sort_keys=True).encode(), made_by.encode()])
    return run.path(f"{scratch()}/weights").with_suffix(f".{key}.safetensors")


def read(path: str | Path) -> dict:
    """A record, checked.

    Raises:
        ValueError: the file is not a whole record; the sentence names file and field.
    """
    path = Path(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON ({error}); delete it and run its notebook again") from None
    for field, kind in FIELDS.items():
        if not isinstance(record, dict) or not isinstance(record.get(field), kind):
            raise ValueError(
                f"{path}: field {field!r} is missing or no object; delete the file and run its notebook"
            )
    try:
        run = Run(**record["run"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: field 'run' is wrong ({error})") from None
    if path.parts[-5:] != run.path(".").parts[-5:]:
        raise ValueError(f"{path}: field 'run' names another file, {Path(*run.path('.').parts[-5:])}")
    for name, value in record["metrics"].items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{path}: metric {name!r} is {value!r}, not a finite number")
    return record


def find(path: Path, params: dict) -> dict | None:
    """The record at `path` if it was made with equal `params`; of the quick profile also by equal code."""
    if not path.is_file():
        return None
    record = read(path)
    made_by = record["provenance"].get("package")
    stale = record["run"]["profile"] == "quick" and made_by != package_fingerprint()
    return None if stale or record["params"] != json.loads(json.dumps(params)) else record


def write(
    run: Run,
    params: dict,
    metrics: dict,
    *,
    out: str | Path | None = None,
    claims: dict | None = None,
    **provenance: object,
) -> dict:
    """Write one run's record, whole or not at all.

    Args:
        params: the numbers that the run was given.
        metrics: name -> finite number.
        claims: name -> true or false, of this run alone.
        provenance: what the caller knows: seconds, fingerprints of data and weights.
    """
    record = {
        "run": asdict(run),
        "params": params,
        "metrics": metrics,
        "claims": claims or {},
        "provenance": {**surroundings(), **provenance},
    }
    path = run.path(out)
    write_whole(path, json.dumps(record, indent=1, sort_keys=True, allow_nan=False) + "\n")
    return read(path)


def same(one: dict, other: dict) -> bool:
    """Equal run, params, metrics, claims and weights; the rest of provenance may differ."""
    fields = ("run", "params", "metrics", "claims")
    weights = [r["provenance"].get("weights") for r in (one, other)]
    return all(one[f] == other[f] for f in fields) and weights[0] == weights[1]


def surroundings() -> dict:
    """Commit, code, package versions, device and threads of this process."""
    import torch

    return {
        "commit": git("rev-parse", "HEAD"),
        "dirty": bool(git("status", "--porcelain", "--untracked-files=no")),
        "code": code(),
        "package": package_fingerprint(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "device": torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f"cpu ({torch.backends.cpu.get_cpu_capability()})",
        "threads": torch.get_num_threads(),
    }


def git(*words: str) -> str | None:
    """What git says in the repository, or None outside one."""
    try:
        done = subprocess.run(["git", *words], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def code() -> dict[str, str]:
    """Fingerprints of the imported files of the package that numbers depend on."""
    floors = tuple(
        f"companion.{room}"
        for room in "ops models formats datasets simulator metrics skeleton video training".split()
    )
    files = {
        Path(m.__file__) for name, m in list(sys.modules.items()) if name.startswith(floors) and m.__file__
    }
    house = Path(__file__).resolve().parents[1]
    return {str(f.relative_to(house)): fingerprint(f.read_bytes()) for f in sorted(files)}


@cache
def package_fingerprint() -> str:
    """Of all Python files of the package and the presets."""
    files = sorted((REPOSITORY / "companion").rglob("*.py"))
    return fingerprint([*(f.read_bytes() for f in files), CONFIG.read_bytes()])


def check_out(run: Run, out: str | Path | None) -> None:
    """Refuse a folder that cannot be written before anything is trained."""
    folder = run.path(out).parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise PermissionError(f"out cannot be written: {folder} is not a writable folder; choose another out")
