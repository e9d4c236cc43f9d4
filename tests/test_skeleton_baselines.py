"""The pose baselines: each recurrence against its obvious version, and what each promises."""

import pytest
import torch
from torch.nn import functional as F

from companion import training
from companion.models import skeleton_baselines as baselines
from companion.models.sta_lstm import STALSTM
from companion.skeleton import KINECT_V2, OPENNI

B, T, M, C = 2, 6, 2, 4
VARIANTS = [*baselines.ATTENDING, *baselines.MODELS]


@pytest.fixture
def poses():
    return torch.randn(B, T, M, len(OPENNI), 3, generator=torch.Generator().manual_seed(0))


def build(variant, tree=OPENNI, **options):
    torch.manual_seed(1)
    return baselines.build(variant, tree, M, C, T, **options).eval()


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_model_reads_any_tree_and_learns_in_all_its_parts(variant):
    for tree in (OPENNI, KINECT_V2):
        model = build(variant, tree).train()
        read = model(torch.randn(B, T, M, len(tree), 3))
        assert read.logits.shape == (B, C)
        (F.cross_entropy(read.logits, torch.tensor([0, 3])) + read.penalty).backward()
        assert all(value.grad is not None for value in model.parameters())


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_clip_of_one_frame_is_read(variant):
    assert (
        baselines.build(variant, OPENNI, M, C, 1).eval()(torch.randn(1, 1, M, 15, 3)).logits.isfinite().all()
    )


def test_an_unknown_variant_is_refused():
    with pytest.raises(ValueError, match="unknown variant 'transformer'; choose one of sta-lstm, spatial"):
        build("transformer")
    assert isinstance(build("temporal"), STALSTM) and build("temporal").where is None


def test_part_lstm_is_its_equations(poses):
    """One cell a part, written out."""
    model = build("part-lstm", units=3)
    parts = [(m, list(part)) for m in range(M) for part in OPENNI.parts.values()]
    h = c = torch.zeros(B, len(parts), 3)
    scores = []
    for t in range(T):
        out = model.open(poses[:, t].flatten(1)).view(B, len(parts), 3)
        past = model.remember(h.flatten(1)).view(B, len(parts), 12)
        new_h, new_c = torch.zeros_like(h), torch.zeros_like(c)
        for p, (m, part) in enumerate(parts):
            i, f, g = (model.see[p](poses[:, t, m, part].flatten(1)) + past[:, p, :9]).split(3, -1)
            new_c[:, p] = f.sigmoid() * c[:, p] + i.sigmoid() * g.tanh()
            new_h[:, p] = (out[:, p] + past[:, p, 9:]).sigmoid() * new_c[:, p].tanh()
        h, c = new_h, new_c
        scores.append(model.classify(h.flatten(1)))
    torch.testing.assert_close(model(poses).logits, torch.stack(scores).mean(0))


@pytest.mark.parametrize("trust", [True, False])
@pytest.mark.parametrize("frames", [1, T, len(OPENNI.tour) + 2])
def test_st_lstm_is_its_equations_cell_by_cell(trust, frames):
    """The diagonals, and the gradient that is written out, give what a loop over joints and frames gives."""
    model = build("st-lstm", units=3, trust=trust).double()
    tour, zero = OPENNI.tour, torch.zeros(B, 3, dtype=torch.double)
    poses = torch.randn(B, frames, M, len(OPENNI), 3, dtype=torch.double, requires_grad=True)
    x = {(s, t): poses[:, t, :, joint].flatten(1) for s, joint in enumerate(tour) for t in range(frames)}
    for n, gates in enumerate(model.gates):
        h, c = {}, {}
        for s in range(len(tour)):
            for t in range(frames):
                h_s, h_t = h.get((s - 1, t), zero), h.get((s, t - 1), zero)
                i, f_s, f_t, o, u = gates(torch.cat([x[s, t], h_s, h_t], -1)).split(3, -1)
                new = i.sigmoid() * u.tanh()
                old = f_s.sigmoid() * c.get((s - 1, t), zero) + f_t.sigmoid() * c.get((s, t - 1), zero)
                if trust and n == 0:
                    p = model.expect(torch.cat([h_s, h_t], -1)).tanh()
                    tau = torch.exp(-0.5 * (p - model.find(x[s, t]).tanh()) ** 2)
                    new, old = tau * new, (1 - tau) * old
                c[s, t] = new + old
                h[s, t] = o.sigmoid() * c[s, t].tanh()
        x = h
    want = torch.stack([model.classify(x[len(tour) - 1, t]) for t in range(frames)]).mean(0)
    got, asked = model(poses).logits, [poses, *model.parameters()]
    torch.testing.assert_close(got, want)
    ahead = torch.randn_like(want)
    for one, other in zip(
        torch.autograd.grad(got, asked, ahead), torch.autograd.grad(want, asked, ahead), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_st_lstm_learns_in_bf16(poses):
    """Its products are those of autocast, and its states stay in f32."""
    model, losses = build("st-lstm"), []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled):
            logits = model(poses).logits.float()
        losses.append(F.cross_entropy(logits, torch.tensor([0, 3])))
    one, other = (
        torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])
        for loss in losses
    )
    torch.testing.assert_close(losses[0], losses[1], atol=0.02, rtol=0)
    assert losses[0] != losses[1] and (one - other).norm() < 0.1 * one.norm()


def test_co_occurrence_penalty_by_hand():
    """Two groups of two units and one body of 15 joints: all weights 1 but those of joint 0, which are 0."""
    model = baselines.CoOccurrenceLSTM(OPENNI, 1, C, units=4, groups=2, sparse=0.1, grouped=1.0)
    torch.nn.init.ones_(model.look.weight)
    with torch.no_grad():
        model.look.weight[:, :3] = 0
    want = 0.1 * 4 * 14 * 3 + 2 * 14 * (2 * 3) ** 0.5
    assert model.penalty().item() == pytest.approx(want, rel=1e-5)


def test_ts_lstm_sees_only_motion_at_a_lag(poses):
    still = build("ts-lstm", lags=(1,))
    torch.testing.assert_close(still(poses).logits, still(poses + 7).logits, atol=1e-5, rtol=1e-5)
    assert (
        build("ts-lstm", lags=(0,))(poses).logits - build("ts-lstm", lags=(0,))(poses + 7).logits
    ).abs().max() > 0


def test_va_lstm_begins_with_the_cameras_view_and_can_turn_it(poses):
    model = build("va-lstm")
    torch.testing.assert_close(model(poses).logits, model.read(poses).logits)
    torch.nn.init.constant_(model.angles.bias, torch.pi)  # half turns about all axes are none
    torch.testing.assert_close(model(poses).logits, model.read(poses).logits, atol=1e-4, rtol=1e-4)
    torch.nn.init.constant_(model.shift.bias, 1.0)
    torch.testing.assert_close(model(poses).logits, model.read(poses - 1).logits, atol=1e-4, rtol=1e-4)


def test_the_pose_convnet_has_the_maps_of_the_paper():
    """20 frames, two people and 25 joints: 49 entries of the tour, 294 columns; then 10 x 147 and 5 x 74."""
    model = baselines.build("pose-convnet", KINECT_V2, 2, 60, 20).eval()
    maps = torch.zeros(1, 3, 20, 294)
    sizes = []
    for layer in model.convolve:
        maps = layer(maps)
        sizes.append(tuple(maps.shape[2:]))
    assert (sizes[2], sizes[6]) == ((10, 147), (5, 74))
    assert model.features(torch.zeros(1, 20, 2, 25, 3)).shape == (1, 1024)


def test_sgn_says_which_joints_are_attended_to(poses):
    read = build("sgn")(poses)
    torch.testing.assert_close(read.joints.sum((2, 3)), torch.ones(B, T))
    assert read.joints.shape == (B, T, M, 15)


def test_a_model_begins_with_what_was_learned_on_other_classes():
    trained = build("pose-convnet")
    model = training.from_pretrained(lambda: baselines.build("pose-convnet", OPENNI, M, 9, T), trained)
    assert torch.equal(model.join.weight, trained.join.weight) and model.classify.out_features == 9
