"""DAQUAR: questions about photographs of rooms, those of NYU Depth v2 (Malinowski and Fritz, NIPS 2014).

    root/daquar/images/image3.jpg
    root/daquar/qa.894.raw.train.format_triple      three lines a question: question, answer, picture
    root/daquar/qa.894.raw.test.format_triple

An answer of several things is a list with commas, and is right as a whole. NYU Depth v2 lists the
photographs of one place one after the other, and the official split keeps them together: on a side, numbers
that follow each other without a gap may be of one place, and others are not.
"""

from pathlib import Path

import numpy as np

from companion.files import DamagedFile
from companion.formats import pictures
from companion.formats.questions import Asked, QuestionFormat


def files(root: str | Path | None, split: str) -> tuple[Path, list[Path]]:
    """The folder of the pictures, and the file of a split (train or test).

    Raises:
        FileNotFoundError: one of them is missing.
    """
    top = pictures.folder(root, "daquar")
    path = top / f"qa.894.raw.{split}.format_triple"
    for place in (top / "images", path):
        if not place.exists():
            raise FileNotFoundError(f"no {place}; get it from {FORMAT.where}")
    return top / "images", [path]


def parse(folder: Path, beside: list[Path]) -> Asked:
    """The questions of a file.

    Raises:
        DamagedFile: a line is no question, answer or picture that is there; the number of lines is no
            multiple of three.
    """
    (path,) = beside
    lines = [line.strip() for line in path.read_text(encoding="latin-1").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    if not lines or len(lines) % 3:
        raise DamagedFile(f"{path} has {len(lines)} lines, not three a question; get the file again")
    known: dict[str, int] = {}
    rows = []
    for n in range(0, len(lines), 3):
        question, answer, name = lines[n : n + 3]
        parts = sorted(part for part in map(str.strip, answer.split(",")) if part)
        for line, there in ((n + 1, any(map(str.isalnum, question))), (n + 2, bool(parts))):
            if not there:
                raise DamagedFile(f"{path}, line {line}: no words; get the file again")
        if not (name.startswith("image") and name[5:].isdecimal() and name.isascii()):
            raise DamagedFile(f"{path}, line {n + 3}: {name[:80]!r} is no picture; get the file again")
        if not (folder / f"{name}.jpg").is_file():
            raise DamagedFile(f"{path}, line {n + 3}: no picture {folder / name}.jpg; get it again")
        rows.append((known.setdefault(name, len(known)), question, (", ".join(parts),), kind(question)))
    picture, question, answers, kinds = zip(*rows, strict=True)
    number = np.array([int(name[5:]) for name in known])
    order = number.argsort()
    place = np.diff(number[order], prepend=number[order[0]])
    place[order] = np.cumsum(place > 1)
    paths = tuple(folder / f"{name}.jpg" for name in known)
    return Asked(paths, place, np.array(picture), question, answers, kinds)


def kind(question: str) -> str:
    """The type of a question, by its words."""
    if "how many" in question:
        return "number"
    return "colour" if {"color", "colors", "colour", "colours"} & set(question.split()) else "object"


FORMAT = QuestionFormat(
    "daquar", (794, 653), (6795, 5673),
    "https://www.mpi-inf.mpg.de/departments/computer-vision-and-machine-learning/research/vision-and-language/visual-turing-challenge",
    files, parse,
)  # fmt: skip
