"""VQA v2: questions about photographs of COCO, each answered by ten people (Goyal et al., CVPR 2017).

root/vqa/v2_OpenEnded_mscoco_train2014_questions.json      questions: [{image_id, question, question_id}]
root/vqa/v2_mscoco_train2014_annotations.json              annotations: [{question_id, answer_type,
                                                           answers: [{answer}]}]
root/vqa/train2014/COCO_train2014_000000000009.jpg
root/vqa/..._val2014_..., val2014/                         tested, since the test set's answers are secret
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from companion.files import DamagedFile, read_json
from companion.formats import pictures
from companion.formats.questions import Asked, QuestionFormat

SPLITS = {"train": "train2014", "test": "val2014"}
SMALL = "zero one two three four five six seven eight nine ten".split()
NUMBERS = {word: str(number) for number, word in enumerate(SMALL)} | {"none": "0"}


def files(root: str | Path | None, split: str) -> tuple[Path, list[Path]]:
    """The folder of the pictures, and the files of questions and answers of a split (train or test).

    Raises:
        FileNotFoundError: one of them is missing.
    """
    top, name = pictures.folder(root, "vqa"), SPLITS[split]
    beside = [top / f"v2_OpenEnded_mscoco_{name}_questions.json", top / f"v2_mscoco_{name}_annotations.json"]
    for place in (top / name, *beside):
        if not place.exists():
            raise FileNotFoundError(f"no {place}; get it from {FORMAT.where}")
    return top / name, beside


def records(path: Path, key: str, fields: dict[str, type]) -> list[dict[str, Any]]:
    """The list under a key of a file, each with all fields of their kinds."""
    content = read_json(path, "get the file again")
    rows = content.get(key) if isinstance(content, dict) else None
    if not isinstance(rows, list) or not rows:
        raise DamagedFile(f"{path} has no list {key!r}; get the file again")
    for n, row in enumerate(rows):
        for name, of in fields.items():
            if not isinstance(row, dict) or type(row.get(name)) is not of:
                raise DamagedFile(
                    f"{path}, {key}, number {n + 1}: {name!r} is missing or no {of.__name__};"
                    " get the file again"
                )
    return rows


def normalised(answer: str) -> str:
    """Without case, marks and articles, and with digits for the words of small numbers.

    So does the official evaluation (from memory), which also writes out contractions.
    """
    words = re.sub(r"[^\w\s'.,:]|[.,:](?!\d)", " ", answer.lower()).split()
    kept = [NUMBERS.get(word, word) for word in words if word not in ("a", "an", "the")]
    return " ".join(kept) or answer.strip().lower()


def parse(folder: Path, beside: list[Path]) -> Asked:
    """The questions of two files, in the order of the first.

    Raises:
        DamagedFile: a file is no JSON or lacks a field, or a question has no answers or no picture.
    """
    asked = records(beside[0], "questions", {"image_id": int, "question": str, "question_id": int})
    told = records(beside[1], "annotations", {"question_id": int, "answer_type": str, "answers": list})
    answered = {row["question_id"]: row for row in told}
    known: dict[Path, int] = {}
    rows = []
    for n, row in enumerate(asked):
        number = row["question_id"]
        if number not in answered:
            raise DamagedFile(
                f"{beside[1]} has no answers to question {number} of {beside[0]}; get both files again"
            )
        given = answered[number]["answers"]
        answers = tuple(one.get("answer") if isinstance(one, dict) else None for one in given)
        if not answers or not all(isinstance(one, str) for one in answers):
            raise DamagedFile(f"{beside[1]}: an answer to question {number} is no text; get the file again")
        if not any(map(str.isalnum, row["question"])):
            raise DamagedFile(f"{beside[0]}, questions, number {n + 1}: no words; get the file again")
        place = folder / f"COCO_{folder.name}_{row['image_id']:012d}.jpg"
        if not place.is_file():
            raise DamagedFile(f"{beside[0]}, questions, number {n + 1}: no picture {place}; get it again")
        said = tuple(normalised(str(one)) for one in answers)
        rows.append(
            (
                known.setdefault(place, len(known)),
                row["question"].lower(),
                said,
                answered[number]["answer_type"],
            )
        )
    picture, question, answers, kinds = zip(*rows, strict=True)
    return Asked(tuple(known), np.arange(len(known)), np.array(picture), question, answers, kinds)


FORMAT = QuestionFormat(
    "vqa", (82783, 40504), (443757, 214354), "https://visualqa.org/download.html", files, parse
)
