"""RAM at 28 x 28, 128 images a batch, 6 glimpses of 8 x 8: glimpses alone, and whole training steps.

The reference pads and slices (`tests/pad_and_slice.py`). Two bounds stand beside it: a step whose
glimpses cost nothing, and the step's matrix products alone. Steps are timed in f32, and in bf16 where
`training.fit` would use it.
"""

import sys
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.benchmark import Timer

from companion import training
from companion.models import ram
from companion.ops.crop import Retina

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from pad_and_slice import PadAndSlice

B, SIZE, T, SIDE, WIDTH = 128, 28, 6, 8, 256


class Free:
    """A sensor that always gives the same patches."""

    def __init__(self, images: Tensor, side: int, scales: int = 1) -> None:
        self.patches = images[:, None, :side, :side].contiguous()

    def __call__(self, centres: Tensor) -> Tensor:
        return self.patches


def seconds(what: partial, least: float = 2.0) -> float:
    """Median time of a call."""
    return (
        Timer("what()", globals={"what": what}, num_threads=torch.get_num_threads())
        .blocked_autorange(min_run_time=least)
        .median
    )


def extract(sensor: type, images: Tensor, places: Tensor) -> None:
    """All glimpses of one reading."""
    eye = sensor(images, SIDE)
    for centres in places:
        eye(centres)


def trainer(sensor: type, images: Tensor, labels: Tensor, dtype: torch.dtype) -> partial:
    """A training step of the model with this sensor, its products in `dtype`."""
    model = ram.RAM(T, SIDE)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)

    def step() -> None:
        ram.Retina = sensor
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype, enabled=dtype is not torch.float32):
            value = ram.loss(model(images), labels)
        value.backward()
        optimizer.step()

    return partial(step)


def multiply(layers: list[tuple[Tensor, Tensor, Tensor, bool]]) -> None:
    """The products of the layers, forward and backward, without anything between them."""
    for x, dy, weight, asked in layers:
        torch.mm(x, weight)
        torch.mm(x.T, dy)
        if asked:
            torch.mm(dy, weight.T)


def layers(dtype: torch.dtype) -> list[tuple[Tensor, Tensor, Tensor, bool]]:
    """Input, gradient, weight of each layer of one glimpse, and whether the input's gradient is asked."""
    sizes = [(SIDE**2, WIDTH // 2, False), (2, WIDTH // 2, False)]
    sizes += [(WIDTH, WIDTH, True)] * 3 + [(WIDTH, 2, True), (WIDTH, 10, True)]
    shapes = [((B, k), (B, n), (k, n), asked) for k, n, asked in sizes]
    return [(*(torch.rand(s).to(dtype) for s in three), asked) for *three, asked in shapes]


if __name__ == "__main__":
    torch.manual_seed(0)
    images, labels = torch.rand(B, SIZE, SIZE), torch.randint(10, (B,))
    places = torch.rand(T, B, 2) * 2 - 1
    print(f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}, medians")
    ours, obvious = (seconds(partial(extract, sensor, images, places)) for sensor in (Retina, PadAndSlice))
    print(f"glimpses alone: {ours * 1e6:.0f} us a batch, pad and slice {obvious * 1e6:.0f} us")
    print(f"  {obvious / ours:.1f} times as fast")
    sensors = {"ours": Retina, "pad and slice": PadAndSlice, "free glimpses": Free}
    dtypes = [torch.float32] + [torch.bfloat16] * (training.accelerator().mixed_precision == "bf16")
    plain = 0.0
    for dtype in dtypes:
        steps = {name: trainer(sensor, images, labels, dtype) for name, sensor in sensors.items()}
        rates = {name: B / seconds(step, 4.0) for name, step in steps.items()}
        rates["matrix products alone"] = B / T / seconds(partial(multiply, layers(dtype)))
        for name, rate in rates.items():
            print(f"training in {dtype}, {name}: {rate:,.0f} images/s".replace("torch.", ""))
        print(f"  {rates['ours'] / rates['pad and slice']:.2f} times pad and slice", end=", ")
        print(f"{rates['ours'] / rates['matrix products alone']:.0%} of what the products allow")
        plain = plain or rates["pad and slice"]
    print(f"as fit trains here, against pad and slice in float32: {rates['ours'] / plain:.2f} times")
