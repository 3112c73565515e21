"""How long work reports itself, without knowing who watches.

A stage opens a :class:`Task` and advances it; the command line draws bars on a terminal and prints plain lines
elsewhere; a library user gets silence by default.
"""

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Literal, Protocol

Unit = Literal["bytes", "items", "tokens", "rounds"]


class Task(AbstractContextManager["Task"]):
    """One piece of long work. The base class is silent."""

    def advance(self, amount: int) -> None:
        """Say that ``amount`` more units are done."""

    def set_total(self, total: int | None) -> None:
        """Say how many units there will be, once that is known."""

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the task."""


class Progress(Protocol):
    """What a stage is given to report with."""

    def task(self, label: str, *, total: int | None = None, unit: Unit = "items") -> Task:
        """Open a task; ``total`` is None while unknown."""
        ...

    def say(self, message: str) -> None:
        """Tell the person one plain sentence."""
        ...

    def warn(self, message: str) -> None:
        """Tell the person something went wrong that does not stop the work."""
        ...


class Silent:
    """A :class:`Progress` that says nothing."""

    def task(self, label: str, *, total: int | None = None, unit: Unit = "items") -> Task:
        """Open a task nobody sees."""
        return Task()

    def say(self, message: str) -> None:
        """Drop the message."""

    def warn(self, message: str) -> None:
        """Drop the message."""


class Recorder(Silent):
    """A silent :class:`Progress` that keeps what was said, for callers that report later."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.warnings: list[str] = []

    def say(self, message: str) -> None:
        """Keep the message."""
        self.messages.append(message)

    def warn(self, message: str) -> None:
        """Keep the warning."""
        self.warnings.append(message)
