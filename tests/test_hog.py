"""The features of part models: against a loop over pixels and cells, and what they must not depend on."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.ops import hog as ops
from companion.ops.hog import hog, mirrored


def obvious(image: np.ndarray, k: int) -> np.ndarray:
    """C H W to 32 h w, pixel by pixel, as Felzenszwalb et al. describe it and voc-release5 computes it."""
    C, H, W = image.shape
    rows, columns = int(H / k + 0.5), int(W / k + 0.5)
    votes = np.zeros((18, rows, columns))
    for y in range(1, rows * k - 1):
        for x in range(1, columns * k - 1):
            i, j = min(y, H - 2), min(x, W - 2)
            slopes = [
                (image[c, i, j + 1] - image[c, i, j - 1], image[c, i + 1, j] - image[c, i - 1, j])
                for c in range(C)
            ]
            dx, dy = max(slopes, key=lambda slope: math.hypot(*slope))
            dots = [dx * math.cos(o * math.pi / 9) + dy * math.sin(o * math.pi / 9) for o in range(18)]
            direction = int(np.argmax(dots))
            py, px = (y + 0.5) / k - 0.5, (x + 0.5) / k - 0.5
            for cy in (math.floor(py), math.floor(py) + 1):
                for cx in (math.floor(px), math.floor(px) + 1):
                    if 0 <= cy < rows and 0 <= cx < columns:
                        share = (1 - abs(py - cy)) * (1 - abs(px - cx))
                        votes[direction, cy, cx] += share * math.hypot(dx, dy)
    both = votes[:9] + votes[9:]
    energy = (both**2).sum(0)
    out = np.zeros((32, rows - 2, columns - 2))
    for y in range(1, rows - 1):
        for x in range(1, columns - 1):
            for j, (sy, sx) in enumerate([(0, 0), (-1, 0), (0, -1), (-1, -1)]):
                square = energy[y + sy : y + sy + 2, x + sx : x + sx + 2].sum()
                n = 1 / math.sqrt(square + 1e-4)
                clipped = np.minimum(votes[:, y, x] * n, 0.2)
                out[:18, y - 1, x - 1] += clipped / 2
                out[18:27, y - 1, x - 1] += np.minimum(both[:, y, x] * n, 0.2) / 2
                out[27 + j, y - 1, x - 1] = clipped.sum() / math.sqrt(18)
    return out


@settings(max_examples=15, deadline=None)
@given(
    st.integers(10, 40),
    st.integers(10, 40),
    st.sampled_from([1, 3]),
    st.sampled_from([3, 4]),
    st.integers(0, 99),
)
def test_features_are_those_of_the_loop_over_pixels(H, W, C, k, seed):
    image = np.random.default_rng(seed).uniform(0, 255, (C, H, W))
    got = hog(torch.from_numpy(image)[None].float(), k)
    want = obvious(image.astype(np.float32).astype(float), k)
    assert np.abs(got[0].numpy() - want).mean() < 1e-4
    assert (
        np.abs(got[0].numpy() - want) > 1e-3
    ).mean() < 0.02  # a pixel between two directions may take either


@pytest.mark.parametrize("size, k", [((37, 45), 8), ((60, 61), 8), ((100, 90), 4)])
def test_tensors_and_loops_agree(size, k):
    images = 255 * torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        hog(images, k), ops.from_histograms(ops.histograms(images, k)), atol=1e-5, rtol=0
    )


def test_threads_change_nothing():
    images = 255 * torch.rand(5, 3, 64, 64)
    together = hog(images)
    assert torch.equal(together, torch.cat([hog(image[None]) for image in images]))


def test_a_flat_image_has_no_features_and_brightness_does_not_matter():
    assert not hog(torch.full((1, 3, 40, 40), 90.0)).any()
    image = 100 * torch.rand(1, 1, 40, 40)
    torch.testing.assert_close(hog(image), hog(image + 50), atol=1e-4, rtol=0)
    torch.testing.assert_close(hog(image), hog(2 * image), atol=2e-3, rtol=0)  # but for epsilon


def test_an_edge_votes_for_its_direction():
    image = torch.zeros(1, 1, 40, 40)
    image[..., 20:] = 255  # brighter to the right: direction 0
    h = hog(image)[0]
    assert h[:18].sum((1, 2)).argmax() == 0 and h[18:27].sum((1, 2)).argmax() == 0
    assert hog(image.mT.contiguous())[0, :18].sum((1, 2)).argmax() in (4, 5)  # 90 degrees lie between the two


@pytest.mark.parametrize("size", [(19, 40), (40, 11), (2, 2)])
def test_an_image_of_too_few_cells_is_refused(size):
    with pytest.raises(ValueError, match=f"{size[1]} x {size[0]} pixels has less than 3 x 3 cells of 8"):
        hog(torch.zeros(1, 3, *size))


def test_mirrored_filters_see_the_mirrored_picture():
    image = 255 * torch.rand(1, 3, 64, 80, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(hog(image.flip(-1)), mirrored(hog(image)), atol=2e-3, rtol=0)
