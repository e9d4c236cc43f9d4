"""Generated scenes: the truth about them, and no short cut."""

import numpy as np
import pytest
import torch

from companion.datasets import scenes as room
from companion.datasets.scenes import scenes


@pytest.fixture(scope="module")
def drawn():
    return scenes("train", 60)


def test_the_truth_fits_together(drawn):
    assert drawn.images.shape == (60, 3, 176, 176) and drawn.present.tolist() == [True, False] * 30
    parts, boxes = drawn.parts[::2], drawn.boxes[::2]
    assert (parts >= boxes[:, None, :2]).all() and (parts <= boxes[:, None, 2:]).all()
    assert torch.isnan(drawn.parts[1::2]).all() and torch.isnan(drawn.moved[1::2]).all()
    expected = torch.from_numpy(room.AROUND * room.directions(4)) + drawn.moved[::2]
    spread = (parts - parts.mean(1, keepdim=True)) / (expected - expected.mean(1, keepdim=True))
    scale = spread.flatten(1).median(1).values
    assert ((scale > room.SCALES[0] - 0.01) & (scale < room.SCALES[1] + 0.01)).all()
    torch.testing.assert_close(spread, scale[:, None, None].expand_as(spread).double(), atol=1e-3, rtol=1e-3)


def test_parts_move_as_far_as_they_may(drawn):
    moved = drawn.moved[::2].flatten()
    assert moved.abs().max() <= room.MOST and abs(float(moved.mean())) < 2
    assert 0.7 * room.MOVED < float(moved.std()) < 1.1 * room.MOVED


def directions(image, at, radius=7):
    """The direction of the stripes around a place, from the structure tensor, in degrees from 0 to 180."""
    x, y = (int(v) for v in at)
    grey = image.float().mean(0)[max(0, y - radius) : y + radius, max(0, x - radius) : x + radius].numpy()
    gy, gx = np.gradient(grey)
    return np.degrees(0.5 * np.arctan2(2 * (gx * gy).mean(), (gx * gx - gy * gy).mean())) % 180


def test_each_part_of_an_object_has_its_own_texture(drawn):
    """Where no other one covers it, which is most often."""
    right = []
    for image, parts in zip(drawn.images[::2], drawn.parts[::2], strict=True):
        for k, at in enumerate(parts.tolist()):
            if min(at) > 10 and max(at) < 166:
                off = (directions(image, at) - 180 * (k + 0.5) / 5 + 90) % 180 - 90
                right.append(abs(off) < 18)
    assert np.mean(right) > 0.6  # by chance 0.2


def whole(drawn, parts):
    """Bodies around which a part of each texture, drawn at the body's scale, is where it may move to."""
    found = 0
    for at, scale, texture in drawn:
        reach = [at + scale * room.AROUND * way for way in room.directions(parts)]
        near = [
            any(
                t == k and s == scale and (np.abs(a - place) <= scale * room.MOST + 1e-9).all()
                for a, s, t in drawn
            )
            for k, place in enumerate(reach)
        ]
        found += texture < 0 and all(near)
    return found


@pytest.mark.parametrize("parts", [3, 4, 5])
def test_only_images_with_an_object_hold_a_whole_one(monkeypatch, parts):
    """One, and none where there is none: what lies around has two parts changed."""
    disc, drawn = room.disc, []
    monkeypatch.setattr(room, "disc", lambda *given: (drawn.append(given[1:4]), disc(*given)))
    rng = np.random.default_rng(0)
    for n in range(40):
        drawn.clear()
        room.scene(rng, n % 2 == 0, parts, 176)
        assert whole(drawn, parts) == (n % 2 == 0)
        assert sum(texture < 0 for _, _, texture in drawn) in (1, 2)


def test_a_seed_draws_the_same_again_and_splits_differ(drawn):
    again = scenes("train", 4)
    assert torch.equal(again.images, drawn.images[:4]) and again.fingerprint == scenes("train", 4).fingerprint
    assert again.units == ["0", "1", "2", "3"]
    for other in (scenes("test", 4), scenes("train", 4, seed=1)):
        assert not torch.equal(other.images, again.images) and other.fingerprint != again.fingerprint


@pytest.mark.parametrize("parts", [3, 5])
def test_three_to_five_parts(parts):
    """Also in the smallest images, where two bodies still have room."""
    assert scenes("test", 20, parts, side=144).parts.shape == (20, parts, 2)


@pytest.mark.parametrize(
    "given, sentence",
    [
        ({"split": "all"}, "unknown split 'all'; choose train, validation, test"),
        ({"parts": 6}, "6 parts; choose at least 1, 144, and 3 to 5"),
        ({"side": 143}, "sides of 143 pixels"),
        ({"count": 0}, "0 images"),
    ],
)
def test_other_scenes_are_refused(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        scenes(**{"split": "train", "count": 1, **given})
