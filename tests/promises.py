"""A pytest plugin that keeps account of the promises of reliability, R1 to R15: which hold, how it was measured.

A test says with ``@pytest.mark.promise("R4")`` which promise it shows, and with ``broken=True`` that it shows how a
build that breaks the promise is found. The fixture ``figure`` notes what was measured. ``--promises=FILE`` writes the
account as JSON when the run ends, however it ends; ``scripts/make_reliability.py`` makes the page of it.

Invariants: a promise nobody has heard of ends the run before the first test; a figure outside its bound fails its test;
the account names the machine's processor, cores and memory, and never the machine.
"""

import json
import operator
import re
import subprocess
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from publicai_edge.bench.machine import facts

PROMISES = tuple(f"R{number}" for number in range(1, 16))
Figure = Callable[..., None]

_ROOT = Path(__file__).parent.parent
_BOUND = re.compile(r"(<=|>=|==|<|>)\s*(-?\d+(?:\.\d+)?)")
_HOLDS = {"<=": operator.le, ">=": operator.ge, "==": operator.eq, "<": operator.lt, ">": operator.gt}


@dataclass
class Kept:
    """The account of one promise.

    Attributes:
        passed, failed, skipped: tests, without those of a broken build.
        broken_build_found: whether the tests of a broken build passed; None where none ran.
        form: "long" where a test of the long form ran, "short" where there is a long form and it did not run, "only"
            where there is no other form; None where nothing ran.
        not_run: why tests were skipped.
        figures: what was measured.
    """

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    broken_build_found: bool | None = None
    form: str | None = None
    not_run: list[str] = field(default_factory=list)
    figures: list[dict[str, Any]] = field(default_factory=list)


class Account:
    """What the tests of one run showed."""

    def __init__(self) -> None:
        self.promises = {name: Kept() for name in PROMISES}
        self.with_long_form: set[str] = set()

    def note(self, item: pytest.Item, outcome: str, reason: str) -> None:
        """Count a test that ended as "passed", "failed" or "skipped"."""
        for name, broken in _marks(item):
            kept = self.promises[name]
            if outcome == "skipped":
                kept.not_run.append(reason)
            if broken:
                if outcome != "skipped":
                    kept.broken_build_found = outcome == "passed" and kept.broken_build_found is not False
                continue
            setattr(kept, outcome, getattr(kept, outcome) + 1)
            if outcome != "skipped" and kept.form != "long":
                long = item.get_closest_marker("soak") is not None
                kept.form = "long" if long else "short" if name in self.with_long_form else "only"

    def measured(self, item: pytest.Item, **what: Any) -> None:
        """Note a figure under each promise of a test."""
        form = "long" if item.get_closest_marker("soak") else "short"
        for name, broken in _marks(item):
            self.promises[name].figures.append(what | {"form": form, "broken_build": broken})

    def to_json(self) -> dict[str, Any]:
        """Return the account with the date, the commit and the machine."""
        machine = facts()
        return {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            **_commit(),
            "machine": {name: machine[name] for name in ("cpu", "cores", "memory_gib")},
            "promises": {name: asdict(kept) for name, kept in self.promises.items()},
        }


_ACCOUNT = pytest.StashKey[Account]()
_ENDED = pytest.StashKey[tuple[str, str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer ``--promises``; with "=", or pytest takes the file for a folder of tests while it looks for this plugin."""
    parser.addoption("--promises", metavar="FILE", help="--promises=FILE: write what the promises' tests showed")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--promises") and config.getoption("numprocesses", None):
        raise pytest.UsageError("--promises keeps account in one process: leave out -n.")
    config.stash[_ACCOUNT] = Account()
    config.addinivalue_line(
        "markers", "promise(*names, broken=False): shows a promise, or that a broken build is found"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse promises that are none, and note which have a long form, before any test is left out."""
    for item in items:
        for name, _ in _marks(item):
            if name not in PROMISES:
                raise pytest.UsageError(f"{item.nodeid}: there is no promise {name!r}; they are R1 to R15.")
            if item.get_closest_marker("soak"):
                config.stash[_ACCOUNT].with_long_form.add(name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.outcome != "passed" or call.when == "call":
        before, _ = item.stash.get(_ENDED, ("", ""))
        if before != "failed":
            item.stash[_ENDED] = (report.outcome, _reason(report))
    if call.when == "teardown":
        item.config.stash[_ACCOUNT].note(item, *item.stash[_ENDED])
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the account."""
    target = session.config.getoption("--promises")
    if target:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        Path(target).write_text(json.dumps(session.config.stash[_ACCOUNT].to_json(), indent=2) + "\n", "utf-8")


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Note what was measured: ``figure("slowest answer", 3.2, "s", bound=10)``.

    ``bound`` is a number that the figure may not pass, or text: "< 5", ">= 0.97", "== 0". A figure outside it is noted
    and fails the test.
    """
    item = request.node
    assert _marks(item), "a figure belongs to a promise: mark the test with @pytest.mark.promise"

    def note(name: str, value: float, unit: str, bound: float | str | None = None) -> None:
        said = bound if isinstance(bound, str) or bound is None else f"<= {bound:g}"
        request.config.stash[_ACCOUNT].measured(item, name=name, value=value, unit=unit, bound=said)
        if said is not None:
            assert holds(value, said), f"{name}: {value:g} {unit} is outside its bound, {said} {unit}"

    return note


def holds(value: float, bound: str) -> bool:
    """Say whether a value is within a bound such as "<= 5"."""
    read = _BOUND.fullmatch(bound)
    assert read, f"a bound is a comparison and a number, such as '<= 5'; found {bound!r}"
    return bool(_HOLDS[read[1]](value, float(read[2])))


def _marks(item: pytest.Item) -> list[tuple[str, bool]]:
    """Return the promises a test shows, and for each whether it does so by a broken build."""
    return [(name, bool(mark.kwargs.get("broken"))) for mark in item.iter_markers("promise") for name in mark.args]


def _reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):  # how pytest tells a skip: file, line, reason
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return ""


def _commit() -> dict[str, Any]:
    """Return the commit that was tested, and whether files differed from it; nothing outside a checkout."""

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(_ROOT), *words], check=False, capture_output=True, text=True)
        except OSError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    head = git("rev-parse", "HEAD")
    return {"commit": head, "changed": bool(git("status", "--porcelain", "--untracked-files=no"))} if head else {}
