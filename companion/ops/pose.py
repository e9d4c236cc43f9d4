"""Small steps that prepare skeleton sequences, each as a paper describes it.

Letters: T frames, M bodies, J joints; leading axes are free. A joint that was not seen is zero.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor
from torch.nn import functional as F

Poses = Float[Tensor, "*n T M J 3"]
Seen = Bool[Tensor, "*n T M J"]
Places = Float64[Tensor, "*n"]  # 0 is the first frame, 1 the second
Share = Float[Tensor, " B"] | None


def centre(poses: Poses, seen: Seen, middle: int, still: bool = False) -> Poses:
    """Put the middle of the first body's spine at the origin, in each frame where that body is seen.

    All bodies of a frame move together, so their distance stays (Shahroudy et al., CVPR 2016, section 5).
    A frame without the first body is moved as the last frame with it.

    Args:
        still: move all frames as the first one, so that a walk stays a walk.
    """
    there = seen[..., 0, middle]
    T = there.shape[-1]
    last = torch.where(there, torch.arange(T, device=poses.device), -1).cummax(-1).values
    first = there.to(torch.uint8).argmax(-1, keepdim=True)
    frame = first.expand(there.shape) if still else torch.where(last < 0, first, last)
    origin = poses[..., 0, middle, :].gather(-2, frame.unsqueeze(-1).expand(*frame.shape, 3))
    return torch.where(seen.unsqueeze(-1), poses - origin[..., None, None, :], 0)


def face(poses: Poses, seen: Seen, right: int, left: int, base: int, middle: int) -> Poses:
    """Turn a sequence so that its first body faces the camera, upright, in the first frame that shows it.

    x runs along the line from the right shoulder to the left, y as nearly along the spine as is square to
    it, z is square to both (view normalisation of Shahroudy et al., CVPR 2016, section 5). A sequence in
    which no frame shows these joints at four places is left as it is.

    Args:
        right, left: joints of the shoulders; base, middle: two joints of the spine.
    """
    shown = seen[..., 0, [right, left, base, middle]].all(-1)
    first = shown.to(torch.uint8).argmax(-1)[..., None, None, None]
    body = poses[..., 0, :, :]
    body = body.gather(-3, first.expand(*first.shape[:-2], *body.shape[-2:])).squeeze(-3)
    x = F.normalize(body[..., left, :] - body[..., right, :], dim=-1)
    spine = body[..., middle, :] - body[..., base, :]
    y = F.normalize(spine - (spine * x).sum(-1, keepdim=True) * x, dim=-1)
    axes = torch.stack([x, y, torch.linalg.cross(x, y)], -1)
    whole = (shown.any(-1) & x.any(-1) & y.any(-1))[..., None, None]
    axes = torch.where(whole, axes, torch.eye(3, dtype=poses.dtype, device=poses.device))
    return torch.einsum("...tmji,...ik->...tmjk", poses, axes)


def places(lengths: Int[Tensor, " B"], frames: int, start: Share = None, share: Share = None) -> Places:
    """Where to read `frames` frames at equal distances: from the first to the last, or in a part of the clip.

    Args:
        lengths: T of each clip.
        start, share: the part is this share of the clip, and begins where `start` of the rest is over.
            Drawn at random they give random sub-sequences, each at its own speed.
    """
    last = (lengths - 1).double().unsqueeze(-1)
    line = torch.linspace(0, 1, frames, dtype=torch.float64)
    if start is None or share is None:
        return last * line
    start, share = start.double().unsqueeze(-1), share.double().unsqueeze(-1)
    return last * (start * (1 - share) + share * line)


def read(poses: Float[Tensor, "N M J 3"], seen: Bool[Tensor, "N M J"], at: Places) -> tuple[Tensor, Tensor]:
    """The poses at places between frames, linear in between: *n M J 3, and whether they are seen.

    A joint that is missing in one of the two frames that a place lies between takes the other's place.
    """
    before, after = at.floor().long(), at.ceil().long()
    share = (at - before).to(poses.dtype)[..., None, None]
    a, b = seen[before], seen[after]
    share = torch.where(a & b, share, (b & ~a).to(poses.dtype)).unsqueeze(-1)
    return torch.lerp(poses[before], poses[after], share), a | b


def derivatives(poses: Poses) -> tuple[Poses, Poses]:
    """Velocity and acceleration, first and second differences; before the clip its first frame stood."""
    velocity = torch.diff(poses, dim=-4, prepend=poses[..., :1, :, :, :])
    return velocity, torch.diff(velocity, dim=-4, prepend=velocity[..., :1, :, :, :])


def turn(poses: Poses, angles: Float[Tensor, "*n 3"]) -> Poses:
    """Rotate each sequence by angles about x, y and z, in radians, in this order."""
    (cx, cy, cz), (sx, sy, sz) = angles.cos().unbind(-1), angles.sin().unbind(-1)
    rows = [
        *(cy * cz, sx * sy * cz - cx * sz, cx * sy * cz + sx * sz),
        *(cy * sz, sx * sy * sz + cx * cz, cx * sy * sz - sx * cz),
        *(-sy, sx * cy, cx * cy),
    ]
    matrix = torch.stack(rows, -1).unflatten(-1, (3, 3))
    return torch.einsum("...tmji,...ki->...tmjk", poses, matrix)


def scale(poses: Poses, factors: Float[Tensor, "*n 3"]) -> Poses:
    """Stretch each sequence along x, y and z, as bodies differ in height and breadth."""
    return poses * factors[..., None, None, None, :]


def hide(poses: Poses, seen: Seen, joints: Bool[Tensor, "*n M J"]) -> tuple[Poses, Seen]:
    """Take these joints out of the whole sequence, as if they had not been seen (joint dropout)."""
    seen = seen & ~joints.unsqueeze(-3)
    return torch.where(seen.unsqueeze(-1), poses, 0), seen


def mirror(poses: Poses, other: Sequence[int]) -> Poses:
    """Exchange left and right: x changes its sign, and each joint goes to the one on the other side."""
    return poses[..., list(other), :] * poses.new_tensor([-1, 1, 1])
