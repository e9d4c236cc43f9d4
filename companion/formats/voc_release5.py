"""Star models of voc-release5 (Girshick, Felzenszwalb, McAllester 2012), as MATLAB 5 wrote them.

    model.rules{1}(n)      component n: the symbols of its root and parts, their anchors, bias and prior
    model.rules{s}         of a part's symbol: a deformation, and the symbol of its filter
    model.filters, blocks  weights; a filter may be that of another one, mirrored
    model.bboxpred{n}      of component n: a regression of the object's box, where one was trained

Letters: P parts, h w a root's size in cells, p q a part's.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from companion.files import DamagedFile
from companion.formats.matlab import DAMAGE, LARGEST, listed, variables
from companion.ops.hog import mirrored

BIAS = 10  # what voc-release5 multiplies b by


def read(path: str | Path) -> dict[str, Any]:
    """A model's name, threshold, cell, interval and extra, and its components, as `models.dpm` calls them.

    Deformations there count d from the part to the anchor; here it is from the anchor to the part.

    Raises:
        FileNotFoundError: no such file.
        DamagedFile: it is no such model, or not a whole one.
        ValueError: it is a grammar model.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError("it is too large")
        model = variables(path.read_bytes())["model"]
        kind = str(model["type"])
    except DAMAGE as error:
        raise DamagedFile(f"{path} holds no model of voc-release5 ({error}); get the file again") from None
    if kind != "M":
        raise ValueError(
            f"{path} is a grammar model (type {kind!r}); only star models, of type 'M', are read"
        )
    try:
        with np.errstate(all="raise"):
            named = sum(rule["rhs"].size for rule in listed(model["rules"][0]))
            if named * max(block["w"].size for block in listed(model["blocks"])) > LARGEST:
                raise ValueError(f"{named} roots and parts are too many")
            return {
                "components": [component(model, n) for n in range(len(listed(model["rules"][0])))],
                "name": str(model["class"]),
                "threshold": float(model["thresh"].item()),
                "cell": int(model["sbin"].item()),
                "interval": int(model["interval"].item()),
                "extra": bool(np.any(model["features"].get("extra_octave", False))),
            }
    except DAMAGE as error:
        raise DamagedFile(
            f"{path} is not a whole model of voc-release5 ({error}); get the file again"
        ) from None


def component(model: dict[str, Any], number: int) -> dict[str, Tensor | float | None]:
    """One structure rule: its symbols are filters, or deformation rules whose symbols are."""

    def one(of: str, label: np.ndarray | int) -> dict[str, Any]:
        return listed(model[of])[int(np.asarray(label).item()) - 1]

    def block(label: np.ndarray) -> Tensor:
        its = one("blocks", label)
        shape = its["shape"].ravel().astype(int)
        return torch.from_numpy(its["w"].ravel().astype(np.float32).reshape(shape, order="F").copy())

    def filtered(symbol: int) -> tuple[Float[Tensor, "32 h w"], Float[Tensor, "4"] | None]:
        rules, deformation = listed(model["rules"][symbol - 1]), None
        if rules:
            bend, symbol = rules[0]["def"], int(rules[0]["rhs"].item())
            signs = torch.tensor([1.0, 1 if bend["flip"].any() else -1, 1.0, -1])
            deformation = block(bend["blocklabel"]).flatten() * signs
        its = one("filters", one("symbols", symbol)["filter"])
        weights = block(its["blocklabel"]).permute(2, 0, 1)
        return mirrored(weights) if its["flip"].any() else weights, deformation

    rule = listed(model["rules"][0])[number]
    (root, _), *parts = (filtered(symbol) for symbol in rule["rhs"].ravel().astype(int).tolist())
    bends = [bend for _, bend in parts if bend is not None]
    if len(bends) < len(parts):
        raise ValueError("a part has no deformation")
    anchors = [anchor.ravel()[:2] for anchor in rule["anchor"][1 : 1 + len(parts)]]
    regressions = listed(model.get("bboxpred", []))
    boxes = [regressions[number][side].ravel() for side in ("x1", "y1", "x2", "y2")] if regressions else None
    return {
        "root": root.contiguous(),
        "parts": torch.stack([weights for weights, _ in parts])
        if parts
        else root.new_zeros(0, len(root), 1, 1),
        "anchors": torch.from_numpy(np.reshape(anchors, (-1, 2)).astype(np.int64)),
        "deformation": torch.stack(bends) if parts else root.new_zeros(0, 4),
        "bias": BIAS * block(rule["offset"]["blocklabel"]).item(),
        "prior": block(rule["loc"]["blocklabel"]).flatten(),
        "boxes": torch.from_numpy(np.stack(boxes).astype(np.float32)) if boxes else None,
    }
