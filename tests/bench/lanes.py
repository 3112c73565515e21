"""A process of ``bench turns`` that measures nothing: speeds made up by a drifting machine, and faults on demand.

Run as a module, with ``FACTOR`` times the speed; ``SLOW``, ``OLD`` and ``DEAD`` below are the others.
"""

import json
import math
import os
import sys
from pathlib import Path

CLOCK = "PUBLICAI_EDGE_TEST_CLOCK"
"""Environment variable: the file by whose length all these processes tell the time."""
BASE = {"decode@0": 100.0, "prefill@128": 500.0, "decode@128": 90.0}


def main(factor: float = 1.0, *, protocol: int = 1) -> None:
    """Answer as the real one does."""
    asked = json.loads(sys.stdin.readline())
    assert asked["model"].endswith("model.gguf")
    print(json.dumps({"protocol": protocol, "engine": {"publicai-edge": "0.1.0", "pid": os.getpid()}}), flush=True)
    for line in sys.stdin:
        figure = json.loads(line)["figure"]
        drift = math.exp(0.5 * math.sin(_now() * 0.1))  # as much as no real machine
        print(json.dumps({"value": BASE[figure] * factor * drift}), flush=True)


def _now() -> int:
    """Return the time, which goes on by one whenever somebody asks: no pause of the real machine is in it."""
    with Path(os.environ[CLOCK]).open("ab", buffering=0) as clock:
        clock.write(b".")
        return clock.tell()


if __name__ == "__main__":
    main()
