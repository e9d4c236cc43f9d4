"""Soft attention: a training step of questions about pictures, with the sizes of DAQUAR, and of clips."""

import torch
from backbones import peak, share

from companion.models import feature_map_attention
from companion.models.feature_map_attention import FeatureMapAttention
from companion.models.stacked_attention import CrossAttention, Pooled, StackedAttention

PICTURES, WORDS, ANSWERS = 794, 877, 920  # DAQUAR's training side
P, B, L, MAPS = 12, 103, 12, (128, 8, 10)  # a batch; 128 components of the last maps of 240 x 320 pixels
CLIPS, FRAMES, CUBE, CLASSES = 32, 8, (80, 6, 10), 6


def asked() -> tuple:
    """Maps, and questions about them: whose picture, words, answer."""
    picture = torch.arange(B) % P
    words = torch.randint(2, WORDS, (B, L))
    answer = torch.randint(ANSWERS, (B,))
    return torch.randn(P, *MAPS), picture, words, answer


if __name__ == "__main__":
    torch.manual_seed(0)
    most = peak(torch.float32)
    print(f"{torch.get_num_threads()} threads; what LSTMs multiply is not counted")
    maps, picture, words, answer = asked()
    models = {
        "SAN-1": (StackedAttention, {"hops": 1}),
        "SAN-2": (StackedAttention, {"hops": 2}),
        "mean": (Pooled, {"known": "sum"}),
        "cross-attention": (CrossAttention, {"hops": 2}),
    }
    for name, (kind, options) in models.items():
        model = kind({"head": MAPS[0]}, WORDS, ANSWERS, **options)

        def step(model=model) -> None:
            model.zero_grad()
            said = model({"head": maps}, picture, words)
            torch.nn.functional.cross_entropy(said.logits, answer).backward()

        taken = share(step, most)
        print(f"{name}, {B} questions about {P} pictures, {PICTURES / P:.0f} times an epoch: {taken}")
    cubes, label = torch.randn(CLIPS, FRAMES, *CUBE), torch.randint(CLASSES, (CLIPS,))
    for reads in feature_map_attention.READERS:
        model = FeatureMapAttention(CUBE[0], CLASSES, CUBE[1:], reads=reads)

        def step(model=model) -> None:
            model.zero_grad()
            feature_map_attention.objective(model, cubes, label).backward()

        print(f"{reads}, {CLIPS} clips of {FRAMES} frames: {share(step, most)}")
