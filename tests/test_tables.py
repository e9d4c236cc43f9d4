"""Tables are what the records give: the committed ones, and hand-made ones."""

import json
import math
from pathlib import Path

import pytest

from companion import lecture, records, tables

HOUSE = Path(__file__).resolve().parents[1]
HEADER = ",".join(tables.PUBLISHED)
RAM = records.Run("05_hard_attention", "mnist", "paper", "centred-28", "ram-6")


@pytest.fixture
def results(tmp_path):
    """A results folder with one published row, which RAM's records reproduce."""
    (tmp_path / "published").mkdir()
    row = (
        "P,Table 1,S,RAM,0,0,0,MNIST,centred-28,error,1.29,05_hard_attention/mnist/paper/centred-28/ram-6,why"
    )
    other = "P,Table 1,S,FC,0,0,0,MNIST,centred-28,error,1.35,,"
    (tmp_path / "published/ram.csv").write_text(f"{HEADER}\n{row}\n{other}\n")
    return tmp_path


def put(results, metrics, fold=0, seed=0, params=None, run=RAM, **provenance):
    """Write a record by hand, as another machine would have."""
    run = records.Run(run.notebook, run.source, run.profile, run.protocol, run.variant, fold, seed)
    made = {"commit": "0123456789abcdef", "dirty": False, "device": "cpu (AVX2)", "code": {}} | provenance
    record = {"run": vars(run), "params": params or {}, "metrics": metrics, "claims": {}, "provenance": made}
    path = run.path(results / "runs")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))
    return path


def test_the_committed_tables_are_what_the_committed_records_give():
    built = {f"{name}.csv": tables.text(table) for name, table in tables.build().items()}
    committed = {
        path.name: path.read_bytes().decode()
        for path in (HOUSE / "results/tables").iterdir()
        if path.is_file()
    }
    assert committed == built, "run `companion tables`"


def test_the_readme_shows_the_slide_map_and_what_is_reproduced():
    page = (HOUSE / "README.md").read_text(encoding="utf-8")
    assert page == tables.readme(page), "run `companion tables`"


def test_a_readme_without_its_marks_is_refused():
    with pytest.raises(ValueError, match="README.md must hold the lines <!-- slide map -->"):
        tables.readme("# A page")


def test_folds_are_averaged_inside_a_seed_then_seeds(results):
    for seed, errors in enumerate([(1.0, 3.0), (4.0, 6.0), (5.0, 7.0)]):
        for fold, error in enumerate(errors):
            put(results, {"error": error}, fold, seed)
    row = tables.build(results)["ram"].iloc[0]
    assert (row["published"], row["reproduced"], row["n"]) == (1.29, 4.33, 3)
    assert row["sd"] == 2.08  # of 2, 5, 6, divided by n - 1
    assert (row["source"], row["device"], row["commit"], row["note"]) == (
        "mnist",
        "cpu (AVX2)",
        "0123456",
        "why",
    )


def test_a_seed_that_lacks_a_fold_is_left_out(results):
    for fold, error in enumerate([1.0, 3.0]):
        put(results, {"error": error}, fold, seed=0)
    put(results, {"error": 100.0}, fold=0, seed=1)
    row = tables.build(results)["ram"].iloc[0]
    assert (row["reproduced"], row["n"]) == (2.0, 1)


def test_one_seed_has_no_sd(results):
    put(results, {"error": 1.0})
    table = tables.build(results)["ram"]
    assert math.isnan(table.iloc[0]["sd"])
    first, second = tables.text(table).splitlines()[1:]
    assert first.endswith("1.29,1.0,,1,mnist,cpu (AVX2),0123456,why")
    assert second.endswith("1.35,,,,,,,")


def test_devices_and_commits_are_joined(results):
    put(results, {"error": 1.0}, seed=0, device="NVIDIA H200", precision="bf16", commit="b" * 40, dirty=True)
    put(results, {"error": 1.0}, seed=1, commit="a" * 40)
    put(results, {"error": 1.0}, seed=2, commit=None, dirty=True)
    row = tables.build(results)["ram"].iloc[0]
    assert (row["device"], row["commit"]) == ("NVIDIA H200 bf16, cpu (AVX2)", "aaaaaaa, bbbbbbb-dirty")


def test_what_has_no_published_row_goes_into_the_notebooks_table(results):
    digits = records.Run("05_hard_attention", "digits", "full", "centred-28", "ram-6")
    put(results, {"error": 1.0, "on_digit": 40.0})
    put(results, {"error": 4.0}, seed=0, run=digits)
    put(results, {"error": 5.0}, seed=1, run=digits)
    built = tables.build(results)
    assert list(built) == ["ram", "05_hard_attention", "claims"]
    assert tables.text(built["05_hard_attention"]).splitlines() == [
        "source,profile,protocol,variant,metric,mean,sd,n,device,commit",
        "digits,full,centred-28,ram-6,error,4.5,0.71,2,cpu (AVX2),0123456",
        "mnist,paper,centred-28,ram-6,on_digit,40.0,,1,cpu (AVX2),0123456",
    ]
    assert built["ram"]["reproduced"].notna().sum() == 1


def test_a_folder_without_published_tables_gives_the_measured_ones(tmp_path):
    put(tmp_path, {"error": 4.0}, run=records.Run("05_hard_attention", "digits"))
    assert list(tables.build(tmp_path)) == ["05_hard_attention", "claims"]
    assert list(tables.build(tmp_path / "nothing")) == ["claims"]


def test_other_params_are_not_averaged(results):
    put(results, {"error": 1.0}, seed=0, params={"lr": 0.1})
    path = put(results, {"error": 1.0}, seed=1, params={"lr": 0.2})
    with pytest.raises(ValueError, match=f"{path} and ram-6-fold0-seed0.json have different params"):
        tables.build(results)


def test_a_malformed_record_is_refused_by_name(results):
    path = put(results, {"error": 1.0})
    path.write_text("{")
    with pytest.raises(ValueError, match=f"{path} is not JSON"):
        tables.build(results)
    path.write_text("{}")
    with pytest.raises(ValueError, match=f"{path}: field 'run'"):
        tables.build(results)
    put(results, {"error": 1.0}).rename(path.with_name("ram-6-fold0-seed9.json"))
    with pytest.raises(ValueError, match="ram-6-fold0-seed9.json: field 'run' names another file"):
        tables.build(results)


def test_writing_twice_gives_the_same_bytes_and_old_tables_go(results):
    put(results, {"error": 1.005})
    (results / "tables").mkdir()
    (results / "tables/gone.csv").write_text("x")
    files = tables.write(results)
    before = [path.read_bytes() for path in files]
    assert [path.read_bytes() for path in tables.write(results)] == before
    assert {path.name for path in (results / "tables").iterdir()} == {"ram.csv", "claims.csv"}


def test_the_terminal_shows_what_is_reproduced(results):
    assert tables.show(results) == "ram: 0 of 2 rows reproduced"
    put(results, {"error": 1.1}, seed=0)
    put(results, {"error": 1.2}, seed=1)
    first, _, header, row = tables.show(results).splitlines()
    assert first == "ram: 1 of 2 rows reproduced"
    assert header.split() == ["method", "protocol", "metric", "published", "reproduced", "sd", "n"]
    assert row.split() == ["RAM", "centred-28", "error", "1.29", "1.15", "0.07", "2"]


def test_stale_records_are_listed_with_the_files_that_changed(results):
    file = "companion/files.py"
    now = tables.fingerprint((HOUSE / file).read_bytes())
    put(results, {"error": 1.0}, seed=0, code={file: now})
    path = put(results, {"error": 1.0}, seed=1, code={file: "0" * 12, "companion/gone.py": now})
    assert tables.stale(results / "runs") == {path: [file, "companion/gone.py"]}


def statement_runs(results, seeds):
    hard = dict(notebook="05_hard_attention", source="digits", profile="full", protocol="cluttered-60")
    for seed in range(seeds):
        learned = {"error": 10.0 + seed, "on_digit": 70.0, "chance": 8.0}
        put(results, learned, seed=seed, run=records.Run(**hard, variant="ram-6"))
        put(results, {"error": 40.0, "on_digit": 8.5}, seed=seed, run=records.Run(**hard, variant="random-6"))


def test_a_claim_is_tested_over_five_seeds(results):
    statement_runs(results, 5)
    said = tables.claims(results / "runs").set_index("claim")
    better = said.loc["learned locations err less than random locations on cluttered canvases"]
    assert (better["effect"], better["n"], better["holds"]) == (28.0, 5, True)
    assert better["low"] == pytest.approx(28 - 2.776 * 1.5811 / 5**0.5, abs=0.01)
    untested = said.loc["more glimpses help: 6 err less than 2"]
    assert untested["n"] == 0 and untested["holds"] != untested["holds"]


def test_fewer_seeds_test_no_claim(results):
    statement_runs(results, 4)
    said = tables.claims(results / "runs")
    assert said["n"].max() == 4 and said["holds"].isna().all()


def test_a_seed_that_lacks_a_fold_tests_no_claim(results):
    """Equal accuracies differ by nothing, even while one model still lacks a fold of one seed."""
    for variant in ("sta-lstm", "lstm"):
        for seed in range(6):
            for fold in range(3):
                if (variant, seed, fold) != ("sta-lstm", 5, 2):
                    run = records.Run(*lecture.ACTING, variant)
                    put(results, {"accuracy": 80.0 + 10 * fold}, fold, seed, run=run)
    said = tables.claims(results / "runs").set_index(["source", "claim"]).loc["simulated"]
    both = said.loc["attention on joints and frames recognises more than the same network without it"]
    assert (both["effect"], both["n"], both["holds"]) == (0, 5, False)


def test_at_chance_is_tested_on_the_clips_of_all_seeds(results):
    for seed in range(5):
        metrics = {
            "within_chest": 34.0,
            "within_face": 60.0,
            "share_chest": 25.0,
            "share_face": 25.0,
            "n_test": 480,
        }
        put(results, metrics, seed=seed, run=records.Run(*lecture.ALONE, "pose-tour"))
    said = tables.claims(results / "runs").set_index("claim")
    chest, face = (
        said.loc[f"within the group {g}, by construction, the pose is at chance"] for g in ("chest", "face")
    )
    assert chest["effect"] == pytest.approx(34 - 100 / 3, abs=0.2) and chest["n"] == 5 and chest["holds"]
    assert 3 < chest["high"] < 5 and not face["holds"]
