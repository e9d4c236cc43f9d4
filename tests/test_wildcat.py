"""WILDCAT, and the pictures that it learns from."""

import labelled
import pytest
import torch

from companion.datasets import labelled_pictures
from companion.datasets.labelled_pictures import Labelled, LabelledPictures
from companion.models import wildcat
from companion.models.wildcat import POOLINGS, Wildcat

MAPS = {"block 15": torch.randn(3, 6, 4, 5)}


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_OUT", str(tmp_path / "out"))
    labelled_pictures.parsed.cache_clear()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_scores_are_pooled_from_the_heat_maps(pooling):
    model = Wildcat(6, 2, pooling=pooling, M=3)
    read = model(MAPS)
    assert read.logits.shape == (3, 2) and read.heatmaps.shape == (3, 2, 4, 5)
    flat = read.heatmaps.flatten(2)
    ordered = flat.sort(-1).values
    want = {
        "wildcat": ordered[..., -4:].mean(-1) + 0.7 * ordered[..., :4].mean(-1),
        "average": flat.mean(-1),
        "max": flat.amax(-1),
        "log-sum-exp": (5 * flat).exp().mean(-1).log() / 5,
    }[pooling]
    torch.testing.assert_close(read.logits, want)


def test_many_maps_are_one_linear_map():
    """Their mean is what one map with the mean of their weights says."""
    many, one = Wildcat(6, 2, M=3).eval(), Wildcat(6, 2, M=1).eval()
    with torch.no_grad():
        one.transfer.weight.copy_(many.transfer.weight.unflatten(0, (2, 3)).mean(1))
        one.transfer.bias.copy_(many.transfer.bias.unflatten(0, (2, 3)).mean(1))
    torch.testing.assert_close(one(MAPS).heatmaps, many(MAPS).heatmaps)


def test_it_learns_where_from_whether():
    """A channel is high at one place of each picture that shows the class, which no label tells."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(200, 6, 5, 5, generator=generator)
    present = (torch.rand(200, 1, generator=generator) < 0.5).float()
    place = torch.randint(25, (200,), generator=generator)
    maps.flatten(2)[torch.arange(200), 2, place] += 6 * present[:, 0]
    batch = Labelled({"block 15": maps}, present, torch.arange(200))
    torch.manual_seed(0)
    model = Wildcat(6, 1, M=2, k_max=0.2, k_min=0.2)
    optimizer = torch.optim.AdamW(model.parameters(), 0.05)
    for _ in range(100):
        optimizer.zero_grad()
        wildcat.objective(model, batch).backward()
        optimizer.step()
    peak = model.eval()(batch.maps).heatmaps.flatten(1).argmax(1)
    assert (peak == place)[present[:, 0] > 0].float().mean() > 0.9


def test_a_trunk_begins_from_pictures():
    batch = LabelledPictures("still_lifes", "test", count=2, size=[96, 128]).__getitems__([0, 1])
    assert Wildcat(64, 6, layer="own", trunk=wildcat.Trunk())(batch.maps).heatmaps.shape == (2, 6, 12, 16)


def test_a_place_of_the_trunk_looks_around_its_own_middle():
    kinds = torch.nn.Conv2d, torch.nn.ZeroPad2d  # without what normalises
    layers = [layer for layer in wildcat.Trunk().layers if isinstance(layer, kinds)]
    picture = torch.zeros(1, 3, 96, 128, requires_grad=True)
    place = torch.nn.Sequential(*layers)(picture)[0, :, 6, 8].sum()
    for seen, n in zip(
        torch.autograd.grad(place, picture)[0][0].abs().sum(0).nonzero().T, (6, 8), strict=True
    ):
        assert len(seen.unique()) == 55 and abs(seen.unique().float().mean() - (8 * n + 3.5)) < 1


@pytest.mark.parametrize(("pooling", "M"), [("mean", 4), ("max", 0)])
def test_what_makes_no_sense_is_refused(pooling, M):
    with pytest.raises(ValueError, match="choose wildcat, average"):
        Wildcat(6, 2, pooling=pooling, M=M)


def test_folds_of_coco128_and_its_frequent_classes(tmp_path):
    root, tested = labelled.coco(tmp_path), []
    for fold in range(5):
        train, test = (
            LabelledPictures("coco128", s, fold, root=root, size=(32, 32)) for s in ("train", "test")
        )
        assert len(test) in (1, 2) and sorted(train.names + test.names) == [f"{n:03}.jpg" for n in range(8)]
        tested += test.names
    assert len({*tested}) == len(tested) == 8
    parts = [
        LabelledPictures("coco128", s, root=root, size=(32, 32)).names for s in ("fit", "validation", "test")
    ]
    assert sorted(sum(parts, [])) == sorted(tested) and len(parts[1]) == 2
    few = LabelledPictures("coco128", "test", root=root, size=(32, 32), least=5)
    assert few.classes == ("cat",) and few.present.shape == (2, 1)
    with pytest.raises(ValueError, match="no class of coco128 is in 9 pictures"):
        LabelledPictures("coco128", "test", root=root, least=9)


def test_boxes_are_shares_and_difficult_things_are_no_labels(tmp_path):
    data = LabelledPictures("fruit", "train", root=labelled.fruit(tmp_path), size=(32, 32))
    assert data.classes == ("apple", "banana")
    assert data.present.tolist() == [[1, 0]] * 4 and data.ignored.tolist() == [[0, 0], [0, 1]] * 2
    torch.testing.assert_close(data.boxes[0], torch.tensor([[0, 0, 10 / 40, 20 / 30]]).double())
    assert data[0].maps["pictures"].shape == (3, 32, 32)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="unknown source 'coco'; choose one of still_lifes, fruit"):
        LabelledPictures("coco", "train")
    with pytest.raises(ValueError, match="unknown split 'val'"):
        LabelledPictures("still_lifes", "val")


def test_labelled_pictures_are_checked_whole(tmp_path):
    root = labelled.coco(labelled.fruit(tmp_path))
    with pytest.raises(ValueError, match="unknown source 'coco'"):
        labelled_pictures.check("coco", root)
    found = labelled_pictures.check("fruit", root)
    assert found.startswith("8 of 300 pictures, none damaged, 292 missing, 12 things of 3 classes\n  to be")
    assert labelled_pictures.check("coco128", root, read=False).startswith("8 of 256 pictures")
