"""The simulated NTU: bodies, actions, pictures, and the release on disk."""

import json
import subprocess
import sys
from dataclasses import asdict, replace

import av
import numpy as np
import pytest

from companion.experiments import releases
from companion.files import DamagedFile
from companion.formats import ntu, simulated
from companion.simulator import actions, body, release, render, scene, things
from companion.simulator.release import Release
from companion.skeleton import KINECT_V2 as TREE

NAMED = {action.name: action for action in actions.ACTIONS}
HAND, HEAD, FOOT = (TREE.index(name) for name in ("hand_right", "head", "foot_right"))


def people(seed=0):
    rng = np.random.default_rng(seed)
    return body.person(rng)._replace(side="right"), body.person(rng)


def performance(name, seed=1, T=50):
    return actions.perform(NAMED[name], people(), T, np.random.default_rng(seed))


@pytest.mark.parametrize("action", actions.ACTIONS, ids=lambda action: action.name)
def test_bones_keep_their_length_and_feet_the_ground(action):
    done = performance(action.name)
    for m in range(done.poses.shape[1]):
        poses = done.poses[:, m]
        lengths = np.stack([np.linalg.norm(poses[:, a] - poses[:, b], axis=-1) for a, b in TREE.bones])
        np.testing.assert_allclose(lengths, lengths[:, :1].repeat(50, 1), atol=1e-6)
        np.testing.assert_allclose(poses[..., 1].min(1), 0, atol=1e-6)
    assert 0 <= done.frames[0] < done.frames[1] <= 50


@pytest.mark.parametrize(
    "name, joint, least",
    [
        ("hand waving", HAND, 0.3),
        ("cheer up", HAND, 0.8),
        ("salute", HAND, 0.5),
        ("nod head/bow", HEAD, -0.1),
        ("sitting down", HEAD, -0.3),
        ("kicking something", FOOT, 0.2),
        ("drink water", HAND, 0.4),
    ],
)
def test_actions_do_what_they_are_called(name, joint, least):
    """How much higher the joint is in the middle, or at the end of sitting down, than at the beginning."""
    done = performance(name)
    first, end = done.frames
    when = end - 1 if name == "sitting down" else (first + end) // 2
    rise = done.poses[when, 0, joint, 1] - done.poses[max(0, first - 6), 0, joint, 1]
    assert rise > least if least > 0 else rise < least


def test_only_what_acts_leaves_its_place():
    """Turned by the action alone, and seen from the root."""
    bones = people()[0].bones
    for action in actions.ACTIONS:
        if action.group == "motion":
            angles = np.zeros((2, len(TREE), 3))
            for motion in action.motions:
                angles[1, TREE.index(motion.joint), "xyz".index(motion.axis)] += np.radians(motion.degrees)
            rest, moved = (poses - poses[0] for poses in body.place(bones, angles))
            want = body.beyond({motion.joint for motion in action.motions})
            assert (np.linalg.norm(moved - rest, axis=-1) > 1e-3).tolist() == want.tolist()


def test_a_left_handed_person_is_the_mirror_image():
    waving = actions.flip(NAMED["hand waving"].motions)
    assert {motion.joint for motion in waving} == {"shoulder_left", "elbow_left"}
    assert [motion.degrees for motion in waving] == [80, 70, 30]
    assert actions.flip(waving) == NAMED["hand waving"].motions


@pytest.mark.parametrize("group", ["chest", "face", "context", "two"])
def test_within_a_group_nothing_but_the_shapes_of_things_knows_the_action(group):
    """One generator, whichever action: the same performance to the last bit, but for their kinds."""
    chosen = [action for action in actions.ACTIONS if action.group == group]
    done = [actions.perform(a, people(), 40, np.random.default_rng(3)) for a in chosen]
    kinds = [tuple(thing.kind for thing in other.evidence) for other in done]
    assert len(chosen) == 3 == len(set(kinds))
    things_of = [(*other.evidence, *other.others) for other in done]
    for other, its in zip(done, things_of, strict=True):
        assert (other.poses == done[0].poses).all() and other.frames == done[0].frames
        same = zip(its, things_of[0], strict=True)
        assert all((a.at == b.at).all() and (a.paint == b.paint).all() for a, b in same)
        assert {thing.kind for thing in its} == set(actions.KINDS[group])
        counts = [sum(thing.kind == kind for thing in its) for kind in actions.KINDS[group]]
        assert sorted(counts) == [1] * (len(counts) - (group != "context")) + [2] * (group != "context")


def test_two_things_decide_together_and_each_alone_says_nothing():
    chosen = [action for action in actions.ACTIONS if action.group == "two"]
    table = {}
    for seed in range(6):
        for action in chosen:
            done = actions.perform(action, people(), 10, np.random.default_rng(seed), seed)
            pair = tuple(thing.kind for thing in done.evidence)
            assert table.setdefault(pair, action.number) == action.number
    assert len(table) == 9
    for place in (0, 1):
        for kind in {pair[place] for pair in table}:
            classes = {number for pair, number in table.items() if pair[place] == kind}
            assert classes == {action.number for action in chosen}


def test_a_held_thing_is_in_the_hand_and_nowhere_before_and_after():
    """Nobody looks into the crate out of which it comes."""
    for name in ("reading", "drink water"):
        done = performance(name)
        first, end = done.frames
        carried = done.evidence[0].at
        far = np.linalg.norm(done.poses[:, 0, HAND] - carried, axis=-1)
        assert far[(first + end) // 2] < 0.25
        assert (carried[:first, 1] < -50).all() and (carried[end:, 1] < -50).all()
        in_crate = carried[first] - [done.crate, actions.COUNTER, 0.45]
        assert abs(in_crate[0]) < 0.1 and 0 < in_crate[1] < actions.CRATE[1]


def test_the_thing_pointed_at_is_within_half_a_metre_beyond_the_hand():
    for seed in range(20):
        done = performance("use a fan", seed)
        middle = sum(done.frames) // 2
        hand, elbow = (done.poses[middle, 0, TREE.index(f"{j}_right")] for j in ("hand", "elbow"))
        spots = np.stack([thing.at for thing in (*done.evidence, *done.others)])
        away = spots + [0, 0.14, 0] - hand
        distance = np.linalg.norm(away, axis=-1)
        assert 0.15 < distance[0] < 0.85
        ahead = away @ (hand - elbow) / np.linalg.norm(hand - elbow) / distance
        assert ahead.argmax() == 0 and ahead[0] > 0.6


def ray_hits(shape, x, y):
    """Depth at which the ray (x, y, 1) meets a capsule: the obvious version, by small steps."""
    a, b = shape.place[0, :3].astype(float), shape.place[0, 3:6].astype(float)
    t = np.arange(0.5, 4, 0.001)
    p = t[:, None] * [x, y, 1.0]
    along = np.clip((p - a) @ (b - a) / max((b - a) @ (b - a), 1e-12), 0, 1)[:, None]
    inside = np.linalg.norm(p - a - along * (b - a), axis=-1) <= shape.radius[0]
    return t[inside.argmax()] if inside.any() else np.inf


@pytest.mark.parametrize("seed", range(6))
def test_a_capsule_is_where_small_steps_find_it(seed):
    rng = np.random.default_rng(seed)
    start = np.array([*rng.uniform(-0.5, 0.5, 2), 2.0])
    end = start + rng.uniform(-0.6, 0.6, 3) * (seed > 0)  # a ball first
    shape = things.owned(things.capsule(start, end, 0.15, (200, 100, 50)), 1)
    drawn, mask = draw(shape, 20, 24)
    for row in range(0, 40, 3):
        for column in range(0, 48, 3):
            x, y = (column + 0.5 - 24) / 50, (20 - row - 0.5) / 50
            want = ray_hits(shape, x, y)
            assert drawn.depth[row, column] == pytest.approx(want, abs=2e-3), (row, column)
            assert bool(mask[row, column]) == (drawn.owner[row, column] == 1) == np.isfinite(want)


def draw(shapes, height, width, watched=1):
    drawn = render.canvas(height, width)
    mask = np.zeros(drawn.depth.shape, np.uint8)
    render.draw(*shapes, np.float32(50), np.array([0, 1, 0], np.float32), *drawn, watched, mask)
    return drawn, mask


def test_a_plate_has_true_perspective_and_hides_what_is_behind():
    near = things.owned(things.plate((0, 0, 1), (0.1, 0, 0), (0, 0.1, 0), (255, 0, 0)), 1)
    far = things.owned(things.plate((0, 0, 2), (0.32, 0, 0), (0, 0.32, 0), (0, 255, 0)), 2)
    for order in ((near, far), (far, near)):
        drawn, mask = draw(things.join(*order), 20, 20, watched=2)
        assert (drawn.owner == 1).sum() == 10 * 10 and (drawn.owner == 2).sum() == 16**2 - 10**2
        boxes, rays = np.empty((2, 4)), np.empty((2, 3))
        render.extents(mask, drawn.owner, boxes, rays)
        assert boxes.tolist() == [[15, 15, 25, 25], [12, 12, 28, 28]]
        assert rays[0].tolist() == [0, 10**2, 16**2] and rays[1, 1:].tolist() == [10**2, 16**2 - 10**2]


def test_cameras_agree_with_the_text(tmp_path):
    """What the text says of the colour picture is where the skeleton is, seen with the scene's camera."""
    poses = release.draw(SMALL, 0).see(0)
    joints, ids = release.sense(poses, np.random.default_rng(2))
    path = tmp_path / "S001C001P001R001A011.skeleton"
    path.write_text(release.text(joints, ids))
    bodies = ntu.read_skeleton(path)
    kept = bodies.body == bodies.body[0]
    x, y, z = np.moveaxis(bodies.joints[kept][..., :3], -1, 0)
    focal = scene.FOCAL * 1080
    np.testing.assert_allclose(bodies.joints[kept][..., 5], 960 + focal * x / z, rtol=1e-5)
    np.testing.assert_allclose(bodies.joints[kept][..., 6], 540 - focal * y / z, rtol=1e-4, atol=0.01)
    turns = bodies.joints[kept][..., 7:11]
    np.testing.assert_allclose(np.linalg.norm(turns, axis=-1), 1, atol=1e-5)


def test_a_bone_is_its_turn_of_the_y_axis():
    bones = np.random.default_rng(0).normal(size=(50, 3))
    w, x, y, z = release.upright(bones).T
    turned = np.stack([2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)], 1)
    np.testing.assert_allclose(turned, bones / np.linalg.norm(bones, axis=1, keepdims=True), atol=1e-9)
    np.testing.assert_allclose(release.upright(np.array([[0, -1.0, 0]])), [[0, 1, 0, 0]])


SMALL = Release(groups=("chest", "two", "pair"), subjects=1, cameras=2, frames=8, height=36)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return release.simulate(tmp_path_factory.mktemp("small"), SMALL, processes=1)


def contents(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def naive(path):
    """A second reader, written from the format's description: frames, and lines of twelve numbers."""
    lines = iter(path.read_text().splitlines())
    frames = []
    for _ in range(int(next(lines))):
        bodies = []
        for _ in range(int(next(lines))):
            assert len(next(lines).split()) == 10
            joints = [[float(word) for word in next(lines).split()] for _ in range(int(next(lines)))]
            assert len(joints) == 25 and {len(joint) for joint in joints} == {12}
            bodies.append(joints)
        frames.append(bodies)
    assert next(lines, None) is None
    return frames


def test_a_second_reader_accepts_every_skeleton(small):
    files = ntu.files(small)
    assert len(files) == 10 * 2
    for path in files:
        frames, bodies = naive(path), ntu.read_skeleton(path)
        assert len(frames) == bodies.frames and sum(map(len, frames)) == len(bodies.body)
        flat = np.array([body for frame in frames for body in frame])
        assert (flat == bodies.joints).all()
        clip = ntu.parse(path)
        assert clip.label == int(path.stem[-3:]) - 1 and clip.subject == 1


def test_videos_are_as_long_as_skeletons_and_as_large_as_asked(small):
    for path in ntu.files(small):
        with av.open(small / "ntu/nturgb+d_rgb" / f"{path.stem}_rgb.avi") as video:
            frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
            assert video.streams.video[0].codec.name == "h264"
        assert len(frames) == ntu.read_skeleton(path).frames and frames[0].shape == (36, 64, 3)


def test_the_truth_names_evidence_joints_and_setup(small):
    for path in ntu.files(small):
        T = ntu.read_skeleton(path).frames
        truth = simulated.truth(path, T)
        bodies = 1 if truth["group"] == "chest" else 2
        assert truth["setup"] == int(path.stem[1:4]) and len(truth["distance"]) == bodies
        assert all(1.5 < distance < 4.5 for distance in truth["distance"])
        assert np.shape(truth["pose"]) == (T, bodies, 25, 2)
        first, end = truth["frames"]
        kinds = {"chest": 1, "two": 2}.get(truth["group"], int(truth["action"].startswith("giving")))
        assert len(truth["evidence"]) == kinds
        for n, thing in enumerate(truth["evidence"]):
            box = np.array(thing["box"])
            there = np.arange(T) >= 0 if n or truth["group"] == "pair" else np.zeros(T, bool)
            there[first:end] = True
            assert ((box[:, 2:] > box[:, :2]).all(1) == there).all() and (0 <= box).all()
            assert 0 < max(thing["visible"]) <= 1


def test_the_joints_of_the_truth_are_those_of_the_text_without_noise(small):
    for path in ntu.files(small):
        places, given = ntu.pixels(path)
        truth = simulated.truth(path, len(places))
        if len(truth["distance"]) == 1:
            off = np.linalg.norm(np.array(truth["pose"])[:, 0] * 1080 / 36 - places[:, 0], axis=-1)
            assert np.median(off[given[:, 0]]) < 10


def test_a_scene_is_drawn_at_any_size(small):
    """What is at a place of the small picture is there in the large one, and the boxes are the same."""
    path = next(path for path in ntu.files(small) if path.stem.endswith("A011"))
    drawn, clip = release.draw(SMALL, 0), path.stem
    assert clip in drawn.names
    film = release.redrawn(small, clip, 216)
    little = drawn.film(drawn.names.index(clip), 36)
    assert film.pictures.shape[1:] == (216, 384, 3)
    means = film.pictures.reshape(-1, 36, 6, 64, 6, 3).mean((2, 4))
    assert np.abs(means - little.pictures).mean() < 6
    there = little.boxes[0].any(-1)
    np.testing.assert_allclose(film.boxes[0][there] / 6, little.boxes[0][there], atol=0.51)
    with pytest.raises(ValueError, match="has no clip S099"):
        release.redrawn(small, "S099C001P001R001A011", 216)


def test_all_things_of_a_group_are_always_in_the_picture():
    """So which things are there says nothing; and what decides is at most 3 % of it."""
    for seed in range(3):
        asked = Release(groups=(*actions.KINDS,), subjects=1, frames=12, seed=seed)
        for number, (action, *_) in enumerate(asked.performances()):
            drawn = release.draw(asked, number)
            for camera in range(asked.cameras):
                film = drawn.film(camera, 90)
                assert set(film.shown) == set(actions.KINDS[action.group])
                if action.group != "pair":
                    assert min(share.min() for share in film.shown.values()) > 0, (action, camera)
                for thing in drawn.done.evidence:
                    assert film.shown[thing.kind].max() < 0.05


def test_the_number_of_processes_changes_no_byte(small, tmp_path):
    assert contents(release.simulate(tmp_path, SMALL, processes=2)) == contents(small)


def test_an_interrupted_simulation_is_refused_and_goes_on(small, tmp_path, monkeypatch):
    done = release.perform

    def stop(asked, out, number):
        if number == 3:
            raise KeyboardInterrupt
        done(asked, out, number)

    monkeypatch.setattr(release, "perform", stop)
    with pytest.raises(KeyboardInterrupt):
        release.simulate(tmp_path, SMALL, processes=1)
    with pytest.raises(ValueError, match="is not finished; run companion data simulate again"):
        simulated.manifest(tmp_path)
    monkeypatch.setattr(release, "perform", done)
    made = contents(tmp_path)
    assert contents(release.simulate(tmp_path, SMALL, processes=1)) == contents(small)
    old = next(path for path in made if path.suffix == ".avi")
    assert made[old] == contents(small)[old]


def test_a_folder_with_something_else_is_left_alone(small, tmp_path):
    (tmp_path / "ntu").mkdir()
    (tmp_path / "ntu" / "mine").write_text("")
    with pytest.raises(ValueError, match="holds other files; choose another folder"):
        release.simulate(tmp_path, SMALL)
    with pytest.raises(ValueError, match="holds a release of other parameters or code"):
        release.simulate(small, Release(subjects=2))
    assert [path.name for path in (tmp_path / "ntu").iterdir()] == ["mine"]


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"groups": ("dance",)}, "unknown group 'dance'; choose of motion, chest"),
        ({"subjects": 41}, "subjects is 41; choose 1 to 40"),
        ({"cameras": 0}, "cameras is 0; choose 1 to 3"),
        ({"height": 91}, "height is 91; choose an even number from 32"),
        ({"left_handed": 1.5}, "left_handed is 1.5; choose 0 to 1"),
        ({"frames": 2}, "frames is 2; choose 8 to 10000"),
    ],
)
def test_numbers_that_are_no_release_are_refused(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        Release(**change)


@pytest.mark.parametrize("name", [simulated.MANIFEST, simulated.UNFINISHED])
@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"key": 3}'])
def test_a_release_of_a_damaged_manifest_is_refused(tmp_path, name, content):
    (tmp_path / "ntu").mkdir()
    (tmp_path / "ntu" / name).write_text(content)
    with pytest.raises(DamagedFile, match=f"ntu/{name}.*; delete the release and simulate it anew"):
        release.simulate(tmp_path, SMALL, processes=1)


def test_a_full_disk_is_one_sentence_and_leaves_no_manifest(tmp_path, monkeypatch):
    def full(path, content, sync=True):
        if str(path).endswith(".avi"):
            raise OSError(f"cannot write {path}: No space left on device; choose another folder")
        return written(path, content, sync)

    written = release.write_whole
    monkeypatch.setattr(release, "write_whole", full)
    with pytest.raises(OSError, match="cannot write .*avi: No space left"):
        release.simulate(tmp_path, SMALL, processes=1)
    assert not (tmp_path / "ntu" / simulated.MANIFEST).exists()
    assert not list((tmp_path / "ntu").rglob("truth/*.json"))


def test_the_stored_release_is_written_once(monkeypatch):
    made = release.stored(SMALL)
    monkeypatch.setattr(release, "perform", None)
    assert release.stored(SMALL) == made
    assert json.loads((made / "ntu/simulated.json").read_text())["actions"]["11"] == "reading"


def test_a_run_reads_the_release_of_its_preset_or_the_one_at_root(small, tmp_path):
    """And then its params tell what that one holds, so that no record of the preset's passes for its own."""
    preset = {"n": 1, "release": {k: v for k, v in asdict(SMALL).items() if k != "seed"}}
    params, place = releases.asked(preset, 0, "simulated", None)
    assert params == preset and place.root() == release.stored(SMALL)
    params, at_root = releases.asked(preset, 0, "simulated", small)
    assert params == preset and at_root.root() == small
    assert place.data() == at_root.data() == {"simulated": release.key(SMALL)}
    params, place = releases.asked(preset | {"release": {"subjects": 2}}, 5, "simulated", small)
    assert place.root() == small and Release(**params["release"]) == SMALL and params["n"] == 1
    with pytest.raises(ValueError, match="holds no simulated release; choose source ntu"):
        releases.asked(preset, 0, "simulated", tmp_path)
    with pytest.raises(ValueError, match="of a simulated source has no key 'release'"):
        releases.asked({"n": 1}, 0, "simulated", None)


@pytest.mark.parametrize("seed", [0, 3])
def test_a_release_is_drawn_from_the_seed_of_the_run(seed):
    """Unless its preset names another one."""
    preset = {"release": {"subjects": 2, "groups": ["motion"], "height": 0}}
    wanted = Release(**preset["release"], seed=seed)
    _, place = releases.asked(preset, seed, "simulated", None)
    assert place.data() == {"simulated": release.key(wanted)}
    _, place = releases.asked({"release": preset["release"] | {"seed": 7}}, seed, "simulated", None)
    assert place.data() == {"simulated": release.key(replace(wanted, seed=7))}


def test_repetitions_and_seeds_draw_other_performances(tmp_path):
    """Told by how long a clip is, and when in it the action begins and ends; seeds draw other people too."""
    asked = Release(("motion", "chest"), subjects=1, cameras=1, repetitions=4, frames=24, height=0)
    times, bones = [], []
    for seed in (0, 1):
        files = ntu.files(release.simulate(tmp_path / str(seed), replace(asked, seed=seed), processes=1))
        lengths = [len(ntu.parse(path).skeleton) for path in files]
        times.append(
            [(T, *simulated.truth(path, T)["frames"]) for T, path in zip(lengths, files, strict=True)]
        )
        poses = np.concatenate([ntu.parse(path).skeleton[:, 0] for path in files])
        bones.append([np.median(np.linalg.norm(poses[:, a] - poses[:, b], axis=-1)) for a, b in TREE.bones])
    for action in {path.stem[-4:] for path in files}:
        drawn = [when for when, path in zip(times[0], files, strict=True) if path.stem.endswith(action)]
        assert len(drawn) == 4 and len(set(drawn)) >= 3, action
    assert np.mean([one[0] == other[0] for one, other in zip(*times, strict=True)]) < 0.5
    assert np.abs(np.subtract(*bones)).max() > 0.01


def test_handedness_is_a_share_of_people():
    sides = [body.person(np.random.default_rng(n), 0.5).side for n in range(200)]
    assert 70 < sides.count("left") < 130
    assert {body.person(np.random.default_rng(n), 0.0).side for n in range(20)} == {"right"}


def test_two_calls_at_once_write_one_release(tmp_path, small):
    code = (
        "import sys; from companion.simulator import release\n"
        f"release.simulate(sys.argv[1], release.{SMALL!r}, processes=1)"
    )
    calls = [subprocess.Popen([sys.executable, "-c", code, tmp_path]) for _ in range(2)]
    assert [call.wait() for call in calls] == [0, 0]
    assert contents(tmp_path) == contents(small)
