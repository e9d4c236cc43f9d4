"""Part models: scores against a loop over placements, back-tracking, suppression, files that are no model."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from companion.files import DamagedFile
from companion.media import read_image
from companion.models import dpm
from companion.models.dpm import DPM, Component, detect, nms, placed, pyramid, scores
from companion.ops.hog import hog


def model(seed=0, parts=2, **options):
    """A mixture of two components with random filters."""
    g = torch.Generator().manual_seed(seed)
    components = tuple(
        Component(
            torch.randn(32, *size, generator=g),
            torch.randn(parts, 32, 3, 3, generator=g),
            torch.randint(0, 4, (parts, 2), generator=g),
            torch.rand(parts, 4, generator=g) * torch.tensor([0.2, 0.4, 0.2, 0.4]) + 0.01,
            float(bias),
            torch.tensor([0.0, 0.5, -0.5]),
        )
        for bias, size in ((-1, (3, 4)), (1, (4, 3)))
    )
    return DPM(components, "thing", 0.0, **{"interval": 2, **options})


def picture(H=70, W=90, seed=0):
    return 255 * torch.rand(3, H, W, generator=torch.Generator().manual_seed(seed))


def obvious(component, features, level, x0, y0, reach):
    """The best placement of one root, from the sum on the slide."""
    fine, coarse = (features.levels[n].double().numpy() for n in (level - features.interval, level))
    _, h, w = component.root.shape
    total = (component.root.double().numpy() * coarse[:, y0 : y0 + h, x0 : x0 + w]).sum()
    _, _, p, q = component.parts.shape
    for part, (vx, vy), (ax, bx, ay, by) in zip(
        component.parts.double().numpy(),
        component.anchors.tolist(),
        component.deformation.tolist(),
        strict=True,
    ):
        anchor_x, anchor_y = (
            2 * (x0 - features.pad) + vx + features.pad,
            2 * (y0 - features.pad) + vy + features.pad,
        )
        rows, columns = fine.shape[1] - p + 1, fine.shape[2] - q + 1
        if not (0 <= anchor_x < columns and 0 <= anchor_y < rows):
            return -np.inf
        best = -np.inf
        for y in range(rows):
            for x in range(columns):
                dx, dy = x - anchor_x, y - anchor_y
                if reach is None or max(abs(dx), abs(dy)) <= reach:
                    value = (part * fine[:, y : y + p, x : x + q]).sum()
                    best = max(best, value - (ax * dx * dx + bx * dx + ay * dy * dy + by * dy))
        total += best
    return total + component.bias + float(component.prior[min(level // features.interval, 2)])


@pytest.mark.parametrize("reach", [None, 2, 0])
def test_scores_are_the_sum_on_the_slide(reach):
    thing = model()
    features = pyramid(picture(), thing)
    found = scores(thing, features, reach)
    assert {level for _, level in found} == set(range(2, len(features.levels)))
    rng = np.random.default_rng(0)
    for (c, level), maps in list(found.items())[::2]:
        H, W = maps.total.shape
        for y, x in zip(rng.integers(H, size=4).tolist(), rng.integers(W, size=4).tolist(), strict=True):
            want = obvious(thing.components[c], features, level, x, y, reach)
            assert float(maps.total[y, x]) == pytest.approx(want, abs=1e-4) or want == float(maps.total[y, x])


def test_a_placement_adds_up_to_its_score():
    thing = model()
    features = pyramid(picture(), thing)
    found = scores(thing, features, 4)
    best = placed(thing, features, found, 3.0)
    assert len(best) > 3 and all(a.score >= b.score for a, b in zip(best, best[1:], strict=False))
    for detection in best[:5]:
        component, maps = thing.components[detection.component], found[detection.component, detection.level]
        x0, y0 = detection.root
        total = maps.root[y0, x0] + component.bias + component.prior[min(detection.level // 2, 2)]
        offsets = detection.parts - (2 * torch.tensor([x0, y0]) + component.anchors - features.pad)
        assert offsets.abs().max() <= 4
        for n, ((x, y), (dx, dy)) in enumerate(zip(detection.parts.tolist(), offsets.tolist(), strict=True)):
            cost = component.deformation[n] @ torch.tensor([dx * dx, dx, dy * dy, dy]).float()
            total = total + maps.responses[n, y, x] - cost
        assert float(total) == pytest.approx(detection.score, abs=1e-4)


def test_a_level_covers_the_pixels_it_says():
    """A model whose root is a piece of the features finds the place from where it was cut."""
    image = picture(96, 96)
    thing = model(parts=1)
    features = pyramid(image, thing)
    level = 2
    x0, y0 = features.pad + 4, features.pad + 3
    root = features.levels[level][:, y0 : y0 + 4, x0 : x0 + 4].clone()
    component = thing.components[0]._replace(
        root=root, parts=torch.zeros(1, 32, 3, 3), bias=0.0, prior=torch.zeros(3)
    )
    only = thing._replace(components=(component,))
    best = placed(
        only, pyramid(image, only), scores(only, pyramid(image, only)), float(root.square().sum()) - 0.01
    )
    assert best[0].box.tolist() == [32, 24, 64, 56]  # 4 cells of 8 pixels from the left, 3 from above


def test_the_pyramid_halves_in_an_octave_and_marks_its_margin():
    features = pyramid(picture(128, 160), model())
    assert features.scales[:4] == [2, 2**0.5, 1, 2**-0.5] and features.scales[4] == 0.5
    assert features.levels[2].shape[1] == 128 // 8 - 2 + 2 * (features.pad + 1)
    for level in features.levels:
        n = features.pad + 1
        assert level[-1, :n].all() and level[-1, :, -n:].all() and not level[-1, n:-n, n:-n].any()


def test_an_octave_more_is_that_of_the_picture_at_twice_its_size():
    """Roots of cells half as wide, parts of a quarter; the levels that both have are the same."""
    usual, more = model(), model(extra=True)
    features, longer = pyramid(picture(), usual), pyramid(picture(), more)
    assert longer.scales[:2] == pytest.approx([4, 8**0.5]) and longer.scales[2:] == features.scales
    assert all(torch.equal(a, b) for a, b in zip(longer.levels[2:], features.levels, strict=True))
    assert torch.equal(longer.levels[0][:, 5:-5, 5:-5], hog(picture()[None], 2)[0])
    few, many = scores(usual, features), scores(more, longer)
    prior = usual.components[0].prior  # a root at the picture's size is now in the third octave
    torch.testing.assert_close(many[0, 4].total, few[0, 2].total + prior[2] - prior[1])
    with pytest.raises(ValueError, match="the pyramid has other cells or levels than thing"):
        scores(more, features)


def test_what_lies_outside_the_image_is_not_found():
    found = detect(model(), picture(), -20.0)
    assert found and all((it.box[2:] > it.box[:2]).all() for it in found)


def test_a_small_image_keeps_parts_an_octave_below_their_roots():
    """50 pixels are four levels of roots with ten an octave; their parts are at the levels 0 to 3."""
    features = pyramid(picture(50, 60), model(interval=10))
    assert len(features.scales) == 14
    for level in range(10, 14):
        assert features.scales[level - 10] == pytest.approx(2 * features.scales[level])
    assert {level for _, level in scores(model(interval=10), features)} == set(range(10, 14))


def test_non_maximum_suppression_by_both_rules():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 4], [0, 0, 40, 10], [50, 50, 60, 60]])
    ranked = torch.tensor([3.0, 2.0, 1.0, 0.5])
    assert nms(boxes, ranked) == [
        0,
        2,
        3,
    ]  # the second lies within the first; the third shares a quarter
    assert nms(boxes, ranked, rule="iou") == [0, 1, 2, 3]
    assert nms(boxes, ranked, 0.2, "iou") == [0, 3]
    assert nms(boxes[:0], ranked[:0]) == []
    with pytest.raises(ValueError, match="unknown rule 'soft'; choose release or iou"):
        nms(boxes, ranked, rule="soft")


def test_detections_are_sorted_inside_the_image_and_do_not_overlap():
    found = detect(model(), picture(), 2.0)
    assert found and [d.score for d in found] == sorted((d.score for d in found), reverse=True)
    boxes = torch.stack([d.box for d in found])
    assert boxes.min() >= 0 and boxes[:, 2].max() <= 90 and boxes[:, 3].max() <= 70
    assert nms(boxes, torch.tensor([d.score for d in found])) == list(range(len(found)))
    assert detect(model(), picture(), 1e6) == []


def test_grey_is_read_as_three_equal_colours():
    grey = picture()[:1]
    one, three = (pyramid(image, model()) for image in (grey, grey.expand(3, -1, -1)))
    for a, b in zip(one.levels, three.levels, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    "image, sentence",
    [
        (torch.zeros(4, 90, 90), "an image of 4 channels; give it one .grey. or three"),
        (torch.zeros(3, 20, 20), "an image of 20 x 20 pixels is smaller than the roots of thing; enlarge it"),
        (torch.zeros(3, 0, 0), "an image of 0 x 0 pixels is smaller than the roots of thing"),
        (torch.full((3, 90, 90), 65535.0), "numbers from 0 to 255; scale those of 16 bits"),
        (torch.full((3, 90, 90), torch.nan), "numbers from 0 to 255"),
    ],
)
def test_images_that_cannot_be_read_are_refused(image, sentence):
    with pytest.raises(ValueError, match=sentence):
        detect(model(), image)


def test_our_own_files(tmp_path):
    """What is saved is loaded; a file that is no model, is cut off or holds a NaN is refused."""
    thing, path = model(), tmp_path / "thing.safetensors"
    dpm.save(path, thing)
    again = dpm.load(path)
    assert again[1:] == thing[1:]
    for a, b in zip(thing.components, again.components, strict=True):
        assert all(
            torch.equal(torch.as_tensor(x), torch.as_tensor(y)) for x, y in zip(a[:6], b[:6], strict=True)
        )
    whole = path.read_bytes()
    for broken in (b"", whole[: len(whole) // 2], b"no model" * 9):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="is not a whole part model .*; train it anew"):
            dpm.load(path)
    dpm.save(path, thing._replace(components=(thing.components[0]._replace(bias=float("nan")),)))
    with pytest.raises(ValueError, match="holds a weight that is NaN or infinite"):
        dpm.load(path)
    first = thing.components[0]
    for wrong in (
        {"deformation": first.deformation[:1]},
        {"anchors": first.anchors[:1]},
        {"prior": first.prior[:1]},
        {"root": first.root[:31]},
        {"boxes": torch.zeros(4, 3)},
        {"bias": torch.zeros(2)},
    ):
        dpm.save(path, thing._replace(components=(first._replace(**wrong), thing.components[1])))
        with pytest.raises(ValueError, match="do not fit; get the file again|is not a whole part model"):
            dpm.load(path)
    with pytest.raises(FileNotFoundError, match="no file"):
        dpm.load(tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"name": 3}, "name is 3; get the file again"),
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"threshold": "high"}, "threshold is 'high'"),
        ({"cell": 0}, "cell is 0"),
        ({"interval": 10**19}, "interval is 10000000000000000000"),
        ({"interval": 2.0}, "interval is 2.0"),
        ({"extra": 1}, "extra is 1"),
        ({"components": ()}, "has no component"),
        ({"parts": torch.zeros(2, 32, 0, 3)}, "in component 0 do not fit"),
        ({"anchors": torch.tensor([[0, 1001], [0, 0]])}, "anchors of component 0 are none"),
        ({"anchors": torch.zeros(2, 2)}, "anchors of component 0 are none"),
        ({"prior": torch.zeros(3).double()}, "a weight of component 0 is not of 32 bits"),
        ({"prior": torch.full((3,), torch.inf)}, "holds a weight that is NaN or infinite"),
    ],
)
def test_a_part_model_of_other_options_or_weights_is_named(tmp_path, change, sentence):
    path, thing = tmp_path / "thing.safetensors", model()
    first, second = thing.components
    own = {key: value for key, value in change.items() if key in first._fields}
    rest = {key: value for key, value in change.items() if key not in first._fields}
    if own:
        rest["components"] = (first._replace(**own), second)
    dpm.save(path, thing._replace(**rest))
    with pytest.raises(DamagedFile, match=f"thing.safetensors.*{sentence}"):
        dpm.load(path)


def test_multiply_adds_are_those_of_all_filters():
    thing = model()
    found = scores(thing, pyramid(picture(), thing))
    want = 0
    for (c, _), maps in found.items():
        want += maps.root.numel() * thing.components[c].root.numel()
        want += maps.responses.numel() * 32 * 3 * 3
    assert dpm.multiply_adds(thing, found) == want


RELEASE = Path(os.environ.get("COMPANION_DATA", "nowhere")) / "dpm_voc_release5"


def agree(thing, features):
    """Responses and scores of the smallest level, and those of its best root, are those of plain sums."""
    level = len(features.levels) - 1
    found = scores(thing, features)
    fine, coarse = (features.levels[n].double() for n in (level - thing.interval, level))
    for c, component in enumerate(thing.components):
        maps = found[c, level]
        (_, h, w), (_, _, p, q) = component.root.shape, component.parts.shape
        for y, x in ((0, 0), (3, 2), divmod(int(maps.total.argmax()), maps.total.shape[1])):
            want = (component.root.double() * coarse[:, y : y + h, x : x + w]).sum()
            assert float(maps.root[y, x]) == pytest.approx(float(want), abs=1e-4)
            want = (component.parts.double() * fine[:, y : y + p, x : x + q]).sum((1, 2, 3))
            torch.testing.assert_close(maps.responses[:, y, x].double(), want, atol=1e-4, rtol=0)
        want = obvious(component, features, level, x, y, dpm.REACH)
        assert float(maps.total[y, x]) == pytest.approx(want, abs=1e-4)


PLAIN = (("car", "000034", (80, 335)), ("person", "000061", (253, 215)), ("bicycle", "000084", (327, 182)))


@pytest.mark.skipif(not RELEASE.is_dir(), reason="set COMPANION_DATA to a folder with dpm_voc_release5")
def test_the_authors_models_find_what_is_in_the_photographs():
    """The best detection of each covers a point of an object; and a grammar is refused."""
    for kind, name, (x, y) in PLAIN:
        thing = dpm.read_release(RELEASE / f"VOC2007/{kind}_final.mat")
        assert len(thing.components) == 6 and all(len(c.parts) == 8 for c in thing.components)
        image = read_image(RELEASE / f"{name}.jpg")
        best = detect(thing, image)[0]
        x0, y0, x1, y1 = best.box.tolist()
        assert best.score > thing.threshold and x0 < x < x1 and y0 < y < y1
        agree(thing, pyramid(image, thing))
    inria = dpm.read_release(next(RELEASE.rglob("inriaperson*.mat")))
    best = detect(inria, read_image(RELEASE / "000061.jpg"))[0]
    x0, y0, x1, y1 = best.box.tolist()
    assert inria.extra and best.score > inria.threshold and x0 < 470 < x1 and y0 < 240 < y1
    with pytest.raises(ValueError, match="is a grammar model"):
        dpm.read_release(next(RELEASE.rglob("*grammar*.mat")))


def test_the_best_placements_near_a_place():
    thing = model()
    features = pyramid(picture(), thing)
    found = scores(thing, features)
    every = placed(thing, features, found, 0.0)
    assert [a.score for a in placed(thing, features, found, 0.0, 3)] == [a.score for a in every[:3]]
    right = placed(thing, features, found, 0.0, near=lambda boxes: boxes[:, 0] > 40)
    assert [a.score for a in right] == [a.score for a in every if a.box[0] > 40] and right


def test_models_share_a_pyramid():
    one, other = model(), model(1)
    both = pyramid(picture(), one, other)
    for thing in (one, other):
        alone = scores(thing, pyramid(picture(), thing))
        for key, maps in scores(thing, both).items():
            torch.testing.assert_close(maps.total, alone[key].total)
        wanted, found = detect(thing, picture(), 2.0), detect(thing, both, 2.0)
        assert wanted and [it.score for it in found] == [it.score for it in wanted]
    with pytest.raises(ValueError, match="models share a pyramid if their cells"):
        pyramid(picture(), one, model(interval=5))


def test_a_root_alone_is_a_model():
    thing = model()
    alone = thing._replace(
        components=tuple(
            c._replace(parts=c.parts[:0], anchors=c.anchors[:0], deformation=c.deformation[:0])
            for c in thing.components
        )
    )
    features = pyramid(picture(), alone)
    for (c, level), maps in scores(alone, features).items():
        prior = alone.components[c].prior[min(level // 2, 2)]
        torch.testing.assert_close(maps.total, maps.root + alone.components[c].bias + prior)
    assert detect(alone, picture(), 0.0)[0].part_boxes.shape == (0, 4)
