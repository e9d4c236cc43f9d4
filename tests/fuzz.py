"""Changed files, read by every reader: `python tests/fuzz.py 1000 [name ...]` prints what became of them.

A reader gives what the file holds, or one sentence, a ValueError, that names the file. It never crashes,
takes over 10 seconds or 1 GB more than before, warns, or raises anything else. Each runs in a process of its
own; the same number gives the same changes.
"""

import ctypes
import gzip
import json
import os
import resource
import signal
import struct
import sys
import tempfile
import traceback
import warnings
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import asking
import av
import labelled
import numpy as np
import recordings
import test_labelled_videos as labelled_clips
import torch
import yaml
from PIL import Image
from test_voc_release5 import release as part_model
from torch import nn
from torchvision.models import resnet18

from companion import claims, experiments, media, presets, records, tables, training
from companion.datasets import fixations, hands, skeletons, video_clips
from companion.experiments.releases import asked
from companion.files import DamagedFile
from companion.formats import (
    crowd_gaze,
    daquar,
    mnist,
    msr_daily,
    ntu,
    nucla,
    nucla_rgb,
    osie,
    pascal_voc,
    sbu,
    ucf11,
    vqa,
    yolo,
)
from companion.models import backbones, dpm, hand_attention, video_baselines
from companion.simulator import release

SECONDS, BYTES = 10, 1 << 30
ARENAS = -8  # of mallopt: each thread's reserves address space
WORDS = "nan inf -inf 0 -1 3 1e300 1e999 0.5 2147483648 10000000000000000000".split() + ["9" * 400, ""]
VALUES = [None, True, 0, -1, 3, 0.5, 1e300, 10**19, float("nan"), "", "x", "3", [], [3], [[]], {}, {"x": 3}]


class Case(NamedTuple):
    """A file to change, and who reads it."""

    path: Path
    read: Callable[[], object]
    content: bytes
    pack: Callable[[bytes], bytes] = bytes  # what the file holds when its content was changed
    load: Callable[[bytes], Any] | None = None  # the content as values, and back
    dump: Callable[[Any], bytes] = bytes


def case(path: Path, read: Callable[[Path], object], *more: Any) -> Case:
    """Of a file that is there."""
    return Case(path, lambda: read(path), path.read_bytes(), *more)


Reader = Callable[[Path], Iterator[tuple[str, Case]]]
VALUED = json.loads, lambda value: json.dumps(value).encode()
JSON = bytes, *VALUED
YAML = bytes, yaml.safe_load, lambda value: yaml.safe_dump(value, sort_keys=False).encode()


def changed(case: Case, rng: np.random.Generator) -> bytes:
    """What a file holds after one change, or a few."""
    content = bytearray(case.content)
    if case.load and rng.random() < 0.5:
        return case.pack(case.dump(exchanged(case.load(case.content), rng)))
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        at = int(rng.integers(len(content) or 1))
        end = at + int(rng.choice([1, 4, 8, 30, len(content) // 3 + 1]))
        kind = rng.choice("bit byte cut zeros ones remove insert twice word word".split())
        if kind == "word" and (place := word(content, at)):
            content[slice(*place)] = str(rng.choice(WORDS)).encode()
        elif kind == "bit" and content:
            content[at] ^= 1 << int(rng.integers(8))
        elif kind == "byte":
            content[at : at + 1] = rng.bytes(1)
        elif kind == "cut":
            del content[at:]
        elif kind in ("zeros", "ones"):
            content[at:end] = (b"\xff" if kind == "ones" else b"\0") * len(content[at:end])
        elif kind == "remove":
            del content[at:end]
        elif kind == "insert":
            content[at:at] = rng.bytes(end - at)
        else:
            content[end:end] = content[at:end]
    return case.pack(bytes(content))


def word(content: bytes, at: int) -> tuple[int, int] | None:
    """The number of a text at or after a place."""
    letters = b"0123456789.+-e"
    if b"\0" in content:
        return None
    while at < len(content) and content[at] not in letters[:10]:
        at += 1
    start = end = at
    while start and content[start - 1] in letters:
        start -= 1
    while end < len(content) and content[end] in letters:
        end += 1
    return start, end


def exchanged(value: Any, rng: np.random.Generator) -> Any:
    """The same with one of its values, at any depth, taken away, or another in its place."""
    places = [((), value)]
    for where, inside in places:
        keys = inside if isinstance(inside, dict) else range(len(inside)) if isinstance(inside, list) else ()
        places += [((*where, key), inside[key]) for key in keys]
    depth = rng.integers(1 + max(len(where) for where, _ in places))
    these = [where for where, _ in places if len(where) == depth]
    *way, last = [None, *these[rng.integers(len(these))]]
    new = VALUES[rng.integers(len(VALUES))]
    if last is None:
        return new
    inside = value
    for key in way[1:]:
        inside = inside[key]
    if rng.random() < 0.2:
        del inside[last]
    else:
        inside[last] = new
    return value


def crc(content: bytes) -> bytes:
    """A PNG whose checksums are right, whatever its chunks hold."""
    parts, at = [content[:8]], 8
    while at + 12 <= len(content):
        (size,) = struct.unpack_from(">I", content, at)
        body = content[at + 4 : at + 8 + size]
        parts += [content[at : at + 4], body, struct.pack(">I", zlib.crc32(body))]
        at += 12 + size
    return b"".join([*parts, content[at:]])


def header(content: bytes) -> tuple[Any, Callable[[bytes], bytes]]:
    """What a safetensors file says of itself, and the file that says something else."""
    end = 8 + int.from_bytes(content[:8], "little")
    return content[8:end], lambda said: len(said).to_bytes(8, "little") + said + content[end:]


def pictures(folder: Path) -> Iterator[tuple[str, Case]]:
    rng = np.random.default_rng(0)
    rows = np.cumsum(rng.integers(-9, 10, (24, 31, 3)), 1).astype(np.uint8)
    picture, deep = Image.fromarray(rows), Image.fromarray(rows[..., 0] * np.uint16(257))
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = {
        **{kind: (picture, kind, {}) for kind in ("PNG", "JPEG", "WebP", "TIFF", "BMP", "PPM")},
        "PNG, 16 bits": (deep, "PNG", {}),
        "PNG, interlaced palette": (picture.quantize(9), "PNG", {"transparency": 3}),
        "JPEG, progressive": (picture, "JPEG", {"progressive": True, "exif": exif}),
        "WebP, lossless": (picture, "WebP", {"lossless": True}),
        "GIF": (picture.quantize(16), "GIF", {"save_all": True, "append_images": [picture.quantize(5)]}),
        "TIFF, LZW": (picture, "TIFF", {"compression": "tiff_lzw"}),
        "TIFF, JPEG": (picture, "TIFF", {"compression": "jpeg"}),
        "TIFF, 16 bits": (deep, "TIFF", {}),
    }
    for name, (image, kind, options) in kinds.items():
        path = folder / f"{name}.image"
        image.save(path, kind, **options)
        yield name, case(path, media.read_image)
        if kind == "PNG":
            yield f"{name}, right checksums", case(path, media.read_image, crc)


def film(path: Path) -> object:
    media.video_length(path)
    return media.read_video(path), media.read_video(path, [2, 0], (16, 20))


def films(folder: Path) -> Iterator[tuple[str, Case]]:
    rng = np.random.default_rng(0)
    for name, codec, form in [
        ("film.avi", "libx264", "yuv420p"),
        ("film.mp4", "libx264", "yuv420p"),
        ("film.mkv", "libx264", "yuv444p"),
        ("old.avi", "mpeg4", "yuv420p"),
        ("plain.avi", "rawvideo", "bgr24"),
    ]:
        with av.open(str(folder / name), "w") as file:
            file.metadata["title"] = "a film"
            stream = file.add_stream(codec, rate=30)
            stream.width, stream.height, stream.pix_fmt = 64, 48, form
            still = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            for n in range(12):
                file.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(still, n, 1))))
            file.mux(stream.encode())
        yield f"video, {name}", case(folder / name, film)


def texts(folder: Path) -> Iterator[tuple[str, Case]]:
    rng = np.random.default_rng(0)
    path = folder / "sbu/s01s02/01/001/skeleton_pos.txt"
    path.parent.mkdir(parents=True)
    rows = np.column_stack([np.arange(1, 8), rng.random((7, 90))])
    path.write_text("".join(",".join(f"{x:.6g}" for x in row) + "\n" for row in rows))
    yield "sbu", case(path, sbu.parse)
    path = folder / "a01_s01_e01_skeleton.txt"
    joints = ["".join(f"{x:.4f} " for x in row) + "1\n" for row in rng.random((200, 3))]
    frames = ["40\n" + "".join(joints[start : start + 40]) for start in range(0, 200, 40)]
    path.write_text("5 20\n" + "".join(frames))
    yield "msr_daily", case(path, msr_daily.parse)
    path = folder / "a01_s01_e01_v01.json"
    path.write_text(json.dumps({"file_name": "a", "label": 1, "skeletons": rng.random((5, 20, 3)).tolist()}))
    yield "nucla", case(path, nucla.parse, *JSON)
    clip = folder / "a01_s01_e01"
    clip.mkdir()
    for n in range(2):
        still = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        still.save(clip / f"frame_{n}_rgb.jpg")
    read = lambda path: nucla_rgb.read(path.parent, [1, 0], (12, 16))  # noqa: E731
    yield "nucla, picture", case(clip / "frame_0_rgb.jpg", read)
    for name, head, values in [
        ("train-images-idx3-ubyte", (0x803, 9, 28, 28), rng.integers(0, 256, (9, 28, 28))),
        ("t10k-labels-idx1-ubyte", (0x801, 9), rng.integers(0, 10, 9)),
    ]:
        path = folder / name
        path.write_bytes(struct.pack(f">{len(head)}I", *head) + values.astype(np.uint8).tobytes())
        yield f"mnist, {name}", case(path, mnist.parse)
        yield f"mnist, {name}, gz", case(path, mnist.parse, gzip.compress)


def simulated(folder: Path) -> Iterator[tuple[str, Case]]:
    made = release.Release(("chest", "pair"), subjects=1, cameras=1, frames=10, height=36)
    root = release.simulate(folder / "root", made, processes=1)
    path = next(path for path in ntu.files(root) if "A05" in path.name)

    def clips() -> object:
        sizes = "simulated", "train", "cross_subject", 0, 0, root
        whole = video_clips.VideoClips(*sizes, frames=4, size=(18, 32))[0]
        return hands.Hands(*sizes)[0], skeletons.Skeletons(*sizes)[0], whole

    clips()
    for kept in sorted(
        (folder / "out/cache").glob("*.safetensors")
    ):  # first: other files must not be younger
        name = f"cache, {kept.name.split('.')[0]}"
        yield name, Case(kept, clips, kept.read_bytes())
        said, pack = header(kept.read_bytes())
        yield f"{name}, header", Case(kept, clips, said, pack, *VALUED)
    truth, manifest = root / "ntu/truth" / f"{path.stem}.json", root / "ntu/simulated.json"
    yield "truth", Case(truth, clips, truth.read_bytes(), *JSON)
    found = lambda: (clips(), asked({"release": {}}, 0, "simulated", root))  # noqa: E731
    yield "manifest", Case(manifest, found, manifest.read_bytes(), *JSON)
    yield "ntu", Case(path, lambda: (ntu.parse(path), ntu.pixels(path)), path.read_bytes())
    video = ntu.video(path)
    yield "ntu, its video", Case(video, lambda: film(video), video.read_bytes())


def weights(folder: Path) -> Iterator[tuple[str, Case]]:
    path, model = folder / "checkpoint.safetensors", nn.Linear(3, 2)
    adam = lambda own: torch.optim.AdamW(own.parameters(), fused=True)  # noqa: E731
    optimizer = adam(model)
    model(torch.ones(3)).sum().backward()
    optimizer.step()
    training.save_checkpoint(path, model, optimizer, [0.5, 0.25])

    def resumed() -> None:
        own = nn.Linear(3, 2)
        optimizer = adam(own)
        training.load_checkpoint(path, own, optimizer)
        own(torch.ones(3)).sum().backward()
        optimizer.step()

    yield "checkpoint", Case(path, resumed, path.read_bytes())
    said, pack = header(path.read_bytes())
    yield "checkpoint, header", Case(path, resumed, said, pack, *VALUED)
    parts = folder / "parts.safetensors"
    part = dpm.Component(
        torch.rand(32, 4, 3), torch.rand(1, 32, 3, 3), torch.tensor([[1, 2]]), torch.rand(1, 4), 0.5,
        torch.zeros(3), torch.rand(4, 5),
    )  # fmt: skip
    dpm.save(parts, dpm.DPM((part,), "thing", 0.5, 8, 2, True))

    def found() -> None:
        dpm.detect(dpm.load(parts), torch.rand(3, 40, 40))

    yield "part model", Case(parts, found, parts.read_bytes())
    said, pack = header(parts.read_bytes())
    yield "part model, header", Case(parts, found, said, pack, *VALUED)


def models(folder: Path) -> Iterator[tuple[str, Case]]:
    """Of voc-release5, and weights of torchvision's."""
    path = folder / "model.mat"
    part_model(path)
    yield "mat", case(path, dpm.read_release)
    content = path.read_bytes()
    inside = zlib.decompress(content[136:])
    path.write_bytes(content[:128] + inside)
    yield "mat, not packed", case(path, dpm.read_release)

    def pack(inside: bytes) -> bytes:
        small = zlib.compress(inside)
        return content[:128] + struct.pack("<II", 15, len(small)) + small

    yield "mat, inside", Case(path, lambda: dpm.read_release(path), inside, pack)
    tiny = lambda **_: nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))  # noqa: E731
    hand_attention.inception_v3 = tiny
    path = folder / "weights.pth"
    torch.save(tiny().state_dict(), path)
    yield "inception", case(path, hand_attention.Inception)
    torch.save(tiny().state_dict(), path, _use_new_zipfile_serialization=False)
    yield "inception, old", case(path, hand_attention.Inception)
    path = folder / "resnet.pth"
    torch.save(tiny().state_dict(), path)
    yield "resnet", case(path, backbones.read_weights)
    path = folder / "resnet18.pth"
    torch.save(resnet18().state_dict(), path)
    yield "resnet, lstm", case(path, lambda path: video_baselines.ResNetLSTM(3, path, 18, 8))


def results(folder: Path) -> Iterator[tuple[str, Case]]:
    """Presets, published tables, and a record with its test set."""
    for path in presets.FOLDER.glob("*.yaml"):
        (folder / path.name).write_bytes(path.read_bytes())
        (folder / path.with_suffix(".py").name).touch()
    runs, rng = folder / "results/runs", np.random.default_rng(0)
    run = records.Run("05_hard_attention", "digits", "full", "cluttered-60", "ram-6")
    params, *_ = presets.preset(run) or ({},)
    about = {"data": {"digits": "a"}, "code": {"a.py": "b"}, "chosen": "here", "precision": "f32"}
    about["accepted"] = [{"code": {"a.py": "c"}, "data": {"digits": "a"}, "rerun": "x", "commit": "d"}]
    scores = {"error": 100.0 * (rng.random(60) < 0.5), "on_digit": rng.random(60)}
    metrics, counts = {"error": 50.0, "on_digit": 3.0, "n_test": 60}, {"error": (30, 60)}
    names = [f"image {n}" for n in range(60)]
    for seed in range(5):
        one = replace(run, seed=seed)
        records.write(one, params, metrics, counts=counts, units=scores, ids=names, out=runs, **about)

    def tabled() -> None:
        for _, record in tables.kept(runs):
            records.standing(record, params, {}, {})
        tables.measured(runs)
        kept = [record for _, record in tables.kept(runs)]
        for said in claims.statements():
            claims.test(said, claims.used(said, kept))

    yield "record", Case(run.path(runs), tabled, run.path(runs).read_bytes(), *JSON)
    (units,) = (runs / "units").iterdir()
    yield "test set of a record", Case(units, tabled, units.read_bytes())
    source = presets.FOLDER.parents[1] / "results/published/sbu.csv"
    (folder / "sbu.csv").write_bytes(source.read_bytes())
    yield "published", case(folder / "sbu.csv", tables.read_published)

    presets.FOLDER = folder
    for path in sorted(folder.glob("*.yaml")):

        def planned(path: Path) -> None:
            content = presets.load(path.stem)
            for profile, sources in content["presets"].items():
                for source in sources:
                    if profile in records.PROFILES:
                        presets.seeds(path.stem, source, profile)
                        for run, params in presets.plan(path.stem, source, profile).items():
                            experiments.prepare(run, params, folder if source == "ntu" else None)
                            tables.caveats(run)
            presets.tolerance(path.stem, "error")
            presets.claimed(path.stem)
            claims.statements()

        yield f"presets, {path.stem}", case(path, planned, *YAML)


def looked(folder: Path) -> Iterator[tuple[str, Case]]:
    """Eye tracking, and boxes of things."""
    for name, form in (("osie", osie), ("crowd_gaze", crowd_gaze)):
        root = recordings.matlab(folder / name, name)
        paths, beside = form.files(root)

        def read(path: Path, form: Any = form, paths: list = paths, beside: list = beside) -> object:
            others = form.faces(paths, beside[1]) if form is crowd_gaze else None
            return form.parse(paths, beside), others

        for path in (paths[0], *beside):
            yield f"{name}, {path.name}", case(path, read)
            if path.suffix == ".mat":
                content = path.read_bytes()
                inside = zlib.decompress(content[136:])

                def pack(inside: bytes, head: bytes = content[:128]) -> bytes:
                    small = zlib.compress(inside)
                    return head + struct.pack("<II", 15, len(small)) + small

                yield f"{name}, inside {path.name}", Case(path, partial(read, path), inside, pack)
    root = recordings.table(folder / "table")
    form = fixations.form("eye_tracking")
    path = form.files(root)[1][0]
    yield "eye_tracking", case(path, lambda _: form.parse(*form.files(root)))
    boxes = labelled.fruit(folder) / "fruit/train/apple_1.xml"
    read = lambda path: pascal_voc.parse(path.with_suffix(".jpg"), path, pascal_voc.FRUIT)  # noqa: E731
    yield "pascal_voc", case(boxes, read)
    names, still = labelled.coco(folder) / "coco128/classes.yaml", folder / "coco128/images/train/001.jpg"
    text = folder / "coco128/labels/train/001.txt"
    yield "yolo", case(text, lambda path: yolo.parse(still, path, ("cat", "dog")))
    yield "yolo, classes.yaml", case(names, lambda _: yolo.classes(folder), *YAML)


def filmed(folder: Path) -> Iterator[tuple[str, Case]]:
    """Labelled videos."""
    path = labelled_clips.write(folder, "walking", "walk_dog", 1, 1)

    def read(path: Path) -> object:
        found = ucf11.read(path, 1, (24, 32))
        if isinstance(found, str):
            raise DamagedFile(found)
        return found

    yield "ucf11", case(path, read)


def questions(folder: Path) -> Iterator[tuple[str, Case]]:
    """Questions about pictures."""
    for form in (daquar.FORMAT, vqa.FORMAT):
        top, beside = form.files(getattr(asking, form.name)(folder / form.name), "train")
        for path in beside:
            more = JSON if path.suffix == ".json" else ()
            read = lambda _, form=form, top=top, beside=beside: form.parse(top, beside)  # noqa: E731
            yield f"{form.name}, {path.name}", case(path, read, *more)


READERS = results, pictures, films, texts, simulated, weights, models, looked, filmed, questions


def outcome(case: Case, content: bytes) -> str:
    """read, refused, or what else."""
    case.path.write_bytes(content)
    try:
        case.read()
    except ValueError as error:
        sentence, before = str(error), error.__context__
        if case.path.name.removesuffix(".yaml") in sentence and "\n" not in sentence and len(sentence) < 1000:
            return "no memory" if isinstance(before, MemoryError) or "ENOMEM" in repr(before) else "refused"
        return f"{type(error).__name__}, {place(error)}, {sentence[:300]!r}"
    except BaseException as error:
        return f"{type(error).__name__}, {place(error)}, {str(error)[:200]!r}"
    return "read"


def peak() -> int:
    """Bytes that this process has had in memory at most."""
    (line,) = (
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    return 1024 * int(line.split()[1])


def grown(case: Case, most: int) -> int:
    """By how much a reader with more room makes this process grow: it may ask for much and fill nothing."""
    resource.setrlimit(resource.RLIMIT_AS, (8 * most, resource.RLIM_INFINITY))
    Path("/proc/self/clear_refs").write_text("5")  # the peak is from now on
    before = peak()
    with suppress(Exception):
        case.read()
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
    return peak() - before


def place(error: BaseException) -> str:
    """Where in this project it was raised last."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if "companion" in frame.filename]
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "elsewhere"


def batch(reader: Reader, done: dict[str, int], count: int, names: list[str], say: int) -> None:
    """Change files of one kind, in a process that must stay small and quick, and say what became of each."""
    ctypes.CDLL(None).mallopt(ARENAS, 1)
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COMPANION_OUT"] = f"{folder}/out"
        for name, case in reader(Path(folder)):
            if done[name] >= count or (names and not any(name.startswith(part) for part in names)):
                continue
            warnings.simplefilter("error")
            case.read()
            with open("/proc/self/statm") as file:
                most = int(file.read().split()[0]) * resource.getpagesize() + BYTES
            resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
            for number in range(done[name], count):
                content = changed(case, np.random.default_rng([*name.encode(), number]))
                os.write(say, f"\n{name}\t".encode())
                signal.alarm(SECONDS)
                said = outcome(case, content)
                if said == "no memory" and grown(case, most) < BYTES:
                    said = "refused"
                signal.alarm(0)
                os.write(say, said.encode("unicode_escape"))
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            warnings.resetwarnings()
            case.path.write_bytes(case.pack(case.content))


def fuzz(count: int, names: list[str]) -> dict[str, Counter[str]]:
    """Of each case, how often it ended how."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for reader in READERS:
        status = 1
        while status:
            hear, say = os.pipe()
            child = os.fork()
            if not child:
                os.close(hear)
                batch(reader, defaultdict(int, {n: c.total() for n, c in found.items()}), count, names, say)
                os._exit(0)
            os.close(say)
            with open(hear) as lines:
                said = [line.split("\t", 1) for line in lines.read().splitlines() if line]
            _, status = os.waitpid(child, 0)
            if status and not os.WIFSIGNALED(status):
                raise RuntimeError("a good file cannot be read")
            if status:
                number = os.WTERMSIG(status)
                said[-1][1] = "hang" if number == signal.SIGALRM else f"crash, signal {number}"
            for name, outcome in said:
                found[name][outcome] += 1
    return found


def main(count: int, names: list[str]) -> int:
    """Print what became of so many changes a case; how many ended otherwise than they should."""
    wrong = 0
    for name, ends in fuzz(count, names).items():
        others = {what: n for what, n in ends.items() if what not in ("read", "refused")}
        wrong += sum(others.values())
        print(f"{name}: {ends['read']} read, {ends['refused']} refused, {sum(others.values())} others")
        for what, n in others.items():
            print(f"    {n} {what}")
    return wrong


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]) > 0)
