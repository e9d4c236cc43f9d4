"""Published beside reproduced: tables built from run records and `results/published/*.csv` only.

A published table has one row a (method, dataset, protocol, metric). Its column `record` names the
records that reproduce the row, `<notebook>/<source>/<profile>/<protocol>/<variant>`; empty where
nothing does yet. What was measured and stands beside no published number, such as everything on
embedded or generated data, goes into one table a notebook, with its source.
"""

import csv
import io
import re
from pathlib import Path

import pandas as pd

from companion import lecture, records
from companion.claims import at_chance, claim
from companion.files import REPOSITORY, fingerprint, write_whole

RESULTS = REPOSITORY / "results"
SOURCES = {  # dataset of a published row -> source of the records that may stand beside it
    "MNIST": "mnist",
    "NTU RGB+D": "ntu",
    "SBU Kinect Interaction": "sbu",
    "MSR Daily Activity 3D": "msr_daily",
    "N-UCLA": "nucla",
}
SEEDS = 5  # behind a claim
MODALITIES = ("pose", "rgb", "depth")
PUBLISHED = "paper table slide method pose rgb depth dataset protocol metric published record note".split()
BESIDE = (
    "paper table method dataset protocol metric published reproduced sd n source device commit note".split()
)
MEASURED = "source profile protocol variant metric mean sd n device commit".split()
CLAIMS = "claim notebook source profile protocol effect low high least n holds".split()
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
        parts = cell.split("/")
        if len(parts) != len(NAME):
            return f"{cell!r} is not notebook/source/profile/protocol/variant"
        try:
            run = records.Run(*parts)
        except ValueError as error:
            return str(error)
        if run.profile == "quick":
            return "records of the profile quick are not committed"
        if run.source != SOURCES[row["dataset"]]:
            return f"source {run.source!r} is not {row['dataset']}"
        if run.protocol != row["protocol"]:
            return f"protocol {run.protocol!r} is not the row's {row['protocol']!r}"
    return ""


def read_published(path: Path) -> pd.DataFrame:
    """One published table, checked; `published` is a number, everything else text."""
    try:
        lines = csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline=""), strict=True)
        table = [(lines.line_num, cells) for cells in lines]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not CSV in UTF-8 ({error})") from None
    rows, seen = [], set()
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
        row = dict(zip(PUBLISHED, cells, strict=True))
        for column, cell in row.items():
            if wrong := fault(column, cell, row):
                raise ValueError(f"{where} {column!r}: {wrong}")
        key = tuple(row[column] for column in ("method", "dataset", "protocol", "metric"))
        if key in seen:
            raise ValueError(f"{where} 'method': {', '.join(key)} stands there twice")
        seen.add(key)
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


def joined(words: pd.Series) -> str:
    """The different words of a column."""
    return ", ".join(sorted({part for word in words for part in word.split(", ") if part}))


def commit(provenance: dict) -> str:
    """Seven digits, marked as git marks them where tracked files had been changed; empty outside git."""
    short = (provenance.get("commit") or "")[:7]
    return f"{short}-dirty" if short and provenance.get("dirty") else short


def measured(runs: str | Path = RESULTS / "runs") -> pd.DataFrame:
    """Mean and sd over seeds of every metric in the records, one row a (variant, metric).

    The folds of a seed are averaged first; a seed that lacks a fold which the protocol has is left
    out. `n` counts seeds; `sd` divides by n - 1 and is empty where there is one seed.

    Raises:
        ValueError: a malformed record, or seeds or folds that were made with different params.
    """
    rows, params = [], {}
    for path in sorted(Path(runs).rglob("*.json")):
        record = records.read(path)
        run, provenance = record["run"], record["provenance"]
        first, known = params.setdefault(path.parent / run["variant"], (path, record["params"]))
        if known != record["params"]:
            raise ValueError(f"{path} and {first.name} have different params; run the older one again")
        for metric, value in record["metrics"].items():
            device = " ".join(filter(None, (provenance.get("device"), provenance.get("precision"))))
            made_on = {"device": device, "commit": commit(provenance)}
            rows.append(run | {"metric": metric, "value": value} | made_on)
    if not rows:
        return pd.DataFrame(columns=["notebook", *MEASURED])
    frame = pd.DataFrame(rows)
    key = [*NAME, "metric"]
    folds = frame.groupby([*key, "seed"])["fold"].transform("nunique")
    whole = frame[folds == frame.groupby(NAME[:-1])["fold"].transform("nunique")]
    text = {"device": ("device", joined), "commit": ("commit", joined)}
    seeds = whole.groupby([*key, "seed"]).agg(value=("value", "mean"), **text)
    over = {"mean": ("value", "mean"), "sd": ("value", "std"), "n": ("value", "size")}
    return seeds.groupby(key).agg(**over, **text).round(2).reset_index()[["notebook", *MEASURED]]


def frame(notebook: str, profile: str, runs: str | Path = RESULTS / "runs") -> pd.DataFrame:
    """The records of one notebook and profile, one row each: what was run, and its metrics."""
    kept = [records.read(path) for path in sorted((Path(runs) / notebook).glob(f"*/{profile}/*/*.json"))]
    columns = ["source", "protocol", "variant", "fold", "seed"]
    rows = [{c: r["run"][c] for c in columns} | r["metrics"] for r in kept]
    return pd.DataFrame(rows, columns=None if rows else columns)


def build(results: str | Path = RESULTS) -> dict[str, pd.DataFrame]:
    """All tables of a folder that has `runs` and `published`, by name.

    A published table keeps its name and its rows, with what reproduces each beside it; the rest of
    what was measured goes into tables that are named as their notebooks.
    """
    results = Path(results)
    have = measured(results / "runs")
    have["record"] = have[NAME].agg("/".join, axis=1) if len(have) else ""
    tables, shown = {}, set()
    for name, rows in published(results / "published").items():
        beside = rows.merge(have.drop(columns="protocol"), how="left", on=["record", "metric"])
        beside = beside.rename(columns={"mean": "reproduced"})
        tables[name] = beside[BESIDE].astype({"reproduced": float, "sd": float, "n": "Int64"})
        shown |= set(zip(rows["record"], rows["metric"], strict=True))
    pairs = zip(have["record"], have["metric"], strict=True)
    rest = have[pd.Series([pair not in shown for pair in pairs], index=have.index, dtype=bool)]
    for notebook, rows in rest.groupby("notebook"):
        tables[notebook] = rows[MEASURED].reset_index(drop=True)
    return tables | {"claims": claims(results / "runs")}


def claims(runs: str | Path = RESULTS / "runs") -> pd.DataFrame:
    """The lecture's statements tested over at least `SEEDS` seeds that have all folds; fewer test nothing."""
    rows = []
    for said in lecture.STATEMENTS:
        place = (said.notebook, said.source, said.profile, said.protocol)
        have = frame(said.notebook, said.profile, runs)
        have = have[(have["source"] == said.source) & (have["protocol"] == said.protocol)]
        have = have[have.groupby(["variant", "seed"])["fold"].transform("nunique") == have["fold"].nunique()]
        terms = [
            weight
            * have[have["variant"] == variant]
            .reindex(columns=["seed", metric])
            .groupby("seed")[metric]
            .mean()
            for weight, variant, metric in said.terms
        ]
        effects = pd.concat(terms, axis=1).dropna().sum(axis=1)
        row = dict(
            zip(("notebook", "source", "profile", "protocol", "claim"), (*place, said.text), strict=True)
        )
        if len(effects) >= SEEDS and said.chance is None:
            row |= claim(said.text, effects.tolist(), said.least)._asdict()
        elif len(effects) >= SEEDS:
            ((_, variant, metric),) = said.terms
            its = have[have["variant"] == variant]
            clips = (its[f"share_{metric.split('_')[1]}"] * its["n_test"] / 100).round()
            right = (its[metric] * clips / 100).round().sum()
            row |= at_chance(said.text, int(right), int(clips.sum()), len(effects), said.chance)._asdict()
        rows.append(row | {"n": len(effects)})
    # of one kind whether or not a claim is untested, so that notebooks print it alike
    return pd.DataFrame(rows, columns=CLAIMS).round(2).astype({"holds": object})


def text(table: pd.DataFrame) -> str:
    """A table as CSV, the same bytes for the same numbers."""
    return table.to_csv(index=False, lineterminator="\n")


def write(results: str | Path = RESULTS) -> list[Path]:
    """Write `<results>/tables/*.csv` anew and remove those that nothing gives any more; the files."""
    folder = Path(results) / "tables"
    files = [write_whole(folder / f"{name}.csv", text(table)) for name, table in build(results).items()]
    for path in set(folder.glob("*.csv")) - set(files):
        path.unlink()
    return files


def reproduced(results: str | Path = RESULTS) -> pd.DataFrame:
    """The rows of the published tables that records reproduce."""
    both = [table for table in build(results).values() if "published" in table]
    return (
        pd.concat([table[table["reproduced"].notna()] for table in both])
        if both
        else pd.DataFrame(columns=BESIDE)
    )


def show(results: str | Path = RESULTS) -> str:
    """For a terminal: how much of each published table is reproduced, those rows, and the claims."""
    built = build(results)
    lines = [
        f"{name}: {table['reproduced'].notna().sum()} of {len(table)} rows reproduced"
        for name, table in built.items()
        if "published" in table
    ]
    style = {"index": False, "na_rep": "", "float_format": "%.2f"}
    beside = reproduced(results)[["method", "protocol", "metric", "published", "reproduced", "sd", "n"]]
    if len(beside):
        lines += ["", beside.to_string(**style)]
    tested = built["claims"].dropna(subset="holds")[["claim", "effect", "low", "high", "n", "holds"]]
    if len(tested):
        lines += ["", tested.to_string(**style)]
    return "\n".join(lines)


def readme(page: str, results: str | Path = RESULTS) -> str:
    """The README with its slide map and its reproduced rows made anew."""
    names = ("method", "data, protocol", "metric", "published", "reproduced", "sd", "seeds")
    head = f"| {' | '.join(names)} |\n{'|---' * len(names)}|\n"
    rows = [
        f"| {r.method} | {r.dataset}, {r.protocol} | {r.metric}, % | {r.published:g} | {r.reproduced:.2f}"
        f" | {'' if pd.isna(r.sd) else f'{r.sd:.2f}'} | {r.n} |\n"
        for r in reproduced(results).itertuples()
    ]
    blocks = {"slide map": lecture.slide_map(), "reproduced": head + "".join(rows)}
    for name, text in blocks.items():
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        if page.count(start) != 1 or page.count(end) != 1:
            raise ValueError(f"README.md must hold the lines {start.strip()} and {end} once")
        page = page[: page.index(start)] + start + text + page[page.index(end) :]
    return page


def stale(runs: str | Path = RESULTS / "runs") -> dict[Path, list[str]]:
    """Records that are older than the code they import: file -> package files that have changed since."""
    now = {}
    for path in REPOSITORY.glob("companion/**/*.py"):
        now[str(path.relative_to(REPOSITORY))] = fingerprint(path.read_bytes())
    found = {}
    for path in sorted(Path(runs).rglob("*.json")):
        code = records.read(path)["provenance"].get("code", {})
        if changed := [file for file, then in code.items() if now.get(file) != then]:
            found[path] = changed
    return found
