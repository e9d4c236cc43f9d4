"""Simulate a release for all notebooks that read it: `release.py '{"subjects": 20, "seed": 0}'`."""

import json
import sys

from companion.simulator.release import Release, stored

if __name__ == "__main__":
    stored(Release(**json.loads(sys.argv[1])))
