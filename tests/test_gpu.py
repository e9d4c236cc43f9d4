"""What a machine with a GPU must show; `workflow/gpu_check.sh` runs these there."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from companion import training
from companion.models import glimpse_clouds, hand_attention, placed_glimpses, ram, sta_lstm
from companion.ops.crop import Retina, cut
from companion.skeleton import KINECT_V2

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")


class Batches:
    """Samples of two classes that one number tells apart."""

    def __init__(self, n=64):
        draw = torch.Generator().manual_seed(0)
        self.x = torch.randn(n, 6, generator=draw)
        self.y = (self.x[:, 0] > 0).long()

    def __len__(self):
        return len(self.x)

    def __getitems__(self, indices):
        return self.x[indices], self.y[indices]


def loss(model, batch):
    return F.cross_entropy(model(batch[0]), batch[1])


def trained(tmp_path=None, precision="f32", epochs=6):
    training.seed_everything(3)
    model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 2))
    checkpoint = tmp_path / "model.safetensors" if tmp_path else None
    options = {"epochs": epochs, "lr": 0.01, "batch_size": 16, "precision": precision}
    losses = training.fit(model, Batches(), loss, seed=3, checkpoint=checkpoint, **options)
    return model, losses


def test_two_runs_with_one_seed_have_equal_bits():
    one, other = trained()[0], trained()[0]
    assert training.weights_fingerprint(one) == training.weights_fingerprint(other)
    assert all(value.device.type == "cpu" for value in one.state_dict().values())


def test_a_run_that_was_interrupted_ends_as_an_unbroken_one(tmp_path, monkeypatch):
    save, written = training.save_checkpoint, []

    def stop(*args):
        save(*args)
        written.append(args)
        if len(written) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "save_checkpoint", stop)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path)
    resumed, losses = trained(tmp_path)
    assert len(losses) == 6
    assert training.weights_fingerprint(resumed) == training.weights_fingerprint(trained()[0])


@pytest.mark.parametrize("precision", training.PRECISIONS)
def test_it_learns_what_a_cpu_learns(precision):
    """Dropout draws other numbers there, so the losses are compared, not the weights."""
    _, losses = trained(precision=precision, epochs=20)
    assert losses[-1] < 0.35 < losses[0]


def test_scores_are_those_of_the_cpu():
    model = trained()[0]

    def score(model, batch):
        return {"logit": model(batch[0])[:, 0]}

    there = training.evaluate(model, Batches(), score)["logit"]
    with torch.no_grad():
        here = model(Batches().x)[:, 0]
    torch.testing.assert_close(torch.from_numpy(there), here, rtol=1e-5, atol=1e-5)


def test_f32_is_no_tf32():
    """Whose products keep 10 bits: they would differ by a thousandth."""
    training.seed_everything(0)
    layer, pictures = nn.Conv2d(16, 16, 3), torch.rand(4, 16, 20, 20)
    here = layer(pictures)
    torch.testing.assert_close(layer.cuda()(pictures.cuda()).cpu(), here, rtol=1e-5, atol=1e-5)


def test_glimpses_and_crops_are_those_of_the_cpu():
    images, centres = torch.rand(5, 30, 40), 2 * torch.rand(5, 2) - 1
    torch.testing.assert_close(
        Retina(images.cuda(), 8, 3)(centres.cuda()).cpu(), Retina(images, 8, 3)(centres)
    )
    pictures, boxes = torch.rand(3, 3, 30, 40), torch.tensor([[5.0, 4, 21, 20]]).expand(3, 2, 4)
    torch.testing.assert_close(
        cut(pictures.cuda(), boxes.cuda(), 12).cpu(), cut(pictures, boxes, 12), rtol=1e-4, atol=1e-5
    )


def models():
    """A model of each chapter that trains by gradients, and a batch for it."""
    poses = torch.randn(4, 6, 2, 25, 3)
    crops = torch.randint(0, 255, (4, 6, 4, 3, 24, 24), dtype=torch.uint8)
    pose, resting = (hand_attention.pose_stream("tour", KINECT_V2, 2, 5, 6) for _ in range(2))
    seen = torch.randn(4, 6, 4, 64)
    maps, context, found = torch.randn(4, 6, 10, 23, 40), torch.randn(4, 6, 7), torch.rand(4, 6, 2, 8, 2)
    sizes = {"state": 8, "side": 8, "features": 6}
    return {
        "RAM": (ram.RAM(4, 8), (torch.rand(4, 28, 28),)),
        "STA-LSTM": (sta_lstm.STALSTM(25, 2, 5), (poses,)),
        "pose": (pose, (poses, crops)),
        "crops": (hand_attention.Crops(24, 5), (poses, crops)),
        "hands": (hand_attention.streams("hands", resting, 4, 6, 5), (poses, seen)),
        "clouds": (glimpse_clouds.GlimpseClouds(10, 7, 5, **sizes), (maps, context)),
        "placed": (placed_glimpses.PlacedGlimpses(10, 7, 5, learned=True), (maps, context, found)),
        "workers": (placed_glimpses.PlacedClouds(10, 7, 5, **sizes), (maps, context, found)),
    }


@pytest.mark.parametrize("name", ["RAM", "STA-LSTM", "pose", "crops", "hands", "clouds", "placed", "workers"])
def test_forward_and_backward_run_and_repeat(name):
    training.seed_everything(0)
    model, batch = models()[name]
    model.cuda().train()
    found = []
    for _ in range(2):
        torch.manual_seed(1)
        model.zero_grad()
        read = model(*(part.cuda() for part in batch))
        read.logits.float().logsumexp(-1).sum().backward()
        found.append([value.grad.clone() for value in model.parameters() if value.grad is not None])
    assert found[0] and all(torch.equal(a, b) for a, b in zip(*found, strict=True))
