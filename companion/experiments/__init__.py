"""Experiments: one chapter, one file, with its presets beside it. Here models meet datasets.

Notebook, batch, `companion train` and `companion rerun` all do this:

    plan = experiments.plan("hard_attention", "digits", "quick")
    done = experiments.run(plan)

A chapter's file gives `prepare(run, params, root) -> Experiment`, which reads and trains nothing by itself.
"""

import shutil
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import pandas as pd
from accelerate.utils import broadcast_object_list

from companion import code, presets, records, training
from companion.files import DamagedFile, fingerprint, scratch
from companion.presets import plan
from companion.records import Run
from companion.training import Experiment

__all__ = [
    "Done",
    "Experiment",
    "Run",
    "accept",
    "losses",
    "measure",
    "metrics",
    "plan",
    "prepare",
    "rerun",
    "run",
]


class Done(NamedTuple):
    """What stands of a run."""

    record: dict
    model: Any  # None where only the record is left
    losses: list[float]  # of each epoch that this machine has seen
    experiment: Experiment


def prepare(run: Run, params: dict, root: str | Path | None = None) -> Experiment:
    """The experiment of a run.

    Args:
        root: the folder that contains the dataset's folder; None: $COMPANION_DATA, or what is made here.

    Raises:
        ValueError: the chapter is gone, or it has no such variant.
    """
    if run.chapter not in presets.chapters():
        known = ", ".join(presets.chapters())
        raise ValueError(
            f"{run.notebook} has no experiment companion/experiments/{run.chapter}.py; there are {known}"
        )
    chapter = import_module(f"companion.experiments.{run.chapter}")
    where = f"companion/experiments/{run.chapter}.yaml"
    content = presets.load(run.chapter)
    presets.check_params(where, run.variant, params, content["needs"])
    if run.source == "simulated" and "release" in content["params"] and "release" not in params:
        raise DamagedFile(f"{where}: {run.variant} has no key 'release'; add it there, or to the variant")
    for key, part in presets.parts(params).items():
        if "fit" in part:
            presets.check_options(f"{where}, {key}fit of {run.variant}", part["fit"], chapter.FIT)
    try:
        return chapter.prepare(run, params, root)
    except KeyError as error:
        raise DamagedFile(f"{where}: a part of {run.variant} has no key {error}; add it there") from None
    except ValueError as error:
        if run.chapter in str(error):
            raise
        raise type(error)(f"{where}: {error}") from None


def codes(run: Run, experiment: Experiment) -> dict[str, str]:
    """What the experiment computes: the files of the package, and what a notebook has put in their place."""
    found = presets.code(run)
    for part in ("data", "train", "test", "build", "loss", "score"):
        own = code.defined(getattr(experiment, part))
        found |= {f"{part}: {name}": value for name, value in own.items()}
    return found


def measure(run: Run, experiment: Experiment, out: str | Path | None = None) -> Done:
    """Train, test and record one run, or take up what stands of it: its record, its checkpoint.

    `seconds` is empty for a run that went on. On several processes the main one writes.

    Raises:
        PermissionError: the record could not be written.
    """
    records.check_out(run, out)
    device, params = training.accelerator(), experiment.params
    path, data, made_by = run.path(out), experiment.data(), codes(run, experiment)
    checkpoint = records.checkpoint(run, params, data, made_by)
    start, kept = perf_counter(), experiment.units
    record = records.read(path) if path.is_file() else None
    if record and records.standing(record, params, made_by, data, kept):
        record = None
    record, resumed = broadcast_object_list([record, checkpoint.exists()])  # as the main process sees them
    if record and not resumed:
        return Done(record, None, [], experiment)
    surroundings = records.surroundings()
    with device.main_process_first():  # it fills the cache
        experiment.read()
    if record:
        try:
            model, losses = experiment.load(run.seed, checkpoint)
        except ValueError:  # a damaged checkpoint, which the record does not need
            return Done(record, None, [], experiment)
        if experiment.weights(model) != record["provenance"].get("weights"):
            return Done(record, None, [], experiment)
        return Done(record, model, losses, experiment)
    model, losses = finite(experiment, run, checkpoint).learn(run.seed, checkpoint)
    scores = experiment.evaluate(model, run.seed)
    if device.is_main_process:
        preset = presets.preset(run)
        records.write(
            run,
            params,
            scores.metrics,
            counts=scores.counts,
            units=scores.units,
            ids=scores.ids,
            out=out,
            **surroundings,
            seconds=None if resumed else round(perf_counter() - start),
            processes=device.num_processes,
            precision=params.get("precision", "f32"),
            chosen=preset[3] if preset else "",
            code=made_by,
            data=data,
            weights=experiment.weights(model),
        )
    device.wait_for_everyone()
    return Done(records.read(path), model, losses, experiment)


def finite(experiment: Experiment, run: Run, checkpoint: Path) -> Experiment:
    """The same, stopped by a loss that is no number before its weights are lost."""

    def loss(model: Any, batch: Any) -> Any:
        value = experiment.loss(model, batch)
        if not value.isfinite():
            raise ValueError(
                f"the loss of {run.variant}, seed {run.seed}, has become {value.item()}; lower the rate `lr`"
                f" in its preset, companion/experiments/{run.chapter}.yaml; the last whole epoch is kept in"
                f" {checkpoint}"
            )
        return value

    return replace(experiment, loss=loss)


def run(
    plan: dict[Run, dict], root: str | Path | None = None, out: str | Path | None = None
) -> dict[Run, Done]:
    """Measure all runs of a plan, one after the other; see `measure`.

    What comes back holds no data: each experiment is a fresh one, that reads them again where it is asked.
    """
    fresh = {run: prepare(run, params, root) for run, params in plan.items()}
    for run, params in plan.items():
        other = fresh[run].params.get("release") != params.get("release")
        if out is None and run.profile != "quick" and other:
            raise ValueError(
                f"root holds another release than the preset of {run.variant}; pass out, so that its record"
                " does not take the place of a committed one"
            )
    return {
        run: measure(run, prepare(run, params, root), out)._replace(experiment=fresh[run])
        for run, params in plan.items()
    }


def losses(done: dict[Run, Done]) -> pd.DataFrame:
    """First and last loss of each run that this machine has trained."""
    rows = {
        ", ".join([run.variant, run.protocol, *([f"fold {run.fold}"] if run.fold else [])]): one.losses
        for run, one in done.items()
    }
    rows = {name: [lost[0], lost[-1]] for name, lost in rows.items() if lost}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["first loss", "last loss"]).round(2)


def metrics(done: dict[Run, Done], *keys: str) -> pd.DataFrame:
    """The metrics of each run, one row each, under these fields of `Run`."""
    rows = [{key: asdict(run)[key] for key in keys} | one.record["metrics"] for run, one in done.items()]
    return pd.DataFrame(rows).set_index(list(keys))


def rerun(path: str | Path, root: str | Path | None = None) -> tuple[dict, dict, pd.DataFrame]:
    """Train a record again, in a folder of its own, with its params, precision and threads.

    Returns:
        The old record, the new one, and both beside each other with the tolerance, one row a metric.

    Raises:
        ValueError: it is no record, or its chapter or variant is gone.
    """
    import torch

    old = records.read(path)
    this, provenance = Run(**old["run"]), old["provenance"]
    params = dict(old["params"])
    if provenance.get("precision", "f32") == "bf16":
        params["precision"] = "bf16"
    try:
        experiment = prepare(this, params, root)
    except ValueError as error:
        raise ValueError(f"{path} cannot be made again: {error}") from None
    folder = scratch() / "rerun" / fingerprint(str(Path(path).resolve()).encode())
    threads = torch.get_num_threads()
    torch.set_num_threads(provenance.get("threads", threads))
    apart = records.WEIGHTS.set(str(folder / "weights"))
    try:
        new = measure(this, experiment, folder / "runs").record
    finally:
        torch.set_num_threads(threads)
        records.WEIGHTS.reset(apart)
    shutil.rmtree(folder, ignore_errors=True)  # only a rerun that was interrupted goes on
    rows = {
        name: {
            "old": old["metrics"].get(name),
            "new": new["metrics"].get(name),
            "tolerance": presets.tolerance(this.chapter, name),
        }
        for name in {**old["metrics"], **new["metrics"]}
    }
    table = pd.DataFrame.from_dict(rows, orient="index")
    return old, new, table.assign(within=(table["old"] - table["new"]).abs() <= table["tolerance"])


def accept(path: str | Path, old: dict, new: dict, root: str | Path | None = None) -> list[Path]:
    """Note in all records of a variant that present code gives their numbers, shown by one that was rerun.

    Returns:
        The records.

    Raises:
        ValueError: the rerun gave other numbers or weights.
    """
    path = Path(path)
    if not records.same(old, new):
        raise ValueError(f"{path} is not equal to what was made again; nothing is accepted")
    marked = sorted(path.parent.glob(f"{old['run']['variant']}-fold*-seed*.json"))
    shown = {}
    for other in marked:
        record = records.read(other)
        this = Run(**record["run"])
        experiment = prepare(this, record["params"], root)
        shown[other] = codes(this, experiment), experiment.data()
        records.acceptable(other, record, shown[other][1])
    for other, (own, data) in shown.items():
        records.accept(other, own, data, path.name)
    return marked
