"""Boxes in the text of YOLO: COCO128, of COCO (Lin et al., ECCV 2014), as lightly-ai packs it.

    root/coco128/classes.yaml               names: {0: person, ...}
    root/coco128/images/*/*.jpg
    root/coco128/labels/*/*.txt             a line a thing: class, centre x y, width, height (shares)

A picture of which no thing is known has an empty file or none.
"""

from pathlib import Path

import numpy as np
import yaml

from companion.files import DamagedFile
from companion.formats import pictures
from companion.formats.labelled import LabelledFormat, Labels, labels


def files(root: str | Path | None, split: str) -> tuple[list[Path], list[Path]]:
    """All pictures, and the file of each; which are tested is a fold's matter."""
    top = pictures.folder(root, "coco128")
    found = pictures.pictures(top / "images")
    beside = [top / "labels" / path.relative_to(top / "images").with_suffix(".txt") for path in found]
    return found, beside


def classes(root: str | Path | None) -> tuple[str, ...]:
    """The names of the classes.

    Raises:
        FileNotFoundError: no classes.yaml.
        DamagedFile: it does not name them from 0 on.
    """
    path = pictures.folder(root, "coco128") / "classes.yaml"
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; get it with the pictures")
    try:
        names = yaml.safe_load(path.read_bytes())["names"]
        found = tuple(str(names[n]) for n in range(len(names)))
    except (yaml.YAMLError, ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise DamagedFile(f"{path} does not name classes from 0 on ({error}); get it again") from None
    return found


def parse(picture: Path, path: Path, classes: tuple[str, ...]) -> Labels:
    """The labels of one picture.

    Raises:
        DamagedFile: a line holds no class and box in the picture.
    """
    height, width = size = pictures.size(picture)
    kinds, boxes = [], []
    lines = path.read_text(encoding="latin-1").splitlines() if path.is_file() else []
    for n, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            kind, *numbers = line.split()
            x, y, w, h = map(float, numbers)
            x0, y0, x1, y1 = x - w / 2, y - h / 2, x + w / 2, y + h / 2
            # shares have six digits
            if not (
                0 <= int(kind) < len(classes)
                and w > 0
                and h > 0
                and min(x0, y0) > -1e-3
                and max(x1, y1) < 1.001
            ):
                raise ValueError("no class, or not in the picture")
        except ValueError as error:
            raise DamagedFile(
                f"{path}, line {n}: {line[:80]!r} is not a class and a box ({error}); get the file again"
            ) from None
        kinds.append(int(kind))
        boxes.append(
            np.array([x0 * width, y0 * height, x1 * width, y1 * height]).clip(0, [width, height] * 2)
        )
    return labels(kinds, boxes, [False] * len(kinds), size)


FORMAT = LabelledFormat(
    "coco128", 256, 5, "https://github.com/lightly-ai/coco128_yolo", files, classes, parse
)
