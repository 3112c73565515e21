"""Models that take long to convert, kept between test runs until the code that converts them changes."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import publicai_edge
from tests.conftest import downloads
from tests.once import made_once


def kept(name: str, make: Callable[[Path], Path]) -> Path:
    """Return the folder ``make`` made in a scratch folder, now or in an earlier run."""
    code = Path(publicai_edge.__file__).parent / "convert"
    here = Path(__file__).parent / "convert"
    files = [*sorted(code.glob("*.py")), *(here / part for part in ("tiny_lm.py", "dequantized.py"))]
    state = hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:16]
    root = downloads().root
    folder = root / f"{name}-{state}"
    return made_once(folder, make)
