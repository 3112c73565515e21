"""A patron at an unplugged kiosk: run by ``test_offline.py`` in a network namespace of its own.

``python -m tests.service.unplugged_patron BUNDLE PICTURE WORK`` brings the loopback interface up, serves the bundle,
asks once over HTTP and once in a real browser, and prints what was seen as one line of JSON. With ``leaky`` as a fourth
word, the kiosk is one that calls home, and is not used in a browser.
"""

import fcntl
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import expect, sync_playwright

from tests.browser import ARGUMENTS, CHROMIUM
from tests.service.conftest import PATIENCE, PROGRAM, Kiosk, children, patched

QUESTION = "Is there a lift?"
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1

# What a library that reports home does when it is loaded.
CALL_HOME = """
import socket, threading

def call_home():
    with socket.socket() as line:
        line.connect_ex(("192.0.2.1", 80))

threading.Thread(target=call_home).start()
"""

# Notes, at every change of the page, how many passages there are and how long the answer is.
WATCH = """
() => {
  window.samples = [];
  const note = () => window.samples.push({
    ms: performance.now(),
    passages: document.querySelectorAll('.passage').length,
    letters: document.getElementById('answer').textContent.length,
  });
  new MutationObserver(note).observe(document.body, { subtree: true, childList: true, characterData: true });
  document.getElementById('form').addEventListener('submit', () => { window.asked = performance.now(); }, true);
}
"""


def main(bundle: str, picture: str, work: Path, *, leaky: bool = False) -> None:
    """Do it all and print what was seen."""
    raise_loopback()
    trace = work / "trace"
    tracing = tracer(trace)
    home = work / "home"
    home.mkdir()
    # Libraries that report home keep still on a build server, so nothing here may look like one.
    env = {"PATH": os.environ["PATH"], "HOME": str(home)}
    program = patched(CALL_HOME) if leaky else PROGRAM
    kiosk = Kiosk([*tracing, *program, "serve", bundle, "--port", "0"], work / "kiosk", env)
    try:
        kiosk.wait_ready()
        body = {"service": "ask", "language": "en", "question": QUESTION}
        kiosk.client.post("/api/ask", json=body).raise_for_status()
        counted = no_route()  # before the browser is there, which looks for a network by itself
        seen = {} if leaky else in_browser(kiosk.url, picture)
    finally:
        # strace keeps such a signal to itself, so it goes to the kiosk below it.
        served = children(kiosk.process.pid)[0] if tracing else kiosk.process.pid
        os.kill(served, signal.SIGINT)
        try:
            kiosk.process.wait(PATIENCE)
        finally:
            kiosk.process.kill()
    before = no_route()
    with socket.socket() as control:
        control.connect_ex(("192.0.2.1", 80))
    calls = trace.read_text() if trace.exists() else ""
    seen |= {
        "no_route": counted,
        "no_route_of_control": no_route() - before,
        "kept": [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()],
        "traced": bool(tracing),
        "connects": re.findall(r"^.*\b(?:connect|sendto|sendmsg|sendmmsg)\(.*AF_INET.*$", calls, re.MULTILINE),
        "listens": re.findall(r'\bbind\(.*AF_INET.*inet_addr\("([^"]+)"\)', calls),
    }
    print(json.dumps(seen))


def raise_loopback() -> None:
    """Do what ``ip link set lo up`` does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        asked = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack_from("h", fcntl.ioctl(handle, _SIOCGIFFLAGS, asked), 16)
        fcntl.ioctl(handle, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def no_route() -> int:
    """Return how many packets and connections of this namespace found no way out."""
    names, values = [line.split()[1:] for line in Path("/proc/net/snmp").read_text().splitlines() if line[:3] == "Ip:"]
    found = int(dict(zip(names, values, strict=True))["OutNoRoutes"])
    newer = Path("/proc/net/snmp6")
    rows = [line.split() for line in newer.read_text().splitlines()] if newer.exists() else []
    return found + sum(int(value) for name, value in rows if name == "Ip6OutNoRoutes")


def tracer(target: Path) -> list[str]:
    """Return what writes down the kiosk's calls to the network, or nothing where it cannot be had."""
    if not shutil.which("strace"):
        return []
    calls = "trace=connect,bind,sendto,sendmsg,sendmmsg"
    command = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", calls, "-e", "signal=none", "-o", str(target)]
    usable = subprocess.run([*command, "true"], check=False, capture_output=True).returncode == 0
    target.unlink(missing_ok=True)
    return command if usable else []


def in_browser(url: str, picture: str) -> dict[str, Any]:
    """Ask on the page, in headless Chromium."""
    problems: list[str] = []
    requests: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
        page.on("request", lambda request: requests.append(request.url))
        page.goto(url)
        page.get_by_role("button", name="Ask about the library").click()
        page.evaluate(WATCH)
        page.get_by_label("Your question").fill(QUESTION)
        page.get_by_role("button", name="Ask", exact=True).click()
        expect(page.locator("#announcer")).to_contain_text("The answer is complete.")
        page.evaluate("scrollTo(0, 0)")
        page.screenshot(path=picture)
        samples = page.evaluate("window.samples")
        asked = page.evaluate("window.asked")
        seen = {
            "samples": samples,
            "passages_ms": next(sample["ms"] for sample in samples if sample["passages"]) - asked,
            "word_ms": next(sample["ms"] for sample in samples if sample["letters"]) - asked,
            "marks": page.locator("#answer .mark").all_text_contents(),
            "answer": page.locator("#answer").inner_text(),
            "passage": page.locator("#passage-1").inner_text(),
            "requests": requests,
            "problems": problems,
        }
        browser.close()
    return seen


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), leaky=sys.argv[4:] == ["leaky"])
