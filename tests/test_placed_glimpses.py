import glimpse_loops
import pytest
import torch
from torch.nn import functional as F

from companion.models.context import FOUND
from companion.models.placed_glimpses import GRID, NEAR, SIDE, SIZE, TILE, PlacedClouds, PlacedGlimpses, rule
from companion.skeleton import KINECT_V2

B, T, D, E, C = 3, 4, 5, 6, 7


def drawn(seed=0):
    g = torch.Generator().manual_seed(seed)
    maps, context = torch.randn(B, T, D, 12, 20, generator=g), torch.randn(B, T, E, generator=g)
    return maps, context, torch.rand(B, T, 2, len(FOUND), 2, generator=g) * 2 - 1


def joint(found, body, name):
    return found[:, :, body, FOUND.index(KINECT_V2.index(name))]


def test_rules_place_glimpses_where_they_say():
    found = drawn()[2]
    at = (rule("forearms") @ found.flatten(2, 3)).unflatten(2, (2, 4))
    for body in (0, 1):
        for n, side in enumerate(("left", "right")):
            hand, elbow = (joint(found, body, f"{what}_{side}") for what in ("hand", "elbow"))
            torch.testing.assert_close(at[:, :, body, n], hand)
            torch.testing.assert_close(at[:, :, body, 2 + n], hand + 1.5 * (hand - elbow))
    heads = (rule("joints") @ found.flatten(2, 3))[:, :, [2, 5]]
    torch.testing.assert_close(heads, torch.stack([joint(found, m, "head") for m in (0, 1)], 2))
    with pytest.raises(
        ValueError, match="at is 'feet'; choose one of hands, joints, forearms, windows or random"
    ):
        rule("feet")


def test_windows_stand_still_and_are_as_large_as_said():
    model = PlacedGlimpses(D, E, C, "windows").eval()
    _, context, found = drawn()
    l = model.places(context, found)
    torch.testing.assert_close(l[..., :2], torch.tensor(GRID).expand(B, T, -1, -1))
    torch.testing.assert_close(l[..., 2:], torch.tensor(TILE).expand(B, T, len(GRID), 2))
    places = torch.rand(500, 1, 2) * 2 - 1
    assert ((places - l[0, 0, :, :2]).abs() <= l[0, 0, :, 2:]).all(-1).any(-1).all()  # they leave nothing out
    assert torch.equal(PlacedGlimpses(D, E, C, "random").places.extent.exp()[0], torch.tensor(SIZE))


def test_random_places_are_all_over_the_picture():
    torch.manual_seed(0)
    model = PlacedGlimpses(D, E, C, "random").eval()
    _, context, found = drawn()
    l = torch.stack([model.places(context, found) for _ in range(200)])[..., :2]
    assert l.abs().max() <= 1 and l.mean().abs() < 0.05 and abs(l.std().item() - 3**-0.5) < 0.02


def test_a_learned_locator_begins_at_its_rule_and_moves():
    torch.manual_seed(0)
    fixed, model = PlacedGlimpses(D, E, C), PlacedGlimpses(D, E, C, learned=True)
    maps, context, found = drawn()
    torch.testing.assert_close(model.eval().places(context, found), fixed.eval().places(context, found))
    F.cross_entropy(model(maps, context, found).logits, torch.arange(B)).backward()
    for value in (model.places.mix, model.places.place, model.places.extent, model.places.locate[-1].weight):
        assert value.grad.abs().sum() > 0
    assert {name for name, value in fixed.named_parameters() if not value.requires_grad} == {
        *("places.mix", "places.place", "places.extent")
    }


def test_detached_nothing_moves_the_locator():
    model = PlacedGlimpses(D, E, C, learned=True, crop_gradient=False)
    F.cross_entropy(model(*drawn()).logits, torch.arange(B)).backward()
    assert model.places.mix.grad is None and model.look.first.weight.grad.abs().sum() > 0


def test_reading_by_hand():
    """Each glimpse of each clip by itself, with the library's own sampling."""
    torch.manual_seed(0)
    model = PlacedGlimpses(D, E, C).eval()
    with torch.no_grad():
        model.when.normal_()
    maps, context, found = drawn()
    said, l = model(maps, context, found), model.places(context, found)
    line, G = torch.linspace(-1, 1, SIDE), l.shape[2]
    for b in range(B):
        seen = []
        for g in range(G):
            z = []
            for t in range(T):
                x, y, s_x, s_y = l[b, t, g]
                grid = torch.stack(torch.meshgrid(x + s_x * line, y + s_y * line, indexing="xy"), -1)
                crop = F.grid_sample(maps[b, t, None], grid[None], align_corners=True)
                for layer in (model.look.first, model.look.second):
                    crop = torch.relu(layer(crop))
                z.append(crop.flatten(2).max(2).values[0])
            z = torch.stack(z)
            weights = torch.softmax(z @ model.when[g], 0)
            torch.testing.assert_close(said.weights[b, :, g], weights)
            seen.append(weights @ z)
        seen = torch.cat(seen)
        torch.testing.assert_close(said.logits[b], model.each(seen) + model.together(seen))


@pytest.mark.parametrize("learned", [False, True])
def test_workers_read_placed_glimpses_as_the_loop_does(learned):
    torch.manual_seed(0)
    model = PlacedClouds(D, E, C, "joints", learned, workers=2, state=9, side=6, features=5).eval()
    maps, context, found = drawn()
    if learned:
        torch.nn.init.normal_(model.places.locate[-1].weight, std=0.1)
    want = glimpse_loops.read(model, maps, context, model.places(context, found))
    for one, other in zip(model(maps, context, found), want, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_places_are_moved_about_in_training_alone():
    model = PlacedGlimpses(D, E, C)
    _, context, found = drawn()
    still = model.eval().places(context, found)
    torch.manual_seed(0)
    off = torch.stack([model.train().places(context, found) - still for _ in range(50)])
    assert abs(off[..., :2].std().item() - NEAR) < 0.003 and off[..., 2:].abs().max() == 0


def test_the_context_says_nothing_about_the_class():
    """But where to look: with a locator that does not move, another context changes no score."""
    model = PlacedGlimpses(D, E, C).eval()
    maps, context, found = drawn()
    assert torch.equal(model(maps, context, found).logits, model(maps, context + 5, found).logits)
