"""How alike two scanpaths are, and how well the next fixation is told.

A ScanMatch-like score (Cristino et al., Behavior Research Methods 2010): fixations become bins of a grid, and
two rows of bins are aligned as Needleman and Wunsch do, where near bins count as alike and a gap costs
nothing. Dynamic time warping is not used: it lets one point stand for many, so that a path that stays where
it is comes near to all.

Letters: n m fixations of two paths.
"""

import numpy as np
from jaxtyping import Float

BINS = 12, 8  # across and down
ALIKE = 3.5  # bins: farther apart, two fixations cost something


def alike(one: Float[np.ndarray, "n 2"], other: Float[np.ndarray, "m 2"], width: int, height: int) -> float:
    """From 0 to 1, which equal paths have.

    Args:
        one, other: x y in pixels, in order.

    Raises:
        ValueError: a path without a fixation.
    """
    if not len(one) or not len(other):
        raise ValueError("a path without a fixation is like no other; leave it out")
    scale = np.array(BINS) / [width, height]
    cells = [(path * scale).astype(int).clip(0, np.array(BINS) - 1) for path in (one, other)]
    gain = ALIKE - np.linalg.norm(cells[0][:, None] - cells[1][None], axis=2)
    table = np.zeros((len(one) + 1, len(other) + 1))
    for i in range(len(one)):
        for j in range(len(other)):
            table[i + 1, j + 1] = max(table[i, j] + gain[i, j], table[i, j + 1], table[i + 1, j])
    return float(table[-1, -1] / (ALIKE * max(len(one), len(other))))
