"""Statements are tested on whole sets, over seeds and over units, by rules that are printed."""

import numpy as np
import pytest
import yaml
from scipy import stats

from companion import claims, presets, records
from companion.files import DamagedFile

SETS = {"variants": {"a": None, "b": None}}
TOY = {
    "notebook": "07_toy",
    "params": ["fit", "precision"],
    "needs": [],
    "tolerances": {},
    "presets": {"full": {"toys": {"whole": {"seeds": 5, **SETS}, "folded": {"folds": 5, **SETS}}}},
    "claims": [],
}
CLAIM = {
    "says": "a reads more than b",
    "where": {"source": "toys", "profile": "full", "protocol": "whole"},
    "terms": [[1, "a", "accuracy"], [-1, "b", "accuracy"]],
    "matters": 2,
}
BETTER = claims.Statement("07_toy", "a reads more than b", "toys", "full", "whole",
                          ((1, "a", "accuracy"), (-1, "b", "accuracy")), matters=2)  # fmt: skip
CHANCE = claims.Statement("07_toy", "a reads no more than chance", "toys", "full", "whole",
                          ((1, "a", "accuracy"),), chance=100 / 3)  # fmt: skip


@pytest.fixture(autouse=True)
def toy(tmp_path, monkeypatch):
    """A chapter with two variants: five seeds, and five folds of five seeds."""
    monkeypatch.setattr(presets, "FOLDER", tmp_path)

    def write(**changes):
        (tmp_path / "toy.yaml").write_text(yaml.safe_dump(TOY | changes))
        (tmp_path / "toy.py").write_text("")

    write()
    return write


def record(
    variant, seed=0, accuracy=50.0, fold=0, protocol="whole", of="set", units=None, counts=None, **made
):
    run = records.Run("07_toy", "toys", "full", protocol, variant, fold, seed)
    made = {"run": vars(run), "params": {}, "metrics": {"accuracy": accuracy}, "provenance": made}
    if units is not None:
        made |= {"units": {"of": of, "accuracy": records.pack(np.array(units, float))}}
    return made | ({} if counts is None else {"counts": {"accuracy": counts}})


def pairs(effects, units=None, **both):
    """Records of a and b with these differences over seeds and, if given, at each unit."""
    b = None if units is None else np.zeros(len(units))
    return [
        one
        for seed, effect in enumerate(effects)
        for one in (
            record("a", seed, 50 + effect, units=units, **both),
            record("b", seed, 50.0, units=b, **both),
        )
    ]


def test_the_committed_statements_are_read_and_say_their_rule(monkeypatch):
    monkeypatch.undo()
    read = claims.statements()
    assert len(read) == sum(len(presets.load(chapter)["claims"]) for chapter in presets.chapters()) > 40
    rules = {said.rule for said in read}
    assert {"both 95 % intervals above 0", "both 95 % intervals above 95 %"} < rules
    assert any(rule.startswith("at chance (33.3 %): exact binomial test at 0.01") for rule in rules)
    assert {said.kind for said in read} == {"claim", "control", "by construction"}
    assert [said.notebook for said in read] == sorted(said.notebook for said in read)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"terms": None}, "terms are None; give [weight, variant, metric]"),
        ({"where": 3}, "a key is missing, unknown or malformed"),
        ({"where": {"source": "toys", "profile": "full", "protocol": 3}}, "a key is missing, unknown or"),
        ({"threshold": "3"}, "malformed (threshold is '3')"),
        ({"matters": float("inf")}, "is not YAML of plain values"),
        ({"says": 3}, "malformed (says is 3)"),
        ({"where": {"source": "toys"}}, "a key is missing, unknown or malformed"),
        ({"least": 3}, "a key is missing, unknown or malformed"),
        ({"terms": [[1, "c", "accuracy"]]}, "no preset lists variant 'c'"),
        ({"chance": 50}, "`chance` goes with one term of weight 1"),
    ],
)
def test_a_wrong_statement_is_refused_by_file_and_number(toy, change, sentence):
    toy(claims=[CLAIM, CLAIM | change])
    with pytest.raises(ValueError, match=r"toy.yaml(, claims, number 2| is not YAML)") as refused:
        claims.statements()
    assert sentence in str(refused.value)


def test_the_interval_over_seeds_is_students():
    effects = [1.0, 2.0, 4.0, 3.0, 2.5]
    row = claims.test(BETTER, pairs(effects))
    interval = stats.t.interval(0.95, 4, np.mean(effects), stats.sem(effects))
    assert (row["low"], row["high"]) == pytest.approx(interval) and row["effect"] == pytest.approx(2.5)
    assert row["verdict"] == "holds over seeds; test set not yet" and row["unit_low"] is None
    assert claims.test(BETTER, pairs([-e for e in effects]))["verdict"] == "fails over seeds"
    with pytest.raises(ValueError, match="at least two seeds or units; here is 1"):
        claims.over_seeds([3.0])


def test_a_claim_needs_all_its_seeds():
    for seeds, words in ((0, "0 of 5 seeds"), (4, "4 of 5 seeds")):
        row = claims.test(BETTER, pairs([5.0, 6.0, 7.0, 8.0][:seeds]))
        assert row["verdict"] == f"incomplete: {words}" and row["effect"] is row["low"] is None


def test_a_claim_needs_all_folds_of_its_protocol(toy):
    folded = claims.Statement(**vars(BETTER) | {"protocol": "folded"})
    some = [
        record(variant, seed, accuracy, fold, "folded")
        for variant, accuracy in (("a", 60.0), ("b", 50.0))
        for seed in range(5)
        for fold in range(2)
    ]
    assert claims.test(folded, some)["verdict"] == "incomplete: 0 of 5 seeds, 2 of 5 folds of seed 0"
    rest = [
        record(variant, seed, accuracy + seed, fold, "folded")
        for variant, accuracy in (("a", 60.0), ("b", 50.0))
        for seed in range(5)
        for fold in range(2, 5)
    ]
    row = claims.test(folded, some + rest)
    assert (row["n"], row["effect"]) == (5, 10)


def test_one_seed_or_unit_has_no_interval(toy):
    for units, words in (([5.0], "one unit"), ([np.nan] * 3, "no unit")):
        row = claims.test(BETTER, pairs([5.0, 6.0, 7.0, 8.0, 9.0], units))
        assert row["verdict"] == f"not yet: {words}" and row["unit_low"] is None and row["effect"] == 7
    toy(presets={"full": {"toys": {"whole": {"seeds": 1, **SETS}}}})
    row = claims.test(BETTER, pairs([5.0]))
    assert (row["verdict"], row["n"], row["low"], row["effect"]) == ("not yet: one seed", 1, None, 5)


def test_params_are_not_mixed(toy):
    """The preset's count; where no record has them, the most frequent ones."""
    its = pairs([5.0, 6.0, 7.0, 8.0, 9.0])
    for one in its[:6]:
        one["params"] = {"fit": {"n": 2}}
    left = "incomplete: 2 of 5 seeds; 6 records of other params left out"
    assert claims.test(BETTER, its)["verdict"] == left
    toy(presets={"full": {"toys": {"whole": {"seeds": 5, "fit": {"n": 2}, **SETS}}}})
    assert (
        claims.test(BETTER, its)["verdict"] == "incomplete: 3 of 5 seeds; 4 records of other params left out"
    )
    toy(presets={"full": {"toys": {"whole": {"seeds": 5, "fit": {"n": 3}, **SETS}}}})
    assert (
        claims.test(BETTER, its)["verdict"] == "incomplete: 3 of 5 seeds; 4 records of other params left out"
    )


def test_the_precision_asked_for_does_not_hang_on_the_order_of_a_set(toy):
    names = "abcdefgh"
    variants = {name: None if name == "a" else {"precision": "bf16"} for name in names}
    toy(presets={"full": {"toys": {"whole": {"seeds": 5, "variants": variants}}}})
    said = claims.Statement(**vars(BETTER) | {"terms": tuple((1, name, "accuracy") for name in names)})
    its = [record("a", precision="bf16"), record("b")]
    assert claims.test(said, its)["verdict"] == "incomplete: 0 of 5 seeds in f32"


def test_precisions_are_not_mixed():
    half = pairs([5.0, 6.0, 7.0, 8.0, 9.0], precision="bf16")
    assert claims.test(BETTER, half)["effect"] == 7
    mixed = half[:4] + pairs([5.0, 6.0, 7.0, 8.0, 9.0])[4:]
    assert claims.test(BETTER, mixed)["verdict"] == "incomplete: 3 of 5 seeds in f32"
    both = half + pairs([1.0, 2.0, 3.0, 4.0, 5.0])
    assert claims.test(BETTER, both)["effect"] == 3


def test_a_claim_holds_if_both_intervals_lie_above_its_threshold():
    sure, spread = np.tile([4.0, 6.0], 10), np.tile([-90.0, 100.0], 10)
    seeds, unsure = [4.0, 5.0, 6.0, 5.0, 5.0], [-20.0, 30.0, 5.0, 5.0, 5.0]
    assert claims.test(BETTER, pairs(seeds, sure))["verdict"] == "holds"
    assert claims.test(BETTER, pairs(seeds, spread))["verdict"] == "fails over the test set"
    assert claims.test(BETTER, pairs(unsure, sure))["verdict"] == "fails over seeds"
    assert claims.test(BETTER, pairs(unsure, spread))["verdict"] == "fails over seeds and the test set"
    strict = claims.Statement(**vars(BETTER) | {"threshold": 4.7})
    assert claims.test(strict, pairs([5.0] * 5, sure))["verdict"] == "fails over the test set"
    assert claims.test(BETTER, pairs(seeds, sure))["units"] == 20


def test_an_effect_that_is_there_may_be_smaller_than_what_matters():
    row = claims.test(BETTER, pairs([1.0, 1.1, 0.9, 1.0, 1.0], np.tile([0.9, 1.1], 10)))
    assert row["verdict"] == "holds, but is smaller than what would matter"
    assert (
        "would matter; test set not yet" in claims.test(BETTER, pairs([1.0, 1.1, 0.9, 1.0, 1.0]))["verdict"]
    )


def test_bits_may_be_negative_and_have_no_end():
    """A model that costs bits has a negative score: what is claimed of its loss lies above 0."""
    costs = claims.Statement(**vars(BETTER) | {"terms": ((-1, "a", "history"),), "threshold": 0.5})
    its = []
    for seed, bits in enumerate([-1.1, -1.2, -1.15, -1.1, -1.2]):
        one = record("a", seed, bits, units=[bits - 0.01, bits + 0.01] * 30)
        one["metrics"]["history"] = one["metrics"].pop("accuracy")
        one["units"]["history"] = one["units"].pop("accuracy")
        its.append(one)
    row = claims.test(costs, its)
    assert 1 < row["low"] < row["effect"] < row["high"] < 1.3 and 1 < row["unit_low"] < row["unit_high"] < 1.3
    assert row["rule"] == "both 95 % intervals above 0.5 bits"
    area = claims.Statement(**vars(BETTER) | {"terms": ((1, "a", "sauc"),), "threshold": 0.5})
    assert area.rule == "both 95 % intervals above 0.5" and area.bounds == (0, 1)


def test_intervals_of_percentages_end_at_100():
    most = claims.Statement(**vars(CHANCE) | {"chance": None, "threshold": 95.0})
    units = [100.0] * 20
    its = [
        record("a", seed, accuracy, units=units) for seed, accuracy in enumerate([100, 100, 99, 100, 100.0])
    ]
    row = claims.test(most, its)
    assert row["high"] == 100 > row["low"] > 95 and row["rule"] == "both 95 % intervals above 95 %"
    row = claims.test(BETTER, pairs([50.0, -50.0, 50.0, -50.0, 50.0]))
    assert row["low"] > -100 and claims.test(BETTER, pairs([99.0, 0, 99, 0, 99]))["high"] == 100


def test_the_bootstrap_by_hand():
    """The mean of 40 draws from twenty zeros and twenty hundreds is binomial: 95 % lie from 35 to 65."""
    values = np.array([[0.0, 100.0] * 20])
    low, high = (100 / 40 * stats.binom.ppf(q, 40, 0.5) for q in (0.025, 0.975))
    assert claims.over_units({"set": values[:, None]}) == pytest.approx((low, high)) and (low, high) == (
        35,
        65,
    )


def test_the_bootstrap_is_the_obvious_one():
    """Cells of one test set see one draw, test sets are drawn apart, NaN has no say."""
    rng = np.random.default_rng(1)
    one, other = rng.normal(3, 20, (3, 42)), rng.normal(-2, 30, (1, 45))
    one[0, :15] = one[2, 12:27] = other[0, 2] = np.nan
    means = []
    for _ in range(4000):
        cells = []
        for values in (one, other):
            drawn = [u for u in range(values.shape[1]) if np.isfinite(values[:, u]).any()]
            drawn = rng.choice(drawn, len(drawn))
            for cell in values:
                cells.append(np.mean([cell[u] for u in drawn if np.isfinite(cell[u])]))
        means.append(np.mean(cells))
    expected = np.percentile(means, [2.5, 97.5])
    found = claims.over_units({"one": one[:, None], "other": other[:, None]})
    assert np.allclose(found, expected, atol=0.07 * (expected[1] - expected[0]))
    together = claims.over_units({"set": np.concatenate([one, one])[:, None]})
    assert np.allclose(together, claims.over_units({"set": one[:, None]}), atol=1e-9)
    apart = claims.over_units({"set": one[:, None], "copy": one[:, None]})
    assert apart[1] - apart[0] < 0.85 * (together[1] - together[0])


@pytest.mark.parametrize("units", [10, 20, 60])
def test_the_interval_over_units_covers(units):
    """Also with few units, where the bootstrap's covers less (10: 86 %, 20: 89 %)."""
    rng, hits = np.random.default_rng(2), 0
    for _ in range(600):
        low, high = claims.over_units({"set": rng.exponential(10, (1, 1, units))}, draws=500)
        hits += low < 10 < high
    assert 0.9 <= hits / 600 <= 0.98


def test_near_100_percent_the_interval_is_that_of_counts():
    """30 of 30 right do not show more than 95 %; 300 of 300 do."""
    most = claims.Statement(**vars(CHANCE) | {"chance": None, "threshold": 95.0})
    few, many = answers(6, 6), answers(60, 60)
    for one in few + many:
        one["metrics"]["accuracy"] = 100.0
    row = claims.test(most, few)
    assert (row["unit_low"], row["unit_high"]) == pytest.approx((100 * 0.025 ** (1 / 30), 100))
    assert row["verdict"] == "fails over the test set" and row["units"] == 30
    assert claims.test(most, many)["verdict"] == "holds"


def test_a_large_test_set_is_drawn_in_parts():
    values = np.random.default_rng(3).normal(0, 1, (1, 400))
    low, high = claims.over_units({"set": values[:, None]}, draws=1200)
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.1)


def test_terms_of_different_units():
    """The difference of two means: its variance is the sum of theirs, and less where units are shared."""
    rng = np.random.default_rng(4)
    one, other = rng.normal(5, 20, 240), rng.normal(2, 30, 240)
    apart = np.stack([one, -other])[None]
    apart[0, 0, 150:] = apart[0, 1, :150] = np.nan
    low, high = claims.over_units({"set": apart})
    spread = np.sqrt(one[:150].var() / 150 + other[150:].var() / 90)
    assert (high - low) / 2 == pytest.approx(1.96 * spread, rel=0.1)
    assert (high + low) / 2 == pytest.approx(one[:150].mean() - other[150:].mean(), abs=0.4)
    same = np.stack([one, -one - rng.normal(0, 1, 240)])[None]
    same[0, 0, 3] = same[0, 1, 7] = np.nan  # a unit that lacks a term unpairs no other
    low, high = claims.over_units({"set": same})
    assert high - low < 1


@pytest.mark.parametrize(
    ("units", "verdict"), [(60, "holds"), (30, "not yet: of units of two kinds 40 are needed")]
)
def test_a_statement_about_two_groups_of_units_has_an_interval(units, verdict):
    """Its terms have no unit in common; the gain is 10 in one group and 30 in the other."""
    its, rng = [], np.random.default_rng(5)
    for seed in range(5):
        for variant, gains in (("a", (10, 30)), ("b", (0, 0))):
            near, far = (np.full(2 * units, np.nan) for _ in range(2))
            near[:units], far[units:] = (gain + rng.normal(0, 5, units) for gain in gains)
            one = record(variant, seed)
            one["metrics"] = {"near": float(np.nanmean(near)), "far": float(np.nanmean(far))}
            one["units"] = {"of": "set", "near": records.pack(near), "far": records.pack(far)}
            its.append(one)
    terms = ((1, "a", "far"), (-1, "b", "far"), (-1, "a", "near"), (1, "b", "near"))
    said = claims.Statement(**vars(BETTER) | {"terms": terms})
    row = claims.test(said, its)
    assert row["verdict"].startswith(verdict) and row["units"] == 2 * units
    if verdict == "holds":
        assert 17 < row["unit_low"] < row["effect"] < row["unit_high"] < 23


def test_few_units_give_students_interval():
    units = np.array([[1.0, 2.0, 3.0, 4.0, np.nan], [3.0, 4.0, 5.0, 6.0, np.nan]])
    assert claims.over_units({"set": units[:, None]}) == pytest.approx(
        claims.over_seeds([2.0, 3.0, 4.0, 5.0])
    )


@pytest.mark.parametrize(("folds", "units", "few"), [(5, 20, 0), (2, 20, 0), (5, 18, 1), (1, 38, 1)])
def test_many_units_in_several_test_sets_are_many(folds, units, few):
    """Half of the units that one term knows the other knows too; only with few are those alone compared."""
    rng, half = np.random.default_rng(0), units // 2
    sets = rng.normal(0, 0.1, (folds, 1, 2, 3 * half))
    sets[:, :, 0, :half] += 5
    sets[:, :, 0, units:] = sets[:, :, 1, :half] = np.nan
    tested = {f"fold{fold}": values for fold, values in enumerate(sets)}
    low, high = claims.over_units(tested)
    assert claims.few(tested) == few and low < (0 if few else 2.5) < high


def test_units_are_paired_on_one_test_set_only():
    its = pairs([5.0] * 5, [5.0] * 20)
    for one in its[1::2]:
        one["units"]["of"] = "another"
    assert claims.test(BETTER, its)["verdict"].endswith("its terms were read on different test sets")
    for one, data in zip(its, 5 * [{"rooms": "a", "weights": "b"}, {"rooms": "a"}], strict=True):
        one["provenance"]["data"] = data  # what one has learned from besides does not count
    assert claims.test(BETTER, its)["verdict"] == "holds"
    its[1]["provenance"]["data"] = {"rooms": "c"}
    assert claims.test(BETTER, its)["verdict"].endswith("its terms were read on different test sets")


def answers(right, of=180, **other):
    """Five seeds of `a`, each with a test set of its own; the percentage is wrong on purpose."""
    units = [100.0] * right + [0.0] * (of - right)
    return [
        record("a", seed, accuracy=99.0, of=f"set{seed}", units=units, counts=[right, of], **other)
        for seed in range(5)
    ]


def test_chance_is_tested_on_the_counts_of_all_seeds():
    row = claims.test(CHANCE, answers(60))
    low, high = stats.binomtest(300, 900).proportion_ci(0.90)
    assert (row["unit_low"], row["unit_high"]) == pytest.approx((100 * low - 100 / 3, 100 * high - 100 / 3))
    assert (row["verdict"], row["units"], row["least"]) == ("holds", 900, 5)
    assert claims.test(CHANCE, answers(75))["verdict"] == "fails"
    assert "upper one-sided 95 % bound below chance + 5, on at least 400 performances" in row["rule"]
    row = claims.test(CHANCE, answers(20, 79))
    assert row["verdict"] == "not yet: 395 performances, 400 are needed" and row["unit_high"] is None
    assert claims.test(CHANCE, answers(20, 80))["verdict"] == "holds"


def test_chance_needs_counts_of_clips_that_do_not_depend_on_each_other():
    none = [{**one, "counts": {}} for one in answers(60)]
    assert claims.test(CHANCE, none)["verdict"] == "not yet: its records keep no counts"
    cameras = [{**one, "counts": {"accuracy": [180, 540]}} for one in answers(60)]
    assert "2700 clips of 900 performances" in claims.test(CHANCE, cameras)["verdict"]
    same = [{**one, "units": one["units"] | {"of": "set"}} for one in answers(60)]
    assert "several records read one test set" in claims.test(CHANCE, same)["verdict"]


def test_at_chance_needs_enough_clips_and_no_sign_of_more():
    assert claims.at_chance(200, 600, 100 / 3)[2]
    assert not claims.at_chance(33, 100, 100 / 3)[2]
    low, high, holds = claims.at_chance(1080, 3000, 100 / 3)
    assert high < claims.MARGIN and not holds


def test_how_many_are_tested_together():
    said = claims.together(["claim"] * 40 + ["control", "by construction"])
    assert said.startswith("40 claims are tested together") and "1.0 of them would seem to hold" in said


FIXED = {"whole": {"seeds": 3, "variants": {"a": None, "b": {"seeds": 1, "fixed": True}}}}


def test_a_record_of_which_nothing_is_drawn_stands_beside_every_seed(toy):
    toy(presets={"full": {"toys": FIXED}})
    units = np.arange(50.0)
    its = [record("a", seed, 50 + seed, units=units + seed) for seed in range(3)]
    its.append(record("b", 0, 40.0, units=units - 9))
    row = claims.test(BETTER, its)
    assert row["effect"] == pytest.approx(11) and row["n"] == 3 and row["verdict"] == "holds"
    assert (row["low"], row["high"]) == pytest.approx(claims.over_seeds([10.0, 11.0, 12.0]))
    assert claims.test(BETTER, its[:3])["verdict"] == "incomplete: 0 of 3 seeds"


def test_where_nothing_is_drawn_the_test_set_decides(toy):
    toy(presets={"full": {"toys": {"whole": {"variants": {n: {"seeds": 1, "fixed": True} for n in "ab"}}}}})
    its = [record("a", 0, 50.0, units=np.arange(50.0) + 5), record("b", 0, 45.0, units=np.arange(50.0))]
    row = claims.test(BETTER, its)
    assert row["low"] == row["high"] == row["effect"] == 5 and row["n"] == 1 and row["verdict"] == "holds"


@pytest.mark.parametrize("own", [{"fixed": True}, {"fixed": True, "seeds": 2}, {"fixed": "yes", "seeds": 1}])
def test_fixed_goes_with_one_seed(toy, own):
    toy(presets={"full": {"toys": {"whole": {"seeds": 3, "variants": {"a": own}}}}})
    with pytest.raises(DamagedFile, match="fixed of a is .*; say true, with seeds: 1"):
        presets.preset(records.Run("07_toy", "toys", "full", "whole", "a"))
