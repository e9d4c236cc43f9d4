"""UCF-11: what its folders hold, how scenes are split, what is refused."""

import av
import numpy as np
import pytest
import torch

from companion.datasets.labelled_videos import LabelledVideos, check, data_fingerprint
from companion.files import DamagedFile
from companion.formats import ucf11


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_OUT", str(tmp_path / "out"))


def write(root, name, action, group, clip, frames=6):
    """A video, each frame of which is brighter than the one before."""
    path = root / ucf11.FOLDER / name / f"v_{action}_{group:02}" / f"v_{action}_{group:02}_{clip:02}.mpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mpeg") as file:
        stream = file.add_stream("mpeg2video", 25, width=64, height=48, pix_fmt="yuv420p")
        for n in range(frames):
            picture = np.full((48, 64, 3), 20 + 20 * n, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        file.mux(stream.encode())
    return path


@pytest.fixture
def root(tmp_path):
    for name, action in (("basketball", "shooting"), ("walking", "walk_dog")):
        for group in range(1, 6):
            write(tmp_path, name, action, group, 1)
        (tmp_path / ucf11.FOLDER / name / "Annotation").mkdir()
    (tmp_path / ucf11.FOLDER / "__MACOSX").mkdir()
    write(tmp_path, "walking", "walk_dog", 3, 2, frames=9)
    return tmp_path


def test_folders_are_classes_and_groups(root):
    found, classes = ucf11.videos(root)
    assert classes == ("basketball", "walking") and len(found) == 11
    assert [video.label for video in found] == [0] * 5 + [1] * 6
    assert found[8].path.stem == "v_walk_dog_03_02" and found[8].group == 3


def test_frames_are_those_of_the_video(root):
    data = LabelledVideos("test", 3, root=root, frames=3, size=(24, 32))
    assert data.names == ("v_shooting_03_01", "v_walk_dog_03_01", "v_walk_dog_03_02")
    assert data.units[2] == "v_walk_dog_03" and data.classes[1] == "walking"
    batch = data.__getitems__([2, 0])
    assert batch.frames.shape == (2, 3, 3, 24, 32) and batch.label.tolist() == [1, 0]
    assert batch.joints.shape == (2, 3, 0, 0, 2) and batch.boxes is None
    means = batch.frames.float().mean((2, 3, 4))
    expected = [[20 + 20 * n for n in middle] for middle in ((1, 4, 7), (1, 3, 5))]
    torch.testing.assert_close(means, torch.tensor(expected).float(), atol=4, rtol=0)
    assert data.film(2).shape == (3, 48, 64, 3)


def test_no_scene_is_on_two_sides(root):
    for fold in range(5):
        scenes = {}
        for split in ("train", "test", "fit", "validation"):
            data = LabelledVideos(split, fold, root=root, frames=2)
            scenes[split] = {*data.units}
        assert scenes["train"].isdisjoint(scenes["test"]) and scenes["fit"].isdisjoint(scenes["validation"])
        assert scenes["fit"] | scenes["validation"] == scenes["train"]
        assert len(scenes["train"] | scenes["test"]) == 10


def test_maps_of_a_network_take_the_place_of_frames(root):
    class Halves(torch.nn.Module):
        def forward(self, frames):
            return frames[:, :1, ::2, ::2].float()

    data = LabelledVideos("test", 1, root=root, frames=2, size=(24, 32))
    frames = data.__getitems__([0]).frames
    data.see(Halves())
    torch.testing.assert_close(data.__getitems__([0]).frames.float(), frames[:, :, :1, ::2, ::2].float())


def test_what_is_refused(root, tmp_path):
    with pytest.raises(ValueError, match=r"v_shooting_01_01.mpg 6 frames are kept, and 7 are asked for; ask"):
        LabelledVideos("train", root=root, frames=7)
    with pytest.raises(ValueError, match="fold 5; choose train"):
        LabelledVideos("train", 5, root=root)
    with pytest.raises(FileNotFoundError, match="root must contain UCF11_updated_mpg"):
        LabelledVideos("train", root=tmp_path / "out")
    path = root / ucf11.FOLDER / "walking/v_walk_dog_03/v_walk_dog_03_02.mpg"
    before = data_fingerprint(root)
    assert (
        check(root) == "complete, 11 videos of 2 classes" and check(root, False) == "11 videos of 2 classes"
    )
    path.write_bytes(b"no video")
    with pytest.raises(ValueError, match="11 videos of 2 classes, 1 damaged\n  .*v_walk_dog_03_02.mpg"):
        check(root)
    assert data_fingerprint(root) != before
    with pytest.raises(DamagedFile, match="v_walk_dog_03_02.mpg"):
        LabelledVideos("test", 3, root=root, frames=2)
    with pytest.warns(UserWarning, match="ucf11: 1 videos are left out"):
        data = LabelledVideos("test", 3, root=root, frames=2, strict=False)
    assert len(data) == 2 and "v_walk_dog_03_02.mpg" in data.damaged[0]
    path.rename(path.with_name("v_walk_03_02.mpg"))
    with pytest.raises(DamagedFile, match=r"v_walk_03_02.mpg is not named v_NAME_GG/v_NAME_GG_CC.mpg"):
        ucf11.videos(root)
    for video in (root / ucf11.FOLDER).rglob("*.mpg"):
        video.unlink()
    with pytest.raises(FileNotFoundError, match="no video <class>"):
        ucf11.videos(root)
