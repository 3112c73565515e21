"""How a build runs, beside what the recipe says."""

from dataclasses import dataclass
from pathlib import Path

from publicai_edge.progress import Progress
from publicai_edge.store import Store


@dataclass(frozen=True)
class Options:
    """How a build runs, beside what the recipe says.

    ``model`` and ``embedding`` are files made by hand that take the place of fetching and quantizing or converting.
    ``runtimes`` are the platforms whose program is packed; None takes the recipe's.
    """

    output: Path
    store: Store
    progress: Progress
    offline: bool = False
    update_lock: bool = False
    model: Path | None = None
    embedding: Path | None = None
    runtimes: tuple[str, ...] | None = None
