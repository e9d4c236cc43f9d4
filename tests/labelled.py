"""Small sets of labelled pictures, in the layouts of the real ones."""

from pathlib import Path

import numpy as np
from PIL import Image

XML = """<annotation>
  <folder>train</folder><filename>{name}</filename>
  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>
  {things}
</annotation>
"""
THING = """<object><name>{name}</name><difficult>{difficult}</difficult>
  <bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"""


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (40, 30)) -> None:
    """Width and height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def xml(path: Path, name: str, *things: tuple, size: tuple[int, int] = (40, 30)) -> None:
    """Things: name, box, difficult."""
    path.parent.mkdir(parents=True, exist_ok=True)
    listed = [THING.format(name=thing[0], box=thing[1], difficult=int(len(thing) > 2)) for thing in things]
    path.write_text(XML.format(name=name, width=size[0], height=size[1], things="".join(listed)))


def fruit(root: Path, count: int = 4) -> Path:
    """So many pictures on each side: an apple in each, a banana in every other."""
    for split in ("train", "test"):
        for n in range(count):
            path = root / "fruit" / split / f"apple_{n}.jpg"
            picture(path, n)
            things = [("apple", (1, 1, 10, 20)), ("banana", (15, 5, 40, 30), "difficult")][: 1 + n % 2]
            xml(path.with_suffix(".xml"), path.name, *things)
    return root


def voc(root: Path, year: str) -> Path:
    """A picture on each side."""
    top = root / "VOCdevkit" / f"VOC{year}"
    for part in ("trainval", "test") if year == "2007" else ("train", "val"):
        picture(top / "JPEGImages" / f"{part}.jpg")
        xml(top / "Annotations" / f"{part}.xml", f"{part}.jpg", ("dog", (3, 4, 30, 20)))
        listed = top / "ImageSets/Main" / f"{part}.txt"
        listed.parent.mkdir(parents=True, exist_ok=True)
        listed.write_text(f"{part}\n")
    return root


def coco(root: Path, count: int = 8) -> Path:
    """So many pictures, a cat in each, a dog in every other; the last has no file."""
    top = root / "coco128"
    for n in range(count):
        picture(top / "images/train" / f"{n:03}.jpg", n)
        lines = ["0 0.5 0.5 0.5 0.2\n", "1 0.25 0.25 0.5 0.5\n"][: 1 + n % 2]
        if n < count - 1:
            (top / "labels/train").mkdir(parents=True, exist_ok=True)
            (top / "labels/train" / f"{n:03}.txt").write_text("".join(lines))
    (top / "classes.yaml").write_text("names:\n  0: cat\n  1: dog\n")
    return root
