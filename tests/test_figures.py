import io
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from companion import figures
from companion.datasets.video_clips import Clips, VideoClips
from companion.figures import results
from companion.models import feature_map_attention, ram
from companion.skeleton import OPENNI


class Said(NamedTuple):
    logits: torch.Tensor
    glimpses: torch.Tensor


def size(picture):
    return Image.open(io.BytesIO(picture.data)).size


def test_pictures_are_pngs_with_alternative_text():
    images, boxes = torch.rand(3, 20, 20), torch.tensor([[2.0, 3.0, 9.0, 12.0]]).expand(3, 4)
    runs = pd.DataFrame({"variant": ["ram-2", "ram-4", "random-2", "fc-256"], "error": [4.0, 2.0, 9.0, 3.0]})
    drawn = [
        figures.boxed_images(images, boxes, ["a 1", "a 2", "a 3"], columns=2),
        figures.density(torch.rand(50, 3, 2) * 2 - 1, "where"),
        figures.by_glimpses(runs, "error", "error, %", "Error"),
    ]
    for picture in drawn:
        assert min(size(picture)) > 80 and len(picture.data) < 100_000
        assert len(picture.alt) > 10
    assert "random locations" in drawn[2].alt and "fc" not in drawn[2].alt
    runs = runs.assign(chance=8.0, centre=30.0)
    lines = figures.by_glimpses(runs, "error", "error, %", "Error", ["centre", "chance"])
    assert size(lines) == size(drawn[2]) and lines.data != drawn[2].data
    with pytest.raises(ValueError, match="zip"):
        figures.by_glimpses(runs, "error", "error, %", "Error", ["centre", "chance", "error"])


def test_pictures_of_skeletons():
    poses = torch.randn(3, 8, 2, 15, 3)
    seen = torch.ones(3, 8, 2, 15, dtype=torch.bool)
    seen[0, 2, 1] = False
    acting = torch.zeros(3, 2, 15, dtype=torch.bool)
    acting[:, 0, 5] = True
    frames = torch.zeros(3, 8, dtype=torch.bool)
    frames[:, 2:5] = True
    names = ["kicking", "pushing", "hugging"]
    drawn = [
        figures.skeletons(poses, seen, OPENNI, names, acting, frames, columns=2),
        figures.over_time(torch.rand(3, 8), names, frames),
        figures.dealt(torch.rand(8, 3, 2).softmax(-1)),
        figures.contact_sheet(
            names,
            list(torch.zeros(3, 9, 16, 3, dtype=torch.uint8)),
            [torch.full((2, 4), torch.nan), *torch.rand(2, 2, 4)],
        ),
        figures.confusion(torch.tensor([0, 1, 2]), torch.tensor([0, 1, 1]), names, "SBU"),
        figures.by_distance(
            pd.DataFrame(
                {"variant": ["crops", "crops", "evidence"], "edge": [100, 200, 100], "mean": 50.0, "sd": 2.0}
            )
        ),
    ]
    drawn.append(figures.skeletons(poses, seen, OPENNI, names))
    for picture in drawn:
        assert min(size(picture)) > 80 and len(picture.data) < 100_000 and len(picture.alt) > 10
    assert "the action is shaded" in drawn[1].alt
    groups = {"one": torch.tensor([False, True, False]), "two": torch.tensor([True, False, True])}
    together = figures.confusion(torch.tensor([0, 1, 2]), torch.tensor([0, 1, 1]), names, "SBU", groups)
    assert together.alt.endswith("one: pushing, two: kicking, two: hugging")


def test_pictures_of_part_models():
    images, boxes = torch.zeros(2, 3, 40, 50, dtype=torch.uint8), torch.tensor([[2.0, 3, 30, 20]] * 2)
    moved = torch.tensor([[[5.0, 5], [9, 9]]])
    work = pd.DataFrame(
        {"of": ["pixels", "parts"] * 2, "share": [0.5, 0.5, 1, 1], "work": [1e6, 2e6, 2e6, 4e6]}
    )
    drawn = [
        figures.objects(
            images,
            ["one", "two"],
            true=boxes,
            found=list(boxes),
            parts=list(boxes[:, None]),
            moved=[moved] * 2,
        ),
        figures.objects(
            images, ["one", "two"], true=[boxes[0], torch.full((4,), torch.nan)], found=[boxes, boxes[:0]]
        ),
        figures.glyphs({"root": torch.randn(32, 3, 4), "part": torch.randn(32, 2, 2)}),
        figures.maps({"root": torch.randn(5, 6), "sum": torch.full((3, 3), -torch.inf)}, {"root": (2, 3)}),
        figures.growth(work),
    ]
    for picture in drawn:
        assert min(size(picture)) > 80 and len(picture.data) < 100_000 and len(picture.alt) > 10


def test_front_fills_the_square_and_leaves_out_what_was_not_seen():
    poses = torch.tensor([[0.0, 0.0, 3.0], [0.5, 2.0, 3.0], [9.0, 9.0, 9.0]]).expand(1, 2, 1, 3, 3)
    seen = torch.tensor([True, True, False]).expand(1, 2, 1, 3)
    places = figures.front(poses, seen)
    assert places.shape == (1, 2, 3, 2) and places[0, :, 2].isnan().all()
    torch.testing.assert_close(places[0, 0, :2], torch.tensor([[0.3875, 0.95], [0.6125, 0.05]]))


def test_the_source_shown_is_the_file_imported():
    assert figures.source(ram).data.count("\nclass RAM(nn.Module):") == 1


@pytest.fixture
def drawn(monkeypatch):
    """The figures that become pictures."""
    seen, picture = [], results.picture

    def kept(figure, alt, **how):
        return seen.append(figure) or picture(figure, alt, **how)

    monkeypatch.setattr(results, "picture", kept)
    return seen


def marks(axes):
    """Points as mark, x, colour of the rim and whether it is filled with it."""
    points = [line for line in axes.lines if line.get_marker() in "oDs" and len(line.get_xdata()) == 1]
    return [
        (p.get_marker(), p.get_xdata()[0], p.get_color(), p.get_markerfacecolor() == p.get_color())
        for p in points
    ]


ROWS = pd.DataFrame(
    {
        "method": ["RAM", "STA-LSTM", "HBRNN", "ST-LSTM"],
        "dataset": ["MNIST", "SBU", "SBU", "SBU"],
        "protocol": ["centred-28", *["five_folds"] * 3],
        "metric": ["error", *["accuracy"] * 3],
        "published": [1.47, 91.5, 80.35, 93.3],
        "reproduced": [0.88, 92.6, 86.04, np.nan],
        "sd": [0.04, 0.56, np.nan, np.nan],
        "n": [3, 5, 1, np.nan],
        "note": ["here: 512 units", np.nan, "", "no schedule"],
    }
)


def test_dumbbells_show_both_numbers_and_mark_caveats(drawn):
    shown = figures.dumbbells(ROWS)
    (figure,) = drawn
    one, other = (axes for axes in figure.axes if axes.get_title("left"))
    assert marks(one) == [("D", 0.88, results.CAVEAT, True), ("o", 1.47, "black", False)]
    assert marks(other)[:4] == [
        *[("o", 92.6, results.REPRODUCED, True), ("o", 91.5, "black", False)],
        *[("o", 86.04, results.REPRODUCED, True), ("o", 80.35, "black", False)],
    ]
    (bar,) = one.containers[0].lines[2]
    np.testing.assert_allclose(bar.get_segments()[0][:, 0], [0.84, 0.92])
    assert [axes.get_title("left") for axes in (one, other)] == [
        "MNIST, centred-28: error, %, the lower the better",
        "SBU, five folds: accuracy, %",
    ]
    right = [tick.get_text() for axes in (one, other) for tick in axes.child_axes[0].get_yticklabels()]
    assert right == [
        "1.47 → 0.88 ± 0.04, n = 3\nhere: 512 units",
        "91.5 → 92.6 ± 0.6, n = 5",
        "80.3 → 86.0, n = 1",
        "93.3, not reproduced\nno schedule",
    ]
    assert "RAM on MNIST, centred-28: 1.47 → 0.88 ± 0.04, n = 3, here: 512 units" in shown.alt
    assert size(shown)[0] == 2200 and shown.width < 1000
    with pytest.raises(ValueError, match="no row to draw"):
        figures.dumbbells(ROWS[:0])


CLAIMS = pd.DataFrame(
    {
        "panel": ["in points", "in points", "in bits", "in points", "in points"],
        "claim": [
            "more glimpses help",
            "attention is at chance",
            "parts move",
            "pose alone",
            "soft beats hard",
        ],
        "effect": [32.0, 0.8, 1.4, 2.0, np.nan],
        "low": [31.0, -1.8, -0.4, 1.3, np.nan],
        "high": [33.1, 3.5, 3.0, 2.7, np.nan],
        "unit_low": [29.0, -2.0, np.nan, 1.0, np.nan],
        "unit_high": [35.0, 4.0, np.nan, 3.0, np.nan],
        "least": [0.0, 5.0, 0.0, 0.0, 0.0],
        "matters": [5.0, np.nan, 0.02, 1.0, 1.0],
        "verdict": [
            "holds",
            "fails over seeds",
            "holds over seeds; test set not yet",
            "holds",
            "incomplete: 2 of 5 seeds",
        ],
        "kind": ["claim", "control", "claim", "by construction", "claim"],
    }
)


def test_a_forest_shows_intervals_verdicts_and_the_line_that_decides(drawn):
    shown = figures.forest(CLAIMS)
    axes, fine = drawn[0].axes
    colours = results.VERDICTS
    assert [one.get_title("left") for one in (axes, fine)] == ["in points", "in bits"]
    assert marks(axes)[:3] == [
        ("o", 32.0, colours["holds"], True),
        ("s", 0.8, colours["fails"], True),
        ("o", 2.0, results.BY_CONSTRUCTION, True),
    ]
    assert marks(fine) == [("o", 1.4, colours["holds over seeds"], False)]
    spans = [tuple(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2]
    assert spans[:6] == [(0, 0), (31.0, 33.1), (29.0, 35.0), (5, 5), (-1.8, 3.5), (-2.0, 4.0)]
    right = [tick.get_text() for tick in axes.child_axes[0].get_yticklabels()]
    assert right[0] == "holds\n32.0 [31.0, 33.1], line at 0"
    assert right[1].startswith("fails over seeds; control\n") and right[1].endswith("line at 5")
    assert right[3] == "incomplete: 2 of 5 seeds\nline at 0"
    (bits,) = [tick.get_text() for tick in fine.child_axes[0].get_yticklabels()]
    assert bits.endswith("\n1.400 [-0.400, 3.000], line at 0")  # less than one would matter
    legend = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    shown_there = ["holds over seeds", "holds", "fails", "incomplete"]
    assert legend[:6] == [*shown_there, "by construction", "control, expected to fail"]
    assert "in points, pose alone: holds; by construction, 2.0 [1.3, 2.7], line at 0" in shown.alt
    assert size(shown)[0] == 1430
    with pytest.raises(ValueError, match="these are .'maybe'"):
        figures.forest(CLAIMS.assign(verdict="maybe"))
    with pytest.raises(ValueError, match="these are none"):
        figures.forest(CLAIMS[:0])


def test_a_gradient_moves_a_window_onto_its_goal():
    y, x = torch.meshgrid(torch.linspace(-1, 1, 45), torch.linspace(-1, 1, 80), indexing="ij")
    picture = torch.exp(-8 * ((x - 0.2) ** 2 + (y + 0.1) ** 2))[None]
    goal, start = torch.tensor([0.2, -0.1, 0.3, 0.4]), torch.tensor([0.4, 0.1])
    path = figures.chase(picture, goal, start, 150)
    assert torch.equal(path[0], torch.cat([start, goal[2:]])) and path.shape == (150, 4)
    torch.testing.assert_close(path[-1], goal, atol=0.02, rtol=0)
    assert figures.corners(path[:1])[0].flatten().tolist() == pytest.approx([0.1, -0.3, 0.7, 0.5])


def test_what_a_model_looked_at_is_given_to_the_player():
    class Data(VideoClips):
        def __init__(self, *size):
            self.classes, self.truth, self.size = ("a", "b"), None, size

        def __getitems__(self, rows):
            boxes = torch.full((len(rows), 2, 1, 4), -1.0)
            boxes[..., 2:] = 1
            return Clips(torch.zeros(0), torch.tensor([0, 1]), torch.zeros(0), boxes)

        def film(self, row, height):
            return torch.tensor([0, 90, 0], dtype=torch.uint8).expand(2, *self.size, 3)

    said = Said(torch.eye(2).flip(0), torch.tensor([0.0, 0, 0.5, 1]).expand(2, 2, 1, 4))
    seen = figures.looked(Data(11, 21), [3, 4], said)
    assert seen["labels"] == ["a, read as b", "b, read as a"]
    assert seen["clouds"][0, 0].tolist() == [[5, 0, 15, 10]] and seen["images"][..., 1].min() == 90
    assert seen["truth"][1, 1].tolist() == [[0, 0, 20, 10]] and not {"workers", "heat"} & {*seen}
    weights = torch.zeros(2, 2, 4, 5)
    weights[0, 1, 0, 2] = 0.25
    after_each = torch.tensor([[[9.0, 0], [0, 9]], [[0, 0], [0, 9]]])
    read = feature_map_attention.Read(after_each, weights)
    read = read._replace(logits=feature_map_attention.answer(after_each))
    seen = figures.looked(Data(16, 20), [3, 4], read)
    assert seen["labels"] == ["a, read as a", "b, read as b"]
    assert seen["heat"].nonzero().tolist() == [[0, 1, y, x] for y in (0, 1) for x in (1, 2, 3)]
    assert seen["heat"].max() == 0.25 and "clouds" not in seen and (seen["images"] == 30).all()
    moved = figures.looked(Data(16, 20), [3, 4], read, aside=torch.tensor([-1.0, 2]))["heat"]
    assert moved.nonzero().tolist() == [[0, 1, y, x] for y in (2, 3) for x in (0, 1, 2)]
    low = figures.looked(Data(14, 20), [3, 4], read)["heat"]  # half of the last row lies below the picture
    assert low.sum((2, 3))[0, 1] > seen["heat"].sum((2, 3))[0, 1]


def test_pictures_of_gaze():
    image = torch.zeros(3, 30, 40, dtype=torch.uint8)
    path = np.array([[5.0, 6, 200], [30, 20, 400]])
    drawn = figures.scanpaths(image, {"ann": path, "bob": path[:1]}, columns=2)
    other = figures.scanpaths(image, {"ann": path * [1, 1, 3], "bob": path[:1]}, columns=2)
    assert "ann, bob" in drawn.alt and size(drawn) == size(other) and drawn.data != other.data
    maps, boxes = torch.rand(2, 3, 4), [torch.tensor([[2.0, 3, 9, 12]])] * 2
    plain, marked = (figures.heatmaps([image] * 2, {"a": maps, "b": maps}, at) for at in (None, boxes))
    assert "2 pictures with maps: a, b" in plain.alt and plain.data != marked.data
    scores = pd.DataFrame({"auc": [0.5, 0.8, 0.9]}, ["low", "model", "high"])
    lines = figures.between(scores, {"auc": "AUC"}, "low", "high")
    assert "auc of low, model, high" in lines.alt and min(size(lines)) > 80
