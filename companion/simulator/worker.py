"""One of the processes that write a release: `python -m companion.simulator.worker OUT RELEASE NUMBER OF`.

It prints an empty line a performance, and ends when its input does: with the process that started it, however
that ends.
"""

import json
import os
import signal
import sys
import threading
import time
from _thread import interrupt_main
from pathlib import Path


def follow() -> None:
    """Interrupt this process, which then goes through its `finally`, at the end of its input."""
    os.read(0, 1)
    while True:
        interrupt_main()
        time.sleep(1)


def main(out: str, text: str, number: str, of: str) -> int:
    """Every so many-th performance of a release; 0, or 1 after one sentence."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored
    threading.Thread(target=follow, daemon=True).start()
    from companion.simulator.release import Release, perform

    release = Release(**json.loads(text))
    try:
        for performance in range(int(number), len(release.performances()), int(of)):
            perform(release, Path(out), performance)
            print(flush=True)
    except OSError as error:
        print(error, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
