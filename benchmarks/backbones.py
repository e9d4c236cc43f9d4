"""Backbones of whole frames: time, share of the peak of products of matrices, and precision."""

import torch
from hard_attention import seconds
from torch.utils.flop_counter import FlopCounterMode

from companion.models.backbones import EfficientNetLite0, ResNet50

SIDE, FRAMES, CLIP = 2048, 8, (1, 3, 8, 224, 224)


def peak(kind: torch.dtype) -> float:
    """Multiply-adds a second of a product of two large matrices."""
    a, b = (torch.randn(SIDE, SIDE, dtype=kind) for _ in range(2))
    return SIDE**3 / seconds(lambda: a @ b)


def share(call, most: float) -> str:
    """Time of a call, and how much of the peak it reaches."""
    with FlopCounterMode(display=False) as counter:
        call()
    work, taken = counter.get_total_flops() / 2, seconds(call)
    of_peak = 100 * work / taken / most
    return f"{1e3 * taken:.0f} ms, {work / 1e9:.2f} G multiply-adds, {of_peak:.0f} % of the peak"


if __name__ == "__main__":
    torch.manual_seed(0)
    most = {kind: peak(kind) for kind in (torch.float32, torch.bfloat16)}
    for kind, value in most.items():
        print(
            f"peak in {kind}: {value / 1e9:.0f} G multiply-adds a second, {torch.get_num_threads()} threads"
        )
    net = EfficientNetLite0(5, 4).eval().requires_grad_(False)
    frames = torch.randint(0, 256, (FRAMES, 3, 90, 160), dtype=torch.uint8)
    print(
        f"EfficientNet-Lite0, 5 blocks, {FRAMES} frames of 160 x 90:",
        share(lambda: net(frames), most[torch.float32]),
    )
    with torch.no_grad():
        resnet, clip = ResNet50().eval(), torch.randn(CLIP)
        plain = resnet(clip)[1]
        last = torch.channels_last_3d
        for name, kind, order in (
            ("f32", torch.float32, None), ("f32, channels last", torch.float32, last),
            ("bf16", torch.bfloat16, None), ("bf16, channels last", torch.bfloat16, last),
        ):  # fmt: skip
            given = clip.contiguous(memory_format=order) if order else clip
            own = ResNet50().eval()
            own.load_state_dict(resnet.state_dict())
            if order:
                own.to(memory_format=order)
            with torch.autocast("cpu", kind, enabled=kind is not torch.float32):
                off = (own(given)[1].float() - plain).abs().mean() / plain.abs().mean()
                took = share(lambda: own(given), most[kind])  # noqa: B023
            print(f"ResNet-50, a clip of 8 frames of 224 x 224, {name}: {took}; off by {100 * off:.2f} %")
