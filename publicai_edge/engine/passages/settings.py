"""Whether a passage is read again for every question, or what was computed of it is used again, and how."""

from dataclasses import dataclass
from typing import Literal

Composition = Literal["exact", "shifted", "recomputed"]

RECOMPUTED_TOKENS = 64
DEFAULT_DISK_BYTES = 512 << 20


@dataclass(frozen=True)
class PassageSettings:
    """What the engine does with passages.

    Attributes:
        composition: "exact" reads every passage behind those before it. "shifted" takes each passage's state, computed
            right behind the service's prompt, and moves it to its place; what is lost is what passages say to each
            other. "recomputed" also reads the first tokens of each passage anew, in place: its title and headings, and
            the beginning of its text.
        recomputed: how many tokens that is.
        folder: where states are kept; None for nowhere.
        disk_bytes: how much they may take there.
        bundled: a bundle's folder of states, where it has one.
    """

    composition: Composition = "exact"
    recomputed: int = RECOMPUTED_TOKENS
    folder: str | None = None
    disk_bytes: int = DEFAULT_DISK_BYTES
    bundled: str | None = None

    @property
    def fresh(self) -> int:
        """Tokens of each passage, but the first, that are read anew."""
        return self.recomputed if self.composition == "recomputed" else 0

    @property
    def composes(self) -> bool:
        """Whether there is anything to keep, and somewhere to keep it."""
        return self.composition != "exact" and self.folder is not None
