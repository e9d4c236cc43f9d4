"""Simulating NTU clips on one core, at the quick size with text and video, and the share of each part."""

import tempfile
import time
from collections import Counter

from companion.simulator import release, scene

PARTS = {
    "drawing": (scene, "film"),
    "encoding": (release, "encode"),
    "text": (release, "text"),
    "writing": (release, "write_whole"),
}

if __name__ == "__main__":
    spent: Counter[str] = Counter()

    def timed(name, call):
        def run(*args, **options):
            start = time.perf_counter()
            try:
                return call(*args, **options)
            finally:
                spent[name] += time.perf_counter() - start

        return run

    for name, (module, call) in PARTS.items():
        setattr(module, call, timed(name, getattr(module, call)))
    asked = release.Release(subjects=2)
    with tempfile.TemporaryDirectory() as warm, tempfile.TemporaryDirectory() as out:
        release.simulate(warm, release.Release(subjects=1, cameras=1, groups=("chest",)), processes=1)
        spent.clear()
        start = time.perf_counter()
        release.simulate(out, asked, processes=1)
        total = time.perf_counter() - start
    clips = len(asked.performances()) * asked.cameras
    print(
        f"simulated clips of {asked.frames} to {asked.frames * 5 // 4} frames: {clips / total:.1f} a second"
    )
    for name, seconds in spent.items():
        print(f"  {name}: {100 * seconds / total:.0f} %")
