"""Small steps that prepare skeleton sequences, each as a paper describes it.

Letters: T frames, M bodies, J joints; leading axes are free. A joint that was not seen is zero.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

Poses = Float[Tensor, "*n T M J 3"]
Seen = Bool[Tensor, "*n T M J"]


def centre(poses: Poses, seen: Seen, middle: int) -> Poses:
    """Put the middle of the first body's spine at the origin, in each frame where that body is seen.

    All bodies of a frame move together, so their distance stays (Shahroudy et al., CVPR 2016, section 5).
    A frame without the first body is moved as the last frame with it.
    """
    there = seen[..., 0, middle]
    T = there.shape[-1]
    last = torch.where(there, torch.arange(T, device=poses.device), -1).cummax(-1).values
    first = there.to(torch.uint8).argmax(-1, keepdim=True)
    frame = torch.where(last < 0, first, last)
    origin = poses[..., 0, middle, :].gather(-2, frame.unsqueeze(-1).expand(*frame.shape, 3))
    return torch.where(seen.unsqueeze(-1), poses - origin[..., None, None, :], 0)


def face(poses: Poses, seen: Seen, right: int, left: int, base: int, middle: int) -> Poses:
    """Turn a sequence so that the first body of its first frame faces the camera, upright.

    x runs along the line from the right shoulder to the left, y as nearly along the spine as is square to
    it, z is square to both (view normalisation of Shahroudy et al., CVPR 2016, section 5).

    Args:
        right, left: joints of the shoulders; base, middle: two joints of the spine.
    """
    body = poses[..., 0, 0, :, :]
    x = F.normalize(body[..., left, :] - body[..., right, :], dim=-1)
    spine = body[..., middle, :] - body[..., base, :]
    y = F.normalize(spine - (spine * x).sum(-1, keepdim=True) * x, dim=-1)
    axes = torch.stack([x, y, torch.linalg.cross(x, y)], -1)
    whole = seen[..., 0, 0, [right, left, base, middle]].all(-1)[..., None, None]
    axes = torch.where(whole, axes, torch.eye(3, dtype=poses.dtype, device=poses.device))
    return torch.einsum("...tmji,...ik->...tmjk", poses, axes)


def resample(
    poses: Float[Tensor, "T M J 3"], seen: Bool[Tensor, "T M J"], frames: int
) -> tuple[Tensor, Tensor]:
    """`frames` frames at equal distances from the first to the last, linear in between.

    A joint that is missing in one of the two frames that a new one lies between takes the other's place.
    """
    T = len(poses)
    at = torch.linspace(0, T - 1, frames, dtype=torch.float64)
    before = at.floor().long()
    after = at.ceil().long()
    share = (at - before).to(poses.dtype)[:, None, None]
    a, b = seen[before], seen[after]
    share = torch.where(a & b, share, (b & ~a).to(poses.dtype)).unsqueeze(-1)
    return poses[before] * (1 - share) + poses[after] * share, a | b


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
