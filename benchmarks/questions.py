"""Soft attention: training steps of questions about pictures and of clips, with the sizes of the chapters."""

import torch
from backbones import peak, share

from companion.models import feature_map_attention
from companion.models.feature_map_attention import FeatureMapAttention
from companion.models.stacked_attention import CrossAttention, Pooled, StackedAttention

PICTURES, WORDS, ANSWERS = 794, 877, 920  # DAQUAR's training side
P, B, L, MAPS = 12, 103, 12, (64, 8, 10)  # a batch; 64 components of the last maps of 240 x 320 pixels
SIZES = {"d": 256, "embedding": 128, "dropout": 0.5, "places": False}
CLIPS, FRAMES, CUBE, CLASSES = 32, 8, (40, 23, 40), 6


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
        "cross-attention": (CrossAttention, {"hops": 1}),
    }
    for name, (kind, options) in models.items():
        model = kind({"head": MAPS[0]}, WORDS, ANSWERS, **SIZES, **options)

        def step(model=model) -> None:
            model.zero_grad()
            said = model({"head": maps}, picture, words)
            torch.nn.functional.cross_entropy(said.logits, answer).backward()

        taken = share(step, most)
        print(f"{name}, {B} questions about {P} pictures, {PICTURES / P:.0f} times an epoch: {taken}")
    cubes, label = torch.randn(CLIPS, FRAMES, *CUBE), torch.randint(CLASSES, (CLIPS,))
    ways = [(reads, False) for reads in feature_map_attention.READERS]
    for reads, of_features in (*ways, ("soft", True), ("hard", True)):
        options = {"reads": reads, "of_features": of_features, "layers": 1}
        model = FeatureMapAttention(CUBE[0], CLASSES, CUBE[1:], **options)

        def step(model=model) -> None:
            model.train().zero_grad()
            feature_map_attention.objective(model, cubes, label).backward()

        def test(model=model) -> None:
            with torch.no_grad():
                model.eval()(cubes)

        name = f"{reads}{' of features' if of_features else ''}, {CLIPS} clips of {FRAMES} frames"
        print(f"{name}: training {share(step, most)}; testing {share(test, most)}")
