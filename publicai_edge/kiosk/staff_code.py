"""The code that opens the staff page: drawn by this program, kept as a salted hash, and slow to guess.

Invariants: the code itself is shown once and stored nowhere; codes are compared in constant time; tries are checked one
at a time, and after a few wrong ones each costs a longer wait, whoever tries: on a kiosk everybody sits at the same
keyboard. Without a stored code there is no staff page.
"""

import json
import os
import secrets
import time
import unicodedata
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from publicai_edge import atomic
from publicai_edge.errors import HostError

FILE_NAME = "staff-code.json"
DIGITS = 12
LONGEST = 100

_FREE_TRIES = 3
_FIRST_WAIT = 5.0
_LONGEST_WAIT = 600.0
_MEMORY = 64 << 20
_MOST_BYTES = 4096


@dataclass(frozen=True)
class CodeHash:
    """A code as it is stored: scrypt (RFC 7914) of it, 32 MiB of memory and a tenth of a second for each try."""

    salt: str
    hash: str
    n: int = 1 << 15
    r: int = 8
    p: int = 1

    @staticmethod
    def of(code: str) -> "CodeHash":
        """Return the hash of a code, with a new salt."""
        salt = secrets.token_bytes(16)
        return CodeHash(salt.hex(), _scrypt(code, salt, 1 << 15, 8, 1).hex())

    def fits(self, code: str) -> bool:
        """Say whether this is the code; takes the same time whatever is wrong with it."""
        found = _scrypt(code, bytes.fromhex(self.salt), self.n, self.r, self.p)
        return secrets.compare_digest(found, bytes.fromhex(self.hash))


def draw() -> str:
    """Return a new code: twelve digits in groups of four, which every keyboard has."""
    digits = "".join(secrets.choice("0123456789") for _ in range(DIGITS))
    return "-".join(digits[start : start + 4] for start in range(0, DIGITS, 4))


def plain(code: str) -> str:
    """Return a code without spaces and hyphens, its digits as ASCII has them, whatever script they were typed in."""
    kept = (letter for letter in unicodedata.normalize("NFKC", code[:LONGEST]) if letter.isalnum())
    return "".join(str(digit) if (digit := unicodedata.decimal(letter, -1)) >= 0 else letter for letter in kept)


def store(place: Path, code: str) -> Path:
    """Keep a code's hash in the folder ``place``, instead of the one before; return the file.

    Raises:
        HostError: nothing can be written there.
    """
    file = place / FILE_NAME
    content = json.dumps({"format": 1, **asdict(CodeHash.of(code))}) + "\n"
    with atomic.host_errors("write", file):
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        with atomic.replacing(file) as beside:
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(content)
        if hasattr(os, "geteuid") and os.geteuid() == 0:  # a service that runs as another user has to read it
            owner = place.stat()
            os.chown(file, owner.st_uid, owner.st_gid)
    return file


def remove(place: Path) -> bool:
    """Take the code away, so that there is no staff page; say whether there was one.

    Raises:
        HostError: it cannot be removed.
    """
    file = place / FILE_NAME
    with atomic.host_errors("remove", file):
        there = file.exists()
        file.unlink(missing_ok=True)
    return there


def load(place: Path) -> CodeHash | None:
    """Return the stored code, or None where none is.

    Raises:
        HostError: it cannot be read, or is damaged.
    """
    file = place / FILE_NAME
    with atomic.host_errors("read", file):
        try:
            with file.open("rb") as stream:
                data = stream.read(_MOST_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            return None
    try:
        raw = json.loads(data)
        found = CodeHash(str(raw["salt"]), str(raw["hash"]), int(raw["n"]), int(raw["r"]), int(raw["p"]))
        bytes.fromhex(found.salt + found.hash)
        fits = found.n & (found.n - 1) == 0 and 128 * found.n * found.r * found.p <= _MEMORY and found.n > 1
    except (ValueError, TypeError, KeyError, RecursionError):
        fits = False
    if not fits:
        raise HostError(f"{file} is damaged.", hint="Run `publicai-edge staff-code` on the bundle for a new code.")
    return found


class Gate:
    """Counts wrong tries, and says how long nobody may try again.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong = 0
        self._until = 0.0

    @property
    def wait(self) -> float:
        """Seconds until the next try is taken; 0 where it is now."""
        return max(0.0, self._until - self._clock())

    def took(self, right: bool) -> None:
        """Take note of a try."""
        self._wrong = 0 if right else self._wrong + 1
        over = self._wrong - _FREE_TRIES
        self._until = self._clock() + min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(over, 20)) if over >= 0 else 0.0


def _scrypt(code: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=salt, length=32, n=n, r=r, p=p).derive(plain(code).encode("utf-8", "replace"))
