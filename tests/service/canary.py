"""A made-up word that a patron types, and the search for it: in files, in a process's memory, in the journal.

The word has letters that encodings write differently. It is looked for as it stands in text (UTF-8, Latin-1, UTF-16,
UTF-32; Python keeps text in three of them), in an address, in JSON with escapes, and in Base64 at each of the three
places where it can begin.
"""

import base64
import json
import os
import shutil
import subprocess
import urllib.parse
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

_CHUNK = 1 << 24


def draw() -> str:
    """Return a word that nobody has typed before."""
    return f"kanarienvögel{uuid.uuid4().hex}für"


def needles(word: str) -> dict[str, bytes]:
    """Return the bytes by which the word is found, by the names of the encodings."""
    forms = {code: word.encode(code) for code in ("utf-8", "latin-1", "utf-16-le", "utf-16-be", "utf-32-le")}
    forms["percent"] = urllib.parse.quote(word).encode()
    forms["json"] = json.dumps(word)[1:-1].encode()
    for place in range(3):
        # What stands before and after the word changes the first letters and the last.
        coded = base64.b64encode(b"x" * place + word.encode())
        forms[f"base64 at {place}"] = coded[4 if place else 0 : -4]
    forms["core"] = word.encode("ascii", "ignore")[12:44]  # its digits: whatever was done to the other letters
    return forms


def in_bytes(data: bytes, forms: Mapping[str, bytes]) -> list[str]:
    """Return the names of the encodings in which the word is found."""
    return [name for name, form in forms.items() if form in data]


def in_files(paths: Iterable[Path], forms: Mapping[str, bytes]) -> list[str]:
    """Return the files that hold the word, in their content or in their name."""
    return [
        str(path)
        for path in paths
        if in_bytes(os.fsencode(path), forms) or any(in_bytes(data, forms) for data in _chunks(path, forms))
    ]


def changed_below(folders: Iterable[Path], since: float) -> set[Path]:
    """Return the files that changed since a time; what vanishes meanwhile is left out."""
    found = set()
    for folder in folders:
        for root, _, names in os.walk(folder, onerror=lambda _: None):
            for name in names:
                path = Path(root, name)
                try:
                    status = path.lstat()
                except OSError:
                    continue
                if max(status.st_mtime, status.st_ctime) >= since - 1:
                    found.add(path)
    return found


def in_journal(since: float, forms: Mapping[str, bytes]) -> list[str] | None:
    """Return the encodings in which the system's journal holds the word; None where there is no journal."""
    if not shutil.which("journalctl"):
        return None
    command = ["journalctl", "--quiet", "--no-pager", "--output=export", f"--since=@{int(since)}"]
    done = subprocess.run(command, check=False, capture_output=True, timeout=60)
    return in_bytes(done.stdout, forms) if done.returncode == 0 and done.stdout else None


def in_memory(pid: int, forms: Mapping[str, bytes]) -> dict[str, int]:
    """Return how often each form is found in what a process may write to in its memory; those never found are left out.

    Files that are mapped to be read only (the model) are left out: nothing can have been written there.
    """
    counts = dict.fromkeys(forms, 0)
    overlap = max(map(len, forms.values())) - 1
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for begin, end in _writable(pid):
            before = b""
            for place in range(begin, end, _CHUNK):
                try:
                    memory.seek(place)
                    data = before + memory.read(min(_CHUNK, end - place))
                except (OSError, OverflowError):
                    break  # a page that is not there any more, or none of the process's own
                for name, form in forms.items():
                    counts[name] += data.count(form) - before.count(form)
                before = data[-overlap:]
    return {name: count for name, count in counts.items() if count}


def _writable(pid: int) -> Iterator[tuple[int, int]]:
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        span, rights, *_ = line.split()
        if rights.startswith("rw"):
            begin, _, end = span.partition("-")
            yield int(begin, 16), int(end, 16)


def _chunks(path: Path, forms: Mapping[str, bytes]) -> Iterator[bytes]:
    """Yield a file's content in pieces that overlap, so that no word is cut."""
    overlap = max(map(len, forms.values())) - 1
    before = b""
    try:
        if not path.is_file():
            return
        with path.open("rb") as stream:
            while data := stream.read(_CHUNK):
                yield before + data
                before = data[-overlap:]
    except OSError:
        return
