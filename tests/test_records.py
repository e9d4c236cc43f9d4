import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from companion import files, records
from companion.records import Run

RUN = Run("05_hard_attention", "digits", "full", "centred-28", "ram-6", seed=2)


def put(out, run=RUN, params=None, metrics=None, **provenance):
    return records.write(run, params or {"lr": 0.1}, metrics or {"error": 1.5}, out=out, **provenance)


def test_a_record_lands_where_out_says_and_comes_back(tmp_path):
    written = put(tmp_path, weights="abc")
    path = tmp_path / "05_hard_attention/digits/full/centred-28/ram-6-fold0-seed2.json"
    assert path == RUN.path(tmp_path) and records.read(path) == written
    assert written["provenance"]["packages"]["torch"] and written["provenance"]["weights"] == "abc"
    assert [f.name for f in path.parent.iterdir()] == [path.name]


def test_out_is_resolved_from_the_repository(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert RUN.path("some/where").is_relative_to(files.REPOSITORY / "some/where")
    assert RUN.path().is_relative_to(files.REPOSITORY / "results/runs")
    monkeypatch.delenv("COMPANION_OUT")
    assert Run("n", "digits").path().is_relative_to(files.REPOSITORY / "results/quick/runs")


CODE, DATA = {"companion/models/ram.py": "abc"}, {"digits": "def"}


def test_a_record_stands_by_params_data_and_code(tmp_path):
    record = put(tmp_path, params={"lr": 0.1, "sizes": (1, 2)}, code=CODE, data=DATA, chosen="here")
    same = {"params": {"lr": 0.1, "sizes": (1, 2)}, "code": CODE, "data": DATA}
    assert records.standing(record, **same) == []
    assert records.standing(record, **same | {"data": None}) == []
    for other, why in (
        ({"params": {"lr": 0.2, "sizes": (1, 2)}}, "other params (lr)"),
        ({"params": {"lr": 0.1}}, "other params (sizes)"),
        ({"params": same["params"] | {"precision": "bf16"}}, "other params (precision)"),
        ({"data": {"digits": "other"}}, "other data"),
        ({"code": {"companion/models/ram.py": "new"}}, "older than companion/models/ram.py"),
        ({"code": CODE | {"companion/ops/crop.py": "x"}}, "older than companion/ops/crop.py"),
    ):
        assert records.standing(record, **same | other) == [why]


def test_a_record_of_another_precision_does_not_stand(tmp_path):
    record = put(tmp_path, code=CODE, data=DATA, chosen="", precision="bf16")
    assert records.standing(record, {"lr": 0.1}, CODE, DATA) == ["trained in bf16"]


def test_a_record_made_before_the_rule_does_not_stand(tmp_path):
    record = put(tmp_path, code={"companion/models/ram.py": "abc"}, data={"train": "x", "test": "y"})
    assert records.standing(record, {"lr": 0.1}, CODE) == ["made before code and data were compared"]


def test_accepted_code_stands_for_the_data_of_the_record(tmp_path):
    put(tmp_path, code=CODE, data=DATA, chosen="")
    newer = {"companion/models/ram.py": "new"}
    records.accept(RUN.path(tmp_path), newer, DATA, "ram-6-fold0-seed0.json")
    record = records.read(RUN.path(tmp_path))
    assert records.standing(record, {"lr": 0.1}, newer, DATA) == []
    assert records.standing(record, {"lr": 0.1}, CODE, DATA) == []
    assert record["provenance"]["accepted"][0]["rerun"] == "ram-6-fold0-seed0.json"
    with pytest.raises(ValueError, match="was made from other data; make it again"):
        records.accept(RUN.path(tmp_path), newer, {"digits": "other"}, "x")


def test_units_stand_once_and_come_back_in_half_precision(tmp_path):
    ids, scores = ["c", "a", "b"], np.array([0.0, 100.0, np.nan])
    both = [
        records.write(one, {}, {"error": 1.0}, units={"error": scores}, ids=ids, out=tmp_path, data=DATA)
        for one in (RUN, replace(RUN, seed=3))
    ]
    (file,) = (tmp_path / "units").iterdir()
    assert {record["units"]["of"] for record in both} == {file.stem}
    assert file.read_text().split() == ids
    np.testing.assert_array_equal(records.unpack(both[0]["units"]["error"]), scores)
    other = records.write(
        RUN, {}, {"error": 1.0}, units={"error": scores}, ids=ids, out=tmp_path, data={"digits": "other"}
    )
    assert other["units"]["of"] != file.stem
    with pytest.raises(ValueError, match="the scores of a record cannot be read"):
        records.unpack("no base64!")
    whole, path = file.read_text(), RUN.path(tmp_path)
    record = json.loads(path.read_text())
    for change, sentence in (
        ({"error": record["units"]["error"][:-9]}, "units of 'error': the scores of a record cannot be read"),
        ({"error": records.pack(scores[:2])}, "units of 'error': they are not 3"),
        ({"error": records.pack(np.zeros(1 << 25))}, "they are cut off"),
        ({"of": "000000000000"}, "its test set .*000000000000.txt is missing or another one"),
    ):
        path.write_text(json.dumps(record | {"units": record["units"] | change}))
        with pytest.raises(files.DamagedFile, match=f"{path}: .*{sentence}.*; delete the file and run its"):
            records.read(path)
    path.write_text(json.dumps(record))
    assert records.read(path) == record
    (tmp_path / "units" / f"{record['units']['of']}.txt").write_text(whole.replace("a", "d"))
    with pytest.raises(files.DamagedFile, match="is missing or another one; delete the file and run its"):
        records.read(path)


def test_same_ignores_where_a_record_was_made(tmp_path):
    one, other = put(tmp_path / "a", weights="w", seconds=1), put(tmp_path / "b", weights="w", seconds=9)
    assert records.same(one, other)
    assert not records.same(one, put(tmp_path / "c", weights="v"))
    assert not records.same(one, put(tmp_path / "d", metrics={"error": 1.6}, weights="w"))


def test_metrics_must_be_finite(tmp_path):
    with pytest.raises(ValueError, match="JSON|finite"):
        put(tmp_path, metrics={"error": float("nan")})
    assert not list(tmp_path.rglob("*.json"))


def broken(change):
    record = {"run": vars(RUN), "params": {}, "metrics": {"error": 1.0}, "claims": {}, "provenance": {}}
    return change(json.loads(json.dumps(record)))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda r: "{", "is not JSON"),
        (lambda r: "[1]", "field 'run' is missing"),
        (lambda r: json.dumps({**r, "metrics": None}), "field 'metrics' is missing or no object"),
        (lambda r: json.dumps({k: v for k, v in r.items() if k != "params"}), "field 'params' is missing"),
        (
            lambda r: json.dumps({**r, "metrics": {"error": "low"}}),
            "metric 'error' is 'low', not a finite number",
        ),
        (lambda r: json.dumps({**r, "run": {**r["run"], "profile": "huge"}}), "unknown profile 'huge'"),
        (lambda r: json.dumps({**r, "run": {**r["run"], "seed": 3}}), "names another file"),
        (lambda r: json.dumps({**r, "run": {"name": 1}}), "field 'run' is wrong"),
        (
            lambda r: json.dumps({**r, "run": {k: v for k, v in r["run"].items() if k != "fold"}}),
            "field 'run' does not hold notebook, source, profile, protocol, variant, fold, seed",
        ),
        (lambda r: json.dumps({**r, "units": []}), "field 'units' is no object"),
        (lambda r: json.dumps({**r, "units": {"error": "x"}}), "units do not say of which test set"),
        (lambda r: json.dumps({**r, "units": {"of": "../../x"}}), "units do not say of which test set"),
        (lambda r: json.dumps({**r, "counts": {"error": [1]}}), r"count 'error' is \[1\], not how many"),
        (
            lambda r: json.dumps({**r, "counts": {"error": [2, 1]}}),
            r"count 'error' is \[2, 1\], not how many",
        ),
        (lambda r: json.dumps({**r, "counts": {"error": [True, 1]}}), r"count 'error' is \[True, 1\]"),
        (
            lambda r: json.dumps({**r, "metrics": {"error": 10**400}}),
            "metric 'error' is 1000.*, not a finite",
        ),
        (lambda r: json.dumps({**r, "run": {**r["run"], "variant": 3}}), "field 'run' is wrong"),
        (lambda r: "[" * 10**5, "is not JSON"),
    ],
)
def test_a_broken_record_is_refused_by_file_and_field(tmp_path, change, sentence):
    path = RUN.path(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(broken(change))
    with pytest.raises(ValueError, match=sentence) as error:
        records.read(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "field, value, sentence",
    [
        *(("accepted", value, "'accepted' is") for value in (3, None, {})),
        ("accepted", [3], "'accepted' holds 3, no object; delete the file and run"),
        ("accepted", [{"rerun": "x", "code": {}}], "'data' is missing; delete the file"),
        ("accepted", [{"rerun": "x", "data": {}, "code": 3}], "'code' is 3"),
        *((field, 3, f"{field!r} is 3") for field in ("commit", "device", "precision", "code", "data")),
        *(("threads", value, f"'threads' is {value!r}; delete the file") for value in ("3", 0, -1, True)),
        ("chosen", "here", "'code' is missing; delete the file and run its notebook again"),
    ],
)
def test_damaged_provenance_is_refused_by_file_and_field(tmp_path, field, value, sentence):
    path = RUN.path(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(broken(lambda r: json.dumps(r | {"provenance": {field: value}})))
    with pytest.raises(ValueError, match=sentence) as error:
        records.read(path)
    assert str(path) in str(error.value)


def test_a_record_is_read_from_its_own_folder(tmp_path, monkeypatch):
    record = put(tmp_path)
    monkeypatch.chdir(RUN.path(tmp_path).parent)
    assert records.read(RUN.path().name) == record


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "a\nb"])
def test_a_name_cannot_leave_its_folder(name):
    with pytest.raises(ValueError, match="cannot be part of a file name"):
        Run(name, "digits")


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="unknown profile 'slow'; choose one of quick, full, paper"):
        Run("n", "digits", "slow")
    for seed in (-1, True, 2**32):
        with pytest.raises(ValueError, match=f"seed is {seed!r}; give a whole number from 0"):
            Run("n", "digits", seed=seed)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PermissionError, match="out cannot be written: .*choose another out"):
        records.check_out(RUN, tmp_path / "file")
    with pytest.raises(OSError, match="cannot write .*choose another folder"):
        put(tmp_path / "file")
    if Path("/proc").is_dir():  # where not even root may write, though it is told so
        with pytest.raises(PermissionError, match="out cannot be written: /proc: .*choose another out"):
            records.check_out(RUN, "/proc/x")


def test_a_folder_that_is_tried_is_left_as_it_was(tmp_path):
    for _ in range(2):
        records.check_out(RUN, tmp_path / "a")
        assert list(tmp_path.iterdir()) == []
    put(tmp_path)
    records.check_out(RUN, tmp_path)
    assert [path.name for path in RUN.path(tmp_path).parent.iterdir()] == [RUN.path().name]


def test_a_fingerprint_changes_with_a_bit_and_with_a_border():
    assert files.fingerprint(b"ab") != files.fingerprint(b"aa")
    assert files.fingerprint([b"a", b"bc"]) != files.fingerprint([b"ab", b"c"])


def git(folder, *words):
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", *who, *words], cwd=folder, env=os.environ | own, check=True, capture_output=True)


def test_a_commit_is_told_of_this_repository_alone(tmp_path, monkeypatch):
    """Not of one that its files were unpacked in, nor where git refuses, as in the clone of another user."""
    inner = tmp_path / "inner"
    (inner / "companion").mkdir(parents=True)
    (inner / "companion/code.py").write_text("one")
    monkeypatch.setattr(records, "REPOSITORY", inner.resolve())
    assert (records.commit(), records.dirty()) == (None, None)
    for folder in (tmp_path, inner):
        git(folder, "init", "-q")
        git(folder, "add", "inner/companion/code.py" if folder == tmp_path else "companion/code.py")
        git(folder, "commit", "-qm", "first")
        if folder == tmp_path:
            assert (records.commit(), records.dirty()) == (None, None)
    assert len(records.commit() or "") == 40 and records.dirty() is False
    (inner / "companion/code.py").write_text("two")
    assert records.dirty() is True
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("HOME", str(tmp_path))  # where nobody has called the folder safe
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    assert (records.commit(), records.dirty()) == (None, None)
