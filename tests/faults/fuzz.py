"""``python -m tests.faults.fuzz READER RUNS``: atheris looks for bytes that make a reader raise what it should not.

atheris measures which branches of the readers' code an input reaches, and keeps what reaches new ones. It is LLVM's
libFuzzer for Python, and ends the process at the first fault, with the bytes that led there.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["publicai_edge"]):
    from tests.faults.foreign_readers import OWN, READERS


def main(name: str, runs: int) -> None:
    """Fuzz one reader; never returns."""
    target = READERS[name]
    with tempfile.TemporaryDirectory(prefix="publicai-edge-corpus-") as corpus:
        for place, seed in enumerate(target.seeds()):
            (Path(corpus) / str(place)).write_bytes(seed)

        def one(data: bytes) -> None:
            try:
                target.read(data)
            except OWN:
                return

        atheris.Setup([sys.argv[0], f"-runs={runs}", "-max_len=20000", "-rss_limit_mb=2048", "-timeout=20", "-seed=5",
                       f"-artifact_prefix={tempfile.gettempdir()}/", corpus], one)  # fmt: skip
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
