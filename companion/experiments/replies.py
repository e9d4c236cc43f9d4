"""What a model of chapter 04 says to questions that a reader asks; no record depends on it."""

from collections.abc import Sequence
from itertools import islice

import torch
from IPython.display import Image
from torch import nn

from companion import figures
from companion.datasets import questions
from companion.datasets.questions import Questions
from companion.figures import Reply

MOST = 3  # answers that are shown


@torch.no_grad()
def reply(model: nn.Module, data: Questions, picture: int, question: str) -> Reply:
    """What a model, ready to be tested, says to any question about one of the pictures, and where it looks.

    Raises:
        ValueError: the question has no word.
    """
    known = data.vocabulary
    words, _ = known.read([question])
    maps = {name: maps[[picture]] for name, maps in data.pictures.maps.items()}
    maps = maps or {"pictures": data.pictures.shown[[picture]]}
    said = model(maps, torch.zeros(1, dtype=torch.int64), words)
    likely = said.logits[0].softmax(0).topk(min(MOST, len(known.answers)))
    answers = {known.answers[n]: p for p, n in zip(*(part.tolist() for part in likely), strict=True)}
    unknown = [word for word in questions.spoken(question) if word not in known.words]
    return Reply(question, data.pictures.shown[picture], answers, said.weights[0], unknown)


def shown(model: nn.Module, data: Questions, picture: int, question: str) -> Image:
    """The reply as a figure, for a question box."""
    return figures.replies([reply(model, data, picture, question)])


def examples(model: nn.Module, data: Questions, kinds: Sequence[str]) -> Image:
    """Replies to a question of each type, with the right answer, and boxes around the evidence.

    It is the first one about a picture that is not shown already; a type without one is left out.
    """
    H, W = data.pictures.shown.shape[2:]
    pictures, asked = data.picture.tolist(), {}
    for kind in kinds:
        rows = (n for n, its in enumerate(data.kind) if its == kind and pictures[n] not in asked)
        for n in islice(rows, 1):
            boxes = data.evidence[n] * torch.tensor([W, H, W, H])
            said = reply(model, data, pictures[n], data.question[n])
            truth = questions.most_said(data.answers[n])
            asked[pictures[n]] = said._replace(truth=truth, boxes=boxes)
    return figures.replies([*asked.values()])
