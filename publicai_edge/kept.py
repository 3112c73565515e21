"""The rounds of a long measurement, kept beside its output while it lasts: one that is ended goes on where it was.

Invariant: a round counts whole or not at all.
"""

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from publicai_edge import atomic


@dataclass
class Kept:
    """The rounds there are, and where they are kept."""

    place: Path
    rounds: list[dict[str, Any]] = field(default_factory=list)

    @staticmethod
    def open(place: Path, key: str) -> "Kept":
        """Take up the rounds of a benchmark that was ended; those of another one, by its key, are dropped."""
        kept = Kept(place)
        head = {"key": key}
        with contextlib.suppress(OSError, ValueError):  # there is none; or the last line was cut short
            lines = iter(place.read_text("utf-8").splitlines())
            if json.loads(next(lines, "null")) == head:
                for line in lines:
                    kept.rounds.append(json.loads(line))
        atomic.write_bytes(place, "".join(json.dumps(value) + "\n" for value in [head, *kept.rounds]).encode())
        return kept

    def add(self, values: dict[str, Any]) -> None:
        """Keep one more."""
        with self.place.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(values) + "\n")
        self.rounds.append(values)

    def done(self) -> None:
        """Let go of the file: the result is written."""
        self.place.unlink(missing_ok=True)
