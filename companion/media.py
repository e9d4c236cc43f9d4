"""Pictures and videos in and out.

NTU's videos are H.264 with B-frames in AVI, whose time stamps are not monotone: a reader that seeks by time
returns wrong frames. So a video is read from its beginning, and frames are counted as they come.

Letters: T frames, H W a picture's size.
"""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import torch
from av.container import InputContainer
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8
from PIL import Image, ImageOps
from torch import Tensor

from companion.files import DamagedFile

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM")  # Pillow has more, one of which runs programs
MOST = 50_000_000  # pixels of an image: with all copies on the way less than 1 GB
LARGEST = 1 << 30  # bytes of a video's frames that are read at once


def read_image(path: str | Path) -> UInt8[Tensor, "3 H W"]:
    """An image in three colours of 8 bits, upright, whatever the file holds.

    Grey becomes three equal colours, 16 bits become 8, transparency is dropped, of several pictures the first
    is read, and what EXIF says of the camera's orientation is applied.

    Raises:
        FileNotFoundError: no such file.
        DamagedFile: it is empty, cut off, changed, too large, or no image.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as file:
                if file.width * file.height > MOST:
                    raise ValueError(f"{file.width} x {file.height} pixels are too many")
                file.verify()  # checksums, where the format has them; the file must then be opened again
            with Image.open(path, formats=FORMATS) as file:
                ImageOps.exif_transpose(file, in_place=True)
                image = file
                if image.mode.startswith("I"):  # more than 8 bits
                    deep = np.asarray(image).clip(0, 65535).astype(np.uint16)
                    image = Image.fromarray((deep // 257 + (deep % 257 > 128)).astype(np.uint8))
                if image.mode != "RGB":
                    image = image.convert("RGB")
                pixels = np.asarray(image).transpose(2, 0, 1).copy()
    except Exception as error:  # each of Pillow's decoders has its own
        raise DamagedFile(f"{path} is no whole image ({error}); get the file again") from None
    return torch.from_numpy(pixels)


def read_video(
    path: str | Path, numbers: Sequence[int] | None = None, size: tuple[int, int] | None = None
) -> UInt8[np.ndarray, "T H W 3"]:
    """The frames with these numbers, in this order.

    Args:
        numbers: from 0, in any order, also repeated; default all.
        size: H and W that the frames are scaled to (area averaging); default as they are.

    Raises:
        FileNotFoundError: no such file.
        DamagedFile: it is no video, is cut off, is stored turned, or has no frame of such a number.
        ValueError: an empty list of numbers, or frames that take more than 1 GiB.
    """
    path = Path(path)
    numbers = range(video_length(path)) if numbers is None else [int(n) for n in numbers]
    if not numbers:
        raise ValueError(f"no frame of {path} is asked for; give at least one number")
    rows: dict[int, list[int]] = {}
    for row, n in enumerate(numbers):
        rows.setdefault(n, []).append(row)
    last, pictures, count = max(rows), None, 0
    height, width = size or (None, None)
    scale = VideoReformatter()  # sets itself up once for all frames
    try:
        with opened(path) as file:
            for frame in file.decode(video=0):
                if frame.rotation:
                    raise DamagedFile(f"{path} is to be turned by {frame.rotation} degrees; store it upright")
                if count in rows:
                    picture = scale.reformat(frame, width, height, "rgb24", interpolation="AREA")
                    shape = (picture.height, picture.width, 3)
                    if pictures is None:
                        if len(numbers) * math.prod(shape) > LARGEST:
                            raise ValueError(
                                f"{len(numbers)} frames of {path} are too large for the memory;"
                                " ask for fewer, or for a smaller size"
                            )
                        pictures = np.empty((len(numbers), *shape), np.uint8)
                    if shape != pictures.shape[1:]:
                        raise DamagedFile(f"{path}: frame {count} has another size; download it again")
                    plane = picture.planes[0]
                    lines = np.frombuffer(plane, np.uint8)  # pyright: ignore  # a buffer, its stub says not
                    lines = lines.reshape(picture.height, plane.line_size)
                    pictures[rows[count]] = lines[:, : 3 * picture.width].reshape(pictures.shape[1:])
                count += 1
                if count > last:
                    break
    except FFmpegError as error:
        raise DamagedFile(
            f"{path}: frame {count} cannot be decoded ({error.strerror}); download it again"
        ) from None
    if not count:
        raise DamagedFile(f"{path} has no frames; download it again")
    if pictures is None or last >= count or min(rows) < 0:
        raise DamagedFile(f"{path} has {count} frames, no frame {last if last >= count else min(rows)}")
    return pictures


def video_length(path: str | Path) -> int:
    """How many frames a file holds, without decoding them.

    Raises:
        FileNotFoundError, DamagedFile: as of `read_video`.
    """
    path, count = Path(path), 0
    try:
        with opened(path) as file:
            count = sum(packet.size > 0 for packet in file.demux(video=0))
    except FFmpegError as error:
        raise DamagedFile(f"{path} cannot be read ({error.strerror}); download it again") from None
    if not count:
        raise DamagedFile(f"{path} has no frames; download it again")
    return count


def opened(path: Path) -> InputContainer:
    """A file with a video."""
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    file = av.open(str(path), metadata_errors="ignore")
    if not file.streams.video:
        file.close()
        raise DamagedFile(f"{path} has no video stream; download it again")
    file.streams.video[0].thread_type = "AUTO"
    return file
