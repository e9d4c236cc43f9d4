"""Both official archives of Northwestern-UCLA's pictures, in files of their layouts."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from companion.files import DamagedFile
from companion.formats import nucla_rgb


def grey(n: int) -> np.ndarray:
    return np.full((24, 32, 3), 20 * n, np.uint8)


def write_pictures(root: Path, view: int, name: str, numbers: list[int]) -> Path:
    folder = root / "nucla/multiview_action" / f"view_{view}" / name
    folder.mkdir(parents=True)
    for n in numbers:
        Image.fromarray(grey(n)).save(folder / f"frame_{n}_tc_{500 - n}_rgb.jpg")
        (folder / f"frame_{n}_tc_{500 - n}_depth.png").touch()
    return folder


def write_video(root: Path, action: str, name: str, frames: int) -> Path:
    path = root / "nucla/multiview_action_videos" / action / f"{name}.avi"
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", 10, width=32, height=24, pix_fmt="yuv420p")
        for n in range(frames):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(grey(n), "rgb24")))
        file.mux(stream.encode())
    return path


def test_pictures_are_sorted_by_number(tmp_path):
    write_pictures(tmp_path, 2, "a11_s03_e01", [0, 10, 9, 1, 2])
    (clip,) = nucla_rgb.clips(tmp_path)
    assert clip[:4] == ("a11_s03_e01_v02", 8, 3, 2)
    assert nucla_rgb.length(clip.place) == 5
    means = nucla_rgb.read(clip.place, [0, 3, 4], (24, 32)).mean((1, 2, 3))
    np.testing.assert_allclose(means, [0, 180, 200], atol=3)


def test_videos(tmp_path):
    write_video(tmp_path, "a04", "v03_s10_e02", 6)
    write_video(tmp_path, "a01", "v01_s01_e00", 4)
    first, second = nucla_rgb.clips(tmp_path)
    assert (first.name, second.name) == ("a01_s01_e00_v01", "a04_s10_e02_v03")
    assert (second.label, second.subject, second.view) == (3, 10, 3)
    assert nucla_rgb.length(second.place) == 6
    found = nucla_rgb.read(second.place, [5, 1], (12, 16))
    assert found.shape == (2, 12, 16, 3)
    np.testing.assert_allclose(found.mean((1, 2, 3)), [100, 20], atol=6)


def test_names_are_those_of_the_skeletons(tmp_path):
    from companion.formats import nucla

    write_pictures(tmp_path, 1, "a08_s05_e03", [0])
    (clip,) = nucla_rgb.clips(tmp_path)
    assert nucla.NAME.fullmatch(clip.name) and nucla.CLASSES[clip.label] == "donning"
    tested, _ = nucla.split(np.array([clip.subject]), np.array([clip.view]), "V23_1")
    assert tested.all()


def test_what_is_wrong_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="multiview_action"):
        nucla_rgb.clips(tmp_path)
    empty = write_pictures(tmp_path, 1, "a01_s01_e01", [])
    with pytest.raises(DamagedFile, match="a01_s01_e01 holds no picture"):
        nucla_rgb.length(empty)
    folder = write_pictures(tmp_path, 1, "a01_s01_e02", [0, 1])
    with pytest.raises(DamagedFile, match="has 2 pictures, no number 5"):
        nucla_rgb.read(folder, [5], (24, 32))
    next(folder.glob("*_0_*_rgb.jpg")).write_bytes(b"no picture")
    with pytest.raises(DamagedFile, match="frame_0"):
        nucla_rgb.read(folder, [0], (24, 32))


@pytest.mark.parametrize("name", ["a07_s01_e01", "a01_s1_e01", "a01"])
def test_a_folder_of_another_name_is_refused(tmp_path, name):
    write_pictures(tmp_path, 1, name, [0])
    with pytest.raises(DamagedFile, match=name):
        nucla_rgb.clips(tmp_path)


def test_a_video_of_another_name_is_refused(tmp_path):
    write_video(tmp_path, "a01", "v04_s01_e01", 1)
    with pytest.raises(DamagedFile, match="v04_s01_e01"):
        nucla_rgb.clips(tmp_path)
