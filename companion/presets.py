"""What the experiments run with: one YAML file a chapter, beside its code in `companion/experiments`.

notebook: 05_hard_attention              where its records lie, and who shows them
params: [model, loss, fit]               the keys that a preset may have; `needs`: those that it must have
tolerances: {error: 1.0}                 by how much a record that is made again elsewhere may differ; a name
                                         stands for all metrics that begin so
presets: profile -> source -> protocol -> shared params, and
    variants: name -> own params         a variant that is not listed gets the shared ones
    folds, seeds                         how many there are; a variant may have its own
    fixed                                true where nothing of a variant is drawn: one seed stands for all
    chosen                               where and on which data these numbers were chosen
claims: what the slides say, see `companion.claims`
caveats: what must stand beside a number, if anything, see `companion.tables`
whole: true where a damaged file is an error, strict or not
"""

import inspect
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from beartype import BeartypeConf
from beartype.door import is_bearable

from companion.code import closure
from companion.datasets.sources import SKELETONS
from companion.files import DamagedFile
from companion.records import PROFILES, Run
from companion.simulator.release import Release

FOLDER = Path(__file__).resolve().parent / "experiments"
KEYS = {"notebook": str, "params": list, "needs": list, "tolerances": dict, "presets": dict, "claims": list}
BESIDE = ("variants", "folds", "seeds", "fixed", "chosen")  # of a protocol; they are no params
OPTIONS = frozenset("release data pose crops model loss before weights fit".split())  # params that are dicts
COUNTED = {
    "epochs": (int, 1),
    "batch_size": (int, 1),
    "lr": (float, 1e-12),
    "hops": (int, 0),
    "learned_from": (int, 1),
    "members": (int, 1),
    "principal": (int, 1),
}  # options: numbers from this one on
NAME = re.compile(r"\w[\w.+-]*")
FLOAT = BeartypeConf(is_pep484_tower=True)  # 1 is one


def chapters() -> list[str]:
    """The names of all chapters that have an experiment: presets, and code beside them."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml") if path.with_suffix(".py").is_file())


def load(chapter: str) -> dict:
    """The file of a chapter, checked.

    Raises:
        ValueError: there is none, it has no code, or a key of it is missing or of another kind.
    """
    path = FOLDER / f"{chapter}.yaml"
    if not path.is_file():
        raise ValueError(f"unknown chapter {chapter!r}; choose one of {', '.join(chapters())}")
    if not path.with_suffix(".py").is_file():
        raise ValueError(f"{path} has no {chapter}.py beside it; write it, or delete the presets")
    return parse(path, path.stat().st_mtime_ns)


@cache
def parse(path: Path, changed: int) -> dict:
    """The content of a chapter's file, checked; cached until the file changes."""
    try:
        content = yaml.safe_load(path.read_bytes())
        json.dumps(content, allow_nan=False)
    except (yaml.YAMLError, ArithmeticError, AttributeError, RecursionError, TypeError, ValueError) as error:
        raise DamagedFile(f"{path} is not YAML of plain values ({error}); mend it") from None
    for key, kind in KEYS.items():
        if not isinstance(content, dict) or not isinstance(content.get(key), kind):
            raise DamagedFile(f"{path}: key {key!r} is missing or no {kind.__name__}; add it")
    for key in ("params", "needs", "tolerances"):
        if not texts(content[key]):
            raise DamagedFile(f"{path}: {key} is {content[key]!r}; give names")
    if not texts([content["notebook"]]):
        raise DamagedFile(f"{path}: notebook is {content['notebook']!r}; give a name")
    for name, value in content["tolerances"].items():
        if not between(value, 0, math.inf):
            raise DamagedFile(f"{path}, tolerances: {name} is {value!r}; give a number from 0")
    for where, preset in protocols(f"{path}, presets", content["presets"]):
        for variant in variants(preset, where):
            listed(where, variant, numbers(preset, variant, where)[0], content)
    for number, claim in enumerate(content["claims"], 1):
        terms = claim.get("terms") if isinstance(claim, dict) else None
        if not isinstance(terms, list) or not terms or not all(map(is_term, terms)):
            raise DamagedFile(
                f"{path}, claims, number {number}: terms are {terms!r}; give [weight, variant, metric]"
            )
    if not isinstance(content.get("caveats", []), list):
        raise DamagedFile(f"{path}: caveats is {content['caveats']!r}; give a list, or leave it out")
    return content


def texts(values: Iterable) -> bool:
    """Are they all texts that may be part of a file name?"""
    return all(isinstance(value, str) and NAME.fullmatch(value) for value in values)


def between(value: object, low: int | float, high: int | float) -> bool:
    """Is it a number (true and false are none) from the one to the other?"""
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def is_term(term: object) -> bool:
    """Is it a weight, a variant and a metric?"""
    return isinstance(term, list) and len(term) == 3 and between(term[0], -9, 9) and texts(term[1:])


def protocols(where: str, content: object, levels: int = 3) -> Iterator[tuple[str, Any]]:
    """What stands under each profile, source and protocol, and where.

    Raises:
        DamagedFile: a level is no dict of names.
    """
    if not levels:
        yield where, content
        return
    if not isinstance(content, dict) or not content or not texts(content):
        raise DamagedFile(f"{where} is {content!r}; give names, each with what is below it")
    for name, inside in content.items():
        yield from protocols(f"{where}.{name}", inside, levels - 1)


def listed(where: str, variant: str, params: dict, content: dict) -> None:
    """Refuse params that the chapter's file does not list, or see `check_params`."""
    for key in params:
        if key not in content["params"]:
            known = ", ".join(content["params"])
            raise DamagedFile(f"{where}: unknown key {key!r} of {variant}; choose one of {known}")
    check_params(where, variant, params, content["needs"])


def check_params(where: str, variant: str, params: dict, needs: Iterable[str]) -> None:
    """Refuse params that lack one that is needed, or of which one is of another kind.

    Args:
        where: they stand.

    Raises:
        DamagedFile: it names the place and the key.
    """
    for key, value in params.items():
        if key in OPTIONS and not (isinstance(value, dict) and texts(value)):
            raise DamagedFile(f"{where}: {key} of {variant} is {value!r}, no dict; list its options")
    for key in needs:
        if key not in params:
            raise DamagedFile(f"{where}: {variant} has no key {key!r}; add it there, or to the variant")
    if params.get("precision", "f32") not in ("f32", "bf16"):
        raise DamagedFile(f"{where}: precision of {variant} is {params['precision']!r}; choose f32 or bf16")
    for key, part in parts(params).items():
        for of, options in part.items():
            if of in OPTIONS and isinstance(options, dict):
                check_counts(f"{where}, {key}{of} of {variant}", options)
        try:
            Release(**part.get("release", {}))
        except (TypeError, ValueError) as error:
            raise DamagedFile(f"{where}: release of {variant}: {error}; mend it") from None


def parts(params: dict) -> dict[str, dict]:
    """Params, and those among them that have params of their own, by the beginning of a key's full name."""
    return {"": params} | {f"{key}.": own for key, own in params.items() if isinstance(own, dict)}


def plan(
    chapter: str,
    source: str,
    profile: str = "quick",
    protocol: str | None = None,
    variant: str | None = None,
    fold: int | str | None = None,
    seed: int | str = 0,
    strict: bool = True,
) -> dict[Run, dict]:
    """What one call measures: each run and its params.

    Args:
        fold, seed: may be text, as from papermill and the command line.
        protocol, variant, fold: only these; None: all. A variant that is asked for runs with any seed.
        strict: a damaged clip is an error; else it is left out, which the params then say.

    Raises:
        ValueError: no preset for this source, profile, protocol or fold; a seed that no variant has; or a
            preset that lacks a key. The sentence names file and key.
    """
    content, file = load(chapter), f"companion/experiments/{chapter}.yaml"
    if profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}; choose one of {', '.join(PROFILES)}")
    presets = content["presets"]
    if source not in presets.get(profile, {}):
        there = ", ".join(f"{s} in {p}" for p, sources in presets.items() for s in sources)
        raise ValueError(
            f"{chapter} has no preset for source {source!r} in profile {profile!r}; {file} has {there}"
        )
    known = presets[profile][source]
    if protocol is not None and protocol not in known:
        raise ValueError(f"unknown protocol {protocol!r} of {chapter}; choose one of {', '.join(known)}")
    if not strict and content.get("whole"):
        raise ValueError(f"nothing can be left out of the data of {chapter}; run it strictly")
    seed, fold = number("seed", seed), fold if fold is None else number("fold", fold)
    chosen = {}
    for name in [protocol] if protocol else known:
        where = f"{file}, presets.{profile}.{source}.{name}"
        for which in [variant] if variant else variants(known[name], where):
            params, folds, seeds = numbers(known[name], which, where)
            if not strict:
                params = params | {"data": {**params.get("data", {}), "strict": False}}
            listed(where, which, params, content)
            if fold is not None and not 0 <= fold < folds:
                raise ValueError(f"unknown fold {fold} of {name}; choose one of 0 to {folds - 1}")
            if variant or seeds is None or seed < seeds:
                for one in range(folds) if fold is None else [fold]:
                    run = Run(content["notebook"], source, profile, name, which, one, seed)
                    chosen[run] = {key: deepcopy(value) for key, value in params.items()}  # aliases part
    if not chosen:
        raise ValueError(f"no variant of {source} in {profile} has a seed {seed}; choose a smaller one")
    return chosen


def number(name: str, value: object) -> int:
    """A seed or fold, which papermill and the command line may give as text.

    Raises:
        ValueError: it is no whole number from 0.
    """
    if isinstance(value, bool) or not str(value).isdecimal() or int(str(value)) >= 2**32:
        raise ValueError(f"{name} is {value!r}; give a whole number from 0")
    return int(str(value))


def check_options(where: str, given: object, call: Callable, *own: str) -> None:
    """Refuse options that a call does not take, or that lack one that it needs.

    Options are its keyword-only parameters and those that have a default.

    Args:
        where: file and key of the options.
        own: what the experiment gives the call itself.

    Raises:
        ValueError: no dict; an unknown or missing option; a text where a number must be.
    """
    if not isinstance(given, dict):
        raise DamagedFile(f"{where} is {given!r}, no dict; list its options")
    known = {
        name: parameter.default is parameter.empty
        for name, parameter in parameters(call).items()
        if name not in own
        and (parameter.kind is parameter.KEYWORD_ONLY or parameter.default is not parameter.empty)
    }
    check_counts(where, given)
    for name, value in given.items():
        if name not in known:
            choice = f"choose one of {', '.join(known)}" if known else "leave it out"
            raise DamagedFile(f"{where}: unknown key {name!r}; {choice}")
        if not fits(value, hint := parameters(call)[name].annotation):
            raise DamagedFile(f"{where}: {name} is {value!r}; give {inspect.formatannotation(hint)}")
    for name, needed in known.items():
        if needed and name not in given:
            raise DamagedFile(f"{where} has no key {name!r}; add it there")


def fits(value: object, hint: Any) -> bool:
    """Is it what an annotation says? (Of a list beartype looks at one item, so each is shown by itself.)"""
    each = [[one] for one in value] if isinstance(value, list) and value else [value]
    return hint is inspect.Parameter.empty or all(is_bearable(one, hint, conf=FLOAT) for one in each)


def check_part(run: Run, part: str, given: object, call: Callable, *own: str) -> None:
    """The same, of a part of a run's params."""
    check_options(f"companion/experiments/{run.chapter}.yaml, {part} of {run.variant}", given, call, *own)


def check_counts(where: str, given: dict) -> None:
    """Refuse options of `COUNTED` that are no such numbers."""
    for name in COUNTED.keys() & given.keys():
        (kind, low), value = COUNTED[name], given[name]
        if not between(value, low, 10**9) or not isinstance(value, kind | int):
            raise DamagedFile(f"{where}: {name} is {value!r}; give a number such as 40 or 0.003")


def parameters(call: Callable) -> dict[str, inspect.Parameter]:
    """Of a call; of a class that hands others on, also those of the class above it."""
    found = dict(inspect.signature(call).parameters)
    handed = [name for name, one in found.items() if one.kind is one.VAR_KEYWORD]
    if isinstance(call, type) and handed:
        return parameters(call.__mro__[1]) | {name: found[name] for name in found if name not in handed}
    return found


def variants(preset: object, where: str) -> dict:
    """The variants of a protocol, at least one, each with params of its own or none."""
    found = preset.get("variants") if isinstance(preset, dict) else None
    if not isinstance(found, dict) or not found or not texts(found):
        raise DamagedFile(f"{where}: key 'variants' is missing, empty or no dict of names; list at least one")
    for name, own in found.items():
        if not isinstance(own, dict | None):
            raise DamagedFile(f"{where}: variant {name!r} is {own!r}, no dict; list its params, or nothing")
    return found


def numbers(preset: dict, variant: str, where: str) -> tuple[dict, int, int | None]:
    """The params of a variant, and how many folds and seeds it is run with (None: any)."""
    own = preset | (variants(preset, where).get(variant) or {})
    for key in ("folds", "seeds"):
        value = own.get(key, 1)
        if not isinstance(value, int) or not between(value, 1, 1000):
            raise DamagedFile(
                f"{where}: {key} of {variant} is {value!r}; give a whole number from 1, or none"
            )
    if own.get("fixed", False) is not False and (own["fixed"] is not True or own.get("seeds") != 1):
        raise DamagedFile(f"{where}: fixed of {variant} is {own['fixed']!r}; say true, with seeds: 1")
    if not isinstance(own.get("chosen", ""), str):
        raise DamagedFile(f"{where}: chosen of {variant} is {own['chosen']!r}; say it in words")
    params = {key: value for key, value in own.items() if key not in BESIDE}
    return params, own.get("folds", 1), own.get("seeds")


def seeds(chapter: str, source: str, profile: str) -> int | float:
    """With how many seeds the variants of a source are run at most."""
    protocols = load(chapter)["presets"][profile][source]
    every = [
        numbers(preset, variant, protocol)[2]
        for protocol, preset in protocols.items()
        for variant in variants(preset, protocol)
    ]
    return max(float("inf") if number is None else number for number in every)


def preset(run: Run) -> tuple[dict, int, int | None, str] | None:
    """What a run's preset says now: params, folds, seeds and where it was chosen; None if there is none.

    A variant that the preset does not list has none.
    """
    chapter = run.chapter
    if chapter not in chapters():
        return None
    protocols = load(chapter)["presets"].get(run.profile, {}).get(run.source, {})
    where = f"{chapter}.yaml, presets.{run.profile}.{run.source}.{run.protocol}"
    if run.protocol not in protocols or run.variant not in variants(protocols[run.protocol], where):
        return None
    found = protocols[run.protocol]
    own = found["variants"][run.variant] or {}
    return *numbers(found, run.variant, where), (found | own).get("chosen", "")


def fixed(run: Run) -> bool:
    """Does a run's preset say that nothing of it is drawn?"""
    if preset(run) is None:
        return False
    listed = load(run.chapter)["presets"][run.profile][run.source][run.protocol]
    return (listed["variants"][run.variant] or {}).get("fixed", False)


def code(run: Run) -> dict[str, str]:
    """What makes a run's numbers: the code of its experiment, of training, and of what reads its source.

    The simulator is not in it: its code is in the fingerprint of its releases.
    """
    modules = [f"companion.experiments.{run.chapter}", "companion.training"]
    listed = preset(run)
    sources = [run.source, *(["simulated"] if listed and "release" in listed[0].get("before", {}) else [])]
    modules += [f"companion.formats.{SKELETONS[name]}" for name in sources if name in SKELETONS]
    return closure(*modules, without="companion.simulator")


def tolerance(chapter: str, metric: str) -> float:
    """By how much a metric may differ in a record that is made again; the longest name that fits counts."""
    known = load(chapter)["tolerances"]
    fits = [name for name in known if metric.startswith(name)]
    return float(known[max(fits, key=len)]) if fits else 0.0


def claimed(chapter: str) -> list[str]:
    """The metrics that claims of a chapter use: of these a record keeps the score of each unit."""
    return sorted({metric for claim in load(chapter)["claims"] for _, _, metric in claim["terms"]})
