"""Every kind of change to a bundle that R3 speaks of, made one at a time and taken back."""

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from publicai_edge.bundle import contents

GIT = (".git/config", ".gitignore", ".gitattributes", ".github/workflows/x.yml", "data/.git/config", "data/.GITIGNORE")


@contextmanager
def kept(place: Path) -> Iterator[None]:
    """Put a file back as it was, whatever became of it."""
    data, mode = place.read_bytes(), place.stat().st_mode
    try:
        yield
    finally:
        if place.is_symlink() or place.exists():
            place.unlink()
        place.write_bytes(data)
        place.chmod(mode)


def flip(place: Path, bit: int) -> None:
    """Flip one bit of a file."""
    data = bytearray(place.read_bytes())
    data[bit // 8] ^= 1 << (bit % 8)
    place.write_bytes(data)


def bits_of(size: int, count: int, seed: str) -> list[int]:
    """Return ``count`` bit numbers of a file of ``size`` bytes, or all where it has fewer."""
    chosen = random.Random(seed)
    return sorted(chosen.sample(range(size * 8), min(count, size * 8)))


def changes(root: Path, bits: int = 64) -> Iterator[str]:
    """Yield a name for each change while it is in place; each is undone before the next."""
    for path in sorted(contents.look(root).files):
        yield from _of_file(root, path, bits)
    yield from _added(root)


def _of_file(root: Path, path: str, bits: int) -> Iterator[str]:
    place = root / path
    whole = place.read_bytes()
    for bit in bits_of(len(whole), bits, path):
        with kept(place):
            flip(place, bit)
            yield f"flip:{path}:{bit}"
    for what, data in {
        "truncate to nothing": b"",
        "truncate to half": whole[: len(whole) // 2],
        "truncate by one": whole[:-1],
        "append a line end": whole + b"\n",
        "append a space": whole + b" ",
        "append a zero": whole + b"\0",
        "append itself": whole + whole,
    }.items():
        with kept(place):
            place.write_bytes(data)
            yield f"{what}:{path}"
    with kept(place):
        place.unlink()
        yield f"delete:{path}"
    other = place.with_name(f"{place.name}.old")
    with kept(place):
        place.rename(other)
        yield f"rename:{path}"
        other.unlink()
    outside = root.parent / "outside"
    with kept(place):
        shutil.copy2(place, outside)
        place.unlink()
        place.symlink_to(outside)
        yield f"symlink:{path}"
        outside.unlink()


def _added(root: Path) -> Iterator[str]:
    names = ["extra", "data/extra.bin", "data/model/extra.gguf", "START-HERE.html~", "signature-9.sigstore.json"]
    for path in [*names, *GIT]:
        place = root / path
        there = [folder for folder in place.parents if not folder.exists()]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"added")
        yield f"add:{path}"
        place.unlink()
        for folder in there:
            folder.rmdir()
    for path in ("empty", "data/model/empty", ".git"):
        (root / path).mkdir()
        yield f"folder:{path}"
        (root / path).rmdir()
    (root / "data" / "linked").symlink_to(root / "data" / "model")
    yield "symlink:data/linked"
    (root / "data" / "linked").unlink()
