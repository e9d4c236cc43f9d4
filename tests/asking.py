"""Small sets of questions about pictures, in the layouts of the real ones."""

import json
from pathlib import Path

from labelled import picture

LINES = {
    "train": [
        "what is on the desk ?",
        "lamp, book",
        "how many chairs are there ?",
        "2",
        "what color is the mug ?",
        "red",
    ],
    "test": ["what is on the sofa ?", "book, lamp", "how many mugs are there ?", "7"],
}


def daquar(root: Path, pictures: int = 10, step: int = 2) -> Path:
    """So many pictures on each side, numbered with these steps, about each of which the same is asked."""
    top = root / "daquar"
    for start, (split, lines) in zip((1, 100), LINES.items(), strict=True):
        text = ""
        for n in range(start, start + step * pictures, step):
            picture(top / "images" / f"image{n}.jpg", n)
            for question, answer in zip(lines[::2], lines[1::2], strict=True):
                text += f"{question}\n{answer}\nimage{n}\n"
        (top / f"qa.894.raw.{split}.format_triple").write_text(text)
    return root


def vqa(root: Path, pictures: int = 6) -> Path:
    """So many pictures on each side, and a question about each, which ten people answer."""
    top = root / "vqa"
    for split in ("train2014", "val2014"):
        asked, told = [], []
        for n in range(pictures):
            picture(top / split / f"COCO_{split}_{n + 1:012d}.jpg", n)
            asked.append({"image_id": n + 1, "question": "What is on the desk?", "question_id": 10 * n})
            answers = [{"answer": said} for said in ["Laptops"] * 7 + ["laptop"] * 2 + [f"thing {n}"]]
            told.append({"question_id": 10 * n, "answer_type": "other", "answers": answers})
        names = f"v2_OpenEnded_mscoco_{split}_questions.json", f"v2_mscoco_{split}_annotations.json"
        for name, key, rows in zip(names, ("questions", "annotations"), (asked, told), strict=True):
            (top / name).write_text(json.dumps({key: rows}))
    return root
