"""Reading NTU's skeleton text: this parser, splitting into Python floats, and reading the bytes alone.

The text is a clip of about the release's mean length, 80 frames of one body. What the whole release would
take is extrapolated from files that are opened one by one.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from hard_attention import seconds
from test_ntu import text

from companion.formats import ntu

FILES = 200

if __name__ == "__main__":
    content = text([[(72057594037931101, 0.01 * t)] for t in range(80)])
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"S001C001P001R{n:03}A001.skeleton" for n in range(1, FILES + 1)]
        for path in paths:
            path.write_text(content)
        once = {
            "this parser": seconds(lambda: ntu.read_skeleton(paths[0])),
            "numpy on split text": seconds(lambda: np.array(paths[0].read_text().split(), float)),
            "reading alone": seconds(lambda: paths[0].read_bytes()),
        }
        for name, value in once.items():
            print(f"NTU text, {name}: {len(content) / value / 1e6:.0f} MB/s")
        print(
            f"  {once['numpy on split text'] / once['this parser']:.1f} times as fast as numpy on split text"
        )
        each = seconds(lambda: [ntu.parse(path) for path in paths]) / FILES
        print(f"  whole clips: {each * 1e3:.2f} ms a file, {each * ntu.CLIPS / 60:.1f} min for {ntu.CLIPS}")
