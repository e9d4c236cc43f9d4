"""Scores of saliency maps: against pysaliency's values, worked by hand, and what they refuse."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from saliency_reference import HEIGHT, SIGMA, WIDTH, drawn
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score

from companion.metrics import saliency
from companion.ops.blur import blur

KEPT = json.loads(Path(__file__).with_suffix("").with_name("saliency_reference.json").read_text())
MAPS, PLACES = ([torch.from_numpy(it) for it in kind] for kind in drawn())


@pytest.mark.parametrize("n", range(3))
def test_they_are_pysaliencys(n):
    values, places = MAPS[n], PLACES[n]
    others = torch.cat([own for k, own in enumerate(PLACES) if k != n])
    looked = saliency.fixation_map(places, HEIGHT, WIDTH, SIGMA)
    found = {
        "auc": saliency.auc_judd(values, places),
        "shuffled_auc": saliency.shuffled_auc(values, places, others),
        "nss": saliency.nss(values, places),
        "cc": saliency.cc(values, looked),
        "sim": saliency.sim(values, looked),
        "kl": saliency.kl(values, looked),
    }
    assert found == {name: pytest.approx(KEPT[name][n], abs=2e-6) for name in found}
    # with a threshold at fixated values alone, as Judd's program has it, the curve has fewer corners
    assert found["auc"] == pytest.approx(KEPT["auc_judd_at_fixations"][n], abs=0.03)


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=9), st.lists(st.integers(0, 5), min_size=1, max_size=9)
)
def test_the_area_is_scikit_learns(positive, negative):
    want = roc_auc_score([1] * len(positive) + [0] * len(negative), positive + negative)
    assert saliency.auc(torch.tensor(positive) * 1.0, torch.tensor(negative) * 1.0) == pytest.approx(want)


def test_a_constant_map_tells_nothing():
    flat, places = torch.ones(HEIGHT, WIDTH), PLACES[0]
    looked = saliency.fixation_map(places, HEIGHT, WIDTH)
    assert saliency.auc_judd(flat, places) == saliency.shuffled_auc(flat, places, PLACES[1]) == 0.5
    assert saliency.nss(flat, places) == saliency.cc(flat, looked) == 0
    uniform = torch.full((HEIGHT, WIDTH), -math.log(HEIGHT * WIDTH))
    assert saliency.information_gain(uniform, uniform, places) == 0


def test_the_map_of_fixations_itself_is_best():
    looked = saliency.fixation_map(PLACES[0], HEIGHT, WIDTH, SIGMA)
    assert saliency.cc(looked, looked) == pytest.approx(1) and saliency.sim(looked, looked) == pytest.approx(
        1
    )
    assert saliency.kl(looked, looked) == pytest.approx(0, abs=1e-6)
    assert saliency.kl(MAPS[0], looked) > 0.5


def test_bits_are_counted():
    """Two of four pixels, each twice as probable as under the uniform density: one bit."""
    base = torch.full((2, 2), 0.25).log()
    better = torch.tensor([[0.5, 0.5], [1e-9, 1e-9]]).log()
    places = torch.tensor([[0, 0], [1, 0], [1, 0]])
    assert saliency.information_gain(better, base, places) == pytest.approx(1, abs=1e-6)


def test_what_makes_no_sense_is_refused():
    flat, places = torch.ones(HEIGHT, WIDTH), PLACES[0]
    with pytest.raises(ValueError, match="sums to 1200, not to 1"):
        saliency.information_gain(flat.log(), flat.log(), places)
    with pytest.raises(ValueError, match="without fixations"):
        saliency.fixation_map(places[:0], HEIGHT, WIDTH)
    with pytest.raises(ValueError, match="NaN or infinity"):
        saliency.sim(flat * math.nan, flat)
    with pytest.raises(ValueError, match="zeros cannot sum"):
        saliency.kl(0 * flat, flat)
    with pytest.raises(ValueError, match="values of both kinds"):
        saliency.auc(torch.ones(3), torch.ones(0))


def test_negative_values_are_raised_and_zeros_are_punished():
    looked = saliency.fixation_map(PLACES[0], HEIGHT, WIDTH)
    assert saliency.density(MAPS[0] - 5).min() == 0
    holes = MAPS[0].clone()
    holes[PLACES[0][:, 1], PLACES[0][:, 0]] = 0
    assert saliency.kl(holes, looked) > saliency.kl(MAPS[0], looked) + 0.1


def test_the_blur_is_scipys():
    values = np.random.default_rng(0).random((2, HEIGHT, WIDTH)).astype(np.float32)
    want = gaussian_filter(values, (0, SIGMA, SIGMA), mode="constant", truncate=8)
    torch.testing.assert_close(
        blur(torch.from_numpy(values), SIGMA), torch.from_numpy(want), rtol=1e-4, atol=1e-5
    )
