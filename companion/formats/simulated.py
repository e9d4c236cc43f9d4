"""What a simulated release has beside NTU's own files: its manifest, and what is true of each clip.

root/ntu/simulated.json                     the manifest, written last: key, parameters, actions
root/ntu/truth/SsssCcccPpppRrrrAaaa.json    which joints act in which frames, the box of the thing that
                                            decides the class, and the hands'
"""

import json
from pathlib import Path

MANIFEST, UNFINISHED, TRUTH = "simulated.json", "unfinished.json", "truth"


def manifest(root: str | Path) -> dict | None:
    """What the simulator wrote beside the clips under a root; None of a real release.

    Raises:
        ValueError: the simulation was not finished.
    """
    folder = Path(root) / "ntu"
    if (folder / UNFINISHED).is_file() and not (folder / MANIFEST).is_file():
        raise ValueError(f"{folder} is not finished; run companion data simulate again")
    path = folder / MANIFEST
    return json.loads(path.read_text()) if path.is_file() else None


def truth(skeleton: Path) -> dict:
    """What is true of the clip of a skeleton file."""
    return json.loads((skeleton.parents[1] / TRUTH / f"{skeleton.stem}.json").read_text())
