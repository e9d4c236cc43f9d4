import io

import pandas as pd
import torch
from PIL import Image

from companion import figures
from companion.models import ram
from companion.skeleton import OPENNI


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
        figures.skeletons(poses, seen, OPENNI, names, acting, columns=2),
        figures.over_time(torch.rand(3, 8), names, frames),
        figures.contact_sheet(
            names,
            list(torch.zeros(3, 9, 16, 3, dtype=torch.uint8)),
            [torch.full((4,), torch.nan), *torch.rand(2, 4)],
        ),
        figures.confusion(torch.tensor([0, 1, 2]), torch.tensor([0, 1, 1]), names, "SBU"),
        figures.by_distance(
            pd.DataFrame(
                {"variant": ["crops", "crops", "evidence"], "edge": [100, 200, 100], "mean": 50.0, "sd": 2.0}
            )
        ),
    ]
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
