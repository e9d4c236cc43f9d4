"""The presets of the chapters, and hand-made ones that lack something."""

from collections.abc import Sequence

import pytest

from companion import presets
from companion.files import DamagedFile
from companion.records import PROFILES, Run

FILE = """
notebook: 06_six
params: [n, fit]
needs: [fit]
tolerances: {on_: 8, on_frames: 9}
claims: [{terms: [[1, both, on_frames], [-1, both, error]]}]
presets:
  full:
    sbu:
      five: {n: 1, fit: {}, folds: 2, seeds: 3, chosen: here,
             variants: {both: {seeds: 5}, one: {n: 2, folds: 1}}}
"""


@pytest.fixture
def six(tmp_path, monkeypatch):
    """A chapter `six`, alone in its folder."""
    monkeypatch.setattr(presets, "FOLDER", tmp_path)
    (tmp_path / "six.yaml").write_text(FILE)
    (tmp_path / "six.py").write_text("")
    return tmp_path / "six.yaml"


def planned(*words, **options):
    plan = presets.plan("six", "sbu", "full", *words, **options)
    return [(run.variant, run.fold, run.seed, params["n"]) for run, params in plan.items()]


def test_a_plan_has_folds_and_seeds_of_each_variant(six):
    assert planned(seed=2) == [("both", 0, 2, 1), ("both", 1, 2, 1), ("one", 0, 2, 2)]
    assert planned(seed=3) == [("both", 0, 3, 1), ("both", 1, 3, 1)]
    assert planned(variant="both", fold=1) == planned(variant="both", fold="1") == [("both", 1, 0, 1)]
    assert planned(variant="one", seed="7") == [("one", 0, 7, 2)]
    with pytest.raises(ValueError, match="no variant of sbu in full has a seed 5; choose a smaller one"):
        planned(seed=5)


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"seed": -1}, "seed is -1; give a whole number from 0"),
        ({"seed": "abc"}, "seed is 'abc'; give a whole number from 0"),
        ({"fold": "x"}, "fold is 'x'; give a whole number from 0"),
        ({"fold": 2, "variant": "both"}, "unknown fold 2 of five; choose one of 0 to 1"),
        ({"protocol": "six"}, "unknown protocol 'six' of six; choose one of five"),
    ],
)
def test_a_wrong_number_or_name_is_refused(six, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        planned(**options)


def test_unknown_chapters_profiles_and_sources_are_refused(six):
    with pytest.raises(ValueError, match="unknown chapter 'seven'; choose one of six"):
        presets.plan("seven", "sbu")
    with pytest.raises(ValueError, match="unknown profile 'slow'; choose one of quick, full, paper"):
        presets.plan("six", "sbu", "slow")
    with pytest.raises(
        ValueError, match="six has no preset for source 'ntu' in profile 'full'; .* has sbu in full"
    ):
        presets.plan("six", "ntu", "full")


@pytest.mark.parametrize(
    "old, new, sentence",
    [
        (" fit: {},", "", r"six.yaml, presets.full.sbu.five: both has no key 'fit'; add it there"),
        (
            "{n: 2,",
            "{m: 2,",
            r"six.yaml, presets.full.sbu.five: unknown key 'm' of one; choose one of n, fit",
        ),
        ("variants: {", "varians: {", r"presets.full.sbu.five: key 'variants' is missing, empty or no dict"),
        ("variants: {both: {seeds: 5}, one: {n: 2, folds: 1}}", "variants: {}", r"five: key 'variants' is"),
        ("one: {n: 2, folds: 1}", "one: 3", r"presets.full.sbu.five: variant 'one' is 3, no dict"),
        ("one: {n: 2, folds: 1}", "one: [n]", r"presets.full.sbu.five: variant 'one' is \['n'\], no dict"),
        ("needs: [fit]\n", "", r"six.yaml: key 'needs' is missing or no list"),
        ("notebook: 06_six", "notebook: [", r"six.yaml is not YAML"),
        ("notebook: 06_six", "notebook: \0", r"six.yaml is not YAML"),
        ("notebook: 06_six", "notebook: ''", r"six.yaml: notebook is ''; give a name"),
        ("{n: 1,", "{n: .nan,", r"six.yaml is not YAML of plain values"),
        ("{n: 1,", "{n: 2026-11-26,", r"six.yaml is not YAML of plain values"),
        ("{n: 1,", "{n: &a [*a],", r"six.yaml is not YAML of plain values"),
        ("    sbu:\n", "    sbu: 3\n    other:\n", r"presets.full.sbu is 3; give names"),
        ("  full:\n", "  full: 3\n  paper:\n", r"six.yaml, presets.full is 3; give names, each with what"),
        ("      five:", "      5:", r"presets.full.sbu is \{5: .*; give names"),
        (
            "one: {n: 2, folds: 1}",
            "o/ne: {n: 2, folds: 1}",
            r"key 'variants' is missing, empty or no dict of n",
        ),
        ("folds: 2", "folds: 0", r"presets.full.sbu.five: folds of both is 0; give a whole number"),
        ("seeds: 3", "seeds: true", r"five: seeds of one is True; give a whole number"),
        ("chosen: here", "chosen: 3", r"five: chosen of both is 3; say it in words"),
        ("fit: {},", "fit: 3,", r"five: fit of both is 3, no dict; list its options"),
        ("on_: 8", "on_: -8", r"six.yaml, tolerances: on_ is -8; give a number from 0"),
        ("on_: 8", "on_: big", r"six.yaml, tolerances: on_ is 'big'; give a number from 0"),
        ("[n, fit]", "[3, fit]", r"six.yaml: params is \[3, 'fit'\]; give names"),
        (
            "[n, fit]",
            "[n, fit, precision]\ncaveats: 3",
            r"six.yaml: caveats is 3; give a list, or leave it out",
        ),
        ("[1, both, on_frames]", "[1, both]", r"claims, number 1: terms are .*; give \[weight, variant"),
        ("[1, both, on_frames]", "[x, both, on_frames]", r"claims, number 1: terms are"),
        ("terms: [[", "terms: 3, others: [[", r"claims, number 1: terms are 3"),
    ],
)
def test_a_preset_with_a_missing_key_names_file_and_key(six, old, new, sentence):
    assert old in FILE
    six.write_text(FILE.replace(old, new))
    with pytest.raises(ValueError, match=sentence):
        planned()


@pytest.mark.parametrize(
    "key, value, sentence",
    [
        ("precision", "f16", "precision of both is 'f16'; choose f32 or bf16"),
        ("release", "{dogs: 3}", "release of both: .*unexpected keyword argument 'dogs'; mend it"),
        ("release", "{subjects: 99}", "release of both: subjects is 99; choose 1 to 40; mend it"),
        ("release", "{subjects: many}", "release of both: .*; mend it"),
        ("before", "{release: {groups: [dogs]}}", "release of both: unknown group 'dogs'; .*; mend it"),
    ],
)
def test_params_that_nothing_takes_are_refused(six, key, value, sentence):
    known = FILE.replace("[n, fit]", f"[n, fit, {key}]")
    six.write_text(known.replace("fit: {},", f"fit: {{}}, {key}: {value},"))
    with pytest.raises(DamagedFile, match=f"six.yaml, presets.full.sbu.five: {sentence}"):
        planned()


def test_presets_without_code_are_no_chapter(six):
    six.with_suffix(".py").unlink()
    assert presets.chapters() == []
    with pytest.raises(ValueError, match=r"six.yaml has no six.py beside it; write it, or delete"):
        planned()


def test_a_plan_that_is_changed_changes_no_other(six):
    """Not its other runs, not the next plan, and not what YAML calls by the same name."""
    six.write_text(FILE.replace("fit: {},", "fit: &a {lr: 1}, pose: {fit: *a},").replace("[n,", "[n, pose,"))
    runs = list(presets.plan("six", "sbu", "full", variant="both").values())
    runs[0]["fit"]["lr"] = 2
    assert runs[0]["pose"] == {"fit": {"lr": 1}} and runs[1]["fit"] == {"lr": 1}
    assert next(iter(presets.plan("six", "sbu", "full").values()))["fit"] == {"lr": 1}


def call(
    data, size=3, *, epochs: int, lr: float, seed: int = 0, widths: Sequence[int] = (1,), decay: float = 0.0
):
    """What options are compared with."""


@pytest.mark.parametrize(
    "given, sentence",
    [
        (3, r"^six.yaml, fit is 3, no dict; list its options$"),
        (
            {"epoch": 40},
            r"^six.yaml, fit: unknown key 'epoch'; choose one of size, epochs, lr, widths, decay$",
        ),
        ({"data": 1, "epochs": 1, "lr": 1}, r"unknown key 'data'; choose one of size,"),
        ({"seed": 1, "epochs": 1, "lr": 1}, r"unknown key 'seed'"),
        ({"lr": 0.1}, r"^six.yaml, fit has no key 'epochs'; add it there$"),
        ({"epochs": "forty", "lr": 1}, r"^six.yaml, fit: epochs is 'forty'; give a number such as"),
        ({"epochs": 1, "lr": "3e-3"}, r"^six.yaml, fit: lr is '3e-3'; give a number such as"),
        ({"epochs": True, "lr": 1}, r"^six.yaml, fit: epochs is True; give a number"),
        ({"epochs": 0, "lr": 1}, r"^six.yaml, fit: epochs is 0; give a number such as 40"),
        ({"epochs": 1.5, "lr": 1}, r"^six.yaml, fit: epochs is 1.5; give a number such as 40"),
        ({"epochs": 1, "lr": float("nan")}, r"^six.yaml, fit: lr is nan; give a number"),
        ({"epochs": 1, "lr": -0.1}, r"^six.yaml, fit: lr is -0.1; give a number"),
        ({"epochs": 1, "lr": 1, "widths": 3}, r"^six.yaml, fit: widths is 3; give .*Sequence\[int\]$"),
        ({"epochs": 1, "lr": 1, "widths": [3, "4"]}, r"^six.yaml, fit: widths is \[3, '4'\]; give"),
        ({"epochs": 1, "lr": 1, "decay": "0.1"}, r"^six.yaml, fit: decay is '0.1'; give float$"),
    ],
)
def test_options_that_a_call_does_not_take_are_refused(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        presets.check_options("six.yaml, fit", given, call, "seed")


def test_options_of_a_call_pass():
    presets.check_options(
        "six.yaml, fit", {"epochs": 1, "lr": 0.1, "size": 2, "widths": [1], "decay": 1}, call, "seed"
    )


def test_a_call_without_options_takes_none():
    with pytest.raises(ValueError, match=r"^six.yaml, model: unknown key 'size'; leave it out$"):
        presets.check_options("six.yaml, model", {"size": 2}, len)


def test_what_a_preset_says_of_a_run(six):
    run = Run("06_six", "sbu", "full", "five", "both")
    assert presets.preset(run) == ({"n": 1, "fit": {}}, 2, 5, "here")
    assert presets.preset(Run("06_six", "sbu", "full", "five", "other")) is None
    assert presets.preset(Run("07_gone", "sbu", "full", "five", "both")) is None
    assert presets.tolerance("six", "on_joints") == 8 and presets.tolerance("six", "on_frames_uniform") == 9
    assert presets.tolerance("six", "accuracy") == 0
    assert presets.claimed("six") == ["error", "on_frames"]


def test_every_preset_can_be_planned_and_says_where_it_was_chosen():
    for chapter in presets.chapters():
        for profile, sources in presets.load(chapter)["presets"].items():
            assert profile in PROFILES
            for source, protocols in sources.items():
                assert presets.plan(chapter, source, profile)
                for protocol, preset in protocols.items():
                    if profile != "quick":
                        assert len(preset["chosen"]) > 10, (chapter, source, protocol)


def test_claims_are_about_presets_that_are_there():
    """Each variant of a claim stands in the preset, with the seeds that a headline needs."""
    for chapter in presets.chapters():
        content = presets.load(chapter)
        for claim in content["claims"]:
            for _, variant, _ in claim["terms"]:
                run = Run(content["notebook"], variant=variant, **claim["where"])
                assert presets.preset(run), (chapter, claim["says"], variant)
