"""Boxes in PASCAL VOC's XML, in two layouts: VOC's own, and pictures with their files beside them.

    root/VOCdevkit/VOC2007/JPEGImages/*.jpg, Annotations/*.xml, ImageSets/Main/{trainval,test}.txt
    root/fruit/{train,test}/*.jpg and *.xml beside them

    <annotation> <filename>, <size> <width> <height>, and for each thing
        <object> <name> <difficult> <bndbox> <xmin> <ymin> <xmax> <ymax>

Boxes count pixels from 1, the last one included.
"""

import math
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from companion.files import DamagedFile
from companion.formats import pictures
from companion.formats.labelled import LabelledFormat, Labels, labels

VOC = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable"),
    *("dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
FRUIT = ("apple", "banana", "orange")
LARGEST = 1 << 20  # bytes of a file of boxes


def parse(picture: Path, path: Path, classes: tuple[str, ...]) -> Labels:
    """The labels of one picture.

    Raises:
        FileNotFoundError: it has no file.
        DamagedFile: the file is no such XML, is about another picture, or has an unknown class or no box.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path} with the boxes of {picture.name}")
    size = pictures.size(picture)
    try:
        content = path.read_bytes()
        if len(content) > LARGEST or b"<!DOCTYPE" in content or b"<!ENTITY" in content:
            raise ValueError("it is too large, or defines entities")
        top = ElementTree.fromstring(content)  # which loads nothing else
        named = text(top, "filename").replace("\\", "/").rpartition("/")[2]
        if Path(named).stem != picture.stem:
            raise DamagedFile(f"{path} tells of {named}, not of {picture.name}; get the file of this picture")
        said = tuple(round(number(top, f"size/{side}")) for side in ("height", "width"))
        if said not in (size, (0, 0)):  # some tools write zeros
            raise DamagedFile(
                f"{path} tells of a picture of {said[1]} x {said[0]} pixels, {picture.name} has"
                f" {size[1]} x {size[0]}; get the file of this picture"
            )
        kinds, boxes, difficult = [], [], []
        for thing in top.findall("object"):
            name = text(thing, "name")
            if name not in classes:
                raise ValueError(f"unknown class {name!r}")
            x0, y0, x1, y1 = (number(thing, f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax"))
            if not (0 <= x0 <= x1 <= size[1] + 1 and 0 <= y0 <= y1 <= size[0] + 1):
                raise ValueError(f"a box from {x0:g} {y0:g} to {x1:g} {y1:g} is not in the picture")
            kinds.append(classes.index(name))
            boxes.append((max(x0 - 1, 0), max(y0 - 1, 0), min(x1, size[1]), min(y1, size[0])))
            difficult.append(thing.findtext("difficult", "0").strip() == "1")
    except DamagedFile:
        raise
    except (ElementTree.ParseError, ValueError, OverflowError) as error:
        raise DamagedFile(f"{path} holds no boxes of PASCAL VOC ({error}); get the file again") from None
    return labels(kinds, boxes, difficult, size)


def text(element: ElementTree.Element, tag: str) -> str:
    """What stands in a part of an element."""
    found = element.findtext(tag)
    if found is None:
        raise ValueError(f"it has no {tag}")
    return found.strip()


def number(element: ElementTree.Element, tag: str) -> float:
    """The same, as a number."""
    value = float(text(element, tag))
    if not math.isfinite(value):
        raise ValueError(f"{tag} is {value}")
    return value


def voc(year: str, root: str | Path | None, split: str) -> tuple[list[Path], list[Path]]:
    """The pictures of VOC, as torchvision lists them, and their files.

    2007 trains on trainval and tests on test; of 2012 the labels of test are not public: train and val.

    Raises:
        FileNotFoundError: the dataset is not there, or not this part of it.
    """
    from torchvision.datasets import VOCDetection

    top = pictures.folder(root, "VOCdevkit", f"VOC{year}").parents[1]
    parts = {"train": "trainval", "test": "test"} if year == "2007" else {"train": "train", "test": "val"}
    try:
        listed = VOCDetection(top, year, parts[split], download=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise FileNotFoundError(f"no whole VOC{year} under {top} ({error}); unpack it there") from None
    return [Path(path) for path in listed.images], [Path(path) for path in listed.annotations]


def fruit(root: str | Path | None, split: str) -> tuple[list[Path], list[Path]]:
    """The pictures of a split, and the file beside each."""
    found = pictures.pictures(pictures.folder(root, "fruit", split))
    return found, [path.with_suffix(".xml") for path in found]


FORMATS = {
    "fruit": LabelledFormat(
        "fruit", 300, 0, "https://github.com/chanjianliu/fruit_recognition", fruit, lambda root: FRUIT, parse
    ),
    **{
        f"voc{year}": LabelledFormat(
            f"voc{year}",
            count,
            0,
            "http://host.robots.ox.ac.uk/pascal/VOC",
            partial(voc, year),
            lambda root: VOC,
            parse,
        )
        for year, count in (("2007", 9963), ("2012", 11540))
    },
}
