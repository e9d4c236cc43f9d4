"""Trees, sides, parts and the tour of each skeleton."""

import pytest

from companion.skeleton import KINECT_V1, KINECT_V2, OPENNI

ALL = pytest.mark.parametrize("skeleton", [KINECT_V2, KINECT_V1, OPENNI], ids=["v2", "v1", "openni"])


@ALL
def test_the_joints_form_one_tree(skeleton):
    for joint in range(len(skeleton)):
        path = [joint]
        while skeleton.parents[path[-1]] >= 0:
            path.append(skeleton.parents[path[-1]])
            assert len(path) <= len(skeleton)
    assert len(skeleton.bones) == len(skeleton) - 1 == len(set(skeleton.joints)) - 1


@ALL
def test_a_mirror_twice_changes_nothing_and_keeps_the_bones(skeleton):
    mirror = skeleton.mirror
    assert [mirror[mirror[j]] for j in range(len(skeleton))] == list(range(len(skeleton)))
    assert {(mirror[a], mirror[b]) for a, b in skeleton.bones} == set(skeleton.bones)
    assert all("left" in skeleton.joints[a] for a, b in enumerate(mirror) if "right" in skeleton.joints[b])


@ALL
def test_each_joint_is_in_one_of_five_parts(skeleton):
    assert sorted(joint for part in skeleton.parts.values() for joint in part) == list(range(len(skeleton)))
    assert all(skeleton.parts[name] for name in ("trunk", "left_arm", "right_arm", "left_leg", "right_leg"))


@ALL
def test_the_tour_takes_each_bone_forth_and_back(skeleton):
    steps = list(zip(skeleton.tour, skeleton.tour[1:], strict=False))
    assert sorted(steps) == sorted([*skeleton.bones, *((b, a) for a, b in skeleton.bones)])
    assert skeleton.tour[0] == skeleton.tour[-1]


def test_ntu_by_the_fact_sheet():
    """Hands are joints 7 and 11, the middle of the spine is 1, a closed tour has 49 entries."""
    assert [KINECT_V2.index(f"hand_{side}") for side in ("left", "right")] == [7, 11]
    assert (len(KINECT_V2), KINECT_V2.middle, len(KINECT_V2.tour)) == (25, 1, 49)


def test_two_bodies_have_their_own_bones_and_names():
    bones, names = OPENNI.paired(2), OPENNI.named(2)
    assert len(bones) == 28 and all(a // 15 == b // 15 for a, b in bones)
    assert names[5] == "left hand" and names[20] == "left hand of body 2" and names[2] == "torso"
    assert KINECT_V2.named(1)[21] == "left hand tip"


def test_joints_are_found_in_a_richer_skeleton_under_their_new_names():
    for small in (OPENNI, KINECT_V1, KINECT_V2):
        found = [KINECT_V2.joints[i] for i in small.found_in(KINECT_V2)]
        assert len(set(found)) == len(small) and found[small.middle] == "spine_mid"
        assert all(a == b for a, b in zip(small.joints, found, strict=True) if "_left" in a or "_right" in a)
    with pytest.raises(ValueError, match="15 joints has no hip_center"):
        KINECT_V1.found_in(OPENNI)
