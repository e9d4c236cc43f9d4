"""Questions about a picture: what a model says, and where it looks for it."""

from collections.abc import Sequence
from typing import NamedTuple

from IPython.display import Image
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from companion.figures.drawing import DASHES, TRUTH, grid, outline, picture


class Reply(NamedTuple):
    """To one question."""

    question: str
    image: UInt8[Tensor, "3 H W"]
    answers: dict[str, float]  # with their probabilities, the likeliest first
    weights: Float[Tensor, "K h w"]  # of each hop
    unknown: Sequence[str] = ()  # words of the question
    truth: str = ""  # the right answer, where it is known
    boxes: Float[Tensor, "E 4"] | None = None  # of anchor and thing, in pixels, or NaN; none if not known


def replies(asked: Sequence[Reply]) -> Image:
    """A row a question: the picture with question and answers, then the weights of each hop over it.

    Answers below one percent are left out. The box of the anchor is dashed, that of the thing is not.
    """
    hops = max(len(reply.weights) for reply in asked)
    height, width = asked[0].image.shape[1:]
    figure, places = grid(len(asked) * (1 + hops), 1 + hops, 3.3, 3.3 * height / width + 0.5)
    for row, reply in enumerate(asked):
        first, *others = places[row * (1 + hops) : (row + 1) * (1 + hops)]
        first.imshow(reply.image.permute(1, 2, 0).numpy())
        said = ", ".join(f"{one} {100 * p:.0f} %" for one, p in reply.answers.items() if p >= 0.01)
        lines = [reply.question, said or "nothing above 1 %"]
        if reply.truth:
            right = reply.truth == next(iter(reply.answers))
            lines[1] += ": right" if right else f": wrong, it is {reply.truth}"
        if reply.unknown:
            lines[1] += f" (not known: {', '.join(reply.unknown)})"
        first.set_title("\n".join(lines), fontsize=8, loc="left")
        for k, (axes, weights) in enumerate(zip(others, reply.weights, strict=False), 1):
            large = F.interpolate(weights[None, None], (height, width), mode="bilinear")[0, 0]
            axes.imshow(reply.image.float().mean(0).numpy(), cmap="gray", vmin=0, vmax=255)
            axes.imshow(large.numpy(), cmap="inferno", alpha=0.65)
            axes.set_title(f"hop {k}: at most {100 * weights.max():.0f} % a region", fontsize=8)
        for axes in (first, *others):
            for box, line in zip([] if reply.boxes is None else reply.boxes, (DASHES, "-"), strict=False):
                if not box.isnan().any():
                    outline(axes, box.tolist(), TRUTH, linestyle=line, linewidth=1.2)
    text = "; ".join(f"{reply.question} {next(iter(reply.answers))}" for reply in asked)
    return picture(figure, f"questions, answers and attention: {text}", "jpeg")
