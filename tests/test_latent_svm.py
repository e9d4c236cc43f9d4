"""Training of part models: one score in two ways, the optimum, and small scenes that are learned."""

import numpy as np
import pytest
import torch
from sklearn.svm import LinearSVC

from companion.datasets.scenes import scenes
from companion.metrics.detection import average_precision
from companion.models import dpm, latent_svm
from companion.models.dpm import Component


def component(parts=2, seed=0):
    g = torch.Generator().manual_seed(seed)
    return Component(
        torch.randn(32, 3, 4, generator=g),
        torch.randn(parts, 32, 2, 2, generator=g),
        torch.randint(0, 4, (parts, 2), generator=g),
        torch.rand(parts, 4, generator=g) + 0.01,
        1.5,
        torch.zeros(3),
    )


def test_weights_times_features_are_the_score():
    model = dpm.DPM((component(),), "thing", 0.0, interval=3)
    image = 255 * torch.rand(3, 90, 90, generator=torch.Generator().manual_seed(1))
    features = dpm.pyramid(image, model)
    beta = latent_svm.weights(model.components[0])
    for it in dpm.placed(model, features, dpm.scores(model, features, 3), -1e9, 5):
        assert float(beta @ latent_svm.phi(model, features, it)) == pytest.approx(it.score, abs=1e-3)


def test_weights_go_into_a_component_and_come_out():
    one = component()
    again = latent_svm.with_weights(one, latent_svm.weights(one))
    for a, b in zip(one, again, strict=True):
        assert a is b is None or torch.allclose(torch.as_tensor(a).float(), torch.as_tensor(b).float())


def test_the_optimum_is_that_of_liblinear():
    """No part, so no bound; the bias feature is regularised in both."""
    g = torch.Generator().manual_seed(0)
    model = dpm.DPM((component(0)._replace(root=torch.zeros(32, 3, 3)),), "thing", 0.0)
    x = torch.randn(200, 289, generator=g)
    x[:, -1] = latent_svm.BIAS
    y = (x[:, :5].sum(1) + torch.randn(200, generator=g) > 0).float() * 2 - 1
    got = latent_svm.weights(latent_svm.solved(model, x[y > 0], x[y < 0], 0.01).components[0]).double()
    want = LinearSVC(C=0.01, fit_intercept=False, tol=1e-8, max_iter=100_000).fit(x, y).coef_[0]

    def objective(beta):
        return 0.5 * (beta**2).sum() + 0.01 * (np.maximum(0, 1 - (y * (x @ beta)).numpy()) ** 2).sum()

    assert objective(got.float()) <= 1.001 * objective(torch.from_numpy(want).float())


def test_quadratic_weights_stay_above_zero():
    model = dpm.DPM((component(1),), "thing", 0.0)
    own = latent_svm.weights(model.components[0])
    x = torch.zeros(20, len(own))
    x[:10, -5] = -9.0  # objects lie far from where the part is expected: best would be a negative weight
    moved = latent_svm.solved(model, x[:10], x[10:], 1.0).components[0].deformation
    assert moved[0, 0] == pytest.approx(latent_svm.LEAST)


def test_parts_are_cut_where_the_root_has_positive_weight():
    root = component(0)._replace(root=torch.full((32, 4, 4), -1.0))
    root.root[:, 0, 3] = 2.0
    root.root[:, 3, 0] = 1.0
    found = latent_svm.with_parts(root, 2, 2)
    assert found.anchors.tolist() == [[6, 0], [0, 6]] and found.parts.shape == (2, 32, 2, 2)
    assert found.parts[0].mean() > found.parts[1].mean() > 0
    assert found.deformation.tolist() == [pytest.approx([0.01, 0, 0.01, 0])] * 2


@pytest.fixture(scope="module")
def learned():
    train = scenes("train", 40)
    return latent_svm.train(train.images, train.boxes, parts=2, interval=3, rounds=(1, 1))


def test_objects_are_learned(learned):
    """Better than at random, where one of two images has an object at one of many places."""
    (only,) = learned.components
    assert only.parts.shape[:2] == (2, 32) and only.boxes.shape == (4, 7)
    test = scenes("validation", 30)
    found = [dpm.detect(learned, image) for image in test.images]
    assert average_precision(found, test.boxes) > 40
    assert (only.deformation[:, ::2] >= latent_svm.LEAST).all()


def test_the_same_seed_gives_the_same_model(learned):
    train = scenes("train", 40)
    again = latent_svm.train(train.images, train.boxes, parts=2, interval=3, rounds=(1, 1))
    torch.testing.assert_close(again.components[0].root, learned.components[0].root, atol=1e-4, rtol=1e-3)


def test_images_of_one_kind_are_refused():
    train = scenes("train", 4)
    for some in (train.present, ~train.present):
        with pytest.raises(ValueError, match="images with an object and images without"):
            latent_svm.train(train.images[some], train.boxes[some])
    with pytest.raises(ValueError, match="no root covers any object by 1.5; ask for less"):
        latent_svm.train(train.images, train.boxes, overlap=1.5)
    with pytest.raises(ValueError, match="cells does not fit into images of 40 x 40; enlarge them"):
        small = torch.tensor([[4.0, 4, 36, 36]]).repeat(4, 1).where(train.present[:, None], torch.nan)
        latent_svm.train(train.images[..., :40, :40], small)


@pytest.fixture(scope="module")
def begun():
    """A root, what its placements on objects are multiplied with, and pyramids without an object."""
    train = scenes("train", 8)
    model = latent_svm.first(train.images, train.boxes, train.present, "thing", 8, 3, 1600.0, 3e-3)
    features = [dpm.pyramid(image, model) for image in train.images]
    objects = [(features[n], train.boxes[n]) for n in train.present.nonzero().flatten()]
    placements, boxes = latent_svm.covering(model, objects, None, 0.5)
    assert len(placements) == len(boxes) > 1
    positives = torch.stack([latent_svm.phi(model, where, it) for where, it in placements])
    return model, positives, [features[n] for n in (~train.present).nonzero().flatten()]


def test_objects_placed_anew_count_though_nothing_is_left_to_mine(begun):
    model, positives, others = begun
    cache = {}
    model = latent_svm.improved(model, positives, others, cache, None, 3e-3, 2)
    moved = latent_svm.improved(model, positives[:1], [], cache, None, 3e-3, 2)
    assert (moved.components[0].root - model.components[0].root).abs().max() > 1e-3


def test_mining_goes_on_until_no_placement_inside_the_margin_is_new(begun, monkeypatch):
    model, positives, others = begun
    monkeypatch.setattr(latent_svm, "solved", lambda model, *_: model)
    monkeypatch.setattr(latent_svm, "MOST", 500)  # of 2,587 an image
    inside = sum(len(dpm.placed(model, where, dpm.scores(model, where, None), -1.0)) for where in others)
    for turns in (1, 1000):
        cache = {}
        latent_svm.improved(model, positives, others, cache, None, 3e-3, turns)
        most = latent_svm.MOST * len(others)
        assert most * 0.99 <= len(cache) <= most if turns == 1 else len(cache) >= 0.99 * inside > most
