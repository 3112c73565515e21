"""Two programs, or two models, measured in turns of a fraction of a second: the comparison for a noisy machine.

A machine that others use is a tenth faster or slower from one minute to the next, and no number of rounds tells a tenth
that the program lost from one that the machine did. Two processes that take turns have the same machine: each loads its
model, then one measures a figure for some tokens while the other waits, and the other way round. A pair of processes
gives one ratio for each figure, the median of its turns; the next pair is started anew, because where a process's
memory lies decides some percents of its speed for as long as it lives.

The processes speak lines of JSON. Each runs in an interpreter of its own, so the two may have different versions of
this program, or of llama.cpp.
"""

import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import IO, Any

from publicai_edge import atomic, digest
from publicai_edge.bench import machine, statistics
from publicai_edge.bench.result import Figure, Run, Turns
from publicai_edge.bench.run import UNITS, engine_facts
from publicai_edge.bench.settings import Effort, Settings, Target
from publicai_edge.bench.speed import opened, payload
from publicai_edge.engine.lane import WARM_UP, Lane
from publicai_edge.errors import EngineError, HostError
from publicai_edge.kept import Kept
from publicai_edge.progress import Progress

PROTOCOL = 1
# Of each side, for a prompt of 128 tokens. Eight scatter by 1.6 % from pair to pair, four by 2.3 % at most: less than
# the 3 % of writing, which a verdict has to live with anyway.
_TURNS = 4
_FEWEST_TURNS = 2
_TOKENS_A_TURN = 16
_PATIENCE = 600.0  # seconds for one answer: a large model is loaded, or a long prompt read
_ERROR_LINES = 12


@dataclass(frozen=True)
class Side:
    """One of the two.

    Attributes:
        target: what is measured.
        settings: how.
        python: the interpreter that has the program.
        module: of it, what speaks the lines; another one for tests of this comparison.
    """

    target: Target
    settings: Settings
    python: Path
    module: str = __name__


def run(before: Side, after: Side, effort: Effort, folder: Path, progress: Progress) -> tuple[Run, Run]:
    """Measure both in turns; write ``before.json`` and ``after.json`` into ``folder`` and return them.

    Args:
        before: the one that the other is held against.
        after: the other; with the same lengths and tokens.
        effort: its rounds are pairs of processes; a figure is known well enough when its ratio is.
        folder: rounds are kept there until the results are written.
        progress: where it is shown.

    Raises:
        EngineError: one of the two does not run.
        HostError: an interpreter cannot be started.
    """
    sides = before, after
    known = [[asdict(side.target.subject), side.settings.to_json(), str(side.python), side.module] for side in sides]
    key = digest.of_json({"turns": PROTOCOL, "sides": known})
    kept = Kept.open(folder / "turns.part", key)
    began, started = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    if kept.rounds:
        progress.say(f"{len(kept.rounds)} pairs of this comparison are there already; it goes on after them.")
    with progress.task("Measuring in turns", total=effort.rounds, unit="rounds") as task:
        task.advance(len(kept.rounds))
        while not _enough(kept.rounds, effort, time.monotonic() - began):
            if len(kept.rounds) >= effort.rounds:
                task.set_total(len(kept.rounds) + 1)
            kept.add(_pair(before, after))
            task.advance(1)
    ratios = {name: tuple(_ratio(item, name) for item in kept.rounds) for name in kept.rounds[0]["figures"]}
    seconds = round(time.monotonic() - began, 1)
    found = [_result(side, place, kept.rounds, ratios, started, seconds) for place, side in enumerate(sides)]
    for name, result in zip(("before.json", "after.json"), found, strict=True):
        atomic.write_bytes(folder / name, (json.dumps(result.to_json(), indent=1) + "\n").encode())
    kept.done()
    return found[0], found[1]


def _result(
    side: Side, place: int, rounds: Sequence[dict[str, Any]], ratios: dict[str, tuple[float, ...]], started: str,
    seconds: float,
) -> Run:  # fmt: skip
    figures = tuple(
        Figure(name, UNITS[name.partition("@")[0]], tuple(median(item["figures"][name][place]) for item in rounds))
        for name in ratios
    )
    return Run(
        subject=side.target.subject,
        settings=side.settings.to_json(),
        machine=machine.facts(),
        engine=rounds[-1]["engines"][place],
        work=side.target.work,
        figures=figures,
        notes=(f"Measured in turns with another run, in {len(rounds)} pairs of processes.",),
        started=started,
        seconds=seconds,
        turns=Turns(digest.of_json([started, ratios]), place, ratios),
    )


def _ratio(pair: dict[str, Any], name: str) -> float:
    first, second = pair["figures"][name]
    return math.exp(median(math.log(b / a) for a, b in zip(first, second, strict=True)))


def _enough(rounds: list[dict[str, Any]], effort: Effort, seconds: float) -> bool:
    if len(rounds) < effort.rounds:
        return False
    found = rounds[0]["figures"] if rounds else {}
    known = (statistics.paired([_ratio(item, name) for item in rounds]).spread for name in found)
    return seconds >= effort.seconds or all(spread <= effort.within for spread in known)


def _pair(before: Side, after: Side) -> dict[str, Any]:
    """Start two processes, let them measure in turns, and return the speeds of every turn."""
    with ExitStack() as stack:
        one, other = (stack.enter_context(_started(side)) for side in (before, after))
        for process in (one, other):
            # One after the other: two that load at once, with a thread for every core each, take four times as long.
            process.begin()
        figures: dict[str, tuple[list[float], list[float]]] = {}
        for name, turns in _plan(before.settings):
            mine, theirs = figures.setdefault(name, ([], []))
            for turn in range(turns):
                if turn % 2 == 0:
                    mine.append(one.measure(name))
                    theirs.append(other.measure(name))
                else:
                    theirs.append(other.measure(name))
                    mine.append(one.measure(name))
        return {"figures": figures, "engines": [one.engine, other.engine]}


def _plan(settings: Settings) -> Iterator[tuple[str, int]]:
    """Yield the figures in the order in which they are measured, with how many turns: fewer of long ones."""
    yield "decode@0", _turns(settings.tokens)
    for length in settings.lengths:
        yield f"prefill@{length}", max(_FEWEST_TURNS, min(_TURNS, _TURNS * 128 // length))
        yield f"decode@{length}", _turns(settings.tokens)


def _turns(tokens: int) -> int:
    return max(_FEWEST_TURNS, -(-tokens * 2 // _TOKENS_A_TURN))


class _Process:
    """A process that measures when it is asked to."""

    def __init__(self, side: Side, errors: IO[bytes]) -> None:
        command = [str(side.python), "-P", "-m", side.module]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8"
            )
        except OSError as error:
            raise HostError(
                f"{side.python} cannot be started: {error.strerror}.",
                hint="Give the python of a virtual environment that has publicai-edge.",
            ) from error
        assert self._process.stdin and self._process.stdout  # noqa: S101 - both are pipes
        self._in, self._out = self._process.stdin, self._process.stdout
        self._side, self._errors = side, errors
        self.engine: dict[str, Any] = {}

    def begin(self) -> None:
        """Have the model loaded."""
        self._tell({"protocol": PROTOCOL, **payload(self._side.target, self._side.settings)})
        answer = self._answer()
        if answer.get("protocol") != PROTOCOL:
            raise EngineError(
                f"{self._side.python} has a publicai-edge that cannot take turns with this one.",
                hint="Install a newer one there.",
            )
        self.engine = dict(answer["engine"])

    def measure(self, name: str) -> float:
        """Return the tokens a second of one turn."""
        self._tell({"figure": name})
        return float(self._answer()["value"])

    def _tell(self, question: dict[str, Any]) -> None:
        try:
            self._in.write(json.dumps(question) + "\n")
            self._in.flush()
        except OSError as error:
            raise self._failure() from error

    def _answer(self) -> dict[str, Any]:
        # A process that hangs is ended; reading its answer then finds the end.
        timer = threading.Timer(_PATIENCE, self._process.kill)
        timer.start()
        try:
            return dict(json.loads(self._out.readline()))
        except (OSError, ValueError) as error:
            raise self._failure() from error
        finally:
            timer.cancel()

    def _failure(self) -> EngineError:
        self.end()
        self._errors.seek(0)
        told = self._errors.read().decode("utf-8", "replace").strip().splitlines()[-_ERROR_LINES:]
        last = told[-1] if told else "it said nothing"
        return EngineError(
            f"The process that measures {self._side.target.subject.name} with {self._side.python} ended: {last}",
            hint="See that this interpreter has publicai-edge, and that the model fits the memory twice.",
            log=told,
        )

    def end(self) -> None:
        """End it."""
        for pipe in (self._in, self._out):
            with contextlib.suppress(OSError):
                pipe.close()
        self._process.terminate()
        self._process.wait()


@contextmanager
def _started(side: Side) -> Iterator[_Process]:
    with tempfile.TemporaryFile() as errors:
        process = _Process(side, errors)
        try:
            yield process
        finally:
            process.end()


def main() -> None:
    """Measure in this process, which has done nothing else, what the lines of standard input ask for."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print goes where it does no harm
    asked = json.loads(sys.stdin.readline())
    os.environ["OPENBLAS_NUM_THREADS"] = str(asked["threads"])
    facts: dict[str, Any] = {}
    with opened(asked, facts) as context:
        lane = Lane(context)
        lane.read(WARM_UP)
        lane.write(2)
        lane.clear()
        print(
            json.dumps({"protocol": PROTOCOL, "engine": engine_facts(asked["engine"], facts)}), file=answers, flush=True
        )
        for line in sys.stdin:
            print(json.dumps({"value": _measure(lane, json.loads(line)["figure"])}), file=answers, flush=True)


def _measure(lane: Lane, figure: str) -> float:
    kind, _, length = figure.partition("@")
    if kind == "prefill":
        lane.clear()
        lane.write(2)  # the other side had the processor's caches
        lane.clear()
        return lane.read(int(length))
    if lane.position != int(length):
        lane.clear()
        if int(length):
            lane.read(int(length))
    lane.write(2)
    return lane.write(_TOKENS_A_TURN)


if __name__ == "__main__":
    main()
