"""Chapters 10 and 11: a first stage that is trained once, and what reads what it makes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_nucla_rgb import write_pictures
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from companion import experiments, records
from companion.datasets.video_clips import data_fingerprint
from companion.experiments import context as glimpse_context
from companion.experiments import glimpse_clouds, pose_is_not_enough
from companion.files import DamagedFile
from companion.models import backbones, context
from companion.simulator import release
from companion.simulator.release import Release
from companion.training import Experiment, load_checkpoint, save_checkpoint, weights_fingerprint

SMALL = {
    "groups": ("chest", "two"),
    "subjects": 3,
    "cameras": 1,
    "repetitions": 2,
    "frames": 12,
    "height": 90,
}
FIT = {"epochs": 1, "lr": 0.002, "batch_size": 8}
PARAMS = {
    "release": SMALL,
    "data": {"frames": 3, "every": 3},
    "before": {"backbone": "small", "frames": 2, "fit": FIT},
    "fit": FIT,
}
MODELS = {
    "clouds": {"model": {"kind": "clouds", "state": 8, "side": 5, "features": 8}, "loss": {"diversity": 0.1}},
    "paper": {"model": {"kind": "clouds", "state": 8}, "loss": {"diversity": 1, "attraction": 1}},
    "learned": {"model": {"kind": "placed", "learned": True}},
    "random": {"model": {"kind": "placed", "at": "random"}},
    "global": {"model": {"kind": "global", "features": 8}},
    "c3d": {"model": {"kind": "c3d", "width": 2, "joined": 8}},
}


@pytest.fixture(scope="module")
def root():
    return release.stored(Release(**SMALL))


@pytest.fixture
def out(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_OUT", str(tmp_path / "scratch"))
    return tmp_path / "runs"


def prepared(notebook, variant, root, **params):
    run = records.Run(notebook, "simulated", "quick", "cross_subject", variant)
    return run, experiments.prepare(run, PARAMS | params, root)


def measured(notebook, variant, root, out, **params):
    return experiments.measure(*prepared(notebook, variant, root, **params), out)


@pytest.mark.parametrize("variant", MODELS)
def test_each_kind_of_model_is_trained_and_scored(variant, root, out):
    done = measured("11_glimpse_clouds", variant, root, out, **MODELS[variant])
    metrics = done.record["metrics"]
    assert metrics["n_test"] == 12 and metrics.keys() >= {"accuracy", "within_chest", "within_two"}
    assert ("covered_two" in metrics) is (variant not in ("c3d", "global"))
    assert ("covered_of_3_two" in metrics) is (variant == "global")
    assert ("information" in metrics) is (variant in ("clouds", "paper"))
    assert metrics["multiply_adds"] > 0.01


def test_the_cost_of_a_model_is_that_of_its_products(root, out):
    """Of the global model: two convolutions at all places of three maps, the class, and its maps."""
    done = measured("11_glimpse_clouds", "global", root, out, **MODELS["global"])
    test = done.experiment.test()
    D, h, w = test.shown.shape[1:]
    places, C = (h - 4) * (w - 4), len(test.classes)
    want = 3 * (32 * (h - 2) * (w - 2) * D * 9 + 8 * places * 32 * 9 + C * 8 * places) + 8 * C
    assert done.record["metrics"]["multiply_adds"] == want / 1e6


def test_who_asks_where_joints_are_pays_for_it(root, out):
    done = measured("11_glimpse_clouds", "learned", root, out, **MODELS["learned"])
    alone = replace(done.experiment, told=None).evaluate(done.model, 0).metrics["multiply_adds"]
    test = done.experiment.test()
    network = context.Context(test.shown.shape[1], len(test.classes))
    with FlopCounterMode(display=False) as counter:
        network(test.__getitems__([0]).frames)
    asked = done.record["metrics"]["multiply_adds"] - alone
    assert asked == pytest.approx(counter.get_total_flops() / 2e6)


def test_the_first_stage_is_trained_once_for_both_chapters(root, out, monkeypatch):
    steps, learn = [], context.objective
    monkeypatch.setattr(context, "objective", lambda *x: (steps.append(1), learn(*x))[1])
    alone = measured("10_context", "context", root, out)
    assert len(steps) == 3  # 24 clips in batches of 8
    measured("10_context", "forearms", root, out)
    measured("11_glimpse_clouds", "global", root, out, **MODELS["global"])
    assert len(steps) == 3
    other = measured("10_context", "hands", root, out, before=PARAMS["before"] | {"frames": 1})
    assert len(steps) == 6
    assert alone.record["metrics"].keys() >= {"accuracy", "hand_error_chest", "within_two"}
    one, two = (done.record["metrics"]["hand_error_chest"] for done in (alone, other))
    assert one != two


def test_true_joints_are_those_of_the_pose_files_when_tested(root):
    """Glimpses lie on hands where the pose files know them, and elsewhere where the network finds them."""
    _, experiment = prepared("10_context", "hands", root)
    model, batch = experiment.build(), experiment.test().__getitems__(range(12))
    true = context.two(batch.joints)[:, :, :, context.FOUND]
    true[:, 0] = torch.nan
    hands = [context.FOUND.index(n) for n in (7, 11)] * 2
    want = true.where(~true.isnan(), batch.found)[:, :, [0, 0, 1, 1], hands]
    said = glimpse_context.placed(
        model.eval(), glimpse_context.with_true(batch._replace(joints=gone(batch.joints)))
    )
    torch.testing.assert_close(said.glimpses[..., :2], want)
    scores = experiment.score(model, batch)
    for name, its in (("", batch), ("_true", glimpse_context.with_true(batch))):
        at = glimpse_context.placed(model, its).glimpses
        off = (at[:, :, :, None, :2] - (batch.boxes[..., :2] + batch.boxes[..., 2:])[:, :, None] / 2).abs()
        hit = (off <= at[:, :, :, None, 2:]).all(-1).any(2)
        seen = ~batch.boxes[..., 0].isnan()
        both = scores[f"covered_chest{name}"].nan_to_num() + scores[f"covered_two{name}"].nan_to_num()
        torch.testing.assert_close(both, (100 * (hit & seen).sum((1, 2)) / seen.sum((1, 2))).nan_to_num())


def gone(joints):
    """Nobody is known in the first frame."""
    joints = joints.clone()
    joints[:, 0] = torch.nan
    return joints


def test_a_second_stage_begins_with_weights_of_its_backbone(root, out, tmp_path, monkeypatch):
    _, experiment = prepared("10_context", "hands", root)
    mine = experiment.build()
    save_checkpoint(tmp_path / "w.safetensors", mine)
    for module in (glimpse_context, pose_is_not_enough):
        monkeypatch.setattr(module, "checkout", lambda: tmp_path)
    firsts = []
    for backbone in ("small", "lite0"):
        _, other = prepared("10_context", "hands", root, weights={backbone: "w.safetensors"})
        firsts.append(other.build().look.first.weight)
        assert ("weights, begun" in other.data()) is (backbone == "small")
    assert torch.equal(firsts[0], mine.look.first.weight)
    assert not torch.equal(*firsts)


def test_as_many_repetitions_as_are_asked_for(root):
    _, experiment = prepared(
        "11_glimpse_clouds", "c3d", root, **MODELS["c3d"], data=PARAMS["data"] | {"repetitions": {"train": 1}}
    )
    assert (len(experiment.train()), len(experiment.test())) == (12, 12)


def test_who_is_tested_does_not_train(root):
    _, experiment = prepared("11_glimpse_clouds", "c3d", root, **MODELS["c3d"])
    subjects = [{name[9:12] for name in side().names} for side in (experiment.train, experiment.test)]
    assert subjects == [{"001", "002"}, {"003"}]


def test_the_epoch_that_reads_the_held_out_subjects_best_is_kept(root, out, monkeypatch):
    seen = {}

    def read(model, held, score, seed=0):
        """As if the second of three epochs were the best."""
        subjects = {name[9:12] for name in held.names}
        seen[weights_fingerprint(model)] = subjects
        return {"accuracy": np.array([[20.0], [50.0], [40.0]][len(seen) - 1])}

    monkeypatch.setattr(glimpse_clouds, "evaluate", read)
    own = MODELS["global"] | {"held_out": True, "fit": FIT | {"epochs": 3}}
    done = measured("11_glimpse_clouds", "global", root, out, **own)
    assert len(done.losses) == 3 and len(seen) == 3
    assert done.record["provenance"]["weights"] == [*seen][1] == weights_fingerprint(done.model)
    (held,) = {frozenset(subjects) for subjects in seen.values()}
    assert not held & {name[9:12] for name in done.experiment.train().names} and held <= {"001", "002"}
    again = measured("11_glimpse_clouds", "global", root, out, **own)
    assert len(seen) == 3 and weights_fingerprint(again.model) == [*seen][1]


def test_looking_at_the_held_out_subjects_changes_no_training(root, out):
    own = MODELS["global"] | {"fit": FIT | {"epochs": 3}, "before": PARAMS["before"] | {"frames": 1}}
    found = []
    for kind in (glimpse_clouds.Chosen.learn, Experiment.learn):
        _, experiment = prepared("11_glimpse_clouds", "global", root, **own, held_out=True)
        found.append(kind(experiment, 0, out / f"{len(found)}.safetensors")[1])
    assert found[0] == found[1]


class Stages(nn.Module):
    """In place of ResNet-50: two maps of a clip."""

    def __init__(self, weights=None):
        super().__init__()
        assert weights is None
        self.one, self.two = nn.Conv3d(3, 1024, 1, (1, 8, 8)), nn.Conv3d(1024, 2048, 1, (1, 2, 2))

    def forward(self, clips):
        early = self.one(clips)
        return early, self.two(early)


@pytest.mark.parametrize("variant", ["paper", "learned", "global"])
def test_behind_a_first_stage_on_clips(variant, root, out, monkeypatch):
    monkeypatch.setattr(backbones, "ResNet50", Stages)
    before = PARAMS["before"] | {"backbone": "resnet50"}
    own = MODELS[variant] | ({"model": {"kind": "global"}} if variant == "global" else {})
    done = measured("11_glimpse_clouds", variant, root, out, before=before, **own)
    assert isinstance(done.model, context.Behind) and done.record["metrics"]["n_test"] == 12


def test_without_imagenet_another_backbone_is_used_where_there_is_one(root, monkeypatch):
    monkeypatch.setattr(backbones, "PACKAGE", "no_such_package")
    before = {"backbone": "lite0", "fit": FIT}
    _, experiment = prepared("10_context", "forearms", root, before=before)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'companion\[imagenet\]'"):
        experiment.train()
    _, experiment = prepared("10_context", "forearms", root, before=before | {"otherwise": PARAMS["before"]})
    assert experiment.params["before"] == PARAMS["before"]


@pytest.mark.parametrize(
    ("own", "error", "sentence"),
    [
        ({}, DamagedFile, "glimpse_clouds.yaml: mine has no key 'model'; add it there, or to the variant"),
        (
            {"model": {"kind": "cloud"}},
            ValueError,
            "kind of the model of mine is 'cloud'; choose one of clouds,",
        ),
        (
            {"model": {"kind": "clouds", "size": 3}},
            DamagedFile,
            "glimpse_clouds.yaml, model of mine: unknown key 'size'; choose one of glimpses, workers",
        ),
    ],
)
def test_wrong_models_are_named(root, own, error, sentence):
    with pytest.raises(error, match=sentence):
        prepared("11_glimpse_clouds", "mine", root, **own)


@pytest.mark.parametrize(
    ("own", "sentence"),
    [
        ({"kind": "clouds", "glimpses": 0}, "glimpses is 0; there must be at least one"),
        ({"kind": "placed", "at": "feet"}, "at is 'feet'; choose one of hands, joints"),
    ],
)
def test_wrong_options_of_models_are_named(root, out, own, sentence):
    with pytest.raises(ValueError, match=sentence):
        measured("11_glimpse_clouds", "mine", root, out, model=own)


def test_an_unknown_variant_of_chapter_10_is_named(root):
    with pytest.raises(ValueError, match="unknown variant 'feet' of context; choose one of context, hands"):
        prepared("10_context", "feet", root)


def test_a_checkpoint_of_other_sizes_is_named(root, out):
    _, experiment = prepared("11_glimpse_clouds", "global", root, **MODELS["global"])
    model = experiment.build()
    save_checkpoint(out / "w.safetensors", nn.Linear(2, 3))
    with pytest.raises(DamagedFile, match="w.safetensors is a checkpoint of another model"):
        load_checkpoint(out / "w.safetensors", model)


def test_pictures_are_known_by_their_names_and_sizes(tmp_path):
    for view in (1, 2, 3):
        write_pictures(tmp_path, view, "a01_s01_e00", [1, 2])
    one = data_fingerprint("nucla", tmp_path)
    assert data_fingerprint("nucla", tmp_path) == one
    write_pictures(tmp_path, 3, "a01_s01_e01", [1, 2])
    assert data_fingerprint("nucla", tmp_path) != one
