"""Eye tracking of anybody: a folder of pictures, and a table with one row a fixation.

    root/eye_tracking/images/*              pictures
    root/eye_tracking/fixations.csv         image,observer,order,x,y,duration

`image` is a path in `images`, `observer` any name, `order` a number that grows in a scanpath, `x` and `y` are
pixels of the picture from its upper left corner (0 is the middle of the first pixel), `duration` is in
milliseconds. Other columns are left alone.
"""

import csv
from pathlib import Path

import numpy as np

from companion.files import DamagedFile
from companion.formats import pictures
from companion.formats.fixations import GazeFormat, Recording, recorded, recording

COLUMNS = ("image", "observer", "order", "x", "y", "duration")


def files(root: str | Path | None = None) -> tuple[list[Path], list[Path]]:
    """The pictures, and the table, under a root, default $COMPANION_DATA."""
    place = pictures.folder(root, "eye_tracking")
    return pictures.pictures(place / "images"), [recorded(place / "fixations.csv")]


def parse(paths: list[Path], beside: list[Path]) -> Recording:
    """What the files hold.

    Raises:
        DamagedFile: the table lacks a column, or a row of it a picture or a number.
    """
    (table,), top = beside, beside[0].parent / "images"
    known = {path.relative_to(top).as_posix(): n for n, path in enumerate(paths)}
    names, rows = {}, []
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
                raise DamagedFile(
                    f"{table} has no column {missing[0]!r}; its first line must name {', '.join(COLUMNS)}"
                )
            for row in reader:
                where = f"{table}, row {len(rows) + 1}"
                if row["image"] not in known:
                    raise DamagedFile(
                        f"{where}: no picture {row['image']!r} in {top}; name one that is there"
                    )
                values = []
                for name in COLUMNS[2:]:
                    try:
                        values.append(float(row[name]))
                    except (TypeError, ValueError):
                        raise DamagedFile(
                            f"{where}: {name} is {row[name]!r}, no number; mend the row"
                        ) from None
                    if not np.isfinite(values[-1]):
                        raise DamagedFile(f"{where}: {name} is {row[name]!r}, not finite; mend the row")
                rows.append([known[row["image"]], names.setdefault(row["observer"], len(names)), *values])
    except (csv.Error, UnicodeDecodeError) as error:
        raise DamagedFile(f"{table} is no table with commas ({error}); export it as CSV in UTF-8") from None
    if not rows:
        raise DamagedFile(f"{table} has no row; a row is one fixation")
    found = np.array(rows)
    return recording(
        table, paths, np.array(pictures.sizes(paths)), found[:, 0].astype(int), found[:, 1].astype(int),
        found[:, 2], found[:, 3:5], found[:, 5],
    )  # fmt: skip


FORMAT = GazeFormat("eye_tracking", 0, 0, "made by yourself, see docs/data.md", files, parse)
