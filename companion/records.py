"""Run records: what was asked, what was measured, and what it was measured on.

One JSON file a (variant, fold, seed), so that a campaign stops and goes on anywhere:

    <out>/<notebook>/<source>/<profile>/<protocol>/<variant>-fold<F>-seed<N>.json
    <out>/units/<key>.txt                   what the test set consists of, one unit a line, once a test set

A record stands while its params, its data and the code of its experiment are what they were.
"""

import base64
import json
import platform
import re
import subprocess
import tempfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from jaxtyping import Float

from companion.files import REPOSITORY, DamagedFile, fingerprint, read_json, scratch, write_whole

WEIGHTS = ContextVar("weights", default="weights")  # the folder of checkpoints in `scratch`
PROFILES = ("quick", "full", "paper")
FAR, UNITS = 1e12, 1 << 24  # what no metric reaches, and no test set's number of units
PACKAGES = ("torch", "torchvision", "numpy", "accelerate")
FIELDS = {"run": dict, "params": dict, "metrics": dict, "provenance": dict}
KEPT = {"counts": dict, "units": dict}  # of records made since there are scores per unit
PROVENANCE = {
    **{"commit": str | None, "device": str | None, "precision": str | None, "threads": int},
    **{"code": dict, "data": dict, "accepted": list},
}  # what is read again


@dataclass(frozen=True)
class Run:
    """What one record is about.

    Raises:
        ValueError: an unknown profile, a name that could leave its folder, or a fold or seed below 0.
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
            if name in ("fold", "seed"):
                if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**32:
                    raise ValueError(f"{name} is {value!r}; give a whole number from 0")
            elif not isinstance(value, str) or not re.fullmatch(r"\w[\w.+-]*", value):
                raise ValueError(
                    f"{name} {value!r} cannot be part of a file name; use letters, digits, . + - _"
                )

    @classmethod
    def named(cls, name: str) -> "Run":
        """The first run of `<notebook>/<source>/<profile>/<protocol>/<variant>`."""
        notebook, source, profile, protocol, variant = name.split("/")
        return cls(notebook, source, profile, protocol, variant)

    @property
    def chapter(self) -> str:
        """The name of its experiment: the notebook's without its number."""
        return self.notebook.partition("_")[2]

    def path(self, out: str | Path | None = None) -> Path:
        """The record's file in the folder `out`, see `folder`."""
        name = f"{self.variant}-fold{self.fold}-seed{self.seed}.json"
        return folder(self.profile, out) / self.notebook / self.source / self.profile / self.protocol / name


def folder(profile: str, out: str | Path | None = None) -> Path:
    """Where the records of a profile lie; `out` is resolved from the repository, else the working directory.

    Default: `runs` in `files.scratch()` for the quick profile, else `results/runs`, which is in git.

    Raises:
        FileNotFoundError: no `out` for records that are to be committed, and no repository.
    """
    if out:
        return (REPOSITORY or Path.cwd()) / out
    if profile == "quick":
        return scratch() / "runs"
    if REPOSITORY is None:
        raise FileNotFoundError("an installed package has no results/runs; say with out where records go")
    return REPOSITORY / "results" / "runs"


def checkpoint(run: Run, params: dict, data: dict, code: dict) -> Path:
    """Where the run's weights lie on this machine; those of other params, data or code lie elsewhere."""
    key = fingerprint([json.dumps(part, sort_keys=True).encode() for part in (params, data, code)])
    return run.path(scratch() / WEIGHTS.get()).with_suffix(f".{key}.safetensors")


def read(path: str | Path) -> dict:
    """A record, checked.

    Raises:
        ValueError: the file is not a whole record; the sentence names file and field.
    """
    path = Path(path).resolve()
    record = read_json(path, "delete it and run its notebook again")

    def wrong(what: str) -> DamagedFile:
        return DamagedFile(f"{path}: {what}; delete the file and run its notebook again")

    for field, kind in FIELDS.items():
        if not isinstance(record, dict) or not isinstance(record.get(field), kind):
            raise wrong(f"field {field!r} is missing or no object")
    for field, kind in KEPT.items():
        if not isinstance(record.get(field, {}), kind):
            raise wrong(f"field {field!r} is no object")
    try:
        run = Run(**record["run"])
    except (TypeError, ValueError) as error:
        raise wrong(f"field 'run' is wrong ({error})") from None
    if record["run"] != asdict(run):
        raise wrong(f"field 'run' does not hold {', '.join(asdict(run))}")
    if path.parts[-5:] != run.path(".").parts[-5:]:
        raise wrong(f"field 'run' names another file, {Path(*run.path('.').parts[-5:])}")
    for name, value in record["metrics"].items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < FAR:
            raise wrong(f"metric {name!r} is {value!r}, not a finite number")
    for name, pair in record.get("counts", {}).items():
        whole = isinstance(pair, list) and len(pair) == 2 and all(type(n) is int for n in pair)
        if not (whole and 0 <= pair[0] <= pair[1] < FAR):
            raise wrong(f"count {name!r} is {pair!r}, not how many of how many")
    if units := dict(record.get("units", {})):
        of = units.pop("of", None)
        if not isinstance(of, str) or not re.fullmatch(r"[0-9a-f]{12}", of):
            raise wrong("units do not say of which test set")
        file = path.parents[4] / "units" / f"{of}.txt"
        names = file.read_bytes().split(b"\n")[:-1] if file.is_file() else []
        if key(record["provenance"].get("data"), names) != of:
            raise wrong(f"its test set {file} is missing or another one")
        for name, values in units.items():
            try:
                if unpack(values).size != len(names):
                    raise ValueError(f"they are not {len(names)}")
            except ValueError as error:
                raise wrong(f"units of {name!r}: {error}") from None
    provenance = record["provenance"]
    accepted = provenance.get("accepted", [])
    for made in [provenance, *(accepted if isinstance(accepted, list) else [])]:
        if not isinstance(made, dict):
            raise wrong(f"provenance 'accepted' holds {made!r}, no object")
        for field, kind in PROVENANCE.items():
            if field in made and (not isinstance(made[field], kind) or made[field] is True):
                raise wrong(f"provenance {field!r} is {made[field]!r}")
        if made.get("threads", 1) < 1:
            raise wrong(f"provenance 'threads' is {made['threads']}")
        for field in ("code", "data"):
            if known(made) and field not in made:
                raise wrong(f"provenance {field!r} is missing")
    return record


def key(data: object, names: Iterable[bytes]) -> str:
    """Fingerprint of a test set: of its data and its units."""
    return fingerprint([json.dumps(data, sort_keys=True).encode(), *names])


def standing(
    record: dict,
    params: dict,
    code: Mapping[str, str],
    data: Mapping | None = None,
    kept: Sequence[str] = (),
) -> list[str]:
    """Why a record does not stand: what differs from what would be made now; empty if it stands.

    Args:
        code: see `companion.code.closure`.
        data: fingerprints; None: not compared, where the data need not be there.
        kept: metrics whose scores per unit of the test set are needed.
    """
    provenance, reasons = record["provenance"], []
    wanted = json.loads(json.dumps(params))
    changed = [
        key for key in sorted({*wanted, *record["params"]}) if wanted.get(key) != record["params"].get(key)
    ]
    if changed:
        reasons.append(f"other params ({', '.join(changed)})")
    made = [one for one in (provenance, *provenance.get("accepted", [])) if known(one)]
    if not made:
        reasons.append("made before code and data were compared")
    else:
        now = [one for one in made if data is None or one["data"] == dict(data)]
        if not now:
            reasons.append("other data")
        if dict(code) not in [one["code"] for one in now or made]:
            then = made[-1]["code"]
            files = [file for file in sorted({*then, *code}) if then.get(file) != code.get(file)]
            reasons.append(f"older than {', '.join(files)}")
    lost = [name for name in kept if name in record["metrics"] and name not in record.get("units", {})]
    if lost and "counts" in record:
        reasons.append(f"keeps no scores per unit of {', '.join(lost)}")
    precision = provenance.get("precision") or "f32"
    if "precision" not in changed and precision != params.get("precision", "f32"):
        reasons.append(f"trained in {precision}")
    return reasons


def known(made: Mapping) -> bool:
    """Does it say by which code and from which data a record was made? Those before this rule name files."""
    return "chosen" in made or "rerun" in made


def write(
    run: Run,
    params: dict,
    metrics: dict,
    *,
    counts: dict | None = None,
    units: Mapping[str, Float[np.ndarray, " U"]] | None = None,
    ids: Sequence[str] = (),
    out: str | Path | None = None,
    **provenance: object,
) -> dict:
    """Write one run's record, whole or not at all.

    Args:
        params: the numbers that the run was given.
        metrics: name -> finite number.
        counts: of a percentage: how many of how many.
        units: of a metric: its mean over each unit of the test set, NaN where it is not defined.
        ids: of these units.
        provenance: what the caller knows: seconds, fingerprints of data, code and weights.
    """
    of = key(provenance.get("data"), (name.encode() for name in ids))
    if ids:
        write_whole(folder(run.profile, out) / "units" / f"{of}.txt", "".join(f"{name}\n" for name in ids))
    record = {
        "run": asdict(run),
        "params": params,
        "metrics": metrics,
        "counts": counts or {},
        "units": {"of": of} | {name: pack(values) for name, values in (units or {}).items()} if ids else {},
        "provenance": {**surroundings(), **provenance},
    }
    path = run.path(out)
    write_whole(path, json.dumps(record, indent=1, sort_keys=True, allow_nan=False) + "\n")
    return read(path)


def pack(values: Float[np.ndarray, " U"]) -> str:
    """Numbers in half precision as text."""
    return base64.b64encode(zlib.compress(np.asarray(values, "<f2").tobytes(), 9)).decode()


def unpack(text: str) -> Float[np.ndarray, " U"]:
    """The numbers that `pack` wrote.

    Raises:
        ValueError: it is no such text.
    """
    try:
        stream = zlib.decompressobj()
        content = stream.decompress(base64.b64decode(text, validate=True), 2 * UNITS)
        if not stream.eof:
            raise ValueError("they are cut off")
        return np.frombuffer(content, "<f2").astype(float)
    except (TypeError, ValueError, zlib.error) as error:
        raise ValueError(f"the scores of a record cannot be read ({error})") from None


def acceptable(path: Path, record: dict, data: Mapping[str, str]) -> None:
    """Refuse a record that was made from other data than there are now.

    Raises:
        ValueError: it names the record.
    """
    if "counts" in record and record["provenance"].get("data") != dict(data):
        raise ValueError(f"{path} was made from other data; make it again")


def accept(path: Path, code: Mapping[str, str], data: Mapping[str, str], rerun: str) -> None:
    """Note in a record that present code gives its numbers, as another record of its variant shows.

    Args:
        data: what it reads now.
        rerun: the record that was made again with equal metrics and weights.

    Raises:
        ValueError: the record was made from other data.
    """
    record = read(path)
    acceptable(path, record, data)
    provenance = record["provenance"]
    shown = {"code": dict(code), "data": dict(data), "commit": commit(), "rerun": rerun}
    provenance["accepted"] = [*provenance.get("accepted", []), shown]
    write_whole(path, json.dumps(record, indent=1, sort_keys=True, allow_nan=False) + "\n")


def same(one: dict, other: dict) -> bool:
    """Equal run, params, precision, metrics and weights; the rest of provenance may differ."""
    parts = []
    for record in (one, other):
        provenance = record["provenance"]
        asked = record["params"] | {"precision": provenance.get("precision") or "f32"}
        parts.append((record["run"], asked, record["metrics"], provenance.get("weights")))
    return parts[0] == parts[1]


def surroundings() -> dict:
    """Commit, package versions, device and threads of this process."""
    import torch

    return {
        "commit": commit(),
        "dirty": dirty(),
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


def commit() -> str | None:
    """Of this repository; None if its files lie in no repository or in another one."""
    top = git("rev-parse", "--show-toplevel")
    return git("rev-parse", "HEAD") if top and Path(top) == REPOSITORY else None


def dirty() -> bool | None:
    """Were files of the package changed or added? None where that cannot be known."""
    changed = git("status", "--porcelain", "--", "companion") if commit() else None
    return None if changed is None else bool(changed)


def check_out(run: Run, out: str | Path | None) -> None:
    """Refuse a folder that cannot be written before anything is trained."""
    folder = run.path(out).parent
    try:
        while not folder.exists():
            folder = folder.parent
        tempfile.TemporaryFile(dir=folder).close()  # os.access lets root pass
    except OSError as error:
        raise PermissionError(
            f"out cannot be written: {folder}: {error.strerror}; choose another out, or set COMPANION_OUT"
        ) from None
