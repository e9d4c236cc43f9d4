"""Questions about pictures: rooms drawn here, DAQUAR, or VQA.

What words and answers are known is taken from the questions of training alone. The boxes of the evidence are
known for rooms, and serve for scoring only.

Letters: N pictures, P of them in a batch, Q questions, B of them in a batch, L words, A answers.
"""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Num
from scipy.sparse import csr_array
from torch import Tensor
from torch.utils.data import Dataset

from companion.datasets import pictures
from companion.datasets.pictures import Pictures
from companion.datasets.rooms import SIZE, rooms
from companion.files import fingerprint
from companion.formats import daquar, vqa
from companion.formats.questions import Asked, QuestionFormat
from companion.metrics.answers import credit

FORMATS = {one.name: one for one in (daquar.FORMAT, vqa.FORMAT)}
SOURCES = ("rooms", *FORMATS)
PADDING, UNKNOWN = "", "?unknown"  # the words 0 and 1
HELD = 5  # of so many places of training one is held out


class Asking(NamedTuple):
    """A batch."""

    maps: dict[str, Num[Tensor, "P ..."]]  # of a network's layers; or "pictures", P 3 H W
    picture: Int[Tensor, " B"]  # of the P
    words: Int[Tensor, "B L"]
    answer: Int[Tensor, " B"]  # what most people say; -1 if it is not known
    credit: Float[Tensor, "B A"]  # what each known answer is worth, from 0 to 1
    index: Int[Tensor, " B"]  # of the questions in the data set


class Vocabulary(NamedTuple):
    """Of the questions of training."""

    words: tuple[str, ...]
    answers: tuple[str, ...]

    def read(self, questions: Iterable[str]) -> tuple[Int[Tensor, "Q L"], int]:
        """Questions as numbers, and how many of their words are unknown."""
        number = {word: n for n, word in enumerate(self.words)}
        split = [spoken(one) for one in questions]
        words = torch.zeros(len(split), max(map(len, split), default=1), dtype=torch.int64)
        for row, its in zip(words, split, strict=True):
            row[: len(its)] = torch.tensor([number.get(word, 1) for word in its], dtype=torch.int64)
        return words, int((words == 1).sum())


def spoken(question: str) -> list[str]:
    """The words of a question, without marks.

    Raises:
        ValueError: there are none.
    """
    words = "".join(
        letter if letter.isalnum() or letter in "_-'" else " " for letter in question.lower()
    ).split()
    if not words:
        raise ValueError(f"{question!r} has no word; ask something, as: what is on the red desk ?")
    return words


def form(source: str) -> QuestionFormat:
    """The format of a source on disk.

    Raises:
        ValueError: an unknown one.
    """
    if source not in FORMATS:
        raise ValueError(f"unknown source {source!r}; choose one of {', '.join(SOURCES)}")
    return FORMATS[source]


def data_fingerprint(source: str, root: str | Path | None = None) -> str:
    """Of a source on disk, without reading the pictures, of which names and sizes count."""
    parts = []
    for split in ("train", "test"):
        folder, beside = form(source).files(root, split)
        parts += [path.read_bytes() for path in beside]
        with os.scandir(folder) as entries:
            parts += sorted(f"{entry.name} {entry.stat().st_size}".encode() for entry in entries)
    return fingerprint(parts)


@cache
def parsed(source: str, split: str, root: str | Path | None) -> Asked:
    """All of a split."""
    return form(source).parse(*form(source).files(root, split))


def check(source: str, root: str | Path | None = None, read: bool = True) -> str:
    """Is a source on disk whole? See `pictures.check`.

    Raises:
        ValueError: damaged pictures, or questions are missing; the text counts them.
    """
    its, sides = form(source), [parsed(source, split, root) for split in ("train", "test")]
    paths = sorted({path for side in sides for path in side.paths})
    counts = [len(side.question) for side in sides]
    about = " and ".join(f"{have} of {of} questions" for have, of in zip(counts, its.questions, strict=True))
    if read and any(have < of for have, of in zip(counts, its.questions, strict=True)):
        raise ValueError(f"{about} of train and test; to be had at {its.where}")
    return pictures.check(paths, sum(its.pictures), its.where, f"{about} of train and test", read)


@lru_cache(4)
def drawn(split: str, count: int, seed: int) -> tuple[Asked, Tensor, np.ndarray]:
    """Rooms as questions, their pictures, and the evidence in shares of the picture."""
    its = rooms(split, count, seed)
    answers = tuple((one,) for one in its.answer)
    asked = Asked((), np.arange(count), its.picture, tuple(its.question), answers, tuple(its.kind))
    return asked, its.pictures, its.evidence / np.array(SIZE[::-1] * 2, np.float32)


def vocabulary(asked: Asked, kept: np.ndarray, answers: int | None) -> Vocabulary:
    """Of the questions about some pictures."""
    rows = np.flatnonzero(np.isin(asked.picture, kept)).tolist()
    words = {word for n in rows for word in spoken(asked.question[n])}
    counted = Counter(most_said(asked.answers[n]) for n in rows)
    known = sorted(one for one, _ in counted.most_common(answers))
    return Vocabulary((PADDING, UNKNOWN, *sorted(words)), tuple(known))


def most_said(answers: Sequence[str]) -> str:
    """What most of the people say who answered a question."""
    return Counter(answers).most_common(1)[0][0]


def is_list(answers: Sequence[str]) -> bool:
    """Are several things named, with a comma and a space between them?"""
    return ", " in most_said(answers)


class Questions(Dataset):
    """One side.

    `evidence`: of each question of rooms the boxes of anchor and thing, Q 2 4, in shares of the picture, NaN
    where there is none; else empty. `unknown`, `unanswerable`: how many words are not known, and to how many
    questions no known answer is right.

    Args:
        source: one of `SOURCES`.
        split: train or test; or validation, the questions about the training pictures of a fifth of the
            places, and fit, the others.
        seed: of drawn rooms, and of which photographs are kept.
        root: the folder that contains the dataset's folder; default $COMPANION_DATA.
        size: H and W that photographs are scaled to.
        answers: as many are known, the most frequent ones; default: all of training.
        learned_from: of the photographs of training as many are kept; default: all.
        count: of drawn rooms to train on; `tested` of all others.

    Raises:
        ValueError: an unknown name, or a side without a question or a known answer.
        FileNotFoundError, DamagedFile: see the formats.
    """

    def __init__(
        self,
        source: str,
        split: str,
        seed: int = 0,
        root: str | Path | None = None,
        *,
        size: Sequence[int] = (240, 320),
        answers: int | None = None,
        learned_from: int | None = None,
        count: int = 300,
        tested: int = 300,
    ) -> None:
        if split not in ("train", "fit", "validation", "test"):
            raise ValueError(f"unknown split {split!r}; choose train, fit, validation or test")
        if source == "rooms":
            side = "train" if split == "fit" else split
            asked, shown, evidence = drawn(side, count if side == "train" else tested, seed)
            self.pictures, names = Pictures(drawn=shown), [str(n) for n in range(len(shown))]
            learned, kept = drawn("train", count, seed)[0], np.arange(len(shown))
            known = vocabulary(learned, np.arange(count), answers)
        else:
            learned = parsed(source, "train", root)
            asked = parsed(source, "test", root) if split == "test" else learned
            every, places = np.arange(len(learned.paths)), np.unique(learned.place)
            held = np.isin(learned.place, np.random.default_rng(0).permutation(places)[::HELD])
            taught_by = every if split in ("train", "test") else every[~held]
            if learned_from is not None:
                if not 1 <= learned_from <= len(taught_by):
                    raise ValueError(
                        f"learned_from is {learned_from}; choose from 1 to the {len(taught_by)} photographs"
                    )
                taught_by = np.random.default_rng([seed, 1]).permutation(taught_by)[:learned_from]
            kept = {"validation": every[held], "test": np.arange(len(asked.paths))}.get(split, taught_by)
            known = vocabulary(learned, taught_by, answers)
            evidence = np.zeros((len(asked.question), 0, 4), np.float32)
            self.pictures = Pictures(asked.paths, (size[0], size[1]))
            names = [path.name for path in asked.paths]
        rows = np.flatnonzero(np.isin(asked.picture, kept)).tolist()
        if not rows or not known.answers:
            raise ValueError(
                f"{source}: {len(rows)} questions on side {split}, {len(known.answers)} known answers;"
                " get more pictures, and let answers be at least 1"
            )
        self.vocabulary, self.picture = known, torch.from_numpy(asked.picture[rows])
        self.question, self.kind = ([field[n] for n in rows] for field in (asked.question, asked.kind))
        self.answers = [asked.answers[n] for n in rows]
        self.words, self.unknown = known.read(self.question)
        number = {answer: n for n, answer in enumerate(known.answers)}
        self.answer = torch.tensor([number.get(most_said(one), -1) for one in self.answers])
        worth = [
            (credit(one, its), n, number[one])
            for n, its in enumerate(self.answers)
            for one in {*its}
            if one in number
        ]
        value, question, answer = np.array(worth).reshape(-1, 3).T
        size = len(rows), len(known.answers)
        self.worth = csr_array((value.astype(np.float32), (question.astype(int), answer.astype(int))), size)
        self.unanswerable = len(rows) - np.count_nonzero(self.worth.max(1).toarray())
        self.evidence = torch.from_numpy(evidence[rows])
        self.units = [names[n] for n in self.picture.tolist()]
        words = [self.pictures.key, *known.words, *known.answers, *self.question, *map(str, self.answers)]
        self.fingerprint = fingerprint([*(word.encode() for word in words), self.picture.numpy().tobytes()])

    def __len__(self) -> int:
        return len(self.question)

    def __getitems__(self, indices: Sequence[int]) -> Asking:
        i = torch.as_tensor(indices)
        at, picture = self.picture[i].unique(return_inverse=True)
        maps = {name: maps[at] for name, maps in self.pictures.maps.items()}
        worth = torch.from_numpy(self.worth[i.numpy()].toarray())
        maps = maps or {"pictures": self.pictures.shown[at]}
        return Asking(maps, picture, self.words[i], self.answer[i], worth, i)


class ByPicture(Dataset):
    """The same, a sample a picture: in a batch are all questions about its pictures."""

    def __init__(self, questions: Questions) -> None:
        self.questions = questions
        order = questions.picture.argsort(stable=True)
        self.rows = order.split(questions.picture.unique(return_counts=True)[1].tolist())

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, indices: Sequence[int]) -> Asking:
        return self.questions.__getitems__(torch.cat([self.rows[n] for n in indices]).tolist())
