"""The battery of short cuts: what must not tell the action of a simulated clip, across people and views.

    python tests/short_cuts.py [releases]

simulates so many releases (5 by default: at least 1200 tested performances of each group), lets nearest
neighbours and logistic regression learn from each short cut, and prints a line a test: none may be better
than chance by a one-sided binomial test at .01 divided by the number of tests, nor reach chance + 5 points.
One camera of each performance is tested. `test_short_cuts.py` does the same on a small release, up to
chance + 15.
"""

import sys
import warnings
from itertools import product

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from companion.formats import ntu, simulated
from companion.media import read_video
from companion.simulator import actions, release
from companion.simulator.release import Release
from companion.simulator.things import THINGS
from companion.skeleton import KINECT_V2 as TREE

SAME_MOTION = ("chest", "face", "context", "two")
HANDS = [TREE.index("hand_left"), TREE.index("hand_right")]
NO_PICTURE = ("length", "camera", "subject", "background")  # what a motion may not show either
SHORT_CUTS = (*NO_PICTURE, "objects", "file size", "histogram", "all histograms", "mean frame", "hands")
ALONE = ("held", "pointed at", "crop of held", "crop of pointed at")  # of the two things of `two`


def clips(root):
    """One row a clip; the columns of short cuts hold some numbers each."""
    rows = []
    for path in ntu.files(root):
        clip = ntu.parse(path)
        truth = simulated.truth(path, len(clip.skeleton))
        setup, camera, subject, repetition, _ = map(int, ntu.NAME.fullmatch(path.stem).groups())
        pictures = read_video(ntu.video(path)).astype(float)
        T, height, width, _ = pictures.shape
        body, (first, end) = clip.skeleton[:, 0], truth["frames"]
        bodies = clip.skeleton[:, clip.visible.any((0, 2))]
        bones = [np.median(np.linalg.norm(bodies[:, :, a] - bodies[:, :, b], axis=-1)) for a, b in TREE.bones]
        x, y = np.clip(np.array(truth["pose"])[0, :, TREE.middle].astype(int), 0, (width - 1, height - 1)).T
        edge = np.concatenate([pictures[0, :3].reshape(-1, 3), pictures[0, :, :3].reshape(-1, 3)])
        row = {
            "action": clip.label,
            "group": truth["group"],
            "performance": ntu.unit(path.stem),
            "person": subject,
            "view": camera,
            "length": [T],
            "camera": [setup, camera, *truth["distance"][:1]],
            "subject": [subject, *bones, *pictures[0, y, x].mean(0)],
            "background": [*edge.mean(0), *edge.std(0), *np.quantile(edge, 0.5, axis=0)],
            "objects": [float(max(truth["shown"].get(kind, [0])) > 1e-3) for kind in THINGS],
            "file size": [ntu.video(path).stat().st_size],
            "histogram": histogram(pictures[:1]),
            "all histograms": histogram(pictures),
            "mean frame": pictures.mean(0)[: height // 9 * 9]
            .reshape(9, height // 9, 16, -1, 3)
            .mean((1, 3))
            .ravel(),
            "hands": np.abs(np.diff(body[:, HANDS] - body[:, [TREE.middle]], axis=0)).sum((0, 2)),
        }
        if truth["group"] == "two":
            for name, thing in zip(("held", "pointed at"), truth["evidence"], strict=True):
                row[name] = [float(thing["thing"] == kind) for kind in THINGS]
                row[f"crop of {name}"] = crop(pictures[(first + end) // 2], thing["box"][(first + end) // 2])
        rows.append(row)
    return pd.DataFrame(rows)


def histogram(pictures):
    """How often each of 64 colours is in them."""
    codes = (pictures // 64).astype(int) @ [16, 4, 1]
    return np.bincount(codes.ravel(), minlength=64) / codes.size


def crop(picture, box):
    """6 x 6 samples of a box."""
    x0, y0, x1, y1 = box
    rows, columns = ((a + (b - a) * (np.arange(6) + 0.5) / 6).astype(int) for a, b in ((y0, y1), (x0, x1)))
    rows, columns = rows.clip(0, picture.shape[0] - 1), columns.clip(0, picture.shape[1] - 1)
    return picture[rows[:, None], columns].ravel()


def readers():
    """By name."""
    return {
        "1-NN": make_pipeline(StandardScaler(), KNeighborsClassifier(1)),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)),
    }


def told(some, short_cut, reader, across):
    """Of the tested performances of a group, which are named right."""
    test, _ = ntu.split(some["person"].to_numpy(), some["view"].to_numpy(), across)
    tested = some[test].groupby("performance").sample(1, random_state=0)
    learned = some[~test]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # columns that never vary, regressions that do not end
        reader.fit(np.stack(learned[short_cut]), learned["action"])
        return reader.predict(np.stack(tested[short_cut])) == tested["action"].to_numpy()


def battery(tables):
    """One row a test: pooled over tables of clips."""
    found = []
    for group in dict.fromkeys(tables[0]["group"]):
        names = SHORT_CUTS if group in SAME_MOTION else NO_PICTURE
        names = (*names, *ALONE) if group == "two" else names
        parts = [table[table["group"] == group] for table in tables]
        for across, name, reader in product(("cross_subject", "cross_view"), names, readers()):
            right = np.concatenate([told(part, name, readers()[reader], across) for part in parts])
            chance = 1 / parts[0]["action"].nunique()
            sure = binomtest(int(right.sum()), len(right), chance, alternative="greater").pvalue
            row = (group, across, name, reader, len(right), 100 * right.mean(), 100 * chance, sure)
            found.append(row)
    columns = ["group", "protocol", "short cut", "reader", "n", "right", "chance", "p"]
    found = pd.DataFrame(found, columns=columns)
    return found.assign(passed=(found["p"] > 0.01 / len(found)) & (found["right"] < found["chance"] + 5))


if __name__ == "__main__":
    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
    tables = []
    for seed in seeds:
        asked = Release(actions.GROUPS, subjects=40, repetitions=4, left_handed=0.5, seed=seed)
        tables.append(clips(release.stored(asked)))
        print(f"release {seed}: {len(tables[-1])} clips", flush=True)
    print(battery(tables).round(4).to_string(index=False))
