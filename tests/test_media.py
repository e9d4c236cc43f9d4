"""Images of all kinds, frames by number from files as NTU's (H.264 with B-frames in AVI), damaged files."""

import io
import multiprocessing
import os
import struct
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from companion.files import DamagedFile
from companion.media import read_image, read_video, video_length

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
PALETTE = Image.fromarray(RGB[..., 0]).convert("RGB").quantize(256)


def pixels(path):
    return read_image(path).permute(1, 2, 0).numpy()


@pytest.mark.parametrize(
    "stored, want",
    [
        (RGB, RGB),
        (RGB[..., 0], RGB[..., :1].repeat(3, -1)),
        (np.concatenate([RGB, RGB[..., :1]], -1), RGB),
        (RGB[..., :2], RGB[..., :1].repeat(3, -1)),
        (257 * RGB[..., 0].astype(np.uint16), RGB[..., :1].repeat(3, -1)),
        (257 * (RGB[..., 0] // 2).astype(np.uint16) + 129, (RGB[..., :1] // 2 + 1).repeat(3, -1)),
        (RGB[..., 0] > 99, 255 * (RGB[..., :1] > 99).repeat(3, -1)),
    ],
    ids=["colours", "grey", "transparent", "grey and transparent", "16 bits", "16 bits, rounded", "1 bit"],
)
def test_every_kind_is_read_in_three_colours(tmp_path, stored, want):
    Image.fromarray(stored).save(tmp_path / "picture.png")
    assert read_image(tmp_path / "picture.png").dtype == torch.uint8
    assert np.array_equal(pixels(tmp_path / "picture.png"), want)


@pytest.mark.parametrize("transparency", [{}, {"transparency": bytes(range(256))}])
def test_a_palette_is_looked_up(tmp_path, transparency):
    PALETTE.save(tmp_path / "picture.png", **transparency)
    assert np.array_equal(pixels(tmp_path / "picture.png"), np.asarray(PALETTE.convert("RGB")))


@pytest.mark.parametrize(
    "orientation, upright",
    [(1, RGB), (3, RGB[::-1, ::-1]), (6, RGB[::-1].swapaxes(0, 1)), (8, RGB.swapaxes(0, 1)[::-1])],
)
def test_a_photograph_stands_upright(tmp_path, orientation, upright):
    """As the table of EXIF says: 6 is to be turned right by a quarter, 8 left."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(RGB).save(tmp_path / "picture.png", exif=exif)
    assert np.array_equal(pixels(tmp_path / "picture.png"), upright)


@pytest.mark.parametrize("kind", ["gif", "webp", "png", "tiff"])
def test_of_several_pictures_the_first_is_read(tmp_path, kind):
    several = [Image.new("RGB", (30, 20), colour) for colour in ("red", "green", "blue")]
    options = {"lossless": True} if kind == "webp" else {}
    several[0].save(tmp_path / f"several.{kind}", save_all=True, append_images=several[1:], **options)
    with Image.open(tmp_path / f"several.{kind}") as file:
        assert file.n_frames == 3
    assert np.array_equal(pixels(tmp_path / f"several.{kind}"), np.asarray(several[0]))


def test_files_that_are_no_image_are_named(tmp_path):
    path = tmp_path / "picture.jpg"
    with pytest.raises(FileNotFoundError, match="no file .*picture.jpg"):
        read_image(path)
    Image.fromarray(RGB.repeat(9, 0)).save(path)
    for content in (b"", b"no image", path.read_bytes()[:900]):
        path.write_bytes(content)
        with pytest.raises(DamagedFile, match=r"picture.jpg is no whole image \(.*\); get the file again"):
            read_image(path)
    path.write_bytes(b"P6 10000 10000 255 ")
    with pytest.raises(DamagedFile, match="picture.jpg is no whole image .10000 x 10000 pixels are too many"):
        read_image(path)


FILES = {}
for kind in ("PNG", "JPEG", "GIF", "WebP", "TIFF", "BMP", "PPM"):
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, kind)
    FILES[kind] = buffer.getvalue()


@pytest.mark.parametrize("kind", FILES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(st.data())
def test_a_changed_bit_is_a_sentence_or_a_picture(tmp_path, kind, data):
    """PNG has checksums: there, none passes before the last chunk, of 12 bytes."""
    changed, path = bytearray(FILES[kind]), tmp_path / "changed"
    at = data.draw(st.integers(0, len(changed) - 1))
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(changed)
    try:
        picture = read_image(path)
    except DamagedFile as error:
        assert str(path) in str(error)
    else:
        assert picture.dtype == torch.uint8 and len(picture) == 3
        assert kind != "PNG" or at >= len(changed) - 12


def test_other_formats_are_not_tried(tmp_path):
    """One of Pillow's own runs a program on what the file holds."""
    path = tmp_path / "picture.png"
    Image.fromarray(RGB).save(path, "EPS")
    with pytest.raises(DamagedFile, match="picture.png is no whole image .cannot identify"):
        read_image(path)


T, BITS, SIDE = 72, 7, 16


def numbered():
    """T pictures; each says its number in bright and dark squares."""
    bits = (np.arange(T)[:, None] >> np.arange(BITS)) & 1
    rows = np.repeat(np.repeat(bits[:, None] * 200 + 20, SIDE, 2), 2 * SIDE, 1)
    return np.repeat(rows[..., None], 3, -1).astype(np.uint8)


def number(pictures):
    """What pictures of any size say."""
    height, width = pictures.shape[1:3]
    middle = ((np.arange(BITS) + 0.5) * width / BITS).astype(int)
    return (pictures[:, height // 2, middle, 0] > 110) @ (1 << np.arange(BITS))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "S001C001P001R001A001_rgb.avi"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = BITS * SIDE, 2 * SIDE, "yuv420p"
        stream.options = {"bf": "3", "g": "24", "b_strategy": "0"}
        for picture in numbered():
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        file.mux(stream.encode())
    with av.open(str(path)) as file:
        kinds = [int(frame.pict_type) for frame in file.decode(video=0)]
    assert kinds.count(int(av.video.frame.PictureType.B)) > T // 3  # it is such a file
    return path


def test_every_index_is_the_right_frame(path):
    assert number(read_video(path)).tolist() == list(range(T))
    for n in range(T):
        assert number(read_video(path, [n])).tolist() == [n]


def test_any_order_any_size(path):
    wanted = [70, 3, 3, 41, 0]
    assert number(read_video(path, wanted)).tolist() == wanted
    small = read_video(path, wanted, (16, 56))
    assert small.shape == (5, 16, 56, 3) and number(small).tolist() == wanted


@pytest.mark.parametrize("kind", ["fork", "spawn"])
def test_workers_read_what_the_parent_reads(path, kind):
    want = read_video(path, [5, 60])
    with multiprocessing.get_context(kind).Pool(2) as pool:
        for got in pool.starmap(read_video, [(path, [5, 60])] * 4):
            assert (got == want).all()


def test_damage_is_named(path, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*nothing\.avi"):
        read_video(tmp_path / "nothing.avi")
    with pytest.raises(DamagedFile, match=r"_rgb\.avi has 72 frames, no frame 72"):
        read_video(path, [3, 72])
    with pytest.raises(DamagedFile, match="no frame -1"):
        read_video(path, [-1])
    other = tmp_path / "other.avi"
    for content in (b"", b"hello", path.read_bytes()[:200]):
        other.write_bytes(content)
        for call in (read_video, video_length):
            with pytest.raises(DamagedFile, match=r"other\.avi"):
                call(other)


def test_a_film_that_is_stored_turned_is_refused(tmp_path):
    """Its matrix, of 3 x 3 numbers of 16 and 16 bits, turns by a quarter."""
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = BITS * SIDE, 2 * SIDE, "yuv420p"
        for picture in numbered()[:3]:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        file.mux(stream.encode())
    assert len(read_video(path)) == 3
    one, whole = 1 << 16, path.read_bytes()
    head, tail = whole.split(b"tkhd")
    matrix, turned = (
        struct.pack(">9i", *rows, 0, 0, 0, 1 << 30) for rows in ((one, 0, 0, 0, one), (0, one, 0, -one, 0))
    )
    assert tail.count(matrix) == 1
    path.write_bytes(head + b"tkhd" + tail.replace(matrix, turned))
    with pytest.raises(DamagedFile, match="film.mp4 is to be turned by -?90 degrees; store it upright"):
        read_video(path)


def test_a_film_whose_size_changes_is_refused_unless_a_size_is_given(tmp_path):
    path, parts = tmp_path / "film.h264", []
    for width, height in ((64, 48), (96, 64)):
        with av.open(str(path), "w") as file:
            stream = file.add_stream("libx264", rate=30)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for shade in (0, 80, 160):
                picture = np.full((height, width, 3), shade, np.uint8)
                file.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
            file.mux(stream.encode())
        parts.append(path.read_bytes())
    path.write_bytes(b"".join(parts))
    with pytest.raises(DamagedFile, match="film.h264: frame 3 has another size; download it again"):
        read_video(path)
    assert read_video(path, [0, 2]).shape == (2, 48, 64, 3)
    assert read_video(path, size=(20, 30)).shape == (6, 20, 30, 3)


def test_frames_that_do_not_fit_in_the_memory_are_refused_before_they_are_made(path):
    with pytest.raises(ValueError, match=r"100000 frames of .*_rgb.avi are too large .* a smaller size"):
        read_video(path, [0] * 100_000)
    assert read_video(path, [0] * 1000, (4, 14)).shape == (1000, 4, 14, 3)


def test_no_frame_at_all_is_no_question(path):
    with pytest.raises(ValueError, match="no frame of .* is asked for"):
        read_video(path, [])


def test_frames_are_counted_without_decoding_them(path, tmp_path):
    assert video_length(path) == T
    short = tmp_path / "short.avi"
    short.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DamagedFile, match=r"short\.avi cannot be read"):
        video_length(short)


@pytest.mark.skipif("COMPANION_DATA" not in os.environ, reason="COMPANION_DATA is not set")
def test_a_real_file_of_full_size():
    sample = Path(os.environ["COMPANION_DATA"]) / "ntu_meta/sample_1920x1080_rgb.avi"
    if not sample.is_file():
        pytest.skip(f"no file {sample}")
    assert read_video(sample, [0, 71]).shape == (2, 1080, 1920, 3)
    assert video_length(sample) == len(read_video(sample, size=(90, 160)))
