"""SBU, N-UCLA and MSR Daily Activity: formats, protocols, damage; counts on real copies where they are."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from companion.files import DamagedFile
from companion.formats import msr_daily, ntu, nucla, sbu

ROOT = os.environ.get("COMPANION_DATA")


def needs(folder):
    there = ROOT and (Path(ROOT) / folder).is_dir()
    return pytest.mark.skipif(not there, reason=f"{folder} is not under COMPANION_DATA")


def sbu_text(frames=3):
    rng = np.random.default_rng(0)
    return "\n".join(
        f"{t}," + ",".join(f"{v:.5g}" for v in rng.uniform(0.2, 1, 90)) for t in range(1, frames + 1)
    )


def nucla_text(frames=3):
    joints = np.random.default_rng(0).normal(size=(frames, 20, 3)).round(4).tolist()
    return json.dumps({"file_name": "a08_s01_e00_v02", "skeletons": joints, "label": 7})


def msr_text(bodies=(1, 0, 2)):
    rng = np.random.default_rng(0)
    lines = [f"{len(bodies)} 20"]
    for n in bodies:
        lines.append(str(40 * n))
        for _ in range(20 * n):
            lines += [" ".join(f"{v:.4f}" for v in rng.normal(size=3)) + " 1", "0.5 0.5 2000 1"]
    return "\n".join(lines) + "\n"


FORMATS = {
    "sbu": (sbu, "s01s03/04/007/skeleton_pos.txt", sbu_text),
    "nucla": (nucla, "a08_s01_e00_v02.json", nucla_text),
    "msr_daily": (msr_daily, "a16_s10_e02_skeleton.txt", msr_text),
}
ALL = pytest.mark.parametrize("name", FORMATS)


@pytest.fixture
def put(tmp_path):
    def write(name, content=None, file=None):
        _, path, good = FORMATS[name]
        path = tmp_path / (file or path)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = good() if content is None else content
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_sbu_is_brought_to_metres_by_the_official_inverse(put):
    clip = sbu.parse(put("sbu"))
    assert clip[2:] == (3, None, 2, "s01s03-04-007") and clip.skeleton.shape == (3, 2, 15, 3)
    x, y, z = (float(word) for word in sbu_text().split(",")[1:4])
    want = [(1280 - 2560 * x) / 1000, (960 - 1920 * y) / 1000, z * 10 / 7.8125]
    np.testing.assert_allclose(clip.skeleton[0, 0, 0], want, rtol=1e-6)


def test_blank_lines_at_the_end_of_sbu_are_no_frames(put):
    assert len(sbu.parse(put("sbu", sbu_text() + "\n\n  \n")).skeleton) == 3
    with pytest.raises(DamagedFile, match="line 2: 1 numbers, not 91"):
        sbu.parse(put("sbu", sbu_text().replace("\n", "\n\n", 1)))


def test_nucla_takes_the_label_of_the_file(put):
    clip = nucla.parse(put("nucla"))
    assert clip[2:] == (6, 1, 2, "a08_s01_e00_v02") and clip.skeleton.shape == (3, 1, 20, 3)


def test_msr_reads_world_rows_and_frames_without_a_body(put):
    clip = msr_daily.parse(put("msr_daily"))
    assert clip[2:] == (15, 10, 2, "a16_s10_e02") and clip.skeleton.shape == (3, 2, 20, 3)
    assert clip.visible.all(-1).tolist() == [[True, False], [False, False], [True, True]]
    unsure = msr_text().replace(" 1\n", " 0\n", 1)
    clip_unsure = msr_daily.parse(put("msr_daily", unsure))
    assert not clip_unsure.visible[0, 0, 0] and not clip_unsure.skeleton[0, 0, 0].any()
    first = [float(word) for word in msr_text().splitlines()[2].split()[:3]]
    np.testing.assert_allclose(clip.skeleton[0, 0, 0], first, rtol=1e-6)


@ALL
def test_one_frame_is_a_clip(put, name):
    module, _, good = FORMATS[name]
    content = msr_text((1,)) if name == "msr_daily" else good(1)
    assert len(module.parse(put(name, content)).skeleton) == 1


WRONG = {
    "sbu": {
        "line 2: 90 numbers, not 91": lambda t: "\n".join(
            line.rsplit(",", i == 1)[0] for i, line in enumerate(t.splitlines())
        ),
        "line 1: could not convert string to float: 'x'": lambda t: t.replace(t.split(",")[1], "x", 1),
        "line 1: a coordinate is not finite": lambda t: t.replace(t.split(",")[1], "nan", 1),
        "line 1: the clip has no frames": lambda t: "",
    },
    "nucla": {
        "line 1: ": lambda t: t[:-30],
        "skeletons of shape (3, 19, 3), not T 20 3": lambda t: json.dumps(
            {"skeletons": [frame[:19] for frame in json.loads(t)["skeletons"]], "label": 7}
        ),
        "a coordinate of frame 0 is not finite": lambda t: t.replace(
            f"[[[{json.loads(t)['skeletons'][0][0][0]}", "[[[Infinity", 1
        ),
        "label 11 does not go with action 8": lambda t: t.replace('"label": 7', '"label": 11'),
        "no object with `skeletons`": lambda t: "[1, 2]",
        "(int too large to convert to float)": lambda t: t.replace(
            f"[[[{json.loads(t)['skeletons'][0][0][0]}", f"[[[{10**400}", 1
        ),
        "a coordinate is no number of metres": lambda t: t.replace(
            f"[[[{json.loads(t)['skeletons'][0][0][0]}", "[[[1e300", 1
        ),
        "skeletons of shape (0,)": lambda t: '{"skeletons": [], "label": 7}',
    },
    "msr_daily": {
        "the file ends too early": lambda t: t[:-30],
        "3 frames of 19 joints": lambda t: t.replace("3 20", "3 19", 1),
        "line 1: 1e+15 frames of 20 joints": lambda t: t.replace("3 20", "1e15 20", 1),
        "line 2: 38 rows, not 0, 40 or 80": lambda t: t.replace("\n40\n", "\n38\n", 1),
        "line 3: 'x' is no number": lambda t: t.replace("\n40\n", "\n40\nx ", 1),
        "line 3: inf is not finite": lambda t: t.replace("\n40\n", "\n40\ninf ", 1),
        "text follows the last frame": lambda t: t + "1\n",
        "line 1: the file ends too early": lambda t: "",
    },
}


@pytest.mark.parametrize("name, sentence", [(name, said) for name in WRONG for said in WRONG[name]])
def test_damage_is_named_with_its_line(put, name, sentence):
    module, _, good = FORMATS[name]
    path = put(name, WRONG[name][sentence](good()))
    with pytest.raises(DamagedFile) as error:
        module.parse(path)
    assert sentence in str(error.value) and str(path) in str(error.value)


@pytest.mark.parametrize(
    "name, file",
    [
        ("sbu", "s09s09/01/001/skeleton_pos.txt"),
        ("sbu", "s01s03/09/001/skeleton_pos.txt"),
        ("nucla", "clip.json"),
        ("nucla", "a08_s01_e00_v04.json"),
        ("msr_daily", "a16_s11_e01_skeleton.txt"),
        ("msr_daily", "a17_s01_e01_skeleton.txt"),
    ],
)
def test_a_name_outside_the_dataset_is_refused(put, name, file):
    with pytest.raises(DamagedFile, match="remove it"):
        FORMATS[name][0].parse(put(name, file=file))


@ALL
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_mutated_file_is_read_or_refused(put, name, data):
    module, _, good = FORMATS[name]
    content = bytearray(good().encode())
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=8))
    try:
        clip = module.parse(put(name, bytes(content)))
    except DamagedFile:
        return
    assert clip.skeleton.shape == (*clip.visible.shape, 3) and np.isfinite(clip.skeleton).all()


def test_the_folds_of_sbu_take_each_set_once():
    assert sorted(number for fold in sbu.FOLDS for number in fold) == list(range(1, len(sbu.SETS) + 1))
    camera = np.arange(1, 22)
    splits = [sbu.split(camera, camera, "five_folds", fold) for fold in range(5)]
    assert sum(tested for tested, _ in splits).tolist() == [1] * 21
    assert all((unit == fold).tolist() == tested.tolist() for fold, (tested, unit) in enumerate(splits))


def test_ntu_splits_40_subjects_and_3_cameras():
    subject, camera = (axis.ravel() for axis in np.meshgrid(np.arange(1, 41), np.arange(1, 4)))
    tested, unit = ntu.split(subject, camera, "cross_subject")
    assert set(subject[tested]).isdisjoint(subject[~tested]) and 40 in subject[tested]
    assert len(set(subject[tested])) == len(set(subject[~tested])) == 20
    assert unit is subject
    tested, unit = ntu.split(subject, camera, "cross_view")
    assert unit is camera
    assert (set(camera[tested]), set(camera[~tested])) == ({1}, {2, 3})


def test_views_and_subjects_split_the_other_two():
    assert nucla.split(np.zeros(3), np.array([1, 2, 3]), "V13_2")[0].tolist() == [False, True, False]
    assert msr_daily.split(np.arange(1, 11), np.zeros(10), "subjects_odd")[0].tolist() == [False, True] * 5


def test_the_samples_to_ignore_are_left_out(tmp_path):
    for number in (1, 2, 3):
        put = tmp_path / ntu_file(number)
        put.parent.mkdir(parents=True, exist_ok=True)
        put.touch()
    assert len(ntu.files(tmp_path)) == 3
    (tmp_path / "ntu_meta").mkdir()
    (tmp_path / "ntu_meta" / ntu.MISSING).write_text(f"some heading\n{Path(ntu_file(2)).stem}\n")
    assert [path.name for path in ntu.files(tmp_path)] == [Path(ntu_file(n)).name for n in (1, 3)]


def ntu_file(number):
    return f"ntu/nturgb+d_skeletons/S001C001P00{number}R001A001.skeleton"


@needs("sbu")
def test_the_real_sbu():
    clips = [sbu.parse(path) for path in sbu.files(ROOT)]
    assert len(clips) == sbu.FORMAT.clips
    counts = np.bincount([clip.label for clip in clips]).tolist()
    assert counts == [42, 43, 40, 41, 18, 21, 39, 38]
    heights = np.concatenate([np.ptp(clip.skeleton[..., 1], axis=2).ravel() for clip in clips])
    np.testing.assert_allclose(np.percentile(heights, [5, 50, 95]), [1.27, 1.43, 1.60], atol=0.005)


@needs("nucla")
def test_the_real_nucla():
    clips = [nucla.parse(path) for path in nucla.files(ROOT)]
    camera = np.array([clip.camera for clip in clips])
    tested, _ = nucla.split(camera, camera, "V12_3")
    assert (len(clips), int((~tested).sum()), int(tested.sum())) == (1484, 1020, 464)
    short = [clip.name for clip in clips if len(clip.skeleton) == 1]
    assert short == ["a02_s09_e04_v02", "a02_s09_e04_v03"]


@pytest.mark.parametrize(
    "name, content",
    [
        ("msr_daily", msr_text((0, 0))),
        ("nucla", json.dumps({"skeletons": [[[0, 0, 0]] * 20] * 2, "label": 7})),
        ("nucla", "[" * 100_000),
    ],
)
def test_a_clip_that_shows_nobody_is_refused(put, name, content):
    sentence = "nobody is seen in any of 2 frames" if "[[[[" not in content else "download it again"
    with pytest.raises(DamagedFile, match=sentence):
        FORMATS[name][0].parse(put(name, content))
