import sys

import pytest
import torch
from torch.nn import functional as F
from torchvision.models import resnet50

from companion.files import DamagedFile
from companion.models import backbones, picture_features
from companion.models.backbones import EfficientNetLite0, ResNet50, Same, lite0

skimage = pytest.importorskip("skimage.data")
WHAT = {  # a photograph -> those of ImageNet's classes that it shows
    "chelsea": {281, 282, 285},  # tabby, tiger cat, Egyptian cat
    "coffee": {504, 550, 967, 968},  # coffee mug, espresso maker, espresso, cup
}


@pytest.mark.parametrize("name", WHAT)
def test_photographs_are_recognised(name):
    """One of the five best scores names what is shown: the weights are in their places."""
    pytest.importorskip(backbones.PACKAGE)
    picture = torch.from_numpy(getattr(skimage, name)()).permute(2, 0, 1)[None].float()
    picture = F.interpolate(picture, (224, 224), mode="bilinear", antialias=True).round().to(torch.uint8)
    assert WHAT[name] & set(lite0().scores(picture).topk(5).indices[0].tolist())


@pytest.mark.parametrize(
    ("blocks", "channels", "stride"), [(3, 24, 4), (5, 40, 8), (11, 112, 16), (16, 320, 32)]
)
def test_sizes_of_the_maps(blocks, channels, stride):
    frames = torch.randint(0, 256, (2, 3, 90, 160), dtype=torch.uint8)
    size = [-(-side // stride) for side in (90, 160)]
    assert EfficientNetLite0(blocks).eval()(frames).shape == (2, channels, *size)


@pytest.mark.parametrize("size", [7, 8])
def test_padding_is_tensorflows(size):
    """Stride 2, kernel 3: an even size is padded behind only, an odd one on both sides."""
    layer = Same(1, 1, 3, 2, bias=False)
    layer.weight.data.fill_(1)
    seen = layer(torch.arange(1.0, size + 1).view(1, 1, 1, size))[0, 0, 0]
    padded = [0.0] * (size % 2) + list(range(1, size + 1)) + [0.0]
    assert seen.tolist() == [sum(padded[i : i + 3]) for i in range(0, size, 2)]


def test_another_file_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / backbones.PACKAGE
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "models" / "efficientnet-lite0-57934424.pth").write_bytes(b"no weights")
    monkeypatch.delitem(sys.modules, backbones.PACKAGE, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DamagedFile, match="57934424"):
        lite0()


def test_without_the_package_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(backbones, "PACKAGE", "no_such_package")
    with pytest.raises(ModuleNotFoundError, match=r"companion\[imagenet\]"):
        lite0()


def test_an_inflated_network_sees_each_frame_as_the_flat_one_does(tmp_path):
    torch.manual_seed(0)
    flat = resnet50().eval()
    for name, value in flat.named_buffers():  # statistics that are not those of a new network
        if name.endswith(("mean", "var")):
            value.uniform_(0.5, 1)
    torch.save(flat.state_dict(), tmp_path / "resnet50.pth")
    net = ResNet50(tmp_path / "resnet50.pth").eval()
    clips = torch.randn(1, 3, 3, 64, 64)
    frames = clips[0].transpose(0, 1)
    with torch.no_grad():
        context, maps = net(clips)
        x = flat.maxpool(flat.relu(flat.bn1(flat.conv1(frames))))
        third = flat.layer3(flat.layer2(flat.layer1(x)))
        torch.testing.assert_close(context[0].transpose(0, 1), third, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(maps[0].transpose(0, 1), flat.layer4(third), rtol=1e-4, atol=1e-4)


def test_every_weight_is_taken():
    net, flat = ResNet50(), resnet50()
    with torch.no_grad():
        for value in [*net.parameters(), *net.buffers()]:
            value.fill_(-7)
        net.inflate({name: torch.ones_like(value) for name, value in flat.state_dict().items()})
    assert all((value != -7).all() for value in net.state_dict().values())


def test_frames_before_and_after_are_seen_once_it_learns():
    net = ResNet50().eval()
    for name, value in net.named_parameters():
        if name.endswith("norm_c.weight"):  # which begins at zero, so that only what is beside it speaks
            value.data.fill_(1)
    clips = torch.randn(1, 3, 3, 32, 32)
    other = clips.clone()
    other[:, :, 0] += 1
    with torch.no_grad():
        assert not torch.allclose(net(clips)[1][:, :, 1], net(other)[1][:, :, 1])


@pytest.mark.parametrize("content", [b"", b"no weights"])
def test_a_file_of_something_else_is_refused(tmp_path, content):
    (tmp_path / "other.pth").write_bytes(content)
    with pytest.raises(DamagedFile, match="other.pth"):
        ResNet50(tmp_path / "other.pth")
    with pytest.raises(FileNotFoundError, match="none.pth"):
        ResNet50(tmp_path / "none.pth")


def test_layers_of_pictures_are_the_whole_networks():
    """BatchNorm folded, block by block; and the scores that its head gives."""
    pytest.importorskip(backbones.PACKAGE)
    whole, layers = backbones.lite0(), picture_features.Layers()
    picture = torch.from_numpy(skimage.chelsea()[:160, :224].transpose(2, 0, 1).copy())[None]
    with torch.no_grad():
        found = layers(picture)
        for name in picture_features.LAYERS[:-1]:
            want = backbones.lite0(int(name.split()[1]) + 1)(picture)
            torch.testing.assert_close(found[name], want, atol=2e-4, rtol=1e-3)
            assert want.shape[1] == picture_features.CHANNELS[name]
        scores = layers.classify(found["head"].mean((2, 3)))
        torch.testing.assert_close(scores, whole.scores(picture), atol=1e-4, rtol=1e-3)


def test_an_untrained_network_has_the_same_layers():
    black = torch.zeros(1, 3, 64, 96, dtype=torch.uint8)
    with pytest.raises(ValueError, match="unknown precision 'f16'; choose f32 or bf16"):
        picture_features.Layers(black, "f16")
    found = picture_features.Layers(black)(black)
    assert {name: maps.shape[1] for name, maps in found.items()} == picture_features.channels()
    some = picture_features.Layers(black, layers=["block 4", "block 2"])
    assert len(some.blocks) == 5 and repr(some) != repr(picture_features.Layers(black, layers=["block 4"]))
    every = picture_features.Layers(black, layers=[*picture_features.CHANNELS])
    for net in (some, every):
        found = net(black)
        assert {name: maps.shape[1] for name, maps in found.items()} == picture_features.channels(net.layers)
    with pytest.raises(ValueError, match="unknown layer 'block 16'; choose block 0 to block 15, or head"):
        picture_features.Layers(black, layers=["block 16"])
    assert not any(value.requires_grad for value in picture_features.Layers(black).parameters())


def test_maps_of_an_untrained_network_do_not_fade():
    pictures = torch.from_numpy(skimage.chelsea()[:160, :224].transpose(2, 0, 1).copy())[None]
    nets = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        nets.append(picture_features.Layers(pictures))
    found, again, other = (net(pictures) for net in nets)
    for name, maps in found.items():
        assert torch.equal(maps, again[name]) and not torch.equal(maps, other[name])
        kept = maps.half().float()
        assert 0.3 < kept.std() < 3 and F.group_norm(kept, 1).std() == pytest.approx(1, abs=0.05)
