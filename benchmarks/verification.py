"""Verifying a signed bundle: how fast beside `sha256sum`, how soon it starts, and how often it reads each byte.

    python benchmarks/verification.py [--quick] [--json FILE]

Rates are of files that lie in the system's memory, on one core and on all, each beside `sha256sum` on the same files
and the same cores, in turns. Start-up is a whole process over a bundle of four kilobytes: from its start to the moment
that the signature holds and the first file is hashed, and to its end. Exit code 1 when a bound does not hold.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import rows  # noqa: E402
from benchmarks.rows import Row  # noqa: E402
from publicai_edge.bundle.signing.pairs import load, make  # noqa: E402
from publicai_edge.bundle.signing.sign import sign  # noqa: E402
from publicai_edge.bundle.signing.trust import TrustedKey  # noqa: E402
from publicai_edge.bundle.verify import verify  # noqa: E402
from publicai_edge.progress import Silent  # noqa: E402
from tests.bundle.synthetic import noise, write_bundle  # noqa: E402

START_SECONDS = 0.2
SHARE = 0.9

# Says when the first file is about to be hashed, by the clock that the parent reads too, and ends there.
_PROBE = """
import os, sys, time
from publicai_edge.bundle import contents
def told(*_):
    os.write(1, f"{time.monotonic()}".encode())
    os._exit(0)
contents.hash_all = told
sys.argv = ["publicai-edge", "verify", "--quiet", *sys.argv[1:]]
from publicai_edge.cli.entry import main
main()
"""


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller files, fewer rounds")
    parser.add_argument("--json", type=Path, help="also write the rows as JSON")
    chosen = parser.parse_args()
    rounds = 5 if chosen.quick else 11
    megabytes = 32 if chosen.quick else 128
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        private, public, _ = make(work / "key")
        key = TrustedKey.from_file(public)
        small = write_bundle(work / "small")
        large = write_bundle(work / "large", extra=_files(megabytes << 20))
        for root in (small, large):
            sign(root, load(private), Silent())
        found = [*rates(large, key, rounds), *starting(small, public, rounds), reading(large, key)]
        return rows.report(found, chosen.json)


def _files(size: int) -> dict[str, bytes]:
    """Return files of one size, as many as every core has two of."""
    piece = noise("large", 1 << 20)
    return {f"data/large/{number}.bin": piece * (size >> 20) for number in range(2 * _cores())}


def _cores() -> int:
    return len(os.sched_getaffinity(0))


@contextmanager
def on_cores(count: int) -> Iterator[None]:
    """Keep this process and its children to ``count`` cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def rates(root: Path, key: TrustedKey, rounds: int) -> list[Row]:
    """Megabytes a second, ours and sha256sum's, on one core and on all of them."""
    if not shutil.which("sha256sum"):
        return [rows.missing("hash rate", "there is no sha256sum", "MB/s")]
    files = sorted(path for path in root.rglob("*") if path.is_file())
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    found = []
    for cores in sorted({1, _cores()}):
        ours, theirs = [], []
        with on_cores(cores):
            verify(root, Silent(), [key])
            for _ in range(rounds):
                ours.append(megabytes / _seconds(lambda: verify(root, Silent(), [key])))
                theirs.append(megabytes / _seconds(lambda: _sha256sum(files, cores)))
        figure = f"verify, files in memory, {cores} core{'s' if cores > 1 else ''}"
        found.append(rows.beyond(figure, "MB/s", ours, "sha256sum", theirs, SHARE, paired=True))
    return found


def _sha256sum(files: list[Path], processes: int) -> None:
    """Hash the files by sha256sum, a process for each core, the largest files first."""
    order = sorted(files, key=lambda path: -path.stat().st_size)
    shares = [order[start::processes] for start in range(processes)]

    def run(share: list[Path]) -> None:
        subprocess.run(["sha256sum", *share], check=True, stdout=subprocess.DEVNULL)

    with ThreadPoolExecutor(processes) as pool:
        list(pool.map(run, shares))


def _seconds(work: object) -> float:
    started = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - started


def starting(root: Path, public: Path, rounds: int) -> list[Row]:
    """Seconds from a process's start until hashing starts, and until a small bundle is verified."""
    arguments = [str(root), "--public-key", str(public)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    until_hashing, whole = [], []
    for _ in range(rounds + 1):
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, *arguments], check=True, capture_output=True, text=True, env=environment
        )
        until_hashing.append(float(done.stdout) - started)
        command = [sys.executable, "-m", "publicai_edge", "verify", "--quiet", *arguments]
        whole.append(_seconds(lambda: subprocess.run(command, check=True, capture_output=True, env=environment)))
    # The first of each filled the system's memory with the program's own files.
    return [
        rows.at_most("verify: process start to first file hashed", "s", until_hashing[1:], START_SECONDS),
        rows.at_most("verify: whole process, a bundle of 4 kB", "s", whole[1:], START_SECONDS),
    ]


def reading(root: Path, key: TrustedKey) -> Row:
    """Bytes that a verification reads over the bytes of the bundle."""
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    before = _read_so_far()
    verify(root, Silent(), [key])
    return rows.at_most("verify: bytes read over bytes of the bundle", "", [(_read_so_far() - before) / size], 1.001)


def _read_so_far() -> int:
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["rchar"])


if __name__ == "__main__":
    sys.exit(main())
