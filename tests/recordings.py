"""Small datasets of eye tracking, in the layouts of the real ones."""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

SIZES = {"osie": ("stimuli", 800, 600), "crowd_gaze": ("stimuli_half", 512, 384)}


def cells(values: list) -> np.ndarray:
    """As MATLAB keeps a list."""
    found = np.empty((len(values), 1), object)
    found[:, 0] = values
    return found


def matlab(root: Path, name: str, count: int = 10, observers: int = 3) -> Path:
    """A root with so many pictures of OSIE, or of Saliency in Crowd, where a face stands in each."""
    folder, width, height = SIZES[name]
    rng, place = np.random.default_rng(0), root / name
    (place / folder).mkdir(parents=True)
    (place / "eye").mkdir()
    names, scale = [f"{1001 + n}.png" for n in range(count)], 2 if name == "crowd_gaze" else 1
    entries, labels = [], []
    for n, file in enumerate(names):
        Image.fromarray(np.full((height, width, 3), 20 * n, np.uint8)).save(place / folder / file)
        subjects = []
        for _ in range(observers):
            x, y = (1 + rng.random((1, 4)) * (scale * side - 1) for side in (width, height))
            subjects.append({"fix_x": x, "fix_y": y, "fix_duration": rng.integers(50, 400, (1, 4)) * 1.0})
        entries.append({"img": file, "subjects": cells(subjects)})
        face = {"left": 11.0, "top": 21.0, "width": 30.0, "height": 40.0}
        face |= {"isFrontalFace": 0.0, "isProfileFace": 1.0, "isBackFace": 0.0, "isOccluded": float(n % 2)}
        labels.append({"img": file, "faces": cells([face])})
    savemat(place / "eye/fixations.mat", {"fixations": cells(entries)}, do_compression=True)
    if name == "crowd_gaze":
        savemat(place / "labels.mat", {"labels": cells(labels)}, do_compression=True)
    return root


TABLE = """image,observer,order,x,y,duration,remark
one.png,ann,1,3.5,4,200,
one.png,ann,0,10,5,150.5,first
one.png,bob,0,39,29,90,
one.png,bob,1,40,29,90,outside
two.png,ann,0,0,0,300,
"""


def table(root: Path, text: str = TABLE) -> Path:
    """A root with two pictures of 40 x 30, and who looked at them."""
    place = root / "eye_tracking"
    (place / "images").mkdir(parents=True)
    for name in ("one", "two"):
        Image.new("RGB", (40, 30)).save(place / "images" / f"{name}.png")
    (place / "fixations.csv").write_text(text)
    return root
