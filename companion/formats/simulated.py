"""What a simulated release has beside NTU's own files: its manifest, and what is true of each clip.

root/ntu/simulated.json                     the manifest, written last: key, parameters, actions
root/ntu/truth/SsssCcccPpppRrrrAaaa.json    which joints act in which frames, the box of the thing that
                                            decides the class, and the hands'
"""

import json
from pathlib import Path

from companion.files import DamagedFile

MANIFEST, UNFINISHED, TRUTH = "simulated.json", "unfinished.json", "truth"
PARAMETERS = {
    **{
        "groups": list,
        "subjects": int,
        "cameras": int,
        "repetitions": int,
        "setups": int,
        "left_handed": int | float,
    },
    **{"frames": int, "height": int, "seed": int},
}  # of a release


def manifest(root: str | Path) -> dict | None:
    """What the simulator wrote beside the clips under a root; None of a real release.

    Raises:
        ValueError: the simulation was not finished.
        DamagedFile: the manifest is no JSON, or lacks what a present simulator writes.
    """
    folder = Path(root) / "ntu"
    if (folder / UNFINISHED).is_file() and not (folder / MANIFEST).is_file():
        raise ValueError(f"{folder} is not finished; run companion data simulate again")
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DamagedFile(f"{path} is not JSON ({error}); simulate it anew") from None
    for field, kind in {"key": str, "release": dict}.items():
        if not isinstance(about, dict) or not isinstance(about.get(field), kind):
            raise DamagedFile(f"{path}: field {field!r} is missing or no {kind.__name__}; simulate it anew")
    asked = about["release"]
    for name in {**PARAMETERS, **asked}:
        if name not in PARAMETERS or not isinstance(asked.get(name), PARAMETERS[name]):
            raise DamagedFile(f"{path}: {name!r} of its release is unknown or wrong; simulate it anew")
    return about


def truth(skeleton: Path) -> dict:
    """What is true of the clip of a skeleton file."""
    return json.loads((skeleton.parents[1] / TRUTH / f"{skeleton.stem}.json").read_text())
