"""Training steps of the models on a CPU and, where there is one, a GPU; and crops there and back."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.benchmark import Timer

from companion.models import hand_attention, ram, sta_lstm
from companion.ops.crop import cut
from companion.skeleton import KINECT_V2

B, T, M, C = 64, 16, 2, 25


def step(model: nn.Module, batch: tuple[Tensor, ...], precision: torch.dtype) -> None:
    """Forward and backward."""
    device = batch[0].device.type
    with torch.autocast(device, precision, enabled=precision is not torch.float32):
        read = model(*batch)
    model.zero_grad()
    read.logits.float().logsumexp(-1).sum().backward()
    if device == "cuda":
        torch.cuda.synchronize()


def crops(pictures: Tensor, boxes: Tensor) -> None:
    """Cut, and lead a gradient back to the boxes."""
    boxes.grad = None
    cut(pictures, boxes, 24).sum().backward()
    if pictures.is_cuda:
        torch.cuda.synchronize()


def steps(device: str) -> dict[str, tuple[int, partial]]:
    """What is done -> samples and a call."""
    pose, resting = (hand_attention.pose_stream("tour", KINECT_V2, M, C, T) for _ in range(2))
    joints = torch.randn(B, T, M, 25, 3)
    models = {
        "RAM, images": (ram.RAM(8, 12, 3), (torch.rand(512, 60, 60),)),
        "STA-LSTM, clips": (sta_lstm.STALSTM(25, M, C), (joints,)),
        "pose network, clips": (pose, (joints, joints)),
        "hands, clips": (
            hand_attention.streams("hands", resting, 2 * M, T, C),
            (joints, torch.randn(B, T, 2 * M, 64)),
        ),
    }
    found = {}
    for name, (model, batch) in models.items():
        model.to(device).train()
        for precision in (torch.float32, torch.bfloat16):
            call = partial(step, model, tuple(part.to(device) for part in batch), precision)
            found[f"{name}, {str(precision).removeprefix('torch.')}"] = (len(batch[0]), call)
    pictures, corners = torch.rand(32, 3, 270, 480, device=device), torch.rand(32, 4, 2, device=device) * 200
    boxes = torch.cat([corners, corners + 40], -1).requires_grad_()
    found["crops of 24 x 24, crops"] = (128, partial(crops, pictures, boxes))
    return found


if __name__ == "__main__":
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    rates: dict[str, list[float]] = {}
    for device in devices:
        for name, (samples, call) in steps(device).items():
            timer = Timer("call()", globals={"call": call}, num_threads=torch.get_num_threads())
            rates.setdefault(name, []).append(samples / timer.blocked_autorange(min_run_time=1).median)
    print(f"{'a second, forward and backward':40}" + "".join(f"{device:>12}" for device in devices))
    for name, row in rates.items():
        print(f"{name:40}" + "".join(f"{rate:12,.0f}" for rate in row))
