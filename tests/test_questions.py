"""Questions about pictures: their formats, what is known, what an answer is worth, what is refused."""

import json
from itertools import combinations

import asking
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from test_skeleton_datasets import ROOT, needs

from companion.datasets import questions
from companion.datasets.questions import Questions, spoken
from companion.files import DamagedFile
from companion.formats import daquar, vqa
from companion.metrics import answers


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_OUT", str(tmp_path / "out"))
    questions.parsed.cache_clear()


def parsed(form, root, split="train"):
    return form.parse(*form.files(root, split))


def test_daquar_is_three_lines_a_question(tmp_path):
    found = parsed(daquar.FORMAT, asking.daquar(tmp_path), "test")
    assert [path.name for path in found.paths[:2]] == ["image100.jpg", "image102.jpg"]
    assert found.picture.tolist()[:4] == [0, 0, 1, 1] and found.kind[:2] == ("object", "number")
    assert found.answers[:2] == (("book, lamp",), ("7",))


@pytest.mark.parametrize(
    ("line", "text", "sentence"),
    [
        (1, "... !", "line 1: no words"),
        (2, "", "line 2: no words"),
        (2, " , ", "line 2: no words"),
        (6, "picture1", "line 6: 'picture1' is no picture"),
        (6, "image/../../1", "is no picture"),
        (3, None, "has 89 lines, not three a question"),
    ],
)
def test_a_damaged_line_of_daquar_is_named(tmp_path, line, text, sentence):
    path = asking.daquar(tmp_path) / "daquar/qa.894.raw.train.format_triple"
    lines = path.read_text().split("\n")
    lines[line - 1 : line] = [] if text is None else [text]
    path.write_text("\n".join(lines))
    with pytest.raises(DamagedFile, match=sentence) as error:
        parsed(daquar.FORMAT, tmp_path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("form", [daquar.FORMAT, vqa.FORMAT])
def test_a_missing_picture_or_file_is_named(tmp_path, form):
    root = getattr(asking, form.name)(tmp_path)
    folder, beside = form.files(root, "train")
    picture = sorted(folder.glob("*.jpg"))[0]
    picture.unlink()
    with pytest.raises(DamagedFile, match=f"(line|number) .*: no picture .*{picture.name}; get it again"):
        parsed(form, root)
    beside[0].unlink()
    with pytest.raises(FileNotFoundError, match=f"no .*{beside[0].name}; get it from https"):
        form.files(root, "train")
    with pytest.raises(FileNotFoundError, match="no folder"):
        form.files(tmp_path / "elsewhere", "train")


@pytest.mark.parametrize(
    ("said", "same"),
    [
        ("Two", "2"),
        ("a cat.", "cat"),
        ("The  red, blue", "red blue"),
        ("1,000", "1,000"),
        ("?", "?"),
        ("it's", "it's"),
    ],
)
def test_answers_of_vqa_are_compared_without_case_marks_and_articles(said, same):
    assert vqa.normalised(said) == same


def test_empty_parts_of_an_answer_count_for_nothing(tmp_path):
    path = asking.daquar(tmp_path) / "daquar/qa.894.raw.train.format_triple"
    path.write_text(path.read_text().replace("lamp, book", "lamp, ,book,"))
    assert parsed(daquar.FORMAT, tmp_path).answers[0] == ("book, lamp",)


def test_a_side_without_a_question_is_refused(tmp_path):
    root = asking.daquar(tmp_path, pictures=1)
    with pytest.raises(ValueError, match="daquar: 0 questions on side fit"):
        Questions("daquar", "fit", root=root)
    with pytest.raises(ValueError, match="3 questions on side train, 0 known answers"):
        Questions("daquar", "train", root=root, answers=0)


def test_missing_questions_are_told(tmp_path):
    root = asking.daquar(tmp_path)
    with pytest.raises(ValueError, match="30 of 6795 questions and 20 of 5673 questions of train and test"):
        questions.check("daquar", root)
    assert questions.check("daquar", root, read=False).startswith("20 of 1447 pictures")


def test_vqa_has_ten_answers_a_question(tmp_path):
    found = parsed(vqa.FORMAT, asking.vqa(tmp_path), "test")
    assert found.paths[1].name == "COCO_val2014_000000000002.jpg" and found.kind[0] == "other"
    assert found.answers[2] == ("laptops",) * 7 + ("laptop",) * 2 + ("thing 2",)
    assert found.question[0] == "what is on the desk?"


@pytest.mark.parametrize(
    ("file", "change", "sentence"),
    [
        (0, lambda rows: rows[1].pop("question"), "questions, number 2: 'question' is missing or no str"),
        (
            0,
            lambda rows: rows[1].update(image_id="7"),
            "questions, number 2: 'image_id' is missing or no int",
        ),
        (0, lambda rows: rows[0].update(question=" ?"), "questions, number 1: no words"),
        (1, lambda rows: rows[1].update(answers=[3]), "an answer to question 10 is no text"),
        (1, lambda rows: rows[1].update(answers=[]), "an answer to question 10 is no text"),
        (1, lambda rows: rows.pop(2), "has no answers to question 20"),
        (1, lambda rows: rows.clear(), "has no list 'annotations'"),
    ],
)
def test_a_damaged_record_of_vqa_is_named(tmp_path, file, change, sentence):
    path = vqa.FORMAT.files(asking.vqa(tmp_path), "train")[1][file]
    content = json.loads(path.read_text())
    change(next(iter(content.values())))
    path.write_text(json.dumps(content))
    with pytest.raises(DamagedFile, match=sentence):
        parsed(vqa.FORMAT, tmp_path)


def test_what_is_known_comes_from_training_alone(tmp_path):
    train, test = (Questions("daquar", side, root=asking.daquar(tmp_path)) for side in ("train", "test"))
    assert train.vocabulary == test.vocabulary and {"2", "red", "book, lamp"} == {*train.vocabulary.answers}
    assert train.unknown == 0 and test.unknown == 20  # sofa, and mugs
    assert test.unanswerable == 10  # nobody had said 7
    batch = test.__getitems__([2, 3, 4])
    assert batch.picture.tolist() == [0, 0, 1] and batch.maps["pictures"].shape == (2, 3, 240, 320)
    assert batch.answer.tolist()[1] == -1 and batch.credit.sum(1).tolist() == [1, 0, 1]
    assert [test.vocabulary.words[n] for n in batch.words[0]] == ["what", "is", "on", "the", "?unknown"]


def test_pictures_of_fit_and_validation_are_others(tmp_path):
    sides = [
        Questions("daquar", side, root=asking.daquar(tmp_path)) for side in ("fit", "validation", "train")
    ]
    assert {*sides[0].units}.isdisjoint(sides[1].units)
    assert sorted(sides[0].units + sides[1].units) == sorted(sides[2].units)


def test_photographs_that_follow_each_other_are_of_one_place(tmp_path):
    path = asking.daquar(tmp_path, step=1) / "daquar/qa.894.raw.train.format_triple"
    lines = path.read_text().replace("image5\n", "image105\n").splitlines()
    path.write_text("\n".join(lines[30:] + lines[:30]))  # in another order, too
    found = parsed(daquar.FORMAT, tmp_path)
    numbers = {path.stem: place for path, place in zip(found.paths, found.place.tolist(), strict=True)}
    want = {f"image{n}": int(n > 5) for n in (1, 2, 3, 4, 6, 7, 8, 9, 10)} | {"image105": 2}
    assert numbers == want
    fit, validation = (Questions("daquar", side, root=tmp_path) for side in ("fit", "validation"))
    assert not {numbers[name[:-4]] for name in fit.units} & {numbers[name[:-4]] for name in validation.units}


def test_some_of_the_training_photographs_can_be_kept_alone(tmp_path):
    root = asking.daquar(tmp_path)
    sides = {
        (split, few): Questions("daquar", split, root=root, learned_from=few)
        for split in ("train", "fit", "validation", "test")
        for few in (None, 2)
    }
    assert {split: len({*sides[split, 2].units}) for split in ("train", "fit")} == {"train": 2, "fit": 2}
    for split in ("validation", "test"):
        assert sides[split, 2].units == sides[split, None].units
    for one, other in (("train", "test"), ("fit", "validation")):
        assert sides[one, 2].vocabulary == sides[other, 2].vocabulary
    kept = {frozenset(Questions("daquar", "train", n, root, learned_from=2).units) for n in range(9)}
    assert len(kept) > 1  # of each seed others
    for few in (0, 99):
        with pytest.raises(ValueError, match=f"learned_from is {few}; choose from 1 to the "):
            Questions("daquar", "train", root=root, learned_from=few)


def test_the_most_frequent_answers_can_be_kept_alone(tmp_path):
    side = Questions("vqa", "test", root=asking.vqa(tmp_path), answers=1)
    assert side.vocabulary.answers == ("laptops",) and side.unanswerable == 0
    assert side.__getitems__([0]).credit.tolist() == [[1.0]]


def test_a_question_without_words_is_refused():
    assert spoken("What's on the garbage_bin?") == ["what's", "on", "the", "garbage_bin"]
    with pytest.raises(ValueError, match=r"' \?' has no word; ask something"):
        spoken(" ?")


@given(some.lists(some.sampled_from("abc"), min_size=2, max_size=10), some.sampled_from("abcd"))
def test_credit_is_the_mean_over_all_sets_but_one(said, answer):
    sets = list(combinations(said, len(said) - 1))
    by_hand = np.mean([min(one.count(answer) / 3, 1) for one in sets])
    assert answers.credit(answer, said) == pytest.approx(by_hand)


def test_one_person_is_right_or_wrong():
    assert answers.credit("a", ["a"]) == 1 and answers.credit("b", ["a"]) == 0


def test_attention_on_evidence():
    boxes = torch.tensor([[0.25, 0.0, 0.75, 0.5], [0.0, 0.0, 1.0, 1.0], [torch.nan] * 4])
    flat = torch.full((3, 6, 4), 1 / 24)
    found = answers.on_evidence(flat, boxes)
    torch.testing.assert_close(found[:2], torch.tensor([0.25, 1.0]))
    assert found[2].isnan()
    peak = torch.zeros(1, 2, 2)
    peak[0, 1, 0] = 1
    half = torch.tensor([[0.25, 0.5, 1.0, 1.0]])  # half of the lower left region
    assert answers.on_evidence(peak, half).item() == pytest.approx(0.5)


@needs("daquar")
def test_the_official_split_of_daquar():
    train, test = (parsed(daquar.FORMAT, ROOT, side) for side in ("train", "test"))
    assert (len(train.question), len(test.question)) == daquar.FORMAT.questions
    assert (len(train.paths), len(test.paths)) == daquar.FORMAT.pictures
    assert {*train.paths}.isdisjoint(test.paths)
    assert questions.check("daquar", ROOT, read=False).startswith("1447 of 1447 pictures")
