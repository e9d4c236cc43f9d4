import json
import os
import subprocess
import sys

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


def test_a_record_is_found_by_equal_params_only(tmp_path):
    put(tmp_path, params={"lr": 0.1, "sizes": (1, 2)})
    assert records.find(RUN.path(tmp_path), {"lr": 0.1, "sizes": (1, 2)})
    assert records.find(RUN.path(tmp_path), {"lr": 0.2, "sizes": (1, 2)}) is None
    assert records.find(RUN.path(tmp_path / "elsewhere"), {}) is None


def test_a_quick_record_is_found_by_equal_code_only(tmp_path, monkeypatch):
    run = Run("n", "digits")
    put(tmp_path, run)
    assert records.find(run.path(tmp_path), {"lr": 0.1})
    monkeypatch.setattr(records, "package_fingerprint", lambda: "other")
    assert records.find(run.path(tmp_path), {"lr": 0.1}) is None


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
        (lambda r: json.dumps({k: v for k, v in r.items() if k != "claims"}), "field 'claims' is missing"),
        (
            lambda r: json.dumps({**r, "metrics": {"error": "low"}}),
            "metric 'error' is 'low', not a finite number",
        ),
        (lambda r: json.dumps({**r, "run": {**r["run"], "profile": "huge"}}), "unknown profile 'huge'"),
        (lambda r: json.dumps({**r, "run": {**r["run"], "seed": 3}}), "names another file"),
        (lambda r: json.dumps({**r, "run": {"name": 1}}), "field 'run' is wrong"),
    ],
)
def test_a_broken_record_is_refused_by_file_and_field(tmp_path, change, sentence):
    path = RUN.path(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(broken(change))
    with pytest.raises(ValueError, match=sentence) as error:
        records.read(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "a\nb"])
def test_a_name_cannot_leave_its_folder(name):
    with pytest.raises(ValueError, match="cannot be part of a file name"):
        Run(name, "digits")


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="unknown profile 'slow'; choose one of quick, full, paper"):
        Run("n", "digits", "slow")
    with pytest.raises(ValueError, match="has no preset for source 'svhn' in profile 'quick'; there are"):
        records.plan("05_hard_attention", "svhn", "quick")
    with pytest.raises(ValueError, match="unknown protocol 'rotated' of 05_hard_attention"):
        records.plan("05_hard_attention", "digits", "full", protocol="rotated")


def test_an_unlisted_variant_gets_the_shared_numbers():
    plan = records.plan("05_hard_attention", "digits", "full", 3, "cluttered-60", "ram-5")
    ((run, params),) = plan.items()
    assert run == Run("05_hard_attention", "digits", "full", "cluttered-60", "ram-5", seed=3)
    assert params["model"]["side"] == 12


def test_a_plan_has_folds_and_seeds_of_each_variant(tmp_path, monkeypatch):
    preset = "{n: 1, folds: 2, seeds: 3, variants: {both: {seeds: 5}, one: {n: 2, folds: 1}}}"
    (tmp_path / "config.yaml").write_text(f"presets: {{six: {{full: {{sbu: {{five: {preset}}}}}}}}}")
    monkeypatch.setattr(records, "CONFIG", tmp_path / "config.yaml")

    def planned(*words, **options):
        plan = records.plan("six", "sbu", "full", *words, **options)
        return [(run.variant, run.fold, run.seed, params) for run, params in plan.items()]

    assert planned(2) == [("both", 0, 2, {"n": 1}), ("both", 1, 2, {"n": 1}), ("one", 0, 2, {"n": 2})]
    assert planned(3) == [("both", 0, 3, {"n": 1}), ("both", 1, 3, {"n": 1})]
    assert planned(variant="both", fold=1) == [("both", 1, 0, {"n": 1})]
    with pytest.raises(ValueError, match="unknown fold 2 of five; choose one of 0 to 1"):
        planned(fold=2, variant="both")


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PermissionError, match="out cannot be written: .*choose another out"):
        records.check_out(RUN, tmp_path / "file")
    with pytest.raises(OSError, match="cannot write .*choose another folder"):
        put(tmp_path / "file")


def test_a_killed_writer_leaves_the_old_file(tmp_path):
    """SIGKILL in the middle of writing: the old content stays whole."""
    path = tmp_path / "record.json"
    files.write_whole(path, "old")
    code = (
        "import os, signal; from companion import files\n"
        "os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"files.write_whole({str(path)!r}, 'new' * 10**6)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, check=False)
    assert done.returncode == -9 and path.read_text() == "old"


def test_a_failed_writer_leaves_nothing(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="cannot write .*No space left on device"):
        files.write_whole(tmp_path / "record.json", "text")
    assert list(tmp_path.iterdir()) == []


def test_a_fingerprint_changes_with_a_bit_and_with_a_border():
    assert files.fingerprint(b"ab") != files.fingerprint(b"aa")
    assert files.fingerprint([b"a", b"bc"]) != files.fingerprint([b"ab", b"c"])
