"""NTU's text: what the obvious reader reads, and what is refused."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from companion.files import DamagedFile
from companion.formats import ntu

NAME = "S001C002P003R001A004.skeleton"


def text(frames, joints=25):
    """The text of a clip: `frames` holds one list of (id, x of the middle) a frame."""
    rng = np.random.default_rng(0)
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for body, x in bodies:
            lines += [f"{body} 0 1 1 1 1 0 0.02764709 -0.05745083 2", str(joints)]
            for j in range(joints):
                place = [x, 0.5 - j / 25, 2.5] + 0.01 * rng.normal(size=3)
                rest = rng.normal(size=8) * [100, 100, 500, 500, 1, 1, 1, 1e-5]
                lines.append(" ".join(f"{v:.7g}" for v in (*place, *rest)) + " 2")
    return "\r\n".join(lines) + "\r\n"


@pytest.fixture
def put(tmp_path):
    def write(content, name=NAME):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def obvious(content):
    """The format read line by line by Python, as the authors' reader does: (T, ids, joints)."""
    lines = iter(content.split("\n"))
    ids, joints = [], []
    frames = int(next(lines))
    for _ in range(frames):
        for _ in range(int(next(lines))):
            ids.append(int(next(lines).split()[0]))
            joints.append([[float(w) for w in next(lines).split()] for _ in range(int(next(lines)))])
    return frames, ids, np.array(joints)


def test_it_reads_what_the_obvious_reader_reads(put):
    ids = [72057594037931101, 72057594037931102]  # a float cannot tell them apart
    content = text([[], [(ids[0], 0.0)], [(ids[0], 0.1), (ids[1], 1.0)], [(ids[1], 1.1)]])
    frames, want, joints = obvious(content)
    got = ntu.read_skeleton(put(content))
    assert (got.frames, got.body.tolist(), got.frame.tolist()) == (frames, want, [1, 2, 2, 3])
    np.testing.assert_array_equal(got.joints, joints)
    np.testing.assert_array_equal(got.state[0], [0, 1, 1, 1, 1, 0, 0.02764709, -0.05745083, 2])


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=12, max_size=12), st.data())
def test_every_number_equals_pythons(values, data):
    styles = st.sampled_from(["{!r}", "{:.7g}", "{:.3f}", "{:.17e}", "{:+.5f}", "{:.20f}"])
    words = [data.draw(styles).format(value) for value in values]
    rows, slow = np.zeros((1, ntu.ROW)), np.zeros((400, 4), np.int64)
    line = " ".join(words) + "\n"
    content = "1 1 7 " + "0 " * 9 + "25\n" + line * 25
    letters = np.frombuffer((content + "\n").encode(), np.uint8)
    *_, left, fault, _, _ = ntu.walk(letters, np.zeros(1, np.int64), np.zeros(1, np.int64), rows, slow)
    assert fault == 0
    for row, column, start, end in slow[:left].tolist():
        rows[row, column] = float(content[start:end])
    np.testing.assert_array_equal(rows[0, 9:].reshape(25, 12), [[float(word) for word in words]] * 25)


def first_coordinate(content, word):
    before, after = content.split("\r\n25\r\n", 1)
    return f"{before}\r\n25\r\n{word} {after.split(' ', 1)[1]}"


WRONG = {
    "ends too early": lambda t: t[: len(t) // 2],
    "line 1: '-3' is no count": lambda t: t.replace("3", "-3", 1),
    "line 2: '1.5' is no count": lambda t: t.replace("\r\n1\r\n", "\r\n1.5\r\n", 1),
    "line 4: '24' stands for the number of joints, not 25": lambda t: t.replace(
        "\r\n25\r\n", "\r\n24\r\n", 1
    ),
    "'2' follows the last frame": lambda t: t + "2\r\n",
    "line 5: 'x' is no number": lambda t: first_coordinate(t, "x"),
    "line 5: the x of a joint is nan": lambda t: first_coordinate(t, "nan"),
    "line 5: the x of a joint is -inf": lambda t: first_coordinate(t, "-inf"),
    "line 1: the clip has no frames": lambda t: "0\r\n",
    "line 1: the file ends too early": lambda t: "",
}


@pytest.mark.parametrize("sentence", WRONG)
def test_a_damaged_file_is_named_with_its_line(put, sentence):
    path = put(WRONG[sentence](text([[(1, 0.0)], [(1, 0.1)], [(1, 0.2)]])))
    with pytest.raises(DamagedFile) as error:
        ntu.parse(path)
    assert sentence in str(error.value) and str(path) in str(error.value)


@pytest.mark.parametrize("count", ["0", "2", "3"])
def test_a_body_count_that_lies_is_found(put, count):
    content = text([[(1, 0.0)], [(1, 0.1)]]).replace("\r\n1\r\n", f"\r\n{count}\r\n", 1)
    with pytest.raises(DamagedFile):
        ntu.parse(put(content))


def test_a_body_that_is_twice_in_a_frame_is_refused(put):
    with pytest.raises(DamagedFile, match="body 7 is twice in frame 0"):
        ntu.parse(put(text([[(7, 0.0), (7, 1.0)]])))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_a_mutated_file_is_read_or_refused(put, data):
    content = bytearray(text([[(1, 0.0)], [(1, 0.1), (2, 1.0)]]).encode())
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=8))
    try:
        clip = ntu.parse(put(bytes(content)))
    except DamagedFile:
        return
    assert clip.skeleton.shape == (len(clip.visible), 2, 25, 3) and np.isfinite(clip.skeleton).all()


def test_the_name_says_label_subject_and_camera(put):
    clip = ntu.parse(put(text([[(1, 0.0)]])))
    assert clip[2:] == (3, 3, 2, "S001C002P003R001A004") and clip.skeleton.shape == (1, 2, 25, 3)
    for name in ("clip.skeleton", "S001C001P001R001A061.skeleton", "S001C004P001R001A001.skeleton"):
        with pytest.raises(DamagedFile, match=name):
            ntu.parse(put(text([[(1, 0.0)]]), name))


def test_a_changed_id_is_the_same_person_and_a_far_one_is_not(put):
    bodies = ntu.read_skeleton(put(text([[(1, 0.0)], [(1, 0.1)], [(2, 0.2)], [(3, 2.0)]])))
    skeleton, visible = ntu.tracks(bodies, ntu.people(bodies))
    assert visible.any(-1).T.tolist() == [[True, True, True, False], [False, False, False, True]]
    np.testing.assert_allclose(skeleton[:3, 0, 1, 0], [0.0, 0.1, 0.2], atol=0.05)


def test_who_moves_most_comes_first_and_furniture_is_left_out():
    rng = np.random.default_rng(0)
    skeleton = np.zeros((20, 3, 25, 3))
    skeleton[..., 1] = np.linspace(0, 1.7, 25)
    skeleton[:, 2] = skeleton[:, 2][..., [1, 0, 2]]  # lies down
    skeleton += rng.normal(size=(20, 3, 1, 1)) * np.array([0.01, 0.1, 0.5])[:, None, None]
    visible = np.ones((20, 3, 25), bool)
    assert ntu.choose(skeleton, visible) == [1, 0]
    assert ntu.choose(skeleton[:, 2:], visible[:, 2:]) == [0]


def lines_of(joint):
    """Of one body's clip of three frames: the text's lines, and where the joint's line of frame 1 is."""
    lines = text([[(7, 0.1)]] * 3).split("\r\n")
    return lines, 1 + 28 + 3 + joint


@pytest.mark.parametrize("words", [["nan"] * 3, ["0.1", "inf", "2"]])
def test_a_joint_that_is_not_tracked_may_have_no_place(put, words):
    lines, at = lines_of(joint=1)
    rest = lines[at].split()[3:]
    lines[at] = " ".join([*words, *rest[:-1], "0"])
    clip, whole = ntu.parse(put("\r\n".join(lines))), ntu.parse(put(text([[(7, 0.1)]] * 3)))
    assert not clip.visible[1, 0, 1] and clip.visible.sum() == 74 and not clip.skeleton[1, 0, 1].any()
    np.testing.assert_array_equal(clip.skeleton[clip.visible], whole.skeleton[clip.visible])
    for state in "12":
        lines[at] = " ".join([*words, *rest[:-1], state])
        with pytest.raises(DamagedFile, match=f"line {at + 1}: the [xy] of a joint is (nan|inf)"):
            ntu.parse(put("\r\n".join(lines)))


def test_a_place_beyond_all_metres_is_none(put):
    lines, at = lines_of(joint=1)
    for state, sentence in (("2", f"line {at + 1}: the y of a joint is 1e300"), ("0", None)):
        words = lines[at].split()
        lines[at] = " ".join([words[0], "1e300", *words[2:-1], state])
        if sentence:
            with pytest.raises(DamagedFile, match=sentence):
                ntu.parse(put("\r\n".join(lines)))
        else:
            assert not ntu.parse(put("\r\n".join(lines))).visible[1, 0, 1]


def test_more_frames_and_bodies_than_a_clip_can_have_are_refused(put):
    """Frames without a body are two letters each, and every body would have a place in all of them."""
    whole = text([[(n, 3.0 * n)] for n in range(30)]).split("\r\n", 1)[1]
    path = put("9030\r\n" + whole + "0\r\n" * 9000)
    with pytest.raises(DamagedFile, match="9030 frames and 30 bodies are too many; download it again"):
        ntu.parse(path)


def test_a_body_without_any_place_is_not_chosen(put):
    """In one frame all joints of a second body are neither tracked nor anywhere."""
    lines = text([[(7, 0.1), (8, 1.0)], [(7, 0.1)]]).split("\r\n")
    for at in range(len(lines)):
        if 31 <= at < 56:
            lines[at] = " ".join(["nan"] * 3 + lines[at].split()[3:-1] + ["0"])
    clip = ntu.parse(put("\r\n".join(lines)))
    assert clip.visible.sum((0, 2)).tolist() == [50, 0]
