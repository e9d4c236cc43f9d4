"""OSIE (Xu et al., Journal of Vision 2014): 700 pictures, each seen by 15 observers for 3 seconds.

root/osie/stimuli/*.jpg, eye/fixations.mat

fixations{n}.img                        the picture's file
fixations{n}.subjects{m}.fix_x, fix_y   of observer m: pixels from 1
fixations{n}.subjects{m}.fix_duration   milliseconds
"""

from pathlib import Path

import numpy as np

from companion.files import DamagedFile
from companion.formats import pictures
from companion.formats.fixations import GazeFormat, Recording, recorded, recording
from companion.formats.matlab import DAMAGE, listed, variables

SIZE = 600, 800


def files(root: str | Path | None = None) -> tuple[list[Path], list[Path]]:
    """The pictures, and the file of fixations, under a root, default $COMPANION_DATA."""
    place = pictures.folder(root, "osie")
    return pictures.pictures(place / "stimuli"), [recorded(place / "eye" / "fixations.mat")]


def parse(paths: list[Path], beside: list[Path]) -> Recording:
    """What the files hold."""
    pictures.refuse_others(paths, SIZE)
    return of_matlab(paths, beside[0], SIZE)


def of_matlab(paths: list[Path], path: Path, size: tuple[int, int]) -> Recording:
    """The fixations of a file of this kind.

    Raises:
        DamagedFile: it is no such file, or not a whole one, or about other pictures.
    """
    known, rows = {own.name: n for n, own in enumerate(paths)}, []
    try:
        for entry in listed(variables(path.read_bytes())["fixations"]):
            name = str(entry["img"])
            if name not in known:
                raise DamagedFile(f"{path} tells of {name}, which is not beside it; get the picture")
            for observer, own in enumerate(listed(entry["subjects"])):
                x, y, lasted = (own[key].ravel().astype(float) for key in ("fix_x", "fix_y", "fix_duration"))
                if not len(x) == len(y) == len(lasted):
                    raise ValueError(f"{len(x)} x, {len(y)} y and {len(lasted)} durations at {name}")
                here = np.stack([x - 1, y - 1, lasted], 1)
                about = np.full((len(x), 2), (known[name], observer))
                rows.append(np.column_stack([about, np.arange(len(x)), here]))
        found = np.concatenate(rows)
    except DamagedFile:
        raise
    except DAMAGE as error:
        raise DamagedFile(f"{path} is no whole file of fixations ({error}); get the file again") from None
    sizes = np.tile(size, (len(paths), 1))
    picture, observer, order = found[:, :3].astype(int).T
    return recording(path, paths, sizes, picture, observer, order, found[:, 3:5], found[:, 5])


FORMAT = GazeFormat(
    name="osie",
    pictures=700,
    observers=15,
    where="https://github.com/NUS-VIP/predicting-human-gaze-beyond-pixels",
    files=files,
    parse=parse,
)
