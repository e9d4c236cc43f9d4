"""The part of chapter 02 about social signals: what share of looking falls on faces.

Shares are in percent of a picture's fixations, or of a density, that lie in the union of its faces' boxes:

    faces                                       all
    faces_frontal, faces_profile, faces_back    those of a pose, in pictures that have one
    faces_few, faces_some, faces_many           all, in pictures with up to 7, with 8 to 15, with more
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from companion.datasets.fixations import Fixations, Looked

POSES = ("frontal", "profile", "back")
FEW, SOME = 7, 15


def mask(boxes: Float[Tensor, "n 4"], height: int, width: int) -> Bool[Tensor, "H W"]:
    """The pixels whose middle lies in one of the boxes."""
    y, x = torch.arange(height)[:, None], torch.arange(width)
    found = torch.zeros(height, width, dtype=torch.bool)
    for x0, y0, x1, y1 in boxes.tolist():
        found |= (y >= y0) & (y < y1) & (x >= x0) & (x < x1)
    return found


def shares(test: Fixations, index: int, share: Callable[[Bool[Tensor, "H W"]], float]) -> dict[str, float]:
    """Of one picture; see the module.

    Args:
        share: what lies in a region, from 0 to 1.
    """
    boxes, poses = test.faces[index]
    height, width = test.size[index].tolist()
    found = {"faces": 100 * share(mask(boxes, height, width))}
    own = "few" if len(boxes) <= FEW else "some" if len(boxes) <= SOME else "many"
    for number in ("few", "some", "many"):
        found[f"faces_{number}"] = found["faces"] if number == own else torch.nan
    for pose, name in enumerate(POSES):
        there = poses == pose
        found[f"faces_{name}"] = 100 * share(mask(boxes[there], height, width)) if there.any() else torch.nan
    return found


def people(test: Fixations, batch: Looked) -> dict[str, Float[Tensor, " B"]]:
    """Where people looked; controls: the area (`area_...`), fixations of other pictures (`other_...`)."""
    rows = []
    for n in batch.index.tolist():
        places, others = test.pixels(n), test.elsewhere(n)
        by = {
            "": lambda inside, at=places: inside[at[:, 1], at[:, 0]].float().mean().item(),
            "other_": lambda inside, at=others: inside[at[:, 1], at[:, 0]].float().mean().item(),
            "area_": lambda inside: inside.float().mean().item(),
        }
        rows.append(
            {
                f"{prefix}{name}": value
                for prefix, share in by.items()
                for name, value in shares(test, n, share).items()
            }
        )
    return {name: torch.tensor([row[name] for row in rows]) for name in rows[0]}
