"""Four browsers at four addresses at once: each sees its own session only, waits its turn, and is told its place.

The addresses are real ones: each terminal is in a network namespace of its own, joined to the kiosk's by a cable
(veth(4)). The short form takes half a minute, the long one ten.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from publicai_edge.pipeline.build import Built
from tests.conftest import ROOT
from tests.service.conftest import PROGRAM, Kiosk
from tests.service.crowd import metric

MARKERS = ("heron117", "kestrel134", "plover151", "wren168")
NETWORK = "10.213.77"
FAIR = 0.5
"""The share of the busiest terminal's answers that every other one has at least."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's"),
]


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this system joins no network namespaces: ip {' '.join(words)}: {done.stderr.strip()}")


@pytest.fixture
def terminals() -> Iterator[list[str]]:
    """Four network namespaces on one bridge whose first address is the kiosk's; their names."""
    if not shutil.which("ip"):
        pytest.fail("This test needs `ip` (iproute2): run scripts/system_packages.sh tests.")
    if os.geteuid() != 0:
        pytest.skip("joining network namespaces takes root")
    tag = f"pe{os.getpid() % 100_000}"
    with ExitStack() as made:

        def make(*words: str, undo: tuple[str, ...]) -> None:
            ip(*words)
            made.callback(subprocess.run, ["ip", *undo], check=False, capture_output=True)

        make("link", "add", f"{tag}b", "type", "bridge", undo=("link", "delete", f"{tag}b"))
        ip("address", "add", f"{NETWORK}.1/24", "dev", f"{tag}b")
        ip("link", "set", f"{tag}b", "up")
        names = [f"{tag}n{number}" for number in range(len(MARKERS))]
        for number, name in enumerate(names):
            make("netns", "add", name, undo=("netns", "delete", name))
            cable, end = f"{tag}c{number}", f"{tag}e{number}"
            make("link", "add", cable, "type", "veth", "peer", "name", end, undo=("link", "delete", cable))
            ip("link", "set", cable, "master", f"{tag}b", "up")
            ip("link", "set", end, "netns", name)
            ip("-n", name, "address", "add", f"{NETWORK}.{number + 11}/24", "dev", end)
            ip("-n", name, "link", "set", end, "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names


@pytest.fixture
def kiosk(demo: Built, tmp_path: Path) -> Iterator[Kiosk]:
    """A kiosk that answers one patron at a time, so that the others wait in line."""
    arguments = [*PROGRAM, "serve", str(demo.folder), "--host", f"{NETWORK}.1", "--port", "0", "--slots", "1"]
    held = Kiosk(arguments, tmp_path / "kiosk", dict(os.environ))
    try:
        yield held.wait_ready()
        assert held.end() == 0
    finally:
        held.end(signal.SIGKILL)


@pytest.mark.parametrize("seconds", [20, pytest.param(600, marks=pytest.mark.soak)])
def test_each_terminal_sees_its_own_session_and_gets_its_turn(
    terminals: list[str], kiosk: Kiosk, seconds: int, tmp_path: Path
) -> None:
    running = []
    for name, marker in zip(terminals, MARKERS, strict=True):
        others = ",".join(other for other in MARKERS if other != marker)
        command = ["ip", "netns", "exec", name, sys.executable, "-m", "tests.service.terminal"]
        with (tmp_path / f"{name}.err").open("wb") as errors:
            running.append(
                subprocess.Popen(
                    [*command, kiosk.url, marker, others, str(seconds)],
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    cwd=ROOT,
                    env=os.environ | {"PYTHONPATH": str(ROOT)},
                )
            )
    try:
        told = [process.communicate(timeout=seconds + 300)[0] for process in running]
    finally:
        for process in running:
            process.kill()
    for name, process in zip(terminals, running, strict=True):
        assert process.returncode == 0, (tmp_path / f"{name}.err").read_text()[-2000:]
    found = [json.loads(line) for line in told]
    visits = [seen["visits"] for seen in found]
    places = [[int(place) for text in seen["places"] for place in re.findall(r"line: (\d+)", text)] for seen in found]
    print(f"\nanswers {visits}, places in line shown {[sorted(set(some)) for some in places]}")
    for seen in found:
        assert seen["errors"] == seen["bad"] == seen["foreign"] == seen["left"] == []
    assert min(visits) >= 1
    assert min(visits) + 1 >= FAIR * max(visits), "nobody is served at the cost of others"
    assert any(places), "who waits is told the place in line"
    assert max(max(some, default=0) for some in places) <= len(MARKERS) - 1, "nobody has two places"
    assert metric(kiosk, 'publicai_edge_requests_total{outcome="failed"}') == 0
