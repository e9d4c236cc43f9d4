"""Labelled pictures: boxes of PASCAL VOC and YOLO, and what is refused."""

import labelled
import numpy as np
import pytest
from test_skeleton_datasets import ROOT, needs

from companion.files import DamagedFile
from companion.formats import pascal_voc, yolo

FRUIT = pascal_voc.FORMATS["fruit"]


def read(form, root, split, index=0):
    paths, beside = form.files(root, split)
    return form.parse(paths[index], beside[index], form.classes(root))


def test_boxes_of_pascal_voc(tmp_path):
    found = read(FRUIT, labelled.fruit(tmp_path), "train", 1)
    assert found.kinds.tolist() == [0, 1] and found.difficult.tolist() == [False, True]
    assert found.boxes.tolist() == [[0, 0, 10, 20], [14, 4, 40, 30]] and found.size == (30, 40)


@pytest.mark.parametrize("year", ["2007", "2012"])
def test_voc_is_listed_by_torchvision(tmp_path, year):
    root, form = labelled.voc(tmp_path, year), pascal_voc.FORMATS[f"voc{year}"]
    sides = [form.files(root, split)[0][0].stem for split in ("train", "test")]
    assert sides == (["trainval", "test"] if year == "2007" else ["train", "val"])
    found = read(form, root, "test")
    assert found.kinds.tolist() == [pascal_voc.VOC.index("dog")] and found.boxes.tolist() == [[2, 3, 30, 20]]
    (root / f"VOCdevkit/VOC{year}/ImageSets/Main/{sides[1]}.txt").unlink()
    with pytest.raises(FileNotFoundError, match=f"no whole VOC{year} under"):
        form.files(root, "test")


def test_boxes_of_yolo(tmp_path):
    root = labelled.coco(tmp_path)
    found = read(yolo.FORMAT, root, "train", 1)
    assert found.kinds.tolist() == [0, 1] and yolo.classes(root) == ("cat", "dog")
    np.testing.assert_allclose(found.boxes, [[10, 12, 30, 18], [0, 0, 20, 15]])
    assert len(read(yolo.FORMAT, root, "train", 7).kinds) == 0


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("apple_0.jpg", "apple_1.jpg", "tells of apple_1.jpg, not of apple_0.jpg"),
        ("<width>40", "<width>41", "a picture of 41 x 30 pixels, apple_0.jpg has 40 x 30"),
        ("<name>apple", "<name>pear", "unknown class 'pear'"),
        ("<ymax>20", "<ymax>200", "is not in the picture"),
        ("<xmin>1<", "<xmin>nan<", "xmin is nan"),
        ("</annotation>", "", "holds no boxes of PASCAL VOC"),
        ("<annotation>", '<!DOCTYPE a [<!ENTITY b "c">]><annotation>', "defines entities"),
    ],
)
def test_xml_that_is_wrong_is_refused(tmp_path, old, new, sentence):
    path = labelled.fruit(tmp_path) / "fruit/train/apple_0.xml"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DamagedFile, match=sentence):
        read(FRUIT, tmp_path, "train")


def test_a_picture_without_its_file_is_named(tmp_path):
    (labelled.fruit(tmp_path) / "fruit/train/apple_0.xml").unlink()
    with pytest.raises(FileNotFoundError, match=r"apple_0.xml with the boxes of apple_0.jpg"):
        read(FRUIT, tmp_path, "train")
    with pytest.raises(FileNotFoundError, match="no folder .*coco128"):
        yolo.files(tmp_path, "train")


@pytest.mark.parametrize(
    "line", ["2 0.5 0.5 0.1 0.1", "0 0.5 0.5 0.1", "0 0.9 0.5 0.4 0.1", "0 x 0 0 0", "a 0 0 1 1"]
)
def test_text_that_is_wrong_is_refused_with_its_line(tmp_path, line):
    path = labelled.coco(tmp_path) / "coco128/labels/train/000.txt"
    path.write_text(f"0 0.5 0.5 0.5 0.2\n{line}\n")
    with pytest.raises(DamagedFile, match=r"000.txt, line 2: .* is not a class and a box"):
        read(yolo.FORMAT, tmp_path, "train")


def test_classes_without_names_are_refused(tmp_path):
    (labelled.coco(tmp_path) / "coco128/classes.yaml").write_text("names: {1: cat}")
    with pytest.raises(DamagedFile, match="does not name classes from 0 on"):
        yolo.classes(tmp_path)


@needs("fruit")
def test_the_real_fruit():
    for split, pictures, things in (("train", 240, 465), ("test", 60, 117)):
        paths, beside = FRUIT.files(ROOT, split)
        found = [FRUIT.parse(p, x, pascal_voc.FRUIT) for p, x in zip(paths, beside, strict=True)]
        assert len(paths) == pictures and sum(len(one.kinds) for one in found) == things


@needs("coco128")
def test_the_real_coco128():
    paths, beside = yolo.files(ROOT, "train")
    names = yolo.classes(ROOT)
    found = [yolo.parse(path, text, names) for path, text in zip(paths, beside, strict=True)]
    assert len(paths) == 256 and len(names) == 80 and sum(not len(one.kinds) for one in found) == 2
