"""What pysaliency 0.2.22 says of small maps and fixations: how `saliency_reference.json` was made.

    python -m venv old && old/bin/pip install 'setuptools<81' 'numpy<2' pysaliency==0.2.22 torch
    old/bin/python tests/saliency_reference.py > tests/saliency_reference.json

pysaliency needs an older NumPy than this project, so that its values are kept instead.
"""

import json
from importlib import import_module

import numpy as np

HEIGHT, WIDTH, SIGMA = 30, 40, 2.0


def drawn() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Three positive maps, and whole places x y of fixations at three pictures; a place may come twice."""
    rng = np.random.default_rng(5)
    maps = [np.exp(rng.normal(size=(HEIGHT, WIDTH))).round(3) for _ in range(3)]
    maps[1] = maps[1].round(1) + 0.1  # with ties
    places = [rng.integers(0, [WIDTH, HEIGHT], (20 + 5 * n, 2)) for n in range(3)]
    places[0][1] = places[0][0]
    return maps, places


def main() -> None:
    from scipy.ndimage import gaussian_filter

    pysaliency, metrics = map(import_module, ("pysaliency", "pysaliency.metrics"))  # not in this environment

    maps, places = drawn()
    pictures = [np.full((HEIGHT, WIDTH, 3), 40 * n, np.uint8) for n in range(3)]
    stimuli = pysaliency.Stimuli(pictures)
    x, y = (np.concatenate([own[:, axis] for own in places]) for axis in (0, 1))
    number = np.repeat(np.arange(3), [len(own) for own in places])
    fixations = pysaliency.Fixations.create_without_history(x, y, number)

    class Given(pysaliency.SaliencyMapModel):
        def _saliency_map(self, stimulus: np.ndarray) -> np.ndarray:
            return maps[int(stimulus[0, 0, 0]) // 40]

    def aucs(**how: str) -> list[float]:
        return np.asarray(Given().AUC_per_image(stimuli, fixations, **how)).tolist()

    found = {"auc": aucs(nonfixations="unfixated"), "shuffled_auc": aucs(nonfixations="shuffled")}
    found["auc_judd_at_fixations"] = aucs(nonfixations="unfixated", thresholds="fixations")
    for name in ("nss", "cc", "sim", "kl"):
        found[name] = []
    for values, own in zip(maps, places, strict=True):
        counts = np.zeros((HEIGHT, WIDTH))
        np.add.at(counts, (own[:, 1], own[:, 0]), 1)
        looked = gaussian_filter(counts, SIGMA, mode="constant", truncate=8)
        looked /= looked.sum()
        found["nss"].append(float(metrics.NSS(values, own[:, 0], own[:, 1]).mean()))
        found["cc"].append(float(metrics.CC(values, looked)))
        found["sim"].append(float(metrics.SIM(values, looked)))
        found["kl"].append(float(metrics.MIT_KLDiv(values / values.sum(), looked)))
    print(json.dumps({name: [round(value, 9) for value in row] for name, row in found.items()}, indent=1))


if __name__ == "__main__":
    main()
