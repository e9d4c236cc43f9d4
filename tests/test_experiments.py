"""Chapters run by one call: what stands is left, what has changed is made again, nothing too early."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_skeleton_datasets import sbu_text
from typer.testing import CliRunner

from companion import experiments, presets, records, training
from companion.__main__ import app
from companion.datasets.digits import Digits
from companion.files import DamagedFile, scratch
from companion.models import ram
from companion.simulator import release
from companion.simulator.release import Release
from companion.skeleton import KINECT_V2

RUN = records.Run("05_hard_attention", "digits", "quick", "centred-28", "fc-16")
PARAMS = {"model": {"side": 8, "scales": 1}, "fit": {"epochs": 2, "lr": 1e-2, "batch_size": 50}}


@pytest.fixture
def out(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_OUT", str(tmp_path / "scratch"))
    return tmp_path / "runs"


def measured(out, params=PARAMS, run=RUN, **other):
    return experiments.measure(run, replace(experiments.prepare(run, params), **other), out)


@pytest.fixture
def trained(monkeypatch):
    """How often something was trained."""
    import_module("companion.experiments.hard_attention")  # so that it knows the real one
    calls, fit = [], training.fit
    monkeypatch.setattr(training, "fit", lambda *args, **options: calls.append(1) or fit(*args, **options))
    return calls


def test_what_stands_is_not_made_again(out, trained):
    one, again = measured(out), measured(out)
    assert again.record == one.record and again.losses == one.losses and len(trained) == 1
    prints = [training.weights_fingerprint(done.model) for done in (one, again)]
    assert prints == [one.record["provenance"]["weights"]] * 2
    assert not one.model.training and not again.model.training  # no dropout in what a notebook shows


def test_whether_a_record_stands_is_known_before_anything_is_read(out, monkeypatch):
    record = measured(out).record
    for path in (out.parent / "scratch/weights").rglob("*.safetensors"):
        path.unlink()

    def never(*args, **options):
        raise AssertionError("something was read or built")

    monkeypatch.setattr(Digits, "__init__", never)
    monkeypatch.setattr(ram, "build", never)
    assert measured(out)[:3] == (record, None, [])


@pytest.mark.parametrize("chapter", presets.chapters())
def test_planning_and_preparing_read_nothing(chapter, monkeypatch, tmp_path):
    """All documented variants of all presets, without any data."""
    monkeypatch.setenv("COMPANION_OUT", str(tmp_path))
    monkeypatch.delenv("COMPANION_DATA", raising=False)
    for profile, sources in presets.load(chapter)["presets"].items():
        for source in sources:
            for run, params in presets.plan(chapter, source, profile).items():
                experiments.prepare(run, params)
    assert not list(tmp_path.rglob("*"))


def test_the_test_set_is_scored_and_not_the_training_set(out):
    record = measured(out).record
    test = Digits("digits", "test")
    assert record["metrics"]["n_test"] == len(test) == record["counts"]["error"][1]
    ids = (out / "units" / f"{record['units']['of']}.txt").read_text().split("\n")[:-1]
    assert sorted(ids) == sorted(test.units)
    each = records.unpack(record["units"]["error"])
    assert each.mean() == pytest.approx(record["metrics"]["error"])
    assert record["counts"]["error"][0] == (each == 100).sum()


def test_all_seeds_read_one_test_set_and_train_on_canvases_of_their_own():
    some = [experiments.prepare(replace(RUN, protocol="cluttered-60", seed=n), PARAMS) for n in (0, 1)]
    train, test = (
        [side().__getitems__([0, 9]).image for side in sides]
        for sides in ([one.train for one in some], [one.test for one in some])
    )
    assert torch.equal(*test) and not torch.equal(*train)


def test_a_loss_that_is_no_number_stops_the_run_and_its_last_whole_epoch_is_kept(out):
    experiment = experiments.prepare(RUN, PARAMS)
    well, epoch, steps = experiment.loss, len(experiment.train()) // 50, []

    def sick(model, batch):
        steps.append(1)
        return well(model, batch) * (torch.nan if len(steps) == epoch + 3 else 1)

    with pytest.raises(ValueError, match=r"fc-16, seed 0, has become nan; lower the rate `lr` in its preset"):
        measured(out, loss=sick)
    assert not list(out.rglob("*.json"))
    (kept,) = (out.parent / "scratch/weights").rglob("*.safetensors")
    assert len(experiment.load(0, kept)[1]) == 1


SMALL = {"groups": ("motion", "chest"), "subjects": 3, "cameras": 1, "frames": 8, "height": 32}


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return release.simulate(tmp_path_factory.mktemp("people"), Release(**SMALL), processes=1)


@pytest.mark.parametrize(
    "notebook, variant, parts",
    [
        ("06_attention_on_joints", "lstm", {}),
        ("08_pose_is_not_enough", "pose-tour", {}),
        ("08_pose_is_not_enough", "crops", {}),
        ("09_pose_driven_attention", "hands", {"pose": {}, "crops": {}}),
    ],
)
def test_who_is_tested_does_not_train(notebook, variant, parts, people):
    """NTU's third subject is tested, the first two train."""
    run = records.Run(notebook, "simulated", "quick", "cross_subject", variant)
    params = {"release": SMALL, "data": {"frames": 6}, "fit": PARAMS["fit"]} | parts
    experiment = experiments.prepare(run, params, people)
    subjects = [{name[9:12] for name in side().names} for side in (experiment.train, experiment.test)]
    assert subjects == [{"001", "002"}, {"003"}]


def test_each_fold_of_a_run_tests_its_own_clips(tmp_path):
    sets = ("s01s02", "s02s03", "s01s03", "s02s01", "s04s02")  # one of each fold of SBU
    for length, name in enumerate(sets, 1):
        path = tmp_path / "sbu" / name / "01/001/skeleton_pos.txt"
        path.parent.mkdir(parents=True)
        path.write_text(sbu_text(length))
    for fold, name in enumerate(sets):
        run = records.Run("06_attention_on_joints", "sbu", "quick", "five_folds", "lstm", fold)
        experiment = experiments.prepare(run, {"data": {}, "fit": PARAMS["fit"]}, tmp_path)
        assert experiment.test().names == [f"{name}-01-001"]
        assert len(experiment.train()) == 4


def test_a_damaged_clip_is_refused_or_left_out_and_named(tmp_path):
    for length, name in enumerate(("s01s02", "s02s03", "s01s03", "s02s01", "s04s02"), 1):
        path = tmp_path / "sbu" / name / "01/001/skeleton_pos.txt"
        path.parent.mkdir(parents=True)
        path.write_text(sbu_text(length))
    path.write_text("no numbers")
    words = "attention_on_joints", "sbu", "paper", None, "sta-lstm", 0
    run, params = next(iter(experiments.plan(*words).items()))
    with pytest.raises(DamagedFile, match=f"{path}, line 1"):
        experiments.prepare(run, params, tmp_path).test()
    run, params = next(iter(experiments.plan(*words, strict=False).items()))
    assert params["data"]["strict"] is False  # and so the record says it
    with pytest.warns(UserWarning, match="sbu: 1 damaged files are left out"):
        test = experiments.prepare(run, params, tmp_path).test()
    assert [str(path) in sentence for sentence in test.damaged] == [True] and len(test) == 1


@pytest.mark.parametrize(
    ("chapter", "source"),
    [("gaze", "still_lifes"), ("weakly_supervised_attention", "still_lifes"), ("soft_attention", "rooms")],
)
def test_pictures_cannot_be_left_out(chapter, source):
    sentence = f"nothing can be left out of the data of {chapter}; run it strictly"
    with pytest.raises(ValueError, match=sentence):
        experiments.plan(chapter, source, strict=False)


def test_any_variant_of_a_chapter_can_be_planned_or_is_refused_in_a_sentence():
    """Those that no preset of a profile and source lists, too."""
    named = {
        "hard_attention": ("ram-3", "soft-3", "random-3", "fc-9", "conv"),
        "attention_on_joints": ("sta-lstm", "spatial", "temporal", "lstm", "hbrnn", "sgn", "sgn-transfer"),
        "pose_is_not_enough": ("pose-tour", "pose-once", "pose-random", "pose-gru", "crops-wide", "evidence"),
        "pose_driven_attention": ("hands", "sum", "concat", "by-pose", "sta-hands"),
        "context": ("context", "hands", "forearms"),
        "feature_map_attention": ("soft", "mean", "regression"),
        "gaze": ("centre-bias", "readout", "observers"),
        "soft_attention": ("SAN-2", "question", "scratch"),
        "weakly_supervised_attention": ("wildcat", "average", "centre"),
        "glimpse_clouds": ("global", "clouds", "c3d"),
        "deformable_part_models": ("free", "anywhere", "rigid", "off"),
    }
    assert sorted(named) == presets.chapters()
    refused = 0
    for chapter, variants in named.items():
        content = presets.load(chapter)["presets"].items()
        for profile, source in [(profile, source) for profile, sources in content for source in sources]:
            for variant in variants:
                try:
                    plan = experiments.plan(chapter, source, profile, variant=variant)
                    for run, params in plan.items():
                        experiments.prepare(run, params)
                except ValueError as error:
                    assert f"{variant} has no key '" in str(error)
                    refused += 1
    assert refused


def test_a_part_that_lacks_a_key_is_one_sentence():
    run = records.Run("06_attention_on_joints", "sbu", "paper", "five_folds", "pose-convnet-transfer")
    params = {"data": {}, "fit": PARAMS["fit"], "before": {"fit": PARAMS["fit"]}}
    with pytest.raises(DamagedFile, match="attention_on_joints.yaml: a part of .* has no key 'release'; add"):
        experiments.prepare(run, params)


def test_other_params_data_or_code_are_made_again(out, trained, monkeypatch):
    first = measured(out).record
    other = PARAMS | {"fit": PARAMS["fit"] | {"lr": 1e-3}}
    assert measured(out, other).record["metrics"] != first["metrics"] and len(trained) == 2
    assert measured(out).record["metrics"] == first["metrics"] and len(trained) == 3  # it had been replaced
    own = lambda: {"digits": "other files"}  # noqa: E731
    assert measured(out, data=own).record["provenance"]["data"] == own() and len(trained) == 4
    monkeypatch.setattr(presets, "code", lambda run: {"companion/models/ram.py": "new"})
    measured(out)
    assert len(trained) == 5


WIDTH = 16


def wider():
    return ram.FullyConnected(28, WIDTH)


def test_what_a_notebook_puts_in_place_is_trained(out, trained, monkeypatch):
    """A model, a loss, a training set or a score of its own: nothing old is handed back."""
    measured(out)
    measured(out, build=wider)
    measured(out, build=wider)
    assert len(trained) == 2
    monkeypatch.setitem(globals(), "WIDTH", 8)
    measured(out, build=wider)
    assert len(trained) == 3

    def loss(model, batch):
        return 2 * ram.objective(model, batch)

    def half():
        return Digits("digits", "validation")

    def score(model, batch):
        return {"error": 0 * batch.label.float()}

    for part in ({"loss": loss}, {"train": half}, {"test": half}, {"score": score}):
        before = len(trained)
        measured(out, **part)
        assert len(trained) == before + 1, part


def test_a_record_beside_an_unfinished_checkpoint_is_all_that_is_left(out):
    done = measured(out)
    (checkpoint,) = (out.parent / "scratch/weights").rglob("*.safetensors")
    done.model.classify.weight.data += 1
    training.save_checkpoint(checkpoint, done.model, losses=done.losses[:1])
    assert measured(out)[:3] == (done.record, None, [])


def test_a_run_that_went_on_has_no_seconds(out, monkeypatch):
    steps, objective = 0, ram.objective

    def dying(model, batch, **options):
        nonlocal steps
        steps += 1
        if steps > 30:  # in the second epoch
            raise KeyboardInterrupt
        return objective(model, batch, **options)

    monkeypatch.setattr(ram, "objective", partial(dying))
    monkeypatch.setattr(experiments.code, "defined", lambda *parts: {})
    with pytest.raises(KeyboardInterrupt):
        measured(out)
    assert not RUN.path(out).exists()
    monkeypatch.setattr(ram, "objective", objective)
    resumed = measured(out).record
    assert resumed["provenance"]["seconds"] is None
    unbroken = measured(out / "other", PARAMS | {"loss": {}}).record
    assert unbroken["provenance"]["seconds"] is not None
    assert resumed["provenance"]["weights"] == unbroken["provenance"]["weights"]


def test_a_rerun_is_compared_and_may_be_accepted(out, monkeypatch):
    """Equal bits on one machine; what was accepted stands, though its code has changed."""
    other = replace(RUN, seed=1)
    paths = [run.path(out) for run in (RUN, other)]
    for run in (RUN, other):
        measured(out, run=run)
    for path in paths:
        record = json.loads(path.read_text())
        record["provenance"]["code"] = {"companion/models/ram.py": "old"}
        path.write_text(json.dumps(record))
    old, new, table = experiments.rerun(paths[0])
    assert records.same(old, new) and table["within"].all()
    assert not list((scratch() / "rerun").iterdir()), "what it has trained would stand in the way of another"
    assert {"old", "new", "tolerance", "within"} == set(table)
    assert records.read(paths[0]) == old, "the record itself is left alone"
    assert experiments.accept(paths[0], old, new) == paths
    for run, path in zip((RUN, other), paths, strict=True):
        one = experiments.prepare(run, PARAMS)
        assert records.standing(records.read(path), PARAMS, experiments.codes(run, one), one.data()) == []


def test_a_rerun_with_other_numbers_is_not_accepted(out):
    measured(out)
    path = RUN.path(out)
    record = json.loads(path.read_text())
    record["metrics"]["error"] += 50
    path.write_text(json.dumps(record))
    told = CliRunner().invoke(app, ["rerun", str(path), "--accept"])
    assert told.exit_code == 1 and "nothing is accepted" in told.output
    assert "accepted" not in records.read(path)["provenance"]


def call(*words):
    return CliRunner().invoke(app, list(map(str, words)))


@pytest.mark.parametrize(
    "words, sentence",
    [
        (
            ("soft_hands",),
            "unknown chapter 'soft_hands'; choose one of attention_on_joints, context, deformable",
        ),
        (("hard_attention", "--variant", "ram-x"), "unknown variant 'ram-x' of hard_attention; choose ram-T"),
        (("attention_on_joints", "--variant", "gru"), "attention_on_joints.yaml: unknown variant 'gru'"),
        (
            ("pose_is_not_enough", "--variant", "x"),
            "unknown variant 'x' of pose_is_not_enough; choose",
        ),
        (("pose_driven_attention", "--variant", "x"), "unknown variant 'x' of pose_driven_attention"),
        (("deformable_part_models", "--variant", "x"), "unknown variant 'x' of deformable_part_models"),
        (("hard_attention", "--seed", "-1"), "seed is '-1'; give a whole number from 0"),
        (("hard_attention", "--seed", "abc"), "seed is 'abc'; give a whole number from 0"),
        (("hard_attention", "--fold", "x"), "fold is 'x'; give a whole number from 0"),
        (("hard_attention", "--profile", "slow"), "unknown profile 'slow'"),
        (("hard_attention", "--source", "svhn"), "has no preset for source 'svhn'"),
        (("hard_attention", "--source", "mnist", "--root", "/nowhere"), "no file /nowhere/MNIST/raw"),
    ],
)
def test_a_wrong_word_is_one_sentence(words, sentence, out):
    told = call("train", *words, "--out", out)
    assert told.exit_code == 1 and told.exception.code == 1
    assert sentence in told.output and told.output.count("\n") == 1
    assert not out.exists()


def test_a_record_whose_chapter_is_gone_cannot_be_made_again(out):
    gone = records.Run("07_gone", "digits")
    records.write(gone, {}, {"error": 1.0}, out=out)
    told = call("rerun", gone.path(out))
    assert told.exit_code == 1 and "07_gone has no experiment companion/experiments/gone.py" in told.output
    told = call("rerun", out / "nothing.json")
    assert told.exit_code == 1 and "nothing.json" in told.output and told.output.count("\n") == 1


def test_train_prints_where_the_record_is(out):
    words = ("train", "hard_attention", "--variant", "fc-4", "--protocol", "centred-28", "--out", out)
    told = call(*words)
    assert told.exit_code == 0, told.output
    path = RUN.path(out).with_name("fc-4-fold0-seed0.json")
    assert f"{path}: error " in told.output
    before = path.stat().st_mtime_ns
    assert call(*words).exit_code == 0 and path.stat().st_mtime_ns == before


def test_part_models_keep_a_value_an_image(out):
    run = records.Run("01_deformable_part_models", "scenes", "quick", variant="off")
    coarse = {"cell": 16, "interval": 1, "rounds": [1, 1], "mining": 1}
    params = {"data": {"train": 8, "test": 8}, "fit": coarse}
    done = measured(out, params, run)
    each = records.unpack(done.record["units"]["average_precision"])
    assert len(each) == 8 and np.isfinite(each).all() and done.record["metrics"]["recall"] > 0
    assert abs(each.mean() - done.record["metrics"]["average_precision"]) < 10
    again = measured(out, params, run)
    assert again.record == done.record and again.model is not None


PARTS = """
import sys
from dataclasses import replace
from pathlib import Path

from accelerate import debug_launcher

from companion import experiments, records, training
from companion.datasets.digits import Digits
from companion.files import scratch
from companion.models import ram

OUT = sys.argv[1]
RUN = records.Run("05_hard_attention", "digits", "quick", "centred-28", "fc-4")
FIT = {"epochs": 1, "lr": 0.01, "batch_size": 50}


def build():
    return ram.FullyConnected(28, 4)


def train():
    data, kept = Digits("digits", "validation"), Path(OUT) / "part.safetensors"
    training.pretrained(build, {"fit": FIT}, data, ram.objective, seed=0, checkpoint=kept)
    return data


def measured():
    params = {"model": {"side": 8, "scales": 1}, "fit": FIT}
    experiments.measure(RUN, replace(experiments.prepare(RUN, params), train=train), OUT)
    print("done", flush=True)


if __name__ == "__main__":
    debug_launcher(measured, num_processes=2)
"""


def test_two_processes_pretrain_together(tmp_path):
    """What an experiment builds on is trained by all processes; none waits for the others meanwhile."""
    (tmp_path / "parts.py").write_text(PARTS)
    env = os.environ | {"COMPANION_OUT": str(tmp_path / "scratch"), "ACCELERATE_USE_CPU": "1"}
    call = [sys.executable, str(tmp_path / "parts.py"), str(tmp_path / "runs")]
    done = subprocess.run(call, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("done") == 2 and len(list((tmp_path / "runs").rglob("*.json"))) == 1


@pytest.mark.parametrize("chapter", ["pose_driven_attention", "pose_is_not_enough"])
def test_a_part_of_other_data_params_is_another_one(chapter, out, monkeypatch):
    """Poses that are turned more, crops that are wider: what is pretrained on them is not the same."""
    module = import_module(f"companion.experiments.{chapter}")
    body = SimpleNamespace(frames=4, tree=KINECT_V2, bodies=1)
    shown = SimpleNamespace(classes=["a"], body=body, crops=np.zeros((1, 2, 3, 24, 24)))
    monkeypatch.setattr(module, "clips", lambda *words: shown)
    found = []

    def pretrained(*words, checkpoint=None, **options):
        found.append(checkpoint or words[-1])
        raise InterruptedError

    name = "pretrained" if chapter == "pose_driven_attention" else "learned_crops"
    monkeypatch.setattr(module, name, pretrained)
    fit = {"fit": {"epochs": 1, "lr": 0.1}}
    shared = {"release": {"subjects": 2}, "pose": fit, "crops": fit, "before": fit | {"classes": 2}, **fit}
    variant = "hands" if chapter == "pose_driven_attention" else "crops"
    run = next(iter(presets.plan(chapter, "simulated", variant=variant)))
    for data in ({"turn": 0.3}, {"turn": 0.3}, {"turn": 1.5}, {"turn": 0.3, "crop": 400}):
        with pytest.raises(InterruptedError):
            experiments.prepare(run, shared | {"data": data}).train()
    assert found[0] == found[1] and len(set(found)) == 3


def test_a_record_without_the_scores_that_a_claim_needs_is_made_again(out, trained, monkeypatch):
    measured(out, units=["error"])
    measured(out, units=["error"])
    assert len(trained) == 1
    record = records.read(RUN.path(out))
    record["units"].pop("error")
    RUN.path(out).write_text(json.dumps(record))
    assert "error" in measured(out, units=["error"]).record["units"] and len(trained) == 2


def test_a_damaged_checkpoint_does_not_matter_where_the_record_stands(out):
    record = measured(out).record
    (checkpoint,) = (out.parent / "scratch/weights").rglob("*.safetensors")
    checkpoint.write_bytes(b"damaged")
    assert measured(out)[:3] == (record, None, [])


def test_another_release_does_not_take_the_place_of_committed_records(out, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "REPOSITORY", tmp_path)
    small = release.stored(release.Release(groups=("motion",), subjects=2, cameras=1, frames=8, height=0))
    plan = experiments.plan("attention_on_joints", "simulated", "full", variant="lstm")
    with pytest.raises(ValueError, match="root holds another release than the preset of lstm; pass out"):
        experiments.run(plan, small)
    assert not (tmp_path / "results").exists()


def test_another_precision_is_trained_apart(monkeypatch, tmp_path):
    asked = []

    def run(plan, root, out):
        asked.append((*plan.values(), out))
        raise ValueError("stop")

    monkeypatch.setattr(experiments, "run", run)
    words = ["train", "hard_attention", "--source", "digits", "--protocol", "centred-28"]
    said = CliRunner().invoke(app, [*words, "--precision", "bf16"]).output
    assert "must not take its place; pass --out" in " ".join(said.split()) and not asked
    CliRunner().invoke(app, [*words, "--precision", "bf16", "--out", str(tmp_path)])
    ((params, out),) = asked
    assert params["precision"] == "bf16" and params["fit"] and out == tmp_path
