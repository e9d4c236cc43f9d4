"""What the slides say, as statements over measured numbers, and their tests.

A chapter's file in `companion/experiments` lists its statements under `claims`:

    says: learned locations err less than random locations
    where: {source: digits, profile: full, protocol: cluttered-60}
    terms: [[1, random-6, error], [-1, ram-6, error]]     weight, variant, metric (in percent, or bits)
    threshold: 0             what the weighted sum must exceed; 0 where it is not said
    matters: 1               the least effect that would matter
    chance: 33.3333          instead of threshold and matters: the one metric is at chance, in percent
    control: why             it is expected to fail
    by_construction: why     it could not come out otherwise

The effect is paired: by (seed, fold), and by unit of the test set. Two things are left to luck, so there are
two 95 % intervals, and a statement holds if both lie above its threshold: over seeds (Student; noise of
training) and over the units of the test set (which samples happened to be tested; bootstrap, or Clopper and
Pearson for one percentage of answers that do not depend on each other). Nothing is corrected for the number
of statements: `together` says how many there are and how many would seem to hold by chance.

Letters: N cells (seed, fold), K terms, U units of a test set.
"""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.stats import binomtest
from scipy.stats import t as student

from companion import presets, records

NUMBERS = ("threshold", "matters", "chance")  # of a statement; its other keys are texts
SEEDS = 5  # behind a statement, where its presets say no number
DRAWS, PART = 10_000, 500  # all; and so many at once are counted and multiplied
# With fewer units, of all test sets or of one, intervals of the bootstrap are too short; Student's are used.
FEW, FEW_OF_ONE = 40, 20
ALPHA = 0.01  # at which chance is not rejected
MARGIN = 5.0  # points above chance that the upper bound must stay below
ENOUGH = 400  # performances that a test of chance needs


def scale(metric: str) -> tuple[float, float, str]:
    """The least and the most that a metric can be, and its unit: percent, but for those named here."""
    if metric in ("gain", "history", "information", "information_shuffled"):
        return -math.inf, math.inf, " bits"
    if metric in ("auc", "sauc", "attention_sauc", "alike", "people_alike"):
        return 0.0, 1.0, ""
    return 0.0, 100.0, " %"


@dataclass(frozen=True)
class Statement:
    """What a slide says; the module's docstring explains the fields."""

    notebook: str
    says: str
    source: str
    profile: str
    protocol: str
    terms: tuple[tuple[int | float, str, str], ...]
    threshold: int | float = 0
    matters: int | float = 0
    chance: int | float | None = None
    control: str = ""
    by_construction: str = ""

    @property
    def kind(self) -> str:
        """`control`, `by construction`, or `claim`: only the last tells something that could be otherwise."""
        return "control" if self.control else "by construction" if self.by_construction else "claim"

    @property
    def rule(self) -> str:
        """What decides, in words."""
        if self.chance is not None:
            return (
                f"at chance ({self.chance:.1f} %): exact binomial test at {ALPHA:g} does not reject it, and"
                f" upper one-sided 95 % bound below chance + {MARGIN:g}, on at least {ENOUGH} performances"
            )
        unit = scale(self.terms[0][2])[2] if len(self.terms) == 1 else ""
        return f"both 95 % intervals above {self.threshold:g}{unit}"

    @property
    def bounds(self) -> tuple[int | float, int | float]:
        """What the weighted sum can be at least and at most."""
        ends = [sorted(weight * end for end in scale(metric)[:2]) for weight, _, metric in self.terms]
        return sum(low for low, _ in ends), sum(high for _, high in ends)


def statements() -> list[Statement]:
    """The statements of all chapters.

    Raises:
        ValueError: a statement lacks a key, has an unknown one, or names a variant that no preset lists.
    """
    found = []
    contents = {chapter: presets.load(chapter) for chapter in presets.chapters()}
    for chapter, content in sorted(contents.items(), key=lambda item: item[1]["notebook"]):
        for number, entry in enumerate(content["claims"], 1):
            where = f"companion/experiments/{chapter}.yaml, claims, number {number}"
            try:
                place = dict(entry["where"])
                terms = tuple(
                    (float(weight), str(variant), str(metric)) for weight, variant, metric in entry["terms"]
                )
                rest = {key: value for key, value in entry.items() if key not in ("where", "terms")}
                for key, value in rest.items():
                    if (
                        not presets.between(value, -100, 100)
                        if key in NUMBERS
                        else not isinstance(value, str)
                    ):
                        raise ValueError(f"{key} is {value!r}")
                said = Statement(content["notebook"], terms=terms, **place, **rest)
                run(said, terms[0][1])
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{where}: a key is missing, unknown or malformed ({error})") from None
            if said.chance is not None and [weight for weight, _, _ in terms] != [1]:
                raise ValueError(f"{where}: `chance` goes with one term of weight 1")
            for variant in {variant for _, variant, _ in terms}:
                if presets.preset(run(said, variant)) is None:
                    raise ValueError(
                        f"{where}: no preset lists variant {variant!r}; list it, or name another"
                    )
            found.append(said)
    return found


def run(said: Statement, variant: str) -> records.Run:
    """The first run of a variant where a statement is tested."""
    return records.Run(said.notebook, said.source, said.profile, said.protocol, variant)


def precision(record: dict) -> str:
    """What a record was trained in."""
    return record["provenance"].get("precision") or "f32"


def used(said: Statement, kept: Sequence[dict]) -> list[dict]:
    """The records of a statement's place and variants."""
    place = {key: getattr(said, key) for key in ("notebook", "source", "profile", "protocol")}
    variants = {variant for _, variant, _ in said.terms}
    return [r for r in kept if place.items() <= r["run"].items() and r["run"]["variant"] in variants]


def alike(run: records.Run, its: Sequence[dict]) -> list[dict]:
    """The records of a variant with its preset's params; where none has them, with the most frequent ones."""
    preset, params = presets.preset(run), [record["params"] for record in its]
    wanted = json.loads(json.dumps(preset[0])) if preset else None
    if wanted not in params:
        wanted = max(params, key=params.count, default=None)
    return [record for record in its if record["params"] == wanted]


def test(said: Statement, its: Sequence[dict]) -> dict:
    """One row: the statement, its rule, its effect with both intervals, and the verdict.

    Numbers of a set that lacks a seed or a fold are no result and are left out, as is the interval over units
    of records that keep no scores per unit.

    Args:
        its: see `used`.
    """
    row = {
        "claim": said.says, "notebook": said.notebook, "source": said.source, "profile": said.profile,
        "protocol": said.protocol, "rule": said.rule, "effect": None, "low": None, "high": None,
        "unit_low": None, "unit_high": None, "n": 0, "units": None,
        "least": said.threshold if said.chance is None else MARGIN,
        "matters": said.matters if said.chance is None else None,
        "kind": said.kind, "control": said.control, "by_construction": said.by_construction,
    }  # fmt: skip
    cells, lacking = complete(said, its)
    if lacking:
        return row | {"verdict": f"incomplete: {lacking}"}
    effects = {
        cell: sum(weight * its[variant]["metrics"][metric] for weight, variant, metric in said.terms)
        for cell, its in cells.items()
    }
    seeds = sorted({seed for seed, _ in cells})
    means = [float(np.mean([effects[cell] for cell in cells if cell[0] == seed])) for seed in seeds]
    over = said.chance or 0.0
    varies = not all(presets.fixed(run(said, variant)) for _, variant, _ in said.terms)
    if varies and len(means) < 2:
        return row | {"effect": means[0] - over, "n": 1, "verdict": "not yet: one seed"}
    low, high = np.clip(over_seeds(means) if varies else means * 2, *said.bounds) - over
    row |= {"effect": np.mean(means) - over, "low": low, "high": high, "n": len(seeds)}
    if said.chance is not None:
        return row | chance_row(said, cells, said.chance)
    tested = by_unit(said, cells)
    if isinstance(tested, str):
        verdict = "fails over seeds"
        if low > said.threshold:
            verdict = f"holds over seeds{too_small(said, row['effect'])}; {tested}"
        return row | {"verdict": verdict}
    units, single = defined(tested), [weight for weight, _, _ in said.terms] == [1]
    if units < 2 or not all(known.any(1).all() for known in map(any_cell, tested.values())):
        return row | {"units": units, "verdict": f"not yet: {'one' if units == 1 else 'no'} unit"}
    if few(tested) and paired(tested) < 2:
        return row | {"units": units, "verdict": f"not yet: of units of two kinds {FEW} are needed"}
    answers = pooled(said, cells, tested) if single else ""
    interval = over_units(tested) if isinstance(answers, str) else over_answers(*answers)
    unit_low, unit_high = np.clip(interval, *said.bounds)
    row |= {"unit_low": unit_low, "unit_high": unit_high, "units": units}
    failed = [
        name for name, bound in (("seeds", low), ("the test set", unit_low)) if not bound > said.threshold
    ]
    return row | {
        "verdict": f"fails over {' and '.join(failed)}"
        if failed
        else f"holds{too_small(said, row['effect'])}"
    }


def too_small(said: Statement, effect: float) -> str:
    """What is added to a verdict where the effect is there and does not matter."""
    return ", but is smaller than what would matter" if effect < said.matters else ""


def complete(said: Statement, its: Sequence[dict]) -> tuple[dict[tuple[int, int], dict[str, dict]], str]:
    """The records of a statement: (seed, fold) -> variant -> record; and what is lacking, empty if nothing.

    All are of one precision: where there are several, of that which the presets ask for. Those of a variant
    are of the same params, see `alike`.
    """
    variants = sorted({variant for _, variant, _ in said.terms})
    listed = {variant: plan for variant in variants if (plan := presets.preset(run(said, variant)))}
    fixed = [variant for variant in listed if presets.fixed(run(said, variant))]
    plans, folds = list(listed.values()), max(plan[1] for plan in listed.values())
    planned = min((plan[2] or SEEDS for variant, plan in listed.items() if variant not in fixed), default=1)
    which = ""
    if len({precision(record) for record in its}) > 1:
        which = str(plans[0][0].get("precision", "f32"))
        its = [record for record in its if precision(record) == which]
    own = [[record for record in its if record["run"]["variant"] == variant] for variant in variants]
    same = [r for variant, own in zip(variants, own, strict=True) for r in alike(run(said, variant), own)]
    found: dict[tuple[int, int], dict[str, dict]] = {}
    for record in same:
        about = record["run"]
        own_seeds = range(planned) if about["variant"] in fixed else [about["seed"]]
        for seed in own_seeds:
            found.setdefault((seed, about["fold"]), {})[about["variant"]] = record
    whole = {
        cell: by
        for cell, by in found.items()
        if all(variant in by and metric in by[variant]["metrics"] for _, variant, metric in said.terms)
    }
    there = {seed: sum((seed, fold) in whole for fold in range(folds)) for seed in range(planned)}
    if all(number == folds for number in there.values()):
        return {(seed, fold): whole[seed, fold] for seed in range(planned) for fold in range(folds)}, ""
    words = [f"{sum(number == folds for number in there.values())} of {planned} seeds"]
    words += [f"{number} of {folds} folds of seed {s}" for s, number in there.items() if 0 < number < folds][
        :1
    ]
    others = len(its) - len(same)
    left = f"; {others} records of other params left out" if others else ""
    return {}, ", ".join(words) + (f" in {which}" if which else "") + left


Tested = Mapping[str, Float[np.ndarray, "N K U"]]  # test set -> each term, in each cell that read it


def by_unit(said: Statement, cells: Mapping[tuple[int, int], dict[str, dict]]) -> Tested | str:
    """The terms, with their weights, at each unit; or a sentence why there are none."""
    found: dict[str, list] = {}
    for by in cells.values():
        units = {variant: record.get("units", {}) for variant, record in by.items()}
        if not all(metric in units[variant] for _, variant, metric in said.terms):
            return "test set not yet"
        values = [weight * records.unpack(units[variant][metric]) for weight, variant, metric in said.terms]
        if not one_test_set(by.values()) or len({own.size for own in values}) > 1:
            return "test set not yet: its terms were read on different test sets"
        found.setdefault(min(own["of"] for own in units.values()), []).append(np.stack(values))
    return {of: np.stack(values) for of, values in found.items()}


def one_test_set(its: Collection[dict]) -> bool:
    """Were records of one place, seed and fold read on the same data, whatever some have learned from?

    That is what only some of them name, such as files of weights, or photographs of another source.
    """
    if len({record["units"]["of"] for record in its}) == 1:
        return True
    data = [record["provenance"].get("data") or {} for record in its]
    shared = set.intersection(*map(set, data))
    return bool(shared) and all(len({own[name] for own in data}) == 1 for name in shared)


def any_cell(values: Float[np.ndarray, "N K U"]) -> Bool[np.ndarray, "K U"]:
    """Of which units each term is defined, in any cell."""
    return np.any(np.isfinite(values), 0)


def defined(tested: Tested) -> int:
    """How many units, in all test sets, have a term."""
    return sum(int(any_cell(values).any(0).sum()) for values in tested.values())


def few(tested: Tested) -> bool:
    """Is a term defined for few units, in all test sets or in one of them?"""
    each = np.array([any_cell(values).sum(1) for values in tested.values()])
    return bool(each.sum(0).min() < FEW or each.min() < FEW_OF_ONE)


def paired(tested: Tested) -> int:
    """How many units, in all test sets, have all terms in some cell."""
    return sum(int(np.isfinite(values).all(1).any(0).sum()) for values in tested.values())


def over_seeds(effects: Sequence[float]) -> tuple[float, float]:
    """Student's 95 % interval of a mean.

    Raises:
        ValueError: fewer than two values, which give no interval.
    """
    values = np.asarray(effects, float)
    if values.size < 2:
        raise ValueError(f"an interval needs at least two seeds or units; here is {values.size}")
    half = student.ppf(0.975, values.size - 1) * values.std(ddof=1) / np.sqrt(values.size)
    return values.mean() - half, values.mean() + half


@lru_cache(2)  # statements about the same test sets follow each other
def drawn(sizes: tuple[int, ...], draws: int) -> list[UInt8[np.ndarray, "draws U"]]:
    """How often each unit of each test set is in each draw."""
    rng, found = np.random.default_rng(0), []
    for U in sizes:
        times = np.empty((draws, U), np.uint8)
        for start in range(0, draws, PART):
            size = min(PART, draws - start)
            places = rng.integers(U, size=(size, U)) + U * np.arange(size)[:, None]
            counts = np.bincount(places.ravel(), minlength=size * U)
            times[start : start + size] = counts.reshape(size, U)
        found.append(times)
    return found


def over_units(tested: Tested, draws: int = DRAWS) -> tuple[float, float]:
    """A 95 % interval of the mean over cells of the sum of the terms' means over units, by the bootstrap.

    The cells that read one test set, and all terms, see the same draw of its units; different test sets are
    drawn independently. A unit of which a term is not defined (NaN) has no say in that term's mean, so that
    the terms may also be of different units: two groups of clips. With fewer than 40 units, or 20 in a test
    set, it is Student's over the units that have all terms, each averaged over its cells.
    """
    sets = [values[..., any_cell(values).any(0)] for values in tested.values()]
    if few(tested):
        each = [values.sum(1) for values in sets]
        each = [values[:, np.isfinite(values).any(0)] for values in each]
        return over_seeds(np.concatenate([np.nanmean(values, 0) for values in each]).tolist())
    columns = []
    for values, times in zip(sets, drawn(tuple(values.shape[-1] for values in sets), draws), strict=True):
        N, K, U = values.shape
        rows, parts = values.reshape(N * K, U), []
        known = np.isfinite(rows)
        for start in range(0, draws, PART):
            part = times[start : start + PART].astype(float)
            with np.errstate(invalid="ignore"):  # a draw without any unit that a term defines
                means = part @ np.where(known, rows, 0).T / (part @ known.T)
            parts.append(means.reshape(len(part), N, K).sum(2))
        columns.append(np.concatenate(parts))
    low, high = np.percentile(np.nanmean(np.concatenate(columns, 1), 1), [2.5, 97.5])
    return low, high


def chance_row(said: Statement, cells: Mapping[tuple[int, int], dict[str, dict]], chance: float) -> dict:
    """Interval over units and verdict of a statement about chance, from the counts of all cells together."""
    answers = pooled(said, cells, by_unit(said, cells))
    if isinstance(answers, str):
        return {"verdict": f"not yet: {answers}"}
    right, of = answers
    if of < ENOUGH:
        return {"units": of, "verdict": f"not yet: {of} performances, {ENOUGH} are needed"}
    low, high, holds = at_chance(right, of, chance)
    units = {"unit_low": low, "unit_high": high, "units": of}
    return units | {"verdict": "holds" if holds else "fails"}


def pooled(
    said: Statement,
    cells: Mapping[tuple[int, int], dict[str, dict]],
    tested: Tested | str,
) -> tuple[int, int] | str:
    """How many of how many answers are right in all cells of a one-term statement; or why none can be told.

    The answers must not depend on each other: one a unit, and each test set read once.
    """
    ((_, variant, metric),) = said.terms
    kept = [by[variant] for by in cells.values()]
    if not all(metric in record.get("counts", {}) for record in kept):
        return "its records keep no counts"
    if isinstance(tested, str):
        return tested
    right, of = np.sum([record["counts"][metric] for record in kept], axis=0)
    if len(tested) < len(kept):
        return "several records read one test set, so their answers are not independent"
    if defined(tested) != of:
        return (
            f"{of} clips of {defined(tested)} performances, which are not independent;"
            " test one clip a performance"
        )
    return int(right), int(of)


def over_answers(right: int, of: int) -> tuple[float, float]:
    """Clopper and Pearson's 95 % interval of a percentage; where all answers are right it is not empty."""
    low, high = binomtest(right, of).proportion_ci(0.95)
    return 100 * low, 100 * high


def at_chance(right: int, of: int, chance: float) -> tuple[float, float, bool]:
    """Is no more read right than by chance?

    It is if a one-sided exact binomial test does not reject chance, and if the upper 95 % bound (Clopper and
    Pearson) is below chance + 5 points, so that too few clips cannot show it.

    Args:
        right, of: how many were read right of how many that do not depend on each other.
        chance: in percent.

    Returns:
        Lower and upper one-sided 95 % bound of what exceeds chance, in points, and the answer.
    """
    test = binomtest(right, of, chance / 100, alternative="greater")
    interval = binomtest(right, of, chance / 100).proportion_ci(0.90)
    low, high = (100 * bound - chance for bound in interval)
    return low, high, bool(test.pvalue >= ALPHA and high < MARGIN)


def together(kinds: Sequence[str]) -> str:
    """How many statements are tested at once, and what chance would make of them.

    Args:
        kinds: of each statement; controls and what is true by construction do not count.
    """
    number = sum(kind == "claim" for kind in kinds)
    return (
        f"{number} claims are tested together and not corrected for their number; if no effect were there,"
        f" {0.025 * number:.1f} of them would seem to hold by chance, or fewer, as both intervals must agree."
    )
