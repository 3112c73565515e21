"""What an installed bundle remembers: a log that is only ever appended to, and the highest release it ever was.

The highest release is written after the switch. Whoever is interrupted between the two loses nothing: the versions that
the links name count as well.
"""

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from publicai_edge import digest
from publicai_edge.bundle.install import durable
from publicai_edge.bundle.install.layout import Layout, release_of, tag_of
from publicai_edge.errors import BundleError


@dataclass(frozen=True)
class Highest:
    """The highest release that was ever installed, and its content's digest where that is known."""

    release: int = 0
    tag: str | None = None


def record(layout: Layout, action: str, **facts: Any) -> None:
    """Append a line to the log: the time (UTC, by this machine's clock), who did it, what."""
    line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "action": action, "user": _user(), **facts}
    durable.append_line(layout.log, json.dumps(line, ensure_ascii=False).encode())


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "?")


def read(layout: Layout) -> list[dict[str, Any]]:
    """Return the log's lines, oldest first; a line that a power cut spoiled is left out."""
    with durable.errors("read", layout.log):
        try:
            lines = layout.log.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
    found = []
    for line in lines:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def is_unfinished(layout: Layout) -> bool:
    """Say whether the log ends with a switch of which it is not told how it ended."""
    lines = read(layout)
    return bool(lines) and lines[-1].get("action") == "switch"


def last_switch(layout: Layout) -> dict[str, Any]:
    """Return what the log says of the last switch; empty where there was none."""
    return next((line for line in reversed(read(layout)) if line.get("action") == "switch"), {})


def highest(layout: Layout) -> Highest:
    """Return the highest release known of a bundle.

    Raises:
        BundleError: what was remembered cannot be read: then nothing can be said to be newer.
    """
    known = [_remembered(layout)]
    for entry in (layout.entry_of(layout.current), layout.entry_of(layout.previous)):
        if entry is not None and release_of(entry) > known[0].release:
            known.append(Highest(release_of(entry), tag_of(layout.versions / entry)))
    return max(known, key=lambda item: item.release)


def remember(layout: Layout, release: int, tag: str) -> None:
    """Remember a release that was installed; a lower one than before changes nothing."""
    if release >= highest(layout).release and _remembered(layout) != Highest(release, tag):
        data = json.dumps({"release": release, "tag": digest.check(tag)}, sort_keys=True) + "\n"
        durable.write_file(layout.highest, data.encode())


def _remembered(layout: Layout) -> Highest:
    with durable.errors("read", layout.highest):
        try:
            data = layout.highest.read_bytes()
        except FileNotFoundError:
            return Highest()
    try:
        value = json.loads(data)
        return Highest(int(value["release"]), digest.check(value["tag"]))
    except (ValueError, TypeError, KeyError) as error:
        raise BundleError(
            f"{layout.highest}, which remembers the highest release of {layout.name}, is damaged: {data[:60]!r}.",
            hint="See in the file `log` beside it which release that was; remove it and give --allow-downgrade once.",
        ) from error
