"""What every set of questions about pictures gives.

Letters: N pictures, Q questions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64


class Asked(NamedTuple):
    """The questions of a split."""

    paths: tuple[Path, ...]  # of the N pictures
    place: Int64[np.ndarray, " N"]  # equal where two pictures may show the same one
    picture: Int64[np.ndarray, " Q"]
    question: tuple[str, ...]
    answers: tuple[tuple[str, ...], ...]  # of each question, what one person says, or each of several
    kind: tuple[str, ...]  # the type of each question


@dataclass(frozen=True)
class QuestionFormat:
    """Questions about pictures, as they lie on disk.

    Args:
        name: of the dataset.
        pictures, questions: of the official release, in its splits train and test; of pictures, those
            that are asked about.
        where: it is to be had.
        files: of a split under a root, default $COMPANION_DATA: the folder of the pictures, and the files
            of questions and answers.
        parse: what these hold.
    """

    name: str
    pictures: tuple[int, int]
    questions: tuple[int, int]
    where: str
    files: Callable[[str | Path | None, str], tuple[Path, list[Path]]]
    parse: Callable[[Path, list[Path]], Asked]
