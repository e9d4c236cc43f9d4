"""What data are, before anything is parsed: fingerprints of files and releases."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, fields

import numpy as np
import pytest
from test_skeleton_datasets import msr_text, needs, nucla_text, sbu_text

from companion.datasets import cache, sources
from companion.datasets.sources import data_fingerprint
from companion.files import DamagedFile
from companion.formats import mnist, ntu, simulated
from companion.simulator import release
from companion.simulator.release import Release

SMALL = Release(groups=("chest",), subjects=1, cameras=1, frames=8, height=36)
FILES = {
    "sbu": ("sbu/s01s03/04/007/skeleton_pos.txt", sbu_text()),
    "nucla": ("nucla/all_sqe/a08_s01_e00_v02.json", nucla_text()),
    "msr_daily": ("msr_daily/a16_s10_e02_skeleton.txt", msr_text()),
    "mnist": ("MNIST/raw/train-images-idx3-ubyte", "images"),
}


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_OUT", str(tmp_path / "out"))
    monkeypatch.delenv("COMPANION_DATA", raising=False)
    paths = {source: (tmp_path / "data" / name, text) for source, (name, text) in FILES.items()}
    for path, text in paths.values():
        path.parent.mkdir(parents=True)
        path.write_text(text)
    for name in mnist.NAMES[1:]:
        (tmp_path / "data/MNIST/raw" / name).write_text(name)
    return tmp_path / "data"


@pytest.mark.parametrize("source", FILES)
def test_a_changed_byte_or_name_changes_it_and_a_copy_does_not(root, tmp_path, source):
    one = data_fingerprint(source, root)
    shutil.copytree(root, tmp_path / "copy")
    assert data_fingerprint(source, tmp_path / "copy") == one
    path = root / FILES[source][0]
    path.write_text(FILES[source][1].replace("0", "1").replace("i", "j"))
    assert data_fingerprint(source, root) != one
    path.write_text(FILES[source][1])
    assert data_fingerprint(source, root) == one
    if source != "mnist":
        renamed = {
            "sbu": "s01s03/04/008",
            "nucla": "a08_s01_e01_v02.json",
            "msr_daily": "a16_s09_e02_skeleton.txt",
        }
        other = path.parent.with_name("008") if source == "sbu" else path.with_name(renamed[source])
        (path.parent if source == "sbu" else path).rename(other)
        assert data_fingerprint(source, root) != one


def test_files_are_read_once(root, monkeypatch):
    one = data_fingerprint("nucla", root)
    monkeypatch.setattr(sources, "fingerprint", None)
    assert data_fingerprint("nucla", root) == one


def test_of_a_release_it_is_the_key_that_is_known_before(root, tmp_path):
    made = release.simulate(tmp_path / "made", SMALL, processes=1)
    assert data_fingerprint("simulated", made) == release.key(SMALL)
    other = Release(groups=("chest",), subjects=1, cameras=1, frames=8, height=36, seed=1)
    assert release.key(other) != release.key(SMALL)
    with pytest.raises(ValueError, match="are simulated; choose another source or root"):
        data_fingerprint("ntu", made)
    (made / "ntu/simulated.json").unlink()  # from now on it passes for real
    one = data_fingerprint("ntu", made)
    path = ntu.files(made)[0]
    ntu.video(path).write_bytes(ntu.video(path).read_bytes() + b"x")
    assert data_fingerprint("ntu", made) != one
    (made / "ntu" / ntu.MISSING).write_text(f"{path.stem}\n")
    assert data_fingerprint("ntu", made) not in (one, data_fingerprint("digits"))


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda about: "{", "is not JSON"),
        (lambda about: "[" * 10**5, "is not JSON"),
        (lambda about: "[]", "'key' is missing or wrong; delete the release and simulate it anew"),
        (lambda about: "{}", "'key' is missing or wrong; delete the release and simulate it anew"),
        (lambda about: json.dumps(about | {"key": 3}), "'key' is missing or wrong"),
        (lambda about: json.dumps(about | {"release": 3}), "'release' is missing or wrong"),
        (lambda about: json.dumps(about | {"actions": {"4": "a", "3": "b"}}), "are not NTU's numbers"),
        (lambda about: json.dumps(about | {"groups": {}}), "are not NTU's numbers in their order"),
        (lambda about: json.dumps(about | {"groups": {"4": 3}}), "'4' is missing or wrong"),
        (
            lambda about: json.dumps(about | {"release": about["release"] | {"cameras": True}}),
            "'cameras' is missing or wrong",
        ),
        (
            lambda about: json.dumps(about | {"release": about["release"] | {"dogs": 3}}),
            "'dogs' of its release is unknown; delete the release and simulate it anew",
        ),
        (
            lambda about: json.dumps(about | {"release": about["release"] | {"subjects": "3"}}),
            "'subjects' is missing or wrong",
        ),
        (
            lambda about: json.dumps(about | {"release": {"groups": ["chest"]}}),
            "' is missing or wrong",
        ),
    ],
)
def test_a_damaged_manifest_is_named(tmp_path, change, sentence):
    asked = json.loads(json.dumps(asdict(SMALL)))
    path = tmp_path / "ntu/simulated.json"
    path.parent.mkdir()
    whole = {"key": "a", "fingerprint": "b", "release": asked}
    whole |= {"actions": {"4": "drink"}, "groups": {"4": "face"}}
    path.write_text(json.dumps(whole))
    assert simulated.manifest(tmp_path) == whole
    path.write_text(change(whole))
    with pytest.raises(DamagedFile, match=f"{path}.* ?{sentence}"):
        simulated.manifest(tmp_path)


def test_a_manifest_tells_all_parameters_of_a_release():
    assert set(simulated.PARAMETERS) == {field.name for field in fields(Release)}


@pytest.mark.parametrize(
    "source, error, sentence",
    [
        ("kinetics", ValueError, "unknown source 'kinetics'; choose one of digits, mnist, simulated"),
        ("simulated", ValueError, "of which release. pass root, the folder that contains its ntu"),
        ("ntu", FileNotFoundError, "pass root or set COMPANION_DATA to the folder that contains ntu"),
        ("sbu", FileNotFoundError, "pass root or set COMPANION_DATA to the folder that contains sbu"),
        ("mnist", FileNotFoundError, "pass root or set COMPANION_DATA to the folder that contains MNIST"),
    ],
)
def test_what_is_missing_is_named_as_by_the_readers(root, source, error, sentence):
    with pytest.raises(error, match=sentence):
        data_fingerprint(source)


def test_it_needs_no_torch(root):
    code = (
        "import sys; from companion.datasets.sources import data_fingerprint as f\n"
        "print(*(len(f(name, sys.argv[1])) for name in ('digits', 'mnist', 'nucla')), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, root], capture_output=True, text=True, check=True)
    assert done.stdout == "12 12 12 False\n"


@pytest.mark.parametrize(
    "source, name, unit",
    [
        ("ntu", "S001C002P003R001A004", "S001P003R001A004"),
        ("simulated", "S001C001P003R001A004", "S001P003R001A004"),
        ("nucla", "a08_s01_e00_v02", "a08_s01_e00"),
        ("msr_daily", "a16_s10_e02", "s10"),
        ("sbu", "s01s03-04-007", "s01s03-04-007"),
    ],
)
def test_clips_that_are_not_independent_are_one_unit(source, name, unit):
    assert sources.skeletons(source).unit(name) == unit


@needs("nucla")
def test_a_real_dataset_is_fingerprinted_again_at_once(monkeypatch):
    one = data_fingerprint("nucla", os.environ["COMPANION_DATA"])
    monkeypatch.setattr(cache, "write_whole", None)
    assert data_fingerprint("nucla", os.environ["COMPANION_DATA"]) == one and np.char.isalnum(one)
