"""Attention to hands: weights, what is rest of the models without their parts, streams, and scores."""

from collections import namedtuple

import pytest
import torch
from torchvision.models import inception_v3
from torchvision.transforms import v2

from companion.metrics import hands as scores
from companion.models import hand_attention
from companion.models.hand_attention import Crops, Read
from companion.skeleton import KINECT_V2

B, T, K, C, S = 3, 8, 2, 5, 16


def batch():
    g = torch.Generator().manual_seed(0)
    poses = torch.randn(B, T, 1, 25, 3, generator=g)
    crops = torch.randint(1, 256, (B, T, K, 3, S, S), generator=g, dtype=torch.uint8)
    return poses, crops


def model(variant, order="tour", **options):
    torch.manual_seed(0)
    pose = hand_attention.pose_stream(order, KINECT_V2, 1, C, T, 32)
    return hand_attention.streams(variant, pose, K, T, C, seen=16, units=24, **options)


def features():
    poses, crops = batch()
    torch.manual_seed(1)
    return poses, Crops(S, C, 16).see(crops)


@pytest.mark.parametrize("variant", [*hand_attention.RGB, "sta-hands"])
def test_weights_are_distributions_and_streams_add_up(variant):
    net = model(variant, "gru" if variant == "sta-hands" else "tour").eval()
    read = net(*features())
    assert read.hands.shape == (B, T, K) and read.frames.shape == (B, T)
    torch.testing.assert_close(read.hands.sum(-1), torch.ones(B, T))
    torch.testing.assert_close(read.frames.sum(-1), torch.ones(B))
    torch.testing.assert_close(read.logits, read.pose + read.rgb)


def test_without_a_part_its_weights_are_equal():
    for variant, hands, frames in (("sum", 0, 0), ("spatial", 1, 0), ("temporal", 0, 1), ("hands", 1, 1)):
        read = model(variant).eval()(*features())
        assert (read.hands.std() > 1e-4) == hands and (read.frames.std() > 1e-5) == frames
    read = model("sta-hands", "gru").eval()(*features())
    assert read.hands.std() < 1e-6 and read.frames.std() < 1e-6  # both begin equal


def test_what_attention_depends_on():
    poses, v = features()
    other = poses.flip(0)
    for variant, depends in (("hands", True), ("by-pose", True), ("by-state", False)):
        net = model(variant).eval()
        same = torch.allclose(net(poses, v).hands, net(other, v).hands, atol=1e-6)
        assert same != depends
    v2 = v.clone()
    v2[:, 0] += 1
    net = model("by-pose").eval()
    assert torch.equal(net(poses, v).hands, net(poses, v2).hands)
    net = model("hands").eval()
    first, second = net(poses, v).hands, net(poses, v2).hands
    assert torch.equal(first[:, 0], second[:, 0]) and not torch.equal(first[:, 1], second[:, 1])


def test_equal_hands_may_be_exchanged_where_they_are_summed():
    poses, v = features()
    for variant, same in (("sum", True), ("concat", False)):
        net = model(variant).eval()
        assert torch.allclose(net(poses, v).rgb, net(poses, v.flip(2)).rgb, atol=1e-5) == same


def test_the_pose_stream_rests():
    net = model("hands")
    before = [p.clone() for p in net.pose.parameters()]
    net.train()
    assert not net.pose.training and net.rgb.training
    Batch = namedtuple("Batch", "poses hands label")
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], 0.1)
    hand_attention.objective(net, Batch(*features(), torch.tensor([0, 1, 2]))).backward()
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(before, net.pose.parameters(), strict=True))
    assert net.rgb.where[0].weight.grad.abs().sum() > 0 and net.rgb.when[0].weight.grad.abs().sum() > 0


def test_orders_of_joints():
    sizes = {}
    for order in ("tour", "once", "random"):
        torch.manual_seed(0)
        tour = hand_attention.pose_stream(order, KINECT_V2, 1, C, T, 8).net.tour
        sizes[order] = len(tour)
        assert set(tour) == set(range(25))
    assert sizes == {"tour": 49, "once": 25, "random": 25}
    with pytest.raises(ValueError, match="unknown order 'alphabet'; choose one of tour, once, random, gru"):
        hand_attention.pose_stream("alphabet", KINECT_V2, 1, C, T)
    with pytest.raises(ValueError, match="unknown variant 'feet'; choose one of hands, sum"):
        model("feet")


def test_a_black_crop_is_not_seen_and_does_not_count():
    poses, crops = batch()
    net = Crops(S, C, 16).eval()
    whole = net(poses, crops[:, :, :1]).logits
    crops[:, :, 1] = 0
    assert not net.see(crops)[:, :, 1].any()
    torch.testing.assert_close(net(poses, crops).logits, whole)
    nothing = net(poses, torch.zeros_like(crops)).logits
    assert not nothing.any()


def test_training_looks_at_some_crops_of_each_clip():
    poses, crops = batch()
    net, seen = Crops(S, C, 16, taken=5), []
    net.glimpse.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    net.train()(poses, crops)
    net.eval()(poses, crops)
    assert seen == [5 * B, T * K * B]


Clips = namedtuple("Clips", "poses hands label holds frames")


def test_scores_by_hand():
    """Four classes in two groups; two clips of two frames and two hands."""
    groups = {"a": torch.tensor([True, True, False, False]), "b": torch.tensor([False, False, True, True])}
    logits = torch.tensor([[0.0, 1, 2, 0], [0, 3, 1, 2]])
    weights = torch.tensor([[[0.75, 0.25], [0.5, 0.5]], [[0.25, 0.75], [1.0, 0.0]]])
    frames = torch.tensor([[0.75, 0.25], [0.5, 0.5]])
    holds = torch.tensor([[[True, False], [False, False]], [[True, True], [False, False]]])
    clips = Clips(
        torch.arange(2.0)[:, None], torch.ones(2, 2, 2, 3), torch.tensor([1, 3]), holds, holds.any(-1)
    )

    def read(poses, v):
        turned = poses[0, 0] == 1
        return Read(logits, None, logits.flip(0), weights.flip(0) if turned else weights, frames)

    got = {name: values.tolist() for name, values in scores.scorer(groups)(read, clips).items()}
    assert got["accuracy"] == [0, 0] and got["accuracy_rgb"] == [100, 0] and "accuracy_pose" not in got
    assert got["within_a"][0] == 100 and got["within_b"][1] == 100
    assert torch.tensor([got["within_a"][1], got["within_b"][0]]).isnan().all()
    assert got["on_hand"][0] == 75 and torch.tensor(got["on_hand"][1]).isnan()  # both hands show it
    assert got["on_hand_shuffled"][0] == 25 and got["on_hand_uniform"][0] == 50
    assert got["on_frames"] == [75, 50] and got["on_frames_uniform"] == [50, 50]


def test_weight_on_a_hand_that_is_not_there_does_not_count():
    there, holds = torch.tensor([[[1.0, 1, 0]]]), torch.tensor([[[True, False, False]]])
    clips = Clips(torch.zeros(1, 1), there[..., None], torch.tensor([0]), holds, holds.any(-1))
    read = Read(torch.ones(1, 2), hands=torch.tensor([[[0.3, 0.1, 0.6]]]), frames=torch.ones(1, 1))
    got = scores.scorer({})(lambda poses, v: read, clips)
    assert got["on_hand"].item() == pytest.approx(75) and got["on_hand_uniform"].item() == 50
    assert got["on_hand_shuffled"].isnan().all()  # there is no other clip


def test_inception_sees_what_torchvisions_own_model_sees(tmp_path):
    """With their weights' own input: normalised by ImageNet's statistics, which the network takes back."""
    torch.manual_seed(0)
    net = inception_v3(weights=None, init_weights=False)
    path = tmp_path / "weights.pth"
    torch.save(net.state_dict(), path)
    crops = batch()[1][:1, :2]
    crops[0, 1, 1] = 0
    got = hand_attention.Inception(path).see(crops)
    net = net.eval()
    net.transform_input, net.fc = True, torch.nn.Identity()
    pictures = v2.functional.resize(crops[0, 0, 0][None], [299, 299]).float() / 255
    mean, std = (torch.tensor(x)[:, None, None] for x in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    with torch.no_grad():
        want = net((pictures - mean) / std)
    assert got.shape == (1, 2, K, 2048) and not got[0, 1, 1].any()
    torch.testing.assert_close(got[0, 0, 0], want[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("content", [b"", b"PK", {"a": torch.zeros(1)}, {"a": print}])
def test_a_file_without_inception_is_refused(tmp_path, content, monkeypatch):
    path = tmp_path / "weights.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(ValueError, match="weights.pth holds no weights of torchvision's inception_v3"):
        hand_attention.Inception(path)
    net = torch.nn.BatchNorm1d(2)
    with monkeypatch.context() as patch:
        patch.setattr(hand_attention, "inception_v3", lambda **_: torch.nn.BatchNorm1d(2))
        torch.save(net.state_dict() | {"weight": torch.full((2,), torch.nan)}, path)
        with pytest.raises(ValueError, match="weights.pth holds a weight that is NaN or infinite"):
            hand_attention.Inception(path)
    with pytest.raises(FileNotFoundError, match="no file .*; download torchvision's weights"):
        hand_attention.Inception(tmp_path / "none.pth")


def test_classes_by_distance():
    labels, away = torch.tensor([0, 0, 1, 1]), torch.tensor([50.0, 150, 150, torch.nan])
    Far = namedtuple("Far", (*Clips._fields, "away"))
    clips = Far(torch.zeros(4, 1), torch.zeros(4), labels, None, None, away)
    groups = {"near": torch.tensor([True, True])}
    read = Read(torch.tensor([[1.0, 0]]).expand(4, 2))
    got = scores.scorer(groups, ("near", (100, 200)))(lambda poses, v: read, clips)
    nan = torch.nan
    torch.testing.assert_close(got["within_near_to_100"], torch.tensor([100, nan, nan, nan]), equal_nan=True)
    torch.testing.assert_close(got["within_near_to_200"], torch.tensor([nan, 100, 0, nan]), equal_nan=True)


def test_a_whole_picture_is_read_wherever_things_are():
    """A thing that is moved by whole cells of the last map, away from the border, gives the same scores."""
    torch.manual_seed(0)
    model = hand_attention.Whole(5, scale=1.0).eval()
    pictures = torch.full((2, 1, 1, 3, 96, 128), 90, dtype=torch.uint8)
    thing = torch.randint(0, 255, (3, 12, 9), dtype=torch.uint8)
    pictures[0, 0, 0, :, 32:44, 40:49] = thing
    pictures[1, 0, 0, :, 48:60, 64:73] = thing
    one, other = model(torch.zeros(2, 1, 1, 25, 3), pictures).logits
    torch.testing.assert_close(one, other)
    pictures[1, 0, 0, :, 48:60, 64:73] = 90
    assert not torch.allclose(one, model(torch.zeros(2, 1, 1, 25, 3), pictures).logits[1])


def test_few_pictures_at_once_are_all_of_them():
    model, pictures = hand_attention.Whole(3, scale=1.8).eval(), torch.randint(1, 255, (300, 1, 3, 32, 48))
    want = model.glimpse(pictures[:, 0].float() / 127.5 - 1)
    torch.testing.assert_close(model.see(pictures.to(torch.uint8))[:, 0], want)


Pairs = namedtuple("Pairs", "poses hands label")


def test_two_things_are_read_together():
    """Of nine pairs of things each class has three, so that no sum of a score a thing tells the classes."""
    one, other = torch.arange(9) // 3, torch.arange(9) % 3
    label, draw = (one + other) % 3, torch.Generator().manual_seed(0)
    things = torch.randint(1, 255, (2, 3, 3, 12, 12), generator=draw, dtype=torch.uint8)
    crops = torch.stack([things[0, one], things[1, other]], 1)[:, None].expand(-1, 4, -1, -1, -1, -1)
    pair = Pairs(torch.zeros(9, 4, 1, 25, 3), crops, label)
    right = {}
    for model in (hand_attention.Evidence(12, 3, 2), hand_attention.Crops(12, 3)):
        torch.manual_seed(0)
        optimizer = torch.optim.Adam(model.parameters(), 3e-3)
        for _ in range(150):
            optimizer.zero_grad()
            hand_attention.objective(model, pair).backward()
            optimizer.step()
        read = model.eval()(pair.poses, pair.hands).logits.argmax(1)
        right[type(model).__name__] = int((read == label).sum())
    assert right["Evidence"] == 9 > 6 >= right["Crops"]
