"""What the command line says and how: bars on a terminal, plain lines elsewhere, JSON when asked.

Invariants: data goes to stdout and nothing else does; talk goes to stderr; nothing a patron typed reaches either.
"""

import json
import logging
import sys
import time
import unicodedata
from types import TracebackType
from typing import Any

from publicai_edge.progress import Task, Unit

_PLAIN_SECONDS = 5.0


class Console:
    """A :class:`publicai_edge.progress.Progress` on stderr, and the one way to stdout."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self._quiet = quiet
        self._bars: Any = None
        self._open = 0

    def data(self, value: Any, human: str | None = None) -> None:
        """Print a result: as JSON when asked, else ``human``."""
        if self.as_json:
            sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
        elif human is not None:
            sys.stdout.write(plain(human) + "\n")
        sys.stdout.flush()

    def table(self, title: str, columns: list[str], rows: list[list[str]]) -> None:
        """Print a table on stderr."""
        if self._quiet:
            return
        from rich.console import Console as RichConsole
        from rich.table import Table

        table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
        for index, column in enumerate(columns):
            table.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
        for row in rows:
            table.add_row(*map(plain, row))
        width = None if sys.stderr.isatty() else 100
        RichConsole(stderr=True, highlight=False, width=width).print(table)

    def say(self, message: str) -> None:
        """Tell the person one sentence."""
        if not self._quiet:
            self._line(message)

    def warn(self, message: str) -> None:
        """Tell the person that something is wrong but the work goes on."""
        self._line(f"Warning: {message}", style="yellow")

    def show_log(self, name: str) -> None:
        """Show what a logger says from now on."""
        handler = _LogHandler(self)
        log = logging.getLogger(name)
        log.addHandler(handler)
        log.setLevel(logging.WARNING if self._quiet else logging.INFO)
        log.propagate = False

    def error(self, message: str, hint: str | None) -> None:
        """Tell the person what went wrong and what to do next."""
        self.stop()
        self._line(f"Error: {message}", style="bold red")
        if hint:
            self._line(f"Next: {hint}")

    def task(self, label: str, *, total: int | None = None, unit: Unit = "items") -> Task:
        """Open a task: a bar on a terminal, lines elsewhere."""
        if self._quiet:
            return Task()
        if sys.stderr.isatty():
            return _BarTask(self, label, total, unit)
        return _LineTask(self, label, total, unit)

    def bars(self) -> Any:
        """Return the live display, started when the first bar opens."""
        if self._bars is None:
            from rich.console import Console as RichConsole
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            self._bars = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[amount]}"),
                TimeElapsedColumn(),
                console=RichConsole(stderr=True, highlight=False),
                transient=True,
            )
            self._bars.start()
        self._open += 1
        return self._bars

    def close_bar(self) -> None:
        """Count one bar as closed; the last one ends the live display."""
        self._open -= 1
        if self._open <= 0:
            self.stop()

    def stop(self) -> None:
        """End the live display, so that plain text can follow."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
            self._open = 0

    def _line(self, text: str, style: str = "") -> None:
        text = plain(text)
        if self._bars is not None:
            self._bars.console.print(text, style=style, markup=False, highlight=False)
        elif style and sys.stderr.isatty():
            from rich.console import Console as RichConsole

            RichConsole(stderr=True).print(text, style=style, markup=False, highlight=False)
        else:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()


def plain(text: str) -> str:
    """Return text without control characters: a bundle's or a model's words must not steer the terminal."""
    return "".join(letter for letter in text if letter in "\n\t" or unicodedata.category(letter) != "Cc")


def amount(done: int, total: int | None, unit: Unit) -> str:
    """Return "12.3 of 98.4 MB", "3 of 12", or without the total where it is unknown."""
    if unit == "bytes":
        part = f"{done / 1e6:,.1f}"
        return f"{part} of {total / 1e6:,.1f} MB" if total else f"{part} MB"
    name = "" if unit == "items" else f" {unit}"
    return f"{done:,} of {total:,}{name}" if total else f"{done:,}{name}"


class _LogHandler(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self._console.warn(record.getMessage())
        else:
            self._console.say(record.getMessage())


class _BarTask(Task):
    def __init__(self, console: Console, label: str, total: int | None, unit: Unit) -> None:
        self._console = console
        self._bars = console.bars()
        self._unit = unit
        self._done = 0
        self._total = total
        self._id = self._bars.add_task(label, total=total, amount=amount(0, total, unit))

    def advance(self, amount_: int) -> None:
        self._done += amount_
        text = amount(self._done, self._total, self._unit)
        self._bars.update(self._id, advance=amount_, amount=text)

    def set_total(self, total: int | None) -> None:
        self._total = total
        self._bars.update(self._id, total=total)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.update(self._id, visible=False)
        self._console.close_bar()


class _LineTask(Task):
    """A line when it starts, one every few seconds, one when it took long enough to be worth one."""

    def __init__(self, console: Console, label: str, total: int | None, unit: Unit) -> None:
        self._console = console
        self._label = label
        self._total = total
        self._unit = unit
        self._done = 0
        self._told = time.monotonic()
        size = f" ({amount(0, total, unit).split(' of ')[-1]})" if total and unit != "items" else ""
        console.say(f"{label}{size} …")

    def advance(self, amount_: int) -> None:
        self._done += amount_
        if time.monotonic() - self._told > _PLAIN_SECONDS:
            self._told = time.monotonic()
            self._console.say(f"  {self._label}: {amount(self._done, self._total, self._unit)}")

    def set_total(self, total: int | None) -> None:
        self._total = total
