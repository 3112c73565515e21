"""Memory that was freed is overwritten; the kiosk's own test searches whole processes (tests/service)."""

import subprocess
import sys

import pytest

WORD = "marmot-4711-quince"

# A process types the word, lets it go, and looks for it in its own memory: the word is put together anew each time.
SEARCH = """
import re, sys
from publicai_edge import scrub

def places():
    word = "-".join(["marmot", "4711", "quince"]).encode("utf-16-le")
    found = 0
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", buffering=0) as memory:
        for line in maps:
            span, rights, *_ = line.split()
            if rights.startswith("rw"):
                begin, end = (int(part, 16) for part in span.split("-"))
                try:
                    memory.seek(begin)
                    data = memory.read(end - begin)
                except (OSError, OverflowError):
                    continue
                found += data.count(word)
    return found

if sys.argv[1] == "scrubbed":
    assert scrub.overwrite_what_is_freed()
kept = ["a" * n for n in range(600)]
typed = [("-".join(["marmot", "4711", "quince"]) + "\u20ac" * n) for n in range(0, 600, 7)]
if sys.argv[2] == "large":
    # Most of 40 MB is let go, but for a piece in each of Python's arenas: as after much was read.
    held = [[*(bytes(400) for _ in range(1999)), "-".join(["marmot", "4711", "quince"]) + "\u20ac" * 160]
            for _ in range(50)]
    held = [piece[0] for piece in held]
del typed, kept
if sys.argv[1] == "scrubbed":
    scrub.scrub()
print(places())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process by Linux's /proc")
@pytest.mark.parametrize("process", ["small", "large"])
def test_freed_text_of_any_size_is_overwritten(process: str) -> None:
    found = {}
    for how in ("scrubbed", "left"):
        done = subprocess.run(
            [sys.executable, "-c", SEARCH, how, process], check=True, capture_output=True, text=True, timeout=60
        )
        found[how] = int(done.stdout)
    # The one that is looked for is in memory itself, as is what was read of memory before.
    assert found["left"] > found["scrubbed"] + 20
    assert found["scrubbed"] <= 4
