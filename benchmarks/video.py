"""Reading frames by number, and what batches of hands take: this reader, and OpenCV where it is installed.

The large file is NTU's sample of 1920 x 1080 under COMPANION_DATA, where it is; the small one is simulated.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from hard_attention import seconds

from companion import training
from companion.datasets.hands import Hands
from companion.formats import ntu
from companion.media import read_video
from companion.models import hand_attention
from companion.simulator import release

try:
    import cv2
except ImportError:
    cv2 = None


def opencv(path: Path, numbers: list[int]) -> list:
    """The same frames by OpenCV, one after the other."""
    file, found = cv2.VideoCapture(str(path)), []
    for n in range(max(numbers) + 1):
        file.grab()
        if n in numbers:
            found.append(cv2.cvtColor(file.retrieve()[1], cv2.COLOR_BGR2RGB))
    return found


def waiting(net: torch.nn.Module, data: Hands) -> float:
    """The share of the time in which training waits for batches, over three epochs."""
    spent, read = 0.0, data.__getitems__

    def timed(indices):
        nonlocal spent
        begun = time.perf_counter()
        batch = read(indices)
        spent += time.perf_counter() - begun
        return batch

    data.__getitems__ = timed
    start = time.perf_counter()
    training.fit(net, data, hand_attention.objective, epochs=3, lr=0.001, batch_size=16)
    data.__getitems__ = read
    return spent / (time.perf_counter() - start)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as root:
        release.simulate(root, release.Release(groups=("chest",), subjects=10, cameras=1), processes=1)
        files = {"simulated 160 x 90": ntu.video(ntu.files(root)[0])}
        sample = Path(os.environ.get("COMPANION_DATA", "")) / "ntu_meta/sample_1920x1080_rgb.avi"
        if sample.is_file():
            files["NTU 1920 x 1080"] = sample
        for name, path in files.items():
            numbers = list(range(0, 24, 3))
            print(f"8 frames, {name}: {1e3 * seconds(lambda: read_video(path, numbers)):.0f} ms")  # noqa: B023
            if cv2:
                print(f"  OpenCV: {1e3 * seconds(lambda: opencv(path, numbers)):.0f} ms")  # noqa: B023
        data = Hands("simulated", "train", "cross_subject", root=root, frames=16)
        batch = seconds(lambda: data.__getitems__(range(16)))
        print(f"a batch of 16 clips of 16 frames from the cache of crops: {1e3 * batch:.1f} ms")
        sizes = (data.body.tree, data.body.bodies, len(data.classes), data.body.frames)
        pose = hand_attention.pose_stream("tour", *sizes)
        crops = hand_attention.Crops(data.crops.shape[-1], len(data.classes))
        data.see(crops)
        print(f"training the pose stream waits for its batches {100 * waiting(pose, data):.1f} % of the time")
        hands = hand_attention.streams("hands", pose, data.hands, data.body.frames, len(data.classes))
        print(f"training attention to hands: {100 * waiting(hands, data):.1f} %")
