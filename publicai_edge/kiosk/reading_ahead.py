"""How far the kiosk has come with reading its passages ahead, for whoever runs it."""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass
class ReadingAhead:
    """Counts of one pass through the documents.

    Attributes:
        state: "none" where nothing is read ahead; "reading", also while it waits for an idle minute; "ready" when all
            is read; "full" when the disk space for it is used up; "failed" when the engine or the disk did.
        done: passages read, each for every service and language.
        all: how many there are.
    """

    state: Literal["none", "reading", "ready", "full", "failed"] = "none"
    done: int = 0
    all: int = 0

    def to_json(self) -> dict[str, Any] | None:
        """Return plain data; None where nothing is read ahead."""
        return None if self.state == "none" else {"state": self.state, "done": self.done, "all": self.all}

    @property
    def note(self) -> str | None:
        """What to tell in the log when it has ended; None before."""
        match self.state:
            case "ready":
                return f"All passages are read ahead ({self.done})."
            case "full":
                return (
                    f"The disk space for passages that are read ahead is used up: {self.done} of {self.all} are read, "
                    "the others when they are found. knowledge.reading.disk_mb in the recipe allows more."
                )
            case "failed":
                return (
                    f"Passages cannot be read ahead any further: {self.done} of {self.all} are read, the others when "
                    "they are found. The engine or the disk failed; see the lines before this."
                )
        return None
