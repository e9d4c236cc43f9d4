"""Models of gaze: densities that sum to 1, what each must see, and references written out."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.datasets.fixations import Looked
from companion.datasets.still_lifes import still_lifes
from companion.metrics import scanpaths
from companion.models import bottom_up, gaze
from companion.models.scanpaths import DIRECTIONS, INHIBITED, RINGS, NextFixation, Static, sampled

COUNTS = torch.from_numpy(np.random.default_rng(0).poisson(0.1, (6, 12, 16))).float()
PRIOR = gaze.centre_bias(COUNTS)
LAYERS = {"block 4": torch.randn(2, 5, 12, 16), "head": torch.randn(2, 7, 3, 4)}


def total(density):
    return density.exp().sum((-2, -1))


def readout(**options):
    return gaze.Readout({"block 4": 5, "head": 7}, PRIOR, **options)


def test_densities_sum_to_one():
    every = [PRIOR, gaze.gaussian((12, 16)), gaze.Observers([COUNTS], PRIOR)(COUNTS)]
    every += [gaze.Always(PRIOR)(LAYERS).log_density, readout()(LAYERS).log_density]
    for density in every:
        torch.testing.assert_close(total(density), torch.ones(density.shape[:-2]), atol=1e-4, rtol=0)


def test_the_blur_of_the_centre_bias_is_the_likeliest_for_pictures_left_out():
    def likelihood(sigma, uniform):
        """Written out: one picture after the other."""
        sum_ = 0.0
        for n in range(len(COUNTS)):
            others = torch.cat([COUNTS[:n], COUNTS[n + 1 :]]).sum(0)
            sum_ += (COUNTS[n] * gaze.mixed(others, sigma, uniform).log()).sum().item()
        return sum_

    best = max(((s, u) for s in gaze.WIDTHS for u in gaze.UNIFORM), key=lambda pair: likelihood(*pair))
    assert gaze.chosen(COUNTS) == best


def test_an_observer_is_told_by_the_others_alone():
    model = gaze.Observers([COUNTS], PRIOR)
    changed = COUNTS.clone()
    changed[2] += 5 * torch.rand(12, 16)
    torch.testing.assert_close(model(changed)[2], model(COUNTS)[2])
    assert not torch.allclose(model(changed)[1], model(COUNTS)[1])
    alone = gaze.Observers([COUNTS], PRIOR, alone=True)
    torch.testing.assert_close(alone(changed)[1], alone(COUNTS)[1])
    torch.testing.assert_close(alone.told(COUNTS)[0], COUNTS[1:].sum(0))
    given = gaze.Observers([COUNTS], PRIOR, sigma=2.4)
    blurred = gaze.mixed(COUNTS[1:].sum(0), 2.4, 0.0)
    torch.testing.assert_close(
        given(COUNTS)[0].exp(), (1 - given.share) * blurred + given.share * PRIOR.exp()
    )


def test_a_readout_without_weights_is_the_prior():
    model = readout().eval()
    torch.nn.init.zeros_(model.last.weight)
    torch.testing.assert_close(model(LAYERS).map, PRIOR.expand(2, -1, -1), atol=1e-5, rtol=1e-5)


def test_enlarging_after_the_first_convolution_is_enlarging_before_it():
    model = readout(dropout=0.0)
    large = {
        name: torch.nn.functional.interpolate(model.norm[model.names[name]](maps), (12, 16), mode="bilinear")
        for name, maps in LAYERS.items()
    }
    hidden = sum(model.first[model.names[name]](maps) for name, maps in large.items())
    value = model.last(torch.nn.functional.softplus(model.second(torch.nn.functional.softplus(hidden))))[:, 0]
    want = gaze.as_gaze(gaze.smooth(value, model.log_sigma.exp()) + model.centre * PRIOR)
    torch.testing.assert_close(model(LAYERS).map, want.map, atol=1e-5, rtol=1e-5)


def test_a_readout_learns_where_people_look():
    """They look where the first channel is high."""
    torch.manual_seed(0)
    maps = {"block 4": torch.randn(8, 5, 12, 16), "head": torch.randn(8, 7, 3, 4)}
    batch = Looked(maps, 3 * (maps["block 4"][:, 0] > 1.5).float(), torch.arange(8))
    model = readout(dropout=0.0)
    start, optimizer = gaze.objective(model, batch).item(), torch.optim.AdamW(model.parameters(), 0.01)
    for _ in range(150):
        optimizer.zero_grad()
        gaze.objective(model, batch).backward()
        optimizer.step()
    assert gaze.objective(model, batch).item() < start - 0.8
    assert model.log_sigma.grad is not None


def test_a_trunk_begins_from_pictures():
    model = gaze.Readout(gaze.Trunk.channels, PRIOR, trunk=gaze.Trunk())
    pictures = torch.randint(0, 256, (2, 3, 48, 64), dtype=torch.uint8)
    assert model({"pictures": pictures}).map.shape == (2, 12, 16)


@pytest.mark.parametrize("name", bottom_up.MODELS)
def test_what_sticks_out_is_salient(name):
    """One red disc on a grey ground of grain, not in the middle."""
    rng = np.random.default_rng(0)
    picture = (128 + rng.normal(0, 4, (1, 3, 240, 320))).clip(0, 255)
    y, x = np.mgrid[:240, :320]
    disc = np.hypot(x - 240, y - 60) < 14
    picture[0, :, disc] = [230, 30, 30]
    with torch.no_grad():
        found = bottom_up.MODELS[name](torch.from_numpy(picture).byte())
    assert found.shape[0] == 1 and found.isfinite().all()
    row, column = divmod(int(found[0].argmax()), found.shape[2])
    at = (column + 0.5) / found.shape[2] * 320, (row + 0.5) / found.shape[1] * 240
    assert math.dist(at, (240, 60)) < 40


def test_a_model_from_pictures_gives_a_map_from_zero_to_one_times_its_prior():
    pictures = {"pictures": still_lifes("test", 2).pictures}
    plain = gaze.FromPictures(bottom_up.spectral_residual)(pictures)
    assert plain.log_density is None and plain.map.amin() == 0 and plain.map.amax() == 1
    centred = gaze.FromPictures(bottom_up.spectral_residual, PRIOR)(pictures)
    share = torch.nn.functional.interpolate(PRIOR.exp()[None, None], plain.map.shape[1:], mode="bilinear")[0]
    torch.testing.assert_close(centred.map, plain.map * share)


def test_a_chain_settles_where_linear_algebra_says():
    weights = torch.rand(2, 5, 5) + 0.1
    values, vectors = torch.linalg.eig((weights / weights.sum(2, keepdim=True)).transpose(1, 2))
    first = vectors[torch.arange(2), :, values.real.argmax(1)].real
    torch.testing.assert_close(bottom_up.settled(weights), first / first.sum(1, keepdim=True))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 6), st.integers(0, 8), st.integers(0, 6), st.integers(0, 8))
def test_the_next_fixation_moves_its_table_to_the_last_one(y, x, row, column):
    """What it adds to the density at a cell is the table at the displacement from the last fixation."""
    torch.manual_seed(0)
    model = NextFixation((7, 9), lags=2)
    torch.nn.init.normal_(model.table)
    density = gaze.log_density(torch.randn(1, 7, 9))
    before, known = torch.tensor([[[x, y], [0, 0]]]), torch.tensor([[1.0, 0.0]])
    found = (model(density, before, known) - density)[0].detach()
    far, turn = math.hypot(column - x, row - y), math.atan2(row - y, column - x) % (2 * math.pi)
    table = model.table[0].detach().view(len(RINGS), DIRECTIONS).numpy()
    rings = [np.interp(far, RINGS, table[:, angle % DIRECTIONS]) for angle in range(DIRECTIONS + 1)]
    want = np.interp(turn * DIRECTIONS / (2 * math.pi), np.arange(DIRECTIONS + 1), rings)
    here = [np.interp(0, RINGS, table[:, 0]), found[y, x].item()]
    assert found[row, column].item() - here[1] == pytest.approx(want - here[0], abs=1e-4)
    torch.testing.assert_close(total(model(density, before, known)), torch.ones(1))


def test_fixed_inhibition_leaves_alone_what_was_seen():
    model = NextFixation((30, 40), lags=3, inhibited=True)
    flat = torch.full((1, 30, 40), -math.log(1200))
    before, known = torch.tensor([[[10, 10], [30, 20], [0, 0]]]), torch.tensor([[1.0, 1.0, 0.0]])
    found = model(flat, before, known)[0].exp().detach()
    assert found[10, 10] < found.max() / 50 and found[20, 30] < found.max() / 50 < found[0, 0]
    near, far = found[10, 10 + round(INHIBITED)], found[25, 5]
    assert near / far == pytest.approx(1 - math.exp(-1 / 2), abs=0.02)
    assert not model.table.requires_grad


def test_paths_that_are_equal_are_alike_and_order_counts():
    path = np.random.default_rng(0).random((6, 2)) * [800, 600]
    assert scanpaths.alike(path, path, 800, 600) == pytest.approx(1)
    assert scanpaths.alike(path, path[::-1], 800, 600) < 0.9
    still = np.repeat(path[:1], 6, 0)
    assert scanpaths.alike(path, still, 800, 600) < scanpaths.alike(path, path[1:], 800, 600)
    assert scanpaths.alike(path, path[1:], 800, 600) == pytest.approx(5 / 6)
    with pytest.raises(ValueError, match="without a fixation"):
        scanpaths.alike(path, path[:0], 800, 600)


def test_scanpaths_are_drawn_from_the_density_and_from_what_came_before():
    density = torch.randn(3, 4).flatten().log_softmax(0).view(3, 4)
    drawn = sampled(Static(), density, 20_000, 2, 4, torch.Generator().manual_seed(0))
    for step in range(2):
        share = torch.bincount(drawn[:, step, 1] * 4 + drawn[:, step, 0], minlength=12) / 20_000
        torch.testing.assert_close(share.view(3, 4), density.exp(), atol=0.015, rtol=0)
    told = []

    class Next(torch.nn.Module):
        def forward(self, density, before, known):
            told.append((before, known))
            return density

    drawn = sampled(Next(), density, 5, 4, 2, torch.Generator().manual_seed(0))
    before, known = told[-1]
    assert torch.equal(before, drawn[:, [2, 1]]) and known.tolist() == [[1, 1]] * 5
    assert told[0][1].tolist() == [[1, 0]] * 5 and torch.equal(told[0][0][:, 0], drawn[:, 0])


def test_an_ensemble_is_the_mean_of_its_densities_and_trains_each():
    torch.manual_seed(0)
    members = [readout(dropout=0.0) for _ in range(3)]
    whole, batch = gaze.Ensemble(members), Looked(LAYERS, COUNTS[:2], torch.arange(2))
    want = torch.stack([one(LAYERS).map.exp() for one in members]).mean(0)
    torch.testing.assert_close(whole(LAYERS).map.exp(), want)
    each = torch.stack([gaze.objective(one, batch) for one in members])
    torch.testing.assert_close(gaze.objective(whole, batch), each.mean())


def test_the_trunk_mirrors_half_of_the_pictures_in_training():
    torch.manual_seed(0)
    trunk = gaze.Trunk()
    pictures = torch.randint(0, 256, (1, 3, 32, 48), dtype=torch.uint8).expand(40, -1, -1, -1)
    found = trunk.eval()(pictures)["own"]
    assert torch.equal(found[:1].expand_as(found), found)
    mirrored = trunk(pictures.flip(-1))["own"].flip(-1)[0]
    trained = trunk.train()(pictures)["own"]
    same = [torch.allclose(one, found[0], atol=1e-5) for one in trained]
    turned = [torch.allclose(one, mirrored, atol=1e-5) for one in trained]
    assert all(a != b for a, b in zip(same, turned, strict=True)) and 10 < sum(turned) < 30


def test_a_place_of_the_trunk_looks_around_its_own_middle():
    kinds, trunk = (torch.nn.Conv2d, torch.nn.ZeroPad2d), gaze.Trunk()  # without what normalises
    layers = [layer for layer in [*trunk.layers, *trunk.deeper] if isinstance(layer, kinds)]
    depth = len([layer for layer in trunk.layers if isinstance(layer, kinds)])
    picture = torch.zeros(1, 3, 240, 320, requires_grad=True)
    for steps, stride, row, column in ((depth, 8, 15, 20), (len(layers), 16, 7, 10)):
        place = torch.nn.Sequential(*layers[:steps])(picture)[0, :, row, column].sum()
        seen = torch.autograd.grad(place, picture)[0][0].abs().sum(0).nonzero().T
        for found, n in zip(seen, (row, column), strict=True):
            assert abs(found.unique().float().mean() - (stride * n + (stride - 1) / 2)) < 1.1
