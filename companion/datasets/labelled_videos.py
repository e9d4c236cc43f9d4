"""Folders of labelled videos, UCF-11, as clips like those of `video_clips`.

five_folds      the scenes of one fold are tested, the others train: those of all classes whose number
                leaves the same rest when it is divided by five
"""

import json
import warnings
from pathlib import Path

import torch
from torch import Tensor

from companion import media
from companion.code import closure
from companion.datasets.skeletons import SPLITS
from companion.datasets.video_clips import TRAINING, VideoClips, kept
from companion.files import DamagedFile, fingerprint
from companion.formats import ucf11

FOLDS = 5


class LabelledVideos(VideoClips):
    """One side. Nothing is known of joints, nor of what decides.

    Args:
        split: train or test; or validation, the scenes of the next fold, and fit, the others of training.
        fold: which is tested.
        root: the folder that contains UCF11_updated_mpg; default $COMPANION_DATA.
        more: see `VideoClips`.

    Raises:
        DamagedFile: a video that cannot be read, if strict; else it is left out, and named in `damaged`.
        ValueError: an unknown name, or a video with fewer frames than asked for.
        FileNotFoundError: there is no video on this side.
    """

    def __init__(
        self,
        split: str,
        fold: int = 0,
        seed: int = 0,
        root: str | Path | None = None,
        *,
        strict: bool = True,
        frames: int = 8,
        every: int = 1,
        size: tuple[int, int] = (120, 160),
        limit: int = 16 << 30,
    ) -> None:
        if split not in ("train", "fit", "validation", "test") or not 0 <= fold < FOLDS:
            raise ValueError(
                f"split is {split!r}, fold {fold}; choose train, fit, validation or test, and 0 to 4"
            )
        found, self.classes = ucf11.videos(root)
        held = {"test": fold, "validation": (fold + 1) % FOLDS}
        rests = [held[split]] if split in held else [n for n in range(FOLDS) if n != fold]
        if split == "fit":
            rests.remove(held["validation"])
        found = [video for video in found if video.group % FOLDS in rests]
        if not found:
            raise FileNotFoundError(f"no video of UCF-11 is on side {split} of fold {fold}; get all of it")
        code = json.dumps(closure(ucf11.__name__))  # which `kept` does not know by itself
        how = {"every": every, "size": tuple(size), "limit": limit, "code": code}
        self.kept = kept([video.path for video in found], lambda path: [path], ucf11.read, **how)
        self.damaged = [*self.kept.damaged.values()]
        if self.damaged and strict:
            raise DamagedFile(self.damaged[0])
        if self.damaged:
            warnings.warn(f"ucf11: {len(self.damaged)} videos are left out", stacklevel=2)
        whole = [n for n, video in enumerate(found) if str(video.path) not in self.kept.damaged]
        found = [found[n] for n in whole]
        self.first, self.lengths = self.kept.first[whole], self.kept.lengths[whole]
        short = int(self.lengths.argmin())
        if self.lengths[short] < frames:
            raise ValueError(
                f"of {found[short].path} {int(self.lengths[short])} frames are kept, and {frames} are asked"
                " for; ask for fewer, keep more of them (every), or remove it"
            )
        self.paths = tuple(video.path for video in found)
        self.names = tuple(path.stem for path in self.paths)
        self.units = tuple(path.parent.name for path in self.paths)
        self.label = torch.tensor([video.label for video in found])
        self.frames, self.every, self.training = frames, every, split in TRAINING
        self.seed = (seed, SPLITS.index(split))
        self.shown, self.key, self.described = self.kept.frames, self.kept.key, None
        self.group, self.truth = None, None
        words = [self.kept.key, str(frames), *self.names, *map(str, self.label.tolist())]
        self.fingerprint = fingerprint([word.encode() for word in words])
        self.set_epoch(0)

    def film(self, index: int, height: int | None = None) -> Tensor:
        """To look at: the pictures of a batch's clip, T H W 3, as large as they are."""
        frames = (self.every * self.within(torch.tensor([index]))[0]).tolist()
        return torch.from_numpy(media.read_video(self.paths[index], frames))


def data_fingerprint(root: str | Path | None = None) -> str:
    """Of the videos, without reading them: names and sizes count."""
    found, classes = ucf11.videos(root)
    return fingerprint([f"{classes[v.label]} {v.path.name} {v.path.stat().st_size}".encode() for v in found])


def check(root: str | Path | None = None, read: bool = True) -> str:
    """Can the videos be read?

    Args:
        read: read every video; else they are counted only.

    Raises:
        ValueError: damaged videos; the text counts and names them.
    """
    found, classes = ucf11.videos(root)
    damaged = []
    for video in found if read else ():
        try:
            media.read_video(video.path, size=(8, 8))
        except DamagedFile as error:
            damaged.append(str(error))
    text = f"{len(found)} videos of {len(classes)} classes"
    if damaged:
        about = f"{text}, {len(damaged)} damaged", *damaged, f"to be had at {ucf11.WHERE}"
        raise ValueError("\n  ".join(about))
    return f"{'complete, ' * read}{text}"
