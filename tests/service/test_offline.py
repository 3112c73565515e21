"""A machine with no network at all: the bundle is checked, asked on the terminal, and used in a browser.

Every command here runs in a network namespace of its own. Two of them find not even a loopback interface there.
"""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from publicai_edge.pipeline.build import Built
from tests.conftest import ROOT
from tests.promises import Figure
from tests.service.conftest import PROGRAM

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's"),
]

SCREENSHOT = "PUBLICAI_EDGE_SCREENSHOT"
"""Environment variable: where to put a picture of the page with its answer."""


@pytest.fixture(scope="session")
def unplugged() -> list[str]:
    """The command that runs another one without a network."""
    ways = (["unshare", "-n", "--"], ["unshare", "-r", "-n", "--"])
    said = []
    for way in ways:
        try:
            done = subprocess.run([*way, "true"], check=False, capture_output=True, text=True)
        except FileNotFoundError:
            pytest.fail("This test needs `unshare` (util-linux), and it is not installed.")
        if done.returncode == 0:
            return way
        said.append(f"{' '.join(way)}: {done.stderr.strip()}")
    pytest.fail(
        "Nothing here can take the network away from a process, so being offline cannot be shown. Run as root, or "
        "allow user namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns=0). Tried:\n" + "\n".join(said)
    )


def run(command: list[str], **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=ROOT, timeout=300, env=os.environ | env
    )


def test_there_is_no_network_in_there(unplugged: list[str]) -> None:
    program = "import socket; socket.create_connection(('192.0.2.1', 80), 5)"
    done = run([*unplugged, sys.executable, "-c", program])
    assert "Network is unreachable" in done.stderr


@pytest.mark.promise("R14")
def test_verify_works_with_no_network(unplugged: list[str], demo: Built) -> None:
    done = run([*unplugged, *PROGRAM, "verify", str(demo.folder), "--json"])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "demo-library"


@pytest.mark.promise("R14")
def test_ask_works_with_no_network_and_its_answer_cites_the_right_document(unplugged: list[str], demo: Built) -> None:
    done = run([*unplugged, *PROGRAM, "ask", str(demo.folder), "Is there a lift?", "--json"])
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    cited = {number for sentence in value["sentences"] for number in sentence["sources"]}
    documents = {source["source"] for source in value["sources"] if source["number"] in cited}
    assert documents == {"documents/demo/accessibility-and-home-delivery.txt"}
    assert "lift" in value["answer"]


def patron(unplugged: list[str], bundle: Path, picture: str, work: Path, *more: str) -> dict[str, Any]:
    """Let a patron use the bundle on the unplugged machine; return what was seen and what the machine counted."""
    program = [sys.executable, "-m", "tests.service.unplugged_patron"]
    done = run([*unplugged, *program, str(bundle), picture, str(work), *more])
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def seen(unplugged: list[str], demo: Built, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a patron saw in a browser on the unplugged machine."""
    work = tmp_path_factory.mktemp("offline")
    picture = os.environ.get(SCREENSHOT) or str(work / "page.png")
    return patron(unplugged, demo.folder, picture, work) | {"picture": picture}


def tries(seen: dict[str, Any]) -> list[str]:
    """Return every sign that a kiosk wanted to reach another machine, or let itself be reached."""
    signs = [f"{seen['no_route']} packets found no way out"] if seen["no_route"] else []
    listens = [f"it listens on {address}" for address in seen["listens"] if address != "127.0.0.1"]
    return [*signs, *seen["connects"], *listens]


def test_the_page_shows_passages_first_then_an_answer_that_grows_then_its_marks(seen: dict[str, Any]) -> None:
    samples = seen["samples"]
    with_passages = [index for index, sample in enumerate(samples) if sample["passages"]]
    assert samples[with_passages[0]]["letters"] == 0, "passages come before the first word"
    lengths = [sample["letters"] for sample in samples[with_passages[0] :]]
    grown = {later for earlier, later in itertools.pairwise(lengths) if later > earlier}
    assert len(grown) >= 3, f"the answer came in steps: {lengths}"
    assert seen["marks"], "at least one sentence leads to its passage"
    assert "Accessibility" in seen["passage"]
    assert "lift" in seen["answer"]
    assert seen["problems"] == [], "no error on the browser's console"
    print(f"\npassages {seen['passages_ms']:.0f} ms after the question, first word {seen['word_ms']:.0f} ms")


@pytest.mark.promise("R14")
def test_the_page_asks_nothing_of_any_other_machine(seen: dict[str, Any]) -> None:
    assert seen["requests"]
    assert {url.split("/")[2].split(":")[0] for url in seen["requests"]} == {"127.0.0.1"}


@pytest.mark.promise("R14")
def test_the_kiosk_tries_no_connection_beyond_loopback(seen: dict[str, Any], figure: Figure) -> None:
    assert seen["no_route_of_control"] > 0, "one try from there is counted"
    assert tries(seen) == []
    assert seen["listens"] == (["127.0.0.1"] if seen["traced"] else [])
    figure("packets that found no way out", seen["no_route"], "", bound="== 0")
    if seen["traced"]:
        figure("calls to another machine in the system-call log", len(seen["connects"]), "", bound="== 0")


@pytest.mark.promise("R14", broken=True)
def test_a_kiosk_that_calls_home_is_found(unplugged: list[str], demo: Built, tmp_path: Path) -> None:
    seen = patron(unplugged, demo.folder, "", tmp_path, "leaky")
    assert seen["no_route"] > 0, "the network's own counters tell"
    assert tries(seen) != []
    if seen["traced"]:
        assert any("192.0.2.1" in call for call in seen["connects"]), "and the system-call log names the address"


def test_the_kiosk_writes_nothing_into_its_users_home(seen: dict[str, Any]) -> None:
    assert seen["kept"] == [], "a device identifier or a queue of reports, for example"


def test_a_picture_of_it_is_taken(seen: dict[str, Any]) -> None:
    assert Path(seen["picture"]).read_bytes().startswith(b"\x89PNG")
