import pytest
import torch
from torchvision.models import resnet18

from companion.files import DamagedFile
from companion.models.video_baselines import C3D, Global, ResNetLSTM


def test_c3d_has_the_papers_size():
    """16 frames of 112 x 112, 101 classes of UCF-101: 78.4 million weights, as its released network."""
    with torch.device("meta"):
        net = C3D(16, (112, 112), 101)
    assert net.join[0].in_features == 8192
    assert sum(value.numel() for value in net.parameters()) == 78_409_573


def test_c3d_takes_other_clips():
    net = C3D(8, (90, 160), 5, width=4, joined=16)
    assert net(torch.randint(0, 256, (2, 8, 3, 90, 160), dtype=torch.uint8)).logits.shape == (2, 5)


def test_each_model_learns_to_tell_two_clips_apart():
    torch.manual_seed(0)
    frames = torch.randint(0, 128, (2, 4, 3, 32, 48), dtype=torch.uint8)
    frames[1] += 128
    label = torch.tensor([0, 1])
    for net in (C3D(4, (32, 48), 2, width=4, joined=16), ResNetLSTM(2, depth=18, state=16)):
        optimizer = torch.optim.Adam(net.parameters(), 1e-3)
        for _ in range(40):
            loss = torch.nn.functional.cross_entropy(net(frames).logits, label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        net.eval()  # without dropout
        assert torch.nn.functional.cross_entropy(net(frames).logits, label) < 0.3, type(net)


def test_resnet_lstm_reads_frames_in_their_order():
    torch.manual_seed(0)
    net = ResNetLSTM(3, depth=18, state=8).eval()
    frames = torch.randint(0, 256, (1, 4, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        assert not torch.allclose(net(frames).logits, net(frames.flip(1)).logits)


def test_a_resnet_that_begins_with_imagenet_keeps_its_statistics(tmp_path):
    torch.manual_seed(0)
    weights = resnet18().state_dict()
    torch.save(weights, tmp_path / "resnet18.pth")
    net = ResNetLSTM(3, tmp_path / "resnet18.pth", 18, 8).train()
    assert torch.equal(net.see[0].weight, weights["conv1.weight"])
    frames = torch.randint(0, 256, (2, 2, 3, 32, 32), dtype=torch.uint8)
    net(frames)
    assert torch.equal(net.see[1].running_mean, weights["bn1.running_mean"])
    scratch = ResNetLSTM(3, depth=18, state=8).train()
    before = scratch.see[1].running_mean.clone()
    scratch(frames)
    assert not torch.equal(scratch.see[1].running_mean, before)
    with pytest.raises(DamagedFile, match="resnet18.pth holds weights of another network than resnet50"):
        ResNetLSTM(3, tmp_path / "resnet18.pth", 50, 8)


def test_the_global_model_is_the_mean_of_its_class_activation_maps():
    net = Global(6, 4).eval()
    read = net(torch.randn(2, 3, 6, 5, 7))
    torch.testing.assert_close(read.heatmaps.mean((1, 3, 4)) + net.classify.bias, read.logits)
