"""Published beside reproduced: tables built from run records and `results/published/*.csv` only.

A published table has one row a (method, dataset, protocol, metric). Its column `record` names the
records that reproduce the row, `<notebook>/<source>/<profile>/<protocol>/<variant>`; empty where
nothing does yet. A number may stand there twice, the second time with the records of the protocol's
strict form, `<protocol>-strict`. What was measured and stands beside no published number, such as everything
on embedded or generated data, goes into one table a notebook, with its source.

Every number carries its caveats. Some are computed: seeds or folds that lack, records that are old, of other
params than the rest, or made from different copies of the data. The others stand in the chapter's file in
`companion/experiments`, under `caveats`:

    says: pretrained on simulated clips           what a reader must know
    where: {variant: [pose-convnet-transfer]}     of which runs: lists of sources, protocols, variants ...
    above: lstm       if it is there: only while this variant reads more than what was published, {published};
                      `says` may hold what it reads, {above}
"""

import csv
import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pandas as pd

from companion import claims as statements
from companion import lecture, presets, records
from companion.claims import precision
from companion.files import checkout, write_whole
from companion.simulator import release

RESULTS = checkout() / "results"
SOURCES = {  # dataset of a published row -> source of the records that may stand beside it
    "MNIST": "mnist",
    "NTU RGB+D": "ntu",
    "SBU Kinect Interaction": "sbu",
    "MSR Daily Activity 3D": "msr_daily",
    "N-UCLA": "nucla",
    "PASCAL VOC 2007": "voc2007",
    "DAQUAR": "daquar",
}
DRAWN = ("simulated", "scenes", "still_lifes", "rooms")  # sources that a run draws from its seed
MODALITIES = ("pose", "rgb", "depth")
PUBLISHED = "paper table slide method pose rgb depth dataset protocol metric published record note".split()
NUMBER = "paper table method dataset protocol metric".split()  # of a published one
MADE = "precision device commit old caveat".split()
BESIDE = [*NUMBER, *"published reproduced sd n source".split(), *MADE, "note"]
MEASURED = [*"source profile protocol variant metric mean sd n".split(), *MADE]
CLAIMS = (
    "claim notebook source profile protocol rule effect low high unit_low unit_high n units least matters"
    " verdict kind control by_construction old"
).split()
FINE = 1  # of claims in which less would matter, numbers have more decimals
HEADS = {  # of claims, for readers
    "claim": "claim", "data": "data", "effect": "effect", "over_seeds": "95 %, seeds",
    "over_units": "95 %, test set", "matters": "would matter", "n": "seeds", "units": "units",
    "rule": "rule", "kind": "kind", "verdict": "verdict", "aged": "records",
}  # fmt: skip
NAME = "notebook source profile protocol variant".split()  # of a record, but for fold and seed


def fault(column: str, cell: str, row: dict[str, str]) -> str:
    """What is wrong with one cell of a published table; empty if nothing is."""
    if cell != cell.strip():
        return f"{cell!r} begins or ends with a blank"
    if column == "note" or (column == "record" and not cell):
        return ""
    if not cell:
        return "the cell is empty"
    if column in MODALITIES and cell not in ("0", "1"):
        return f"{cell!r} is neither 0 nor 1"
    if column == "dataset" and cell not in SOURCES:
        return f"unknown dataset {cell!r}; choose one of {', '.join(SOURCES)}"
    if column in ("protocol", "metric") and not re.fullmatch(r"\w[\w.+-]*", cell):
        return f"{cell!r} cannot be part of a file name; use letters, digits, . + - _"
    if column == "published":
        if not re.fullmatch(r"-?\d+(\.\d\d?)?", cell):
            return f"{cell!r} is not a number of at most two decimals"
        if row["metric"] in ("accuracy", "error") and not 0 <= float(cell) <= 100:
            return f"{cell} is no percentage"
    if column == "record":
        if cell.count("/") != len(NAME) - 1:
            return f"{cell!r} is not notebook/source/profile/protocol/variant"
        try:
            run = records.Run.named(cell)
        except ValueError as error:
            return str(error)
        if run.profile == "quick":
            return "records of the profile quick are not committed"
        if run.source != SOURCES[row["dataset"]]:
            return f"source {run.source!r} is not {row['dataset']}"
        if run.protocol.removesuffix("-strict") != row["protocol"]:
            return f"protocol {run.protocol!r} is not the row's {row['protocol']!r}"
    return ""


def read_published(path: Path) -> pd.DataFrame:
    """One published table, checked; `published` is a number, everything else text."""
    try:
        lines = csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline=""), strict=True)
        table = [(lines.line_num, cells) for cells in lines]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not CSV in UTF-8 ({error})") from None
    rows, seen, printed = [], set(), {}
    for line, cells in table:
        where = f"{path}, row {line}, column"
        if line == 1:
            for column, cell in zip(PUBLISHED, cells, strict=False):
                if cell != column:
                    raise ValueError(f"{where} {column!r}: the header says {cell!r}")
        if len(cells) != len(PUBLISHED):
            column = PUBLISHED[min(len(cells), len(PUBLISHED) - 1)]
            raise ValueError(f"{where} {column!r}: {len(cells)} cells, not {len(PUBLISHED)}; quote commas")
        if line == 1:
            continue
        row: dict[str, str] = dict(zip(PUBLISHED, cells, strict=True))
        for column, cell in row.items():
            if wrong := fault(column, cell, row):
                raise ValueError(f"{where} {column!r}: {wrong}")
        key = tuple(row[column] for column in ("method", "dataset", "protocol", "metric"))
        strict = "-strict/" in row["record"]
        if (*key, strict) in seen:
            raise ValueError(f"{where} 'method': {', '.join(key)} stands there twice")
        if printed.setdefault(key, row["published"]) != row["published"]:
            raise ValueError(f"{where} 'published': {row['published']} is {printed[key]} in a row above")
        seen.add((*key, strict))
        rows.append(row | {"published": float(row["published"])})
    if not rows:
        raise ValueError(f"{path}, row 2, column 'paper': the table has no rows")
    return pd.DataFrame(rows, columns=PUBLISHED)


def published(folder: str | Path = RESULTS / "published") -> dict[str, pd.DataFrame]:
    """The published tables by name.

    Raises:
        ValueError: a malformed table; the sentence names file, row (line of the file) and column.
    """
    return {path.stem: read_published(path) for path in sorted(Path(folder).glob("*.csv"))}


def joined(words: Sequence[str]) -> str:
    """The different words, sorted."""
    return ", ".join(sorted({word for word in words if word}))


def commit(provenance: dict) -> str:
    """Seven digits, marked as git marks them where tracked files had been changed; empty outside git."""
    short = (provenance.get("commit") or "")[:7]
    return f"{short}-dirty" if short and provenance.get("dirty") else short


def kept(runs: str | Path = RESULTS / "runs") -> Iterator[tuple[Path, dict]]:
    """The records of a folder, with their files."""
    for path in sorted(Path(runs).rglob("*.json")):
        yield path, records.read(path)


def old(record: dict) -> list[str]:
    """Why a record does not stand with today's params and code; empty if it does.

    Data are not looked at, but for a simulated release, whose fingerprint is known before it is written.
    """
    run = records.Run(**record["run"])
    if run.chapter not in presets.chapters():
        file = f"companion/experiments/{run.chapter}.py"
        return [f"its chapter {file} is gone: delete {run.path().name}, or bring the chapter back"]
    preset = presets.preset(run)
    if preset is None:
        return ["no preset lists it"]
    data = None
    if run.source == "simulated":
        asked = preset[0].get("release")
        made = release.Release(**{"seed": run.seed} | asked) if asked else release.SKELETONS
        data = {"simulated": release.key(made)}
    return records.standing(record, preset[0], presets.code(run), data)


def ages(reasons: Sequence[list[str]]) -> str:
    """How many of some records are old, if some are not, and why; from what `old` says of each."""
    number, why = sum(map(bool, reasons)), joined([reason for own in reasons for reason in own])
    return f"{number} of {len(reasons)} records {why}" if 0 < number < len(reasons) else why


def stale(runs: str | Path = RESULTS / "runs") -> list[str]:
    """For a terminal: of each folder how many records are old, and why."""
    total, found = Counter(), defaultdict(Counter)
    for path, record in kept(runs):
        folder = path.parent.relative_to(runs).as_posix()
        total[folder] += 1
        found[folder][", ".join(old(record))] += 1
    return [
        f"{folder}: {number} of {total[folder]} records are old: {why}"
        for folder, reasons in found.items()
        for why, number in reasons.items()
        if why
    ]


def caveats(run: records.Run) -> list[dict]:
    """The entries of its chapter's file that are about a run.

    Raises:
        ValueError: an entry lacks a key, or names no field of a run, or no list.
    """
    found, about, file = [], vars(run), f"companion/experiments/{run.chapter}.yaml, caveats"
    listed = presets.load(run.chapter).get("caveats", []) if run.chapter in presets.chapters() else []
    for caveat in listed:
        for key, kind in (("where", dict), ("says", str)):
            if not isinstance(caveat, dict) or not isinstance(caveat.get(key), kind):
                raise ValueError(f"{file}: key {key!r} of {caveat!r} is missing or no {kind.__name__}")
        for field, names in caveat["where"].items():
            if field not in about or not isinstance(names, list):
                raise ValueError(f"{file}: {field}: {names!r} is no list of sources, protocols or variants")
        if all(about[field] in names for field, names in caveat["where"].items()):
            found.append(caveat)
    return found


def said(run: records.Run) -> list[str]:
    """What a reader must know of a run's numbers, whatever was published."""
    return [caveat["says"] for caveat in caveats(run) if "above" not in caveat]


def remarks(row: Mapping, means: Mapping[Any, float]) -> str:
    """The caveats of a published row: those of its records, and what explains it other than its method.

    Args:
        means: (record, metric) -> mean.
    """
    if not row["record"]:
        return ""
    run = records.Run.named(row["record"])
    if pd.isna(row["n"]):
        return "; ".join(["not yet measured", *said(run)])
    words, folder = [row["caveat"]], row["record"].rpartition("/")[0]
    for caveat in caveats(run):
        above = means.get((f"{folder}/{caveat.get('above')}", row["metric"]))
        if above is not None and above > row["published"]:
            words.append(caveat["says"].format(above=f"{above:.1f}", published=f"{row['published']:g}"))
    return "; ".join(filter(None, words))


def measured(runs: str | Path = RESULTS / "runs") -> pd.DataFrame:
    """Mean and sd over seeds of every metric in the records, one row a (variant, metric, precision).

    The folds of a seed are averaged first; a seed that lacks a fold which the protocol has is left
    out. `n` counts seeds; `sd` divides by n - 1 and is empty where there is one seed. Where no seed is whole
    there is no mean, and the caveat says what is there. Records of other params than the preset's are left
    out; where none has these, those of other params than the most frequent ones.

    Raises:
        ValueError: a malformed record.
    """
    groups: dict[tuple, list] = defaultdict(list)
    for _, record in kept(runs):
        groups[*(record["run"][key] for key in NAME), precision(record)].append(record)
    rows = []
    for (*name, made_in), found in groups.items():
        run = records.Run(*name)
        its = statements.alike(run, found)
        left = len(found) - len(its)
        mixed = [f"{left} records of other params left out"] if left else []
        if copies(its) > 1:
            mixed += [f"made from {copies(its)} different copies of the data"]
        provenance = [record["provenance"] for record in its]
        row = dict(zip(NAME, name, strict=True)) | {
            "precision": made_in,
            "device": joined([one.get("device") or "" for one in provenance]),
            "commit": joined([commit(one) for one in provenance]),
            "old": ages([old(record) for record in its]),
        }
        read = ["evaluated in bf16"] if made_in == "bf16" and any("counts" not in r for r in its) else []
        for metric in sorted({metric for record in its for metric in record["metrics"]}):
            over, lacking = averaged(run, metric, its)
            row["caveat"] = "; ".join([*lacking, *mixed, *said(run), *read])
            rows.append(row | {"metric": metric} | over)
    columns = ["notebook", *MEASURED]
    return pd.DataFrame(rows, columns=columns).sort_values([*NAME, "metric", "precision"], ignore_index=True)


def copies(its: Sequence[dict]) -> int:
    """From how many different data the records of one fold were made, at most; 0 where that is not known."""
    found: dict[int, set] = defaultdict(set)
    for record in its:
        run, provenance = record["run"], record["provenance"]
        if "chosen" in provenance and run["source"] not in DRAWN:
            found[run["fold"]].add(json.dumps(provenance.get("data"), sort_keys=True))
    return max(map(len, found.values()), default=0)


def folds_of(run: records.Run) -> int:
    """Of the run's protocol, which a variant that no preset lists has as well."""
    if run.chapter not in presets.chapters():
        return 1
    protocols = presets.load(run.chapter)["presets"].get(run.profile, {}).get(run.source, {})
    return protocols.get(run.protocol, {}).get("folds", 1)


def averaged(run: records.Run, metric: str, its: Sequence[dict]) -> tuple[dict, list[str]]:
    """Mean, sd and number of the whole seeds of a variant, and what lacks."""
    values: dict[int, dict[int, float]] = defaultdict(dict)
    for record in its:
        if metric in record["metrics"]:
            values[record["run"]["seed"]][record["run"]["fold"]] = record["metrics"][metric]
    preset = presets.preset(run)
    folds = max(folds_of(run), 1 + max(fold for own in values.values() for fold in own))
    whole = [mean(own.values()) for own in values.values() if len(own) == folds]
    over = {
        "mean": round(mean(whole), 4) if whole else None,
        "sd": round(stdev(whole), 4) if len(whole) > 1 else None,
        "n": len(whole),
    }
    if not whole:
        return over, [f"incomplete: {max(map(len, values.values()))} of {folds} folds"]
    planned = preset[2] if preset and preset[2] else len(whole)
    return over, [f"{len(whole)} of {planned} seeds"] if len(whole) < planned else []


def frame(notebook: str, profile: str, runs: str | Path = RESULTS / "runs") -> pd.DataFrame:
    """The records of one notebook and profile, one row each: what was run, the seconds, and its metrics."""
    kept = [records.read(path) for path in sorted((Path(runs) / notebook).glob(f"*/{profile}/*/*.json"))]
    columns = ["source", "protocol", "variant", "fold", "seed"]
    rows = [
        {c: r["run"][c] for c in columns} | {"seconds": r["provenance"]["seconds"]} | r["metrics"]
        for r in kept
    ]
    return pd.DataFrame(rows, columns=None if rows else columns)


def contrast(
    have: pd.DataFrame,
    notebook: str,
    variants: Sequence[str],
    metrics: Sequence[str],
    protocol: str,
    profile: str = "full",
    runs: str | Path = RESULTS / "runs",
    source: str = "simulated",
    digits: int = 1,
) -> pd.DataFrame:
    """Some variants side by side, in this order: n, mean ± sd of each metric, and what the mean run costs.

    `cost` is `multiply_adds`, in millions, where records tell it, and `minutes` is the time of a run: reading
    or making the data, training and testing.
    Records that do not stand and variants without any, or without a seed of which all folds are there, are
    left out.

    Args:
        have: what `measured` gives of the same runs.
    """
    place = {"notebook": notebook, "source": source, "profile": profile, "protocol": protocol, "old": ""}
    rows = have[(have[[*place]] == pd.Series(place)).all(axis=1) & have["variant"].isin(variants)]
    rows = rows[rows["n"] > 0]
    if rows.empty:
        return pd.DataFrame(columns=["n", *metrics, "cost", "minutes"])
    spread = [f" ± {sd:.{digits}f}" if pd.notna(sd) else "" for sd in rows["sd"]]
    told = rows.assign(told=[f"{mean:.{digits}f}{sd}" for mean, sd in zip(rows["mean"], spread, strict=True)])
    table = told.pivot_table(index="variant", columns="metric", values="told", aggfunc="first")
    every = frame(notebook, profile, runs)
    every = every[(every["protocol"] == protocol) & (every["source"] == source)]
    costs = every.reindex(columns=["variant", "multiply_adds", "seconds"]).groupby("variant").mean()
    table = table.reindex(columns=list(metrics))
    if costs["multiply_adds"].notna().any():
        table = table.assign(cost=costs["multiply_adds"].round(1))
    table = table.assign(minutes=(costs["seconds"] / 60).round(1))
    table.insert(0, "n", rows.groupby("variant")["n"].first())
    return table.reindex([variant for variant in variants if variant in table.index])


def build(results: str | Path = RESULTS) -> dict[str, pd.DataFrame]:
    """All tables of a folder that has `runs` and `published`, by name."""
    return compared(results) | {"claims": claims(Path(results) / "runs")}


def compared(results: str | Path = RESULTS) -> dict[str, pd.DataFrame]:
    """The same without the claims.

    A published table keeps its name and its rows, with what reproduces each beside it; the rest of
    what was measured goes into tables that are named as their notebooks.
    """
    results = Path(results)
    have = measured(results / "runs")
    have["record"] = have[NAME].agg("/".join, axis=1) if len(have) else ""
    key = ["record", "metric"]
    asked = have["precision"] == have["record"].map({name: wanted(name) for name in have["record"].unique()})
    best = have[asked | ~have.assign(asked=asked).groupby(key)["asked"].transform("any")]
    best = best.drop_duplicates(key)  # one row never mixes precisions
    means = best.set_index(key)["mean"].dropna().to_dict()
    tables, shown = {}, pd.Index([], dtype=int)
    for name, rows in published(results / "published").items():
        beside = rows.merge(best.reset_index().drop(columns="protocol"), how="left", on=key)
        shown = shown.union(pd.Index(beside["index"].dropna().astype(int)))
        beside = beside.rename(columns={"mean": "reproduced"})
        beside["caveat"] = [remarks(row, means) for row in beside.to_dict("records")]
        tables[name] = beside[BESIDE].astype({"reproduced": float, "sd": float, "n": "Int64"})
    for notebook, rows in have.drop(shown).groupby("notebook"):
        tables[notebook] = rows[MEASURED].astype({"mean": float, "sd": float}).reset_index(drop=True)
    return tables


def wanted(record: str) -> str:
    """The precision that the preset of `<notebook>/<source>/<profile>/<protocol>/<variant>` asks for."""
    preset = presets.preset(records.Run.named(record))
    return preset[0].get("precision", "f32") if preset else "f32"


def claims(runs: str | Path = RESULTS / "runs", notebook: str = "") -> pd.DataFrame:
    """The lecture's statements, or those of one notebook, tested: one row each, see `companion.claims`.

    Raises:
        ValueError: no chapter has that notebook.
    """
    said_in = {said.notebook for said in statements.statements()}
    if notebook and notebook not in said_in:
        raise ValueError(f"no claims of {notebook!r}; choose one of {', '.join(sorted(said_in))}")
    found, rows = [record for _, record in kept(Path(runs) / notebook)], []
    age = {id(record): old(record) for record in found}
    for said in statements.statements():
        if notebook not in ("", said.notebook):
            continue
        its = statements.used(said, found)
        row = statements.test(said, its)
        cells, _ = statements.complete(said, its)
        read = [record for by in cells.values() for record in by.values()]
        number = sum(bool(age[id(record)]) for record in read)
        if 0 < number < len(read):
            row["verdict"] += f"; {number} of {len(read)} records old"
        rows.append(row | {"old": ages([age[id(record)] for record in read or its])})
    numbers = "effect low high unit_low unit_high least matters".split()
    kinds = dict.fromkeys(numbers, float) | {"n": int, "units": "Int64"}
    table = pd.DataFrame(rows, columns=CLAIMS).astype(kinds)
    return table.round(4).where(table["matters"].abs() < FINE, table.round(2)).astype(kinds)


def text(table: pd.DataFrame) -> str:
    """A table as CSV, the same bytes for the same numbers."""
    return table.to_csv(index=False, lineterminator="\n")


def write(built: Mapping[str, pd.DataFrame], results: str | Path = RESULTS) -> list[Path]:
    """Write `<results>/tables/*.csv` anew and remove those that nothing gives any more; the files."""
    folder = Path(results) / "tables"
    files = [write_whole(folder / f"{name}.csv", text(table)) for name, table in built.items()]
    for path in set(folder.glob("*.csv")) - set(files):
        path.unlink()
    return files


def side_by_side(built: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """All rows of the published tables among the built ones."""
    return pd.concat([pd.DataFrame(columns=BESIDE), *(t for t in built.values() if "published" in t)])


def reproduced(built: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The rows of those published numbers that have a record, whole or not."""
    rows = side_by_side(built)
    return rows[rows.groupby(NUMBER)["n"].transform("max").notna()]


def coverage(built: Mapping[str, pd.DataFrame]) -> str:
    """How many of the published numbers have a reproduction, in a sentence."""
    there = side_by_side(built).groupby(NUMBER)["reproduced"].count() > 0
    return f"{there.sum()} of {len(there)} published numbers are reproduced here."


def rounded(metric: str, value: float) -> str:
    """For readers: an accuracy with one decimal, anything else with two; empty where there is none."""
    return "" if pd.isna(value) else f"{value:.{1 if metric == 'accuracy' else 2}f}"


def printed(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of `reproduced` with heads and numbers for readers, and all that must stand beside them."""
    why = [f"old: {reasons}" if isinstance(reasons, str) and reasons else "" for reasons in rows["old"]]
    both = zip(rows["caveat"], why, strict=True)
    columns = {
        "method": rows["method"],
        "data, protocol": rows["dataset"] + ", " + rows["protocol"],
        "metric": rows["metric"] + ", %",
        "published": rows["published"].map("{:g}".format),
        "reproduced (mean)": [*map(rounded, rows["metric"], rows["reproduced"])],
        "sd": [*map(rounded, rows["metric"], rows["sd"])],
        "seeds": rows["n"].map(lambda n: "" if pd.isna(n) else f"{n}"),
        "caveat": ["; ".join(filter(None, words)) for words in both],
    }
    return pd.DataFrame(columns)


def printed_claims(claims: pd.DataFrame) -> pd.DataFrame:
    """Claims with heads and numbers for readers, and whether some of their records are old.

    Numbers have one decimal, or three where less than one would matter: bits, areas under curves.
    """
    places = [3 if abs(matters) < FINE else 1 for matters in claims["matters"]]

    def written(column: str) -> list[str]:
        values = zip(claims[column], places, strict=True)
        # plus zero, or what is rounded to zero from below prints as -0.0
        return ["" if pd.isna(one) else f"{round(one, digits) + 0.0:.{digits}f}" for one, digits in values]

    def between(low: str, high: str) -> list[str]:
        ends = zip(written(low), written(high), strict=True)
        return [f"{one} to {other}" if one or other else "" for one, other in ends]

    shown = claims.assign(
        data=claims["source"] + ", " + claims["protocol"],
        effect=written("effect"),
        over_seeds=between("low", "high"),
        over_units=between("unit_low", "unit_high"),
        matters=written("matters"),
        units=["" if pd.isna(units) else units for units in claims["units"]],
        aged=["old" if why else "" for why in claims["old"]],
    )
    return shown[[*HEADS]].rename(columns=HEADS).set_index("claim")


def show(built: Mapping[str, pd.DataFrame]) -> str:
    """For a terminal: how much of the published tables is reproduced, those rows, and the claims."""
    lines = [coverage(built)]
    lines += [
        f"{name}: {table['reproduced'].notna().sum()} of {len(table)} rows"
        for name, table in built.items()
        if "published" in table
    ]
    beside = printed(reproduced(built))
    if len(beside):
        lines += ["", beside.to_string(index=False)]
    tested = built["claims"][~built["claims"]["verdict"].str.startswith("incomplete: 0 of")]
    if len(tested):
        shown = printed_claims(tested).drop(columns="rule")
        lines += ["", shown.to_string()]
        lines += ["", statements.together(built["claims"]["kind"].tolist())]
    return "\n".join(lines)


def readme(page: str, built: Mapping[str, pd.DataFrame]) -> str:
    """The README with its slide map and its reproduced rows made anew."""
    rows = printed(reproduced(built))
    lines = [[*rows.columns], ["---"] * len(rows.columns), *rows.values.tolist()]
    table = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    blocks = {"slide map": lecture.slide_map(), "reproduced": f"{coverage(built)}\n\n{table}"}
    for name, text in blocks.items():
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        if page.count(start) != 1 or page.count(end) != 1:
            raise ValueError(f"README.md must hold the lines {start.strip()} and {end} once")
        page = page[: page.index(start)] + start + text + page[page.index(end) :]
    return page
