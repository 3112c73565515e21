"""A machine with nothing on it: run by ``test_r15_no_python.py`` in namespaces of its own.

``python -m tests.service.bare_machine ROOT BUNDLE [CPU]`` runs ``start`` of the bundle in the Debian folder ROOT, asks
it over HTTP, adds documents as staff do, stops it, and prints what was seen as one line of JSON. There is no network
interface but loopback, which is raised here. With CPU, every process of the program runs under an emulator of that
processor.
"""

import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from publicai_edge.kiosk.staff_routes import HEADER
from publicai_edge.runtime import platforms, samples
from tests.kiosk.staff import Staff
from tests.service.conftest import until
from tests.service.unplugged_patron import raise_loopback

PORT = 8017
QUESTION = "Is there a lift?"
STAFF = "staff"
ADDED = ("sample.docx", "sample.epub", "sample.pdf")
ABOUT_ADDED = "Where do residents get a parking permit?"
START_SECONDS = 120.0
EMULATED_SECONDS = 900.0  # a start, and an answer, take minutes there
_PROGRAM = "data/runtime/linux-x86_64/publicai-edge"
_BINFMT = Path("/proc/sys/fs/binfmt_misc")


def main(root: Path, bundle: Path, cpu: str | None) -> None:
    """Do it all and print what was seen."""
    raise_loopback()
    for name in ("proc", "bundle", STAFF):
        (root / name).mkdir(exist_ok=True)
    mount("--bind", str(bundle), str(root / "bundle"))
    mount("-o", "remount,bind,ro", str(root / "bundle"))
    mount("-t", "proc", "proc", str(root / "proc"))
    if cpu and not foreign(bundle):
        emulate(bundle / _PROGRAM)
    before = files(root)
    env = {"PATH": "/usr/bin:/bin", "HOME": "/root", "LANG": "C.UTF-8", **({"QEMU_CPU": cpu} if cpu else {})}
    command = ["chroot", str(root), "/usr/bin/env", "-i", *(f"{key}={value}" for key, value in env.items())]
    place = ["--documents-dir", f"/{STAFF}"]
    drawn = subprocess.run(
        [*command, program(bundle), "staff-code", "/bundle", *place], stdout=subprocess.PIPE, text=True, check=True
    )
    begun = time.monotonic()
    kiosk = subprocess.Popen(
        [*command, "sh", "/bundle/start", "--port", str(PORT), *place], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        patience = EMULATED_SECONDS if cpu or foreign(bundle) else START_SECONDS
        seen = ask(begun, kiosk, patience)
        seen |= add(drawn.stdout.strip(), patience)
        seen["processes"] = sorted(processes())
    finally:
        kiosk.send_signal(signal.SIGINT)
        try:
            _, told = kiosk.communicate(timeout=60)
        finally:
            kiosk.kill()
    time.sleep(1)
    seen |= {
        "code": kiosk.returncode,
        "stderr": told.decode("utf-8", "replace"),
        "left_files": sorted(set(files(root)) ^ set(before)),
        "left_processes": sorted(processes()),
    }
    print(json.dumps(seen))


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def emulate(program: Path) -> None:
    """Let the kernel start this one program under qemu; in this user namespace alone (Linux 6.7).

    The whole ELF header is the mark, so that no other program matches, qemu among them.
    """
    mount("-t", "binfmt_misc", "none", str(_BINFMT))
    header = program.read_bytes()[: struct.calcsize("16sHHIQQQIHHHHHH")]
    marks = "".join(f"\\x{byte:02x}" for byte in header)
    (_BINFMT / "register").write_text(f":bare:M::{marks}::/usr/bin/qemu-x86_64-static:FP\n", "latin-1")


def foreign(bundle: Path) -> bool:
    """Say whether the bundle's program is for another architecture, which the kernel has emulated."""
    return not (bundle / _PROGRAM).exists()


def ask(begun: float, kiosk: "subprocess.Popen[bytes]", patience: float) -> dict[str, Any]:
    """Wait until the kiosk is ready, ask it as a program and as the page does, and return what came."""
    with httpx.Client(base_url=f"http://127.0.0.1:{PORT}", timeout=patience) as client:

        def ready() -> bool:
            assert kiosk.poll() is None, kiosk.communicate()[1].decode()
            try:
                return bool(client.get("/health").json()["engine"] == "ready")
            except httpx.TransportError:
                return False

        until(ready, "the kiosk is ready", patience)
        started = time.monotonic() - begun
        manifest = json.loads((Path(sys.argv[2]) / "bundle.json").read_bytes())
        system = manifest["services"][0]["prompt"]["en"]
        turns = [{"role": "system", "content": system}, {"role": "user", "content": QUESTION}]
        body = {"model": client.get("/v1/models").json()["data"][0]["id"], "messages": turns, "stream": True}
        first, asked = None, time.monotonic()
        with client.stream("POST", "/v1/chat/completions", json={**body, "max_tokens": 24}) as answer:
            for line in answer.iter_lines():
                if (
                    first is None
                    and line.startswith("data: {")
                    and json.loads(line[6:])["choices"][0]["delta"].get("content")
                ):
                    first = time.monotonic() - asked
        page = client.post("/api/ask", json={"service": "ask", "language": "en", "question": QUESTION})
        return {"started": started, "first_token": first, "page": page.text, "metrics": client.get("/metrics").text}


def program(bundle: Path) -> str:
    """Return the place of the bundle's program on the machine."""
    (found,) = (bundle / "data/runtime").glob(f"*/{platforms.PROGRAM}")
    return f"/bundle/{found.relative_to(bundle)}"


def add(code: str, patience: float) -> dict[str, Any]:
    """Add documents as staff do, and return what became of each, and the sources that a patron finds then."""
    with httpx.Client(base_url=f"http://127.0.0.1:{PORT}", timeout=patience) as client:
        token = client.post("/api/staff/session", json={"code": code}).json()["token"]
        staff = Staff(client, {HEADER: token})
        for name in ADDED:
            staff.upload(name, samples.documents()[name]).raise_for_status()
        until(lambda: all(job["state"] in {"done", "failed"} for job in staff.state()["jobs"]), "they are in", patience)
        jobs = {job["name"]: f"{job['state']} {job['detail']}".strip() for job in staff.state()["jobs"]}
        return {"added": jobs, "found": staff.found(ABOUT_ADDED)}


def processes() -> set[str]:
    """Return the programs that run in this PID namespace besides this one."""
    found = set()
    for place in Path("/proc").iterdir():
        if place.name.isdigit() and int(place.name) != os.getpid():
            try:
                found.add((place / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
            except OSError:
                continue
    return {name for name in found if name.strip()}


def files(root: Path) -> list[str]:
    """Return every file of the machine with its size and time of change; not the kernel's, nor what staff added."""
    found = []
    for folder, folders, names in os.walk(root):
        if Path(folder) == root:
            folders[:] = [name for name in folders if name not in {"proc", "sys", "dev", STAFF}]
        for name in names:
            stat = (Path(folder) / name).lstat()
            found.append(f"{Path(folder) / name} {stat.st_size} {stat.st_mtime_ns}")
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)
