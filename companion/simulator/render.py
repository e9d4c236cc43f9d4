"""Pictures of capsules and plates: each pixel's ray meets the nearest of them, which one light shades.

A capsule is what lies within a radius of a segment, a limb or a stick; of equal ends it is a ball. A plate is
a rectangle, or the ellipse in it, with a pattern on both sides. Both are exact, so pictures have true
perspective and occlusion. Positions are in metres in the camera's axes: x and y as in NTU's skeletons
(columns grow with x, rows fall with y), z away from the camera.

Letters: N shapes, H W a picture's size.
"""

from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from companion.ops.compiled import njit

PLAIN, LINES, SCREEN, TILES, SPOT, CLOCK, FAN = range(7)  # from CLOCK on they are ellipses
AMBIENT = 0.55
SAMPLES = 2  # rays a pixel in each direction


class Shapes(NamedTuple):
    """N capsules and plates of one moment."""

    place: Float32[np.ndarray, "N 9"]  # capsule: both ends; plate: centre, half of each side
    radius: Float32[np.ndarray, " N"]  # of a capsule; zero says plate
    paint: Float32[np.ndarray, "N 6"]  # two colours of 0 to 255: a plate's ground and its pattern
    pattern: Int32[np.ndarray, " N"]
    owner: Int32[np.ndarray, " N"]  # the thing that it is part of, from 1


class Canvas(NamedTuple):
    """What is drawn so far, SAMPLES rays a pixel."""

    colour: UInt8[np.ndarray, "h w 3"]
    depth: Float32[np.ndarray, "h w"]
    owner: Int32[np.ndarray, "h w"]


def canvas(height: int, width: int) -> Canvas:
    """An empty one."""
    size = height * SAMPLES, width * SAMPLES
    return Canvas(np.zeros((*size, 3), np.uint8), np.full(size, np.inf, np.float32), np.zeros(size, np.int32))


@njit(nogil=True, fastmath=True)
@no_type_check
def draw(place, radius, paint, pattern, owner, focal, light, colour, depth, owners, watched, mask):
    """Draw shapes; wherever the ray meets one of the first things, hidden or not, `mask` has its bit set.

    Args:
        watched: how many things, the owners 1, 2, ..., are the first.
        focal: focal length in rays; the optical axis goes through the picture's middle.
        light: unit vector towards the light.
    """
    rows, columns = depth.shape
    middle_x, middle_y = 0.5 * columns, 0.5 * rows
    for n in range(len(place)):
        ax, ay, az, bx, by, bz, cx, cy, cz = place[n]
        r, kind = radius[n], pattern[n]
        if r > 0:
            near = min(az, bz) - r
            if near < 0.1:
                continue
            low = min(az - r, bz - r)
            left, right = min(ax, bx) - 1.2 * r, max(ax, bx) + 1.2 * r
            bottom, top = min(ay, by) - 1.2 * r, max(ay, by) + 1.2 * r
            far = max(az, bz)
            x0 = left / (low if left < 0 else far)
            x1 = right / (low if right > 0 else far)
            y0 = bottom / (low if bottom < 0 else far)
            y1 = top / (low if top > 0 else far)
        else:
            x0 = y0 = 1e9
            x1 = y1 = -1e9
            near = 1e9
            for i in (-1, 1):
                for j in (-1, 1):
                    z = az + i * bz + j * cz
                    near = min(near, z)
                    x, y = (ax + i * bx + j * cx) / max(z, 0.1), (ay + i * by + j * cy) / max(z, 0.1)
                    x0, x1, y0, y1 = min(x0, x), max(x1, x), min(y0, y), max(y1, y)
            if near < 0.1:
                x0, x1, y0, y1 = -1e3, 1e3, -1e3, 1e3
            nx, ny, nz = by * cz - bz * cy, bz * cx - bx * cz, bx * cy - by * cx
            size = (nx * nx + ny * ny + nz * nz) ** 0.5
            if size == 0:
                continue
            nx, ny, nz = nx / size, ny / size, nz / size
            ahead = ax * nx + ay * ny + az * nz
            uu, vv = bx * bx + by * by + bz * bz, cx * cx + cy * cy + cz * cz
        first_column = max(0, int(middle_x + focal * x0))
        last_column = min(columns, int(middle_x + focal * x1) + 2)
        first_row = max(0, int(middle_y - focal * y1))
        last_row = min(rows, int(middle_y - focal * y0) + 2)
        dx, dy, dz = bx - ax, by - ay, bz - az
        dd = dx * dx + dy * dy + dz * dz
        da = -(dx * ax + dy * ay + dz * az)
        aa, bb = ax * ax + ay * ay + az * az, bx * bx + by * by + bz * bz
        for row in range(first_row, last_row):
            y = (middle_y - row - 0.5) / focal
            for column in range(first_column, last_column):
                x = (column + 0.5 - middle_x) / focal  # the ray is (x, y, 1), so t is the depth
                second = False
                if r > 0:
                    rr = x * x + y * y + 1
                    dr = dx * x + dy * y + dz
                    ra = -(x * ax + y * ay + az)
                    t, along = -1.0, 0.0
                    a = dd * rr - dr * dr
                    if dd > 1e-12 and a > 1e-12:
                        b, c = dd * ra - da * dr, dd * aa - da * da - r * r * dd
                        h = b * b - a * c
                        if h < 0:
                            continue
                        t = (-b - h**0.5) / a
                        along = (da + t * dr) / dd
                    if t > 0 and 0 < along < 1:
                        mx, my, mz = ax + along * dx, ay + along * dy, az + along * dz
                    else:
                        if along <= 0:
                            mx, my, mz, b, c = ax, ay, az, ra, aa - r * r
                        else:
                            mx, my, mz, b, c = bx, by, bz, -(x * bx + y * by + bz), bb - r * r
                        h = b * b - rr * c
                        if h < 0:
                            continue
                        t = (-b - h**0.5) / rr
                    lit = ((t * x - mx) * light[0] + (t * y - my) * light[1] + (t - mz) * light[2]) / r
                else:
                    facing = nx * x + ny * y + nz
                    if abs(facing) < 1e-6:
                        continue
                    t = ahead / facing
                    if t < 0.1:
                        continue
                    px, py, pz = t * x - ax, t * y - ay, t - az
                    s = (px * bx + py * by + pz * bz) / uu
                    v = (px * cx + py * cy + pz * cz) / vv
                    if abs(s) > 1 or abs(v) > 1:
                        continue
                    around = s * s + v * v
                    if kind >= CLOCK and around > 1:
                        continue
                    if kind == LINES:
                        second = (v + 1.25) * 1.5 % 1 < 0.5
                    elif kind == SCREEN:
                        second = abs(s) < 0.72 and abs(v) < 0.72
                    elif kind == SPOT:
                        second = around < 0.6
                    elif kind == CLOCK:
                        long, short = abs(s) < 0.12 and 0 < v < 0.7, abs(v) < 0.12 and 0 < s < 0.5
                        second = around > 0.65 or long or short
                    elif kind == FAN:
                        second = s * v > 0
                    elif kind == TILES:
                        second = ((s + 1) * 8 % 2 < 1) != ((v + 1) * 8 % 2 < 1)
                    lit = nx * light[0] + ny * light[1] + nz * light[2]
                    if facing > 0:
                        lit = -lit
                if 0 < owner[n] <= watched:
                    mask[row, column] |= 1 << (owner[n] - 1)
                if t >= depth[row, column]:
                    continue
                depth[row, column], owners[row, column] = t, owner[n]
                bright = AMBIENT + (1 - AMBIENT) * max(lit, 0.0)
                base = 3 if second else 0
                for i in range(3):
                    colour[row, column, i] = min(paint[n, base + i] * bright, 255.0)


@njit(nogil=True)
@no_type_check
def expose(colour, grain):
    """The picture H W 3 that a camera takes: the mean of each pixel's rays, and grain H W."""
    height, width = grain.shape
    picture = np.empty((height, width, 3), np.uint8)
    for i in range(height):
        for j in range(width):
            noise = grain[i, j]
            for k in range(3):
                total = 0
                for m in range(SAMPLES):
                    for n in range(SAMPLES):
                        total += colour[i * SAMPLES + m, j * SAMPLES + n, k]
                picture[i, j, k] = min(max(total // SAMPLES**2 + noise, 0), 255)
    return picture


@njit(nogil=True)
@no_type_check
def extents(mask, owners, boxes, rays):
    """What a picture shows of each thing.

    Args:
        boxes: is filled with x0 y0 x1 y1 around each of the first things in the mask, in rays.
        rays: of so many owners, from 0; is filled with how many meet one, hidden or not, and how many see it.
    """
    rays[:] = 0
    boxes[:, :2], boxes[:, 2:] = max(mask.shape), 0
    for row in range(mask.shape[0]):
        for column in range(mask.shape[1]):
            if owners[row, column]:
                rays[1, owners[row, column]] += 1
            met, thing = mask[row, column], 0
            while met:
                if met & 1:
                    box = boxes[thing]
                    box[0], box[1] = min(box[0], column), min(box[1], row)
                    box[2], box[3] = max(box[2], column + 1), max(box[3], row + 1)
                    rays[0, thing + 1] += 1
                met, thing = met >> 1, thing + 1
