"""Frames by number, from files as NTU's: H.264 with B-frames in AVI."""

import multiprocessing
import os
from pathlib import Path

import av
import numpy as np
import pytest

from companion.files import DamagedFile
from companion.media import read_video, video_length

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
