"""Tables are what the records give: the committed ones, and hand-made ones."""

import copy
import json
import math
from pathlib import Path

import pandas as pd
import pytest
import yaml

from companion import code, presets, records, tables
from companion.simulator import release

HOUSE = Path(__file__).resolve().parents[1]
HEADER = ",".join(tables.PUBLISHED)
RAM = records.Run("05_hard_attention", "mnist", "paper", "centred-28", "ram-6")
OTHER = "made before code and data were compared"  # what an old record is called


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


SBU = records.Run("06_attention_on_joints", "sbu", "paper", "five_folds", "sta-lstm")


def put(results, metrics, fold=0, seed=0, params=None, run=RAM, **provenance):
    """Write a record by hand, as another machine would have."""
    run = records.Run(run.notebook, run.source, run.profile, run.protocol, run.variant, fold, seed)
    made = {"commit": "0123456789abcdef", "dirty": False, "device": "cpu (AVX2)", "code": {}} | provenance
    record = {"run": vars(run), "params": params or {}, "metrics": metrics, "provenance": made}
    path = run.path(results / "runs")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))
    return path


@pytest.fixture(scope="module")
def ours():
    """What the committed records give."""
    return tables.build()


def test_the_committed_tables_are_what_the_committed_records_give(ours):
    built = {f"{name}.csv": tables.text(table) for name, table in ours.items()}
    committed = {
        path.name: path.read_bytes().decode()
        for path in (HOUSE / "results/tables").iterdir()
        if path.is_file()
    }
    assert committed == built, "run `companion tables`"
    head, *lines = built["claims.csv"].splitlines()
    own = tables.text(tables.claims(notebook="08_pose_is_not_enough")).splitlines()
    assert own == [head, *(line for line in lines if ",08_pose_is_not_enough," in line)] and len(own) > 1


def test_claims_of_a_notebook_that_is_not_there_are_refused():
    with pytest.raises(ValueError, match=r"no claims of '08_pose'; choose one of 01_def.*, 02_gaze"):
        tables.claims(notebook="08_pose")


def test_the_readme_shows_the_slide_map_and_what_is_reproduced(ours):
    page = (HOUSE / "README.md").read_text(encoding="utf-8")
    assert page == tables.readme(page, ours), "run `companion tables`"


def test_a_readme_without_its_marks_is_refused(results):
    with pytest.raises(ValueError, match="README.md must hold the lines <!-- slide map -->"):
        tables.readme("# A page", tables.build(results))


def test_folds_are_averaged_inside_a_seed_then_seeds(results):
    for seed, errors in enumerate([(1.0, 3.0), (4.0, 6.0), (5.0, 7.0)]):
        for fold, error in enumerate(errors):
            put(results, {"error": error}, fold, seed)
    row = tables.build(results)["ram"].iloc[0]
    assert (row["published"], row["reproduced"], row["n"]) == (1.29, 4.3333, 3)
    assert row["sd"] == 2.0817  # of 2, 5, 6, divided by n - 1
    made = ("source", "precision", "device", "commit", "note")
    assert [row[column] for column in made] == ["mnist", "f32", "cpu (AVX2)", "0123456", "why"]


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
    assert ",1.29,1.0,,1,mnist,f32,cpu (AVX2),0123456,no preset lists it," in first
    assert second.endswith("1.35,,,,,,,,,,")


def test_variants_stand_side_by_side_with_what_they_cost(results):
    run = records.Run("11_glimpse_clouds", "simulated", "full", "cross_subject", "global")
    for seed, right in enumerate((40.0, 44.0)):
        cost = {"accuracy": right, "multiply_adds": 178.4}
        put(results, cost, 0, seed, run=run, seconds=90.0 + 60 * seed)
    put(results, {"accuracy": 50.0, "multiply_adds": 200.0}, run=of("clouds", run), seconds=None)
    have = tables.measured(results / "runs").assign(old="")
    words = ["clouds", "global", "random"], ["within_two", "accuracy"], "cross_subject"
    table = tables.contrast(have, "11_glimpse_clouds", *words, runs=results / "runs")
    assert [*table.index] == ["clouds", "global"] and [*table.n] == [1, 2]
    assert [*table.accuracy] == ["50.0", "42.0 ± 2.8"] and table.within_two.isna().all()
    assert (
        [*table.cost] == [200, 178.4] and table.minutes["global"] == 2 and math.isnan(table.minutes["clouds"])
    )
    assert tables.contrast(have.assign(old="of another code"), "11_glimpse_clouds", *words).empty
    assert tables.contrast(have.assign(n=0), "11_glimpse_clouds", *words).empty  # folds lack
    put(
        results,
        {"accuracy": 0.125},
        run=records.Run("11_glimpse_clouds", "ntu", "full", "cross_subject", "global"),
        seconds=60.0,
    )
    have = tables.measured(results / "runs").assign(old="")
    more = {"runs": results / "runs", "source": "ntu", "digits": 3}
    other = tables.contrast(have, "11_glimpse_clouds", *words, **more)
    assert [*other.accuracy] == ["0.125"] and "cost" not in other


def test_devices_and_commits_are_joined(results):
    put(results, {"error": 1.0}, seed=0, device="NVIDIA H200", commit="b" * 40, dirty=True)
    put(results, {"error": 1.0}, seed=1, commit="a" * 40)
    put(results, {"error": 1.0}, seed=2, commit=None, dirty=True)
    row = tables.build(results)["ram"].iloc[0]
    assert (row["device"], row["commit"]) == ("NVIDIA H200, cpu (AVX2)", "aaaaaaa, bbbbbbb-dirty")


def test_a_row_never_mixes_precisions(results):
    """The row shows what its preset asks for; the rest stands in the table of its notebook."""
    for seed, (error, made_in) in enumerate([(1.0, "f32"), (2.0, "f32"), (9.0, "bf16")]):
        put(results, {"error": error}, seed=seed, precision=made_in)
    built = tables.build(results)
    row, rest = built["ram"].iloc[0], built["05_hard_attention"].iloc[0]
    assert (row["reproduced"], row["n"], row["precision"]) == (1.5, 2, "f32")
    assert (rest["mean"], rest["n"], rest["precision"]) == (9, 1, "bf16")
    assert "evaluated in bf16" in rest["caveat"] and "bf16" not in row["caveat"]


def test_a_row_may_show_another_precision_than_its_preset_asks_for_and_says_so(results):
    put(results, {"error": 1.0}, precision="bf16")
    row = tables.build(results)["ram"].iloc[0]
    assert (row["reproduced"], row["precision"]) == (1, "bf16") and "evaluated in bf16" in row["caveat"]


def test_what_has_no_published_row_goes_into_the_notebooks_table(results):
    digits = records.Run("05_hard_attention", "digits", "full", "centred-28", "ram-6")
    put(results, {"error": 1.0, "on_digit": 40.0})
    put(results, {"error": 4.0}, seed=0, run=digits)
    put(results, {"error": 5.0}, seed=1, run=digits)
    built = tables.build(results)
    assert list(built) == ["ram", "05_hard_attention", "claims"]
    assert tables.text(built["05_hard_attention"]).splitlines() == [
        "source,profile,protocol,variant,metric,mean,sd,n,precision,device,commit,old,caveat",
        "digits,full,centred-28,ram-6,error,4.5,0.7071,2,f32,cpu (AVX2),0123456,no preset lists it,",
        "mnist,paper,centred-28,ram-6,on_digit,40.0,,1,f32,cpu (AVX2),0123456,no preset lists it,",
    ]
    assert built["ram"]["reproduced"].notna().sum() == 1


def test_a_folder_without_published_tables_gives_the_measured_ones(tmp_path):
    put(tmp_path, {"error": 4.0}, run=records.Run("05_hard_attention", "digits"))
    assert list(tables.build(tmp_path)) == ["05_hard_attention", "claims"]
    assert list(tables.build(tmp_path / "nothing")) == ["claims"]


def test_other_params_are_not_averaged(results):
    """The preset's count; where no record has them, the most frequent ones."""
    put(results, {"error": 1.0}, seed=0, params={"lr": 0.1}, device="another")
    put(results, {"error": 3.0}, seed=1, params={"lr": 0.2})
    put(results, {"error": 5.0}, seed=2, params={"lr": 0.2})
    row = tables.build(results)["ram"].iloc[0]
    assert (row["reproduced"], row["n"], row["device"]) == (4, 2, "cpu (AVX2)")
    assert "1 records of other params left out" in row["caveat"].split("; ")
    listed = of("ram-7", RAM)
    for seed, error in enumerate([1.0, 3.0]):
        put(results, {"error": error}, seed=seed, run=listed, params={"lr": 0.2})
    put(results, {"error": 9.0}, seed=2, run=listed, params=presets.preset(listed)[0])
    row = tables.build(results)["05_hard_attention"].iloc[0]
    assert (row["mean"], row["n"]) == (9, 1) and "2 records of other params left out" in row["caveat"]


def test_different_copies_of_the_data_are_said(results):
    put(results, {"error": 1.0}, seed=0, chosen="", data={"mnist": "a"})
    put(results, {"error": 1.0}, seed=1, fold=1, chosen="", data={"mnist": "b"})
    put(results, {"error": 1.0}, seed=2, data={"mnist": "c"})
    assert "copies" not in tables.build(results)["ram"].iloc[0]["caveat"]
    put(results, {"error": 1.0}, seed=1, chosen="", data={"mnist": "b"})
    assert "made from 2 different copies of the data" in tables.build(results)["ram"].iloc[0]["caveat"]
    parts = records.Run("01_deformable_part_models", "scenes", "full")
    for seed in range(2):
        put(results, {"found": 1.0}, seed=seed, run=parts, chosen="", data={"scenes": f"{seed}"})
    assert "copies" not in tables.build(results)["01_deformable_part_models"].iloc[0]["caveat"]


@pytest.mark.parametrize(
    ("notebook", "variant"), [("08_pose_is_not_enough", "pose-tour"), ("06_attention_on_joints", "lstm")]
)
def test_a_record_of_another_simulated_release_is_old(results, notebook, variant):
    """Also where no data are there; a notebook without a release in its preset reads SKELETONS."""
    run = records.Run(notebook, "simulated", "full", "cross_subject", variant, seed=1)
    params = presets.preset(run)[0]
    asked = params.get("release")
    right = release.key(release.Release(**{"seed": 1} | asked) if asked else release.SKELETONS)
    for key, why in ((right, []), (release.key(release.Release(seed=2)), ["other data"])):
        made = {"code": presets.code(run), "data": {"simulated": key}, "chosen": ""}
        made |= {"precision": params.get("precision", "f32")}
        path = put(results, {"accuracy": 1.0}, seed=1, run=run, params=params, **made)
        assert tables.old(records.read(path)) == why


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
    files = tables.write(tables.build(results), results)
    before = [path.read_bytes() for path in files]
    assert [path.read_bytes() for path in tables.write(tables.build(results), results)] == before
    assert {path.name for path in (results / "tables").iterdir()} == {"ram.csv", "claims.csv"}


def sbu(results, *rows):
    """A published table of SBU with these (method, published, variant)."""
    lines = [
        f"P,Table 2,S,{method},1,0,0,SBU Kinect Interaction,five_folds,accuracy,{published},"
        f"06_attention_on_joints/sbu/paper/five_folds/{variant},"
        for method, published, variant in rows
    ]
    (results / "published/sbu.csv").write_text("\n".join([HEADER, *lines, ""]))


def of(variant, run=SBU):
    return records.Run(run.notebook, run.source, run.profile, run.protocol, variant)


def test_a_mean_over_folds_needs_all_folds_of_the_protocol(results):
    """Also where no record of the protocol has them, and for a variant that no preset lists."""
    sbu(results, ("STA-LSTM", 91.5, "sta-lstm"), ("Mine", 90, "mine"))
    for variant in ("sta-lstm", "mine"):
        for fold in range(2):
            put(results, {"accuracy": 90.0}, fold, run=of(variant))
    rows = tables.build(results)["sbu"]
    assert rows["reproduced"].isna().all() and list(rows["n"]) == [0, 0]
    assert rows["caveat"].str.startswith("incomplete: 2 of 5 folds").all()
    assert "0 of 4 published" in tables.coverage(tables.build(results))
    assert len(tables.printed(tables.reproduced(tables.build(results)))) == 2


def test_fewer_seeds_than_planned_are_said(results):
    sbu(results, ("STA-LSTM", 91.5, "sta-lstm"))
    for fold in range(5):
        for seed in range(3):
            put(results, {"accuracy": 90.0 + seed}, fold, seed, run=SBU)
    put(results, {"accuracy": 50.0}, 0, 3, run=SBU)
    row = tables.build(results)["sbu"].iloc[0]
    assert (row["reproduced"], row["n"]) == (91, 3) and row["caveat"].startswith("3 of 5 seeds; ")


def test_caveats_stand_in_the_row_of_their_number(results):
    sbu(results, ("ST-LSTM", 93.3, "st-lstm"), ("Ours", 90.5, "pose-convnet-transfer"))
    for fold in range(5):
        put(results, {"accuracy": 90.0}, fold, run=of("st-lstm"))
    first, second = tables.build(results)["sbu"]["caveat"]
    assert "chosen on fold 4" in first and "secondary texts" in first
    assert "simulated" not in first
    assert second.startswith("not yet measured; ") and "pretrained on simulated clips" in second


def test_the_recipe_explains_a_row_only_if_the_records_say_so(results):
    for published, said in ((91.5, True), (92.0, False)):
        sbu(results, ("STA-LSTM", published, "sta-lstm"))
        for fold in range(5):
            put(results, {"accuracy": 92.5}, fold, run=SBU)
            put(results, {"accuracy": 91.9}, fold, run=of("lstm"))
        caveat = tables.build(results)["sbu"].iloc[0]["caveat"]
        assert ("without attention it reads 91.9, above the published 91.5" in caveat) == said
        assert ("recipe" in caveat) == said


def test_a_number_with_a_strict_protocol_stands_twice_and_counts_once(results):
    start = "P,Figure 1,S,HBRNN,1,0,0,N-UCLA,V12_3,accuracy,78.5,06_attention_on_joints/nucla/paper/"
    lines = [HEADER, f"{start}V12_3/hbrnn,", f"{start}V12_3-strict/hbrnn,"]
    (results / "published/nucla.csv").write_text("\n".join([*lines, ""]))
    put(results, {"accuracy": 86.8}, run=of("hbrnn", records.Run(SBU.notebook, "nucla", "paper", "V12_3")))
    built = tables.build(results)
    assert tables.coverage(built) == "1 of 3 published numbers are reproduced here."
    usual, strict = tables.printed(tables.reproduced(built)).to_dict("records")
    assert usual["reproduced (mean)"] == "86.8" and "369 of 464" in usual["caveat"]
    assert strict["reproduced (mean)"] == "" and strict["caveat"].startswith(
        "not yet measured; strict, on all"
    )


@pytest.mark.parametrize("wrong", [{"variant": "lstm"}, {"metric": ["accuracy"]}])
def test_a_caveat_about_no_run_is_refused(tmp_path, monkeypatch, wrong):
    content = presets.load("attention_on_joints") | {"caveats": [{"says": "why", "where": wrong}]}
    (tmp_path / "attention_on_joints.yaml").write_text(yaml.safe_dump(content))
    (tmp_path / "attention_on_joints.py").write_text("")
    monkeypatch.setattr(presets, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match="attention_on_joints.yaml, caveats: "):
        tables.caveats(SBU)


@pytest.mark.parametrize(
    ("wrong", "key"),
    [({"says": "why"}, "where"), ({"where": {"variant": ["lstm"]}}, "says"), ("why", "where")],
)
def test_a_malformed_caveat_is_refused_by_file_and_key(tmp_path, monkeypatch, wrong, key):
    content = presets.load("attention_on_joints") | {"caveats": [wrong]}
    (tmp_path / "attention_on_joints.yaml").write_text(yaml.safe_dump(content))
    (tmp_path / "attention_on_joints.py").touch()
    monkeypatch.setattr(presets, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match=f"attention_on_joints.yaml, caveats: key '{key}' of"):
        tables.caveats(SBU)


@pytest.mark.parametrize("chapter", presets.chapters())
def test_committed_caveats_name_what_the_presets_have(chapter):
    content, known = presets.load(chapter), {"source": set(), "protocol": set(), "variant": set()}
    known["profile"] = set(content["presets"])
    for sources in content["presets"].values():
        for source, protocols in sources.items():
            known["source"].add(source)
            for protocol, preset in protocols.items():
                known["protocol"].add(protocol)
                known["variant"] |= set(preset["variants"])
    for caveat in content.get("caveats", []):
        for field, names in caveat["where"].items():
            assert set(names) <= known[field], caveat
        assert caveat.get("above", "lstm") in known["variant"] | {"lstm"}


def test_readers_get_heads_roundings_and_every_caveat(results):
    put(results, {"error": 1.1}, seed=0)
    put(results, {"error": 1.2}, seed=1)
    (row,) = tables.printed(tables.reproduced(tables.build(results))).to_dict("records")
    assert row.pop("caveat") == "old: no preset lists it"
    assert row == {
        "method": "RAM",
        "data, protocol": "MNIST, centred-28",
        "metric": "error, %",
        "published": "1.29",
        "reproduced (mean)": "1.15",
        "sd": "0.07",
        "seeds": "2",
    }
    assert tables.rounded("accuracy", 86.85) == "86.8" and tables.rounded("accuracy", math.nan) == ""


def test_the_terminal_shows_what_is_reproduced_and_what_is_claimed(results):
    assert tables.show(tables.build(results)).splitlines()[:2] == [
        "0 of 2 published numbers are reproduced here.",
        "ram: 0 of 2 rows",
    ]
    put(results, {"error": 1.1})
    hard_runs(results, 5)
    shown = tables.show(tables.build(results))
    assert "1 of 2 published numbers" in shown and "RAM MNIST, centred-28 error, %" in " ".join(shown.split())
    assert "claims are tested together" in shown and "holds over seeds; test set not yet" in shown


def hard_runs(results, seeds):
    hard = dict(notebook="05_hard_attention", source="digits", profile="full", protocol="cluttered-60")
    for seed in range(seeds):
        learned = {"error": 10.0 + seed, "on_digit": 70.0, "chance": 8.0}
        put(results, learned, seed=seed, run=records.Run(**hard, variant="ram-6"))
        put(results, {"error": 40.0, "on_digit": 8.5}, seed=seed, run=records.Run(**hard, variant="random-6"))


def test_a_claim_is_tested_over_its_five_seeds(results):
    hard_runs(results, 5)
    said = tables.claims(results / "runs").set_index("claim")
    better = said.loc["learned locations err less than random locations on cluttered canvases"]
    assert (better["effect"], better["n"], better["kind"]) == (28.0, 5, "claim")
    assert better["low"] == pytest.approx(28 - 2.776 * 1.5811 / 5**0.5, abs=0.01)
    assert better["verdict"].startswith("holds over seeds") and OTHER in better["old"]
    untested = said.loc["more glimpses help: 6 err less than 2"]
    assert untested["n"] == 0 and pd.isna(untested["effect"])
    assert untested["verdict"] == "incomplete: 0 of 5 seeds"


def test_old_beside_new_is_said_in_a_claim(results):
    hard_runs(results, 5)
    name = "learned locations err less than random locations on cluttered canvases"

    def verdict():
        return tables.claims(results / "runs").set_index("claim").loc[name, "verdict"]

    assert "records old" not in verdict()
    for path in (results / "runs").rglob("*-seed0.json"):
        record = json.loads(path.read_text())
        run = records.Run(**record["run"])
        record["provenance"] |= {"code": presets.code(run), "data": {}, "chosen": ""}
        path.write_text(json.dumps(record))
    assert "records old" not in verdict()  # their params are not the preset's
    for path in (results / "runs").rglob("*.json"):
        record = json.loads(path.read_text())
        record["params"] = presets.preset(records.Run(**record["run"]))[0]
        record["provenance"]["precision"] = record["params"].get("precision", "f32")
        path.write_text(json.dumps(record))
    assert verdict().endswith("test set not yet; 8 of 10 records old")


def test_readers_see_that_records_of_a_claim_are_old(results):
    hard_runs(results, 5)
    shown = tables.printed_claims(tables.claims(results / "runs"))["records"]
    assert shown["learned locations err less than random locations on cluttered canvases"] == "old"
    assert shown["more glimpses help: 6 err less than 2"] == "old"  # of ram-6 there are records
    assert (shown == "").sum() > 20


def test_claims_print_intervals_with_the_decimals_that_matter():
    one = {
        "claim": ["a", "b", "c"], "source": ["sbu"] * 3, "protocol": ["split"] * 3,
        "effect": [2.25, 0.1234, None], "low": [-0.04, 0.1, None], "high": [4.5, 0.15, None],
        "unit_low": [None, 0.09, None], "unit_high": [None, 0.16, None],
        "matters": [1.0, 0.02, 5.0], "n": [5, 5, 0], "units": [None, 90, None],
        "rule": [""] * 3, "kind": [""] * 3, "verdict": [""] * 3, "old": [""] * 3,
    }  # fmt: skip
    shown = tables.printed_claims(pd.DataFrame(one))
    assert shown["data"].tolist() == ["sbu, split"] * 3
    assert shown["effect"].tolist() == ["2.2", "0.123", ""]
    assert shown["95 %, seeds"].tolist() == ["0.0 to 4.5", "0.100 to 0.150", ""]
    assert shown["95 %, test set"].tolist() == ["", "0.090 to 0.160", ""]
    assert shown["units"].tolist() == ["", 90, ""]


def test_fewer_seeds_test_no_claim(results):
    hard_runs(results, 4)
    said = tables.claims(results / "runs")
    assert said["effect"].isna().all() and (said["verdict"] == "incomplete: 4 of 5 seeds").sum() == 3


def test_a_claim_over_two_of_five_folds_is_no_result(results):
    for variant, accuracy in (("sta-lstm", 90.0), ("lstm", 80.0)):
        for seed in range(5):
            for fold in range(2):
                put(results, {"accuracy": accuracy}, fold, seed, run=of(variant))
    said = tables.claims(results / "runs").set_index(["source", "claim"]).loc["sbu"]
    both = said.loc["attention on joints and frames recognises more than the same network without it"]
    assert both["verdict"] == "incomplete: 0 of 5 seeds, 2 of 5 folds of seed 0" and pd.isna(both["effect"])


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of one chapter, which trains by a loss, and the preset of RAM there."""
    (tmp_path / "companion/experiments").mkdir(parents=True)
    for name in ("__init__", "training", "loss", "experiments/__init__"):
        (tmp_path / f"companion/{name}.py").write_text('"""A module."""\n')
    (tmp_path / "companion/experiments/hard_attention.py").write_text("from companion import loss\n")
    content = copy.deepcopy(presets.load("hard_attention"))
    content["presets"]["paper"]["mnist"]["centred-28"]["variants"] = {"ram-6": None}
    (tmp_path / "companion/experiments/hard_attention.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.setattr(code, "PACKAGE", tmp_path / "companion")
    monkeypatch.setattr(presets, "FOLDER", tmp_path / "companion/experiments")
    return tmp_path / "companion"


def test_a_changed_docstring_makes_no_record_old_and_a_changed_loss_does(results, package):
    params = presets.preset(RAM)[0]
    path = put(results, {"error": 1.0}, params=params)
    record = json.loads(path.read_text()) | {"counts": {}}
    record["provenance"] |= {"code": presets.code(RAM), "data": {}, "chosen": ""}
    path.write_text(json.dumps(record))
    assert tables.stale(results / "runs") == [] and tables.old(records.read(path)) == []
    (package / "loss.py").write_text('"""Another sentence."""\n')
    assert tables.stale(results / "runs") == []
    (package / "loss.py").write_text("factor = 2\n")
    assert tables.old(records.read(path)) == ["older than companion/loss.py"]
    put(results, {"error": 2.0}, seed=1, params=params)
    folder = "05_hard_attention/mnist/paper/centred-28: 1 of 2 records are old: "
    assert tables.stale(results / "runs") == [f"{folder}older than companion/loss.py", folder + OTHER]
    row = tables.build(results)["ram"].iloc[0]
    assert row["old"] == f"{OTHER}, older than companion/loss.py"
    (package / "loss.py").write_text('"""A third."""\n')
    assert tables.build(results)["ram"].iloc[0]["old"] == f"1 of 2 records {OTHER}"


def test_a_record_without_preset_or_chapter_is_old(results, package):
    assert tables.old(records.read(put(results, {"error": 1.0}))) == [
        "other params (fit, loss, model)",
        OTHER,
    ]
    path = put(results, {"error": 1.0}, run=of("ram-9", RAM))
    assert tables.old(records.read(path)) == ["no preset lists it"]
    path = put(results, {"error": 1.0}, run=records.Run("04_soft_attention", "digits", "full"))
    (why,) = tables.old(records.read(path))
    assert why.startswith("its chapter companion/experiments/soft_attention.py is gone: delete default-fold0")
    assert "bring the chapter back" in tables.stale(results / "runs")[0]
