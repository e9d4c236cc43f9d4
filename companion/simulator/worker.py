"""One of the processes that write a release: `python -m companion.simulator.worker OUT RELEASE NUMBER OF`.

It prints an empty line a performance, and ends when its input does: with the process that started it, however
that ends.
"""

import json
import os
import sys
import threading
from pathlib import Path

PATIENCE = 10  # seconds
ended, writing = threading.Event(), threading.Lock()


def follow() -> None:
    """End this process at the end of its input, but let a performance be written to its end."""
    os.read(0, 1)
    ended.set()
    writing.acquire(timeout=PATIENCE)
    os._exit(130)


def main(out: str, text: str, number: str, of: str) -> int:
    """Every so many-th performance of a release; 0, or 1 after one sentence, or 130 if nobody reads it."""
    threading.Thread(target=follow, daemon=True).start()
    from companion.simulator.release import Release, perform

    release = Release(**json.loads(text))
    for performance in range(int(number), len(release.performances()), int(of)):
        try:
            with writing:
                perform(release, Path(out), performance)
        except OSError as error:
            os.write(1, f"{error}\n".encode())
            return 1
        if ended.is_set():
            return 130
        os.write(1, b"\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except BrokenPipeError:
        sys.exit(130)
