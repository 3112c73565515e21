"""Doing the same with many hostile things, in processes that may die: what each did to the process that did it.

A lane is a forked process that goes through the things one after another. When it dies or does not answer, the thing
it was at is to blame, and the next lane goes on behind it; so a thousand harmless things cost one process.
"""

import faulthandler
import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from publicai_edge.errors import PublicAIError

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    """``how`` is "done", "refused", "escaped" (another exception), "died" (the process) or "late"."""

    how: str
    detail: str
    seconds: float


def outcomes(look: Callable[[T], object], things: Sequence[T], *, seconds: float) -> Iterator[Outcome]:
    """Yield what came of each thing in turn.

    Args:
        look: what is under test; it runs in a lane.
        things: what it is given.
        seconds: how long one may take before its lane is ended.
    """
    at = 0
    while at < len(things):
        for outcome in _lane(look, things[at:], seconds):
            at += 1
            yield outcome


def _lane(look: Callable[[T], object], things: Sequence[T], seconds: float) -> Iterator[Outcome]:
    reading, writing = os.pipe()
    lane = os.fork()
    if not lane:
        os.close(reading)
        _work(look, things, writing)
    os.close(writing)
    try:
        with os.fdopen(reading, "rb") as answers:
            yield from _answers(answers.fileno(), len(things), lane, seconds)
    finally:
        os.kill(lane, signal.SIGKILL)
        os.waitpid(lane, 0)


def _answers(answers: int, count: int, lane: int, seconds: float) -> Iterator[Outcome]:
    waiting = b""
    for _ in range(count):
        begun = time.monotonic()
        while b"\n" not in waiting:
            if not select.select([answers], [], [], max(0.0, begun + seconds - time.monotonic()))[0]:
                os.kill(lane, signal.SIGKILL)
                yield Outcome("late", f"no answer in {seconds} s", seconds)
                return
            piece = os.read(answers, 1 << 16)
            if not piece:
                yield Outcome("died", "the process ended", time.monotonic() - begun)
                return
            waiting += piece
        line, _, waiting = waiting.partition(b"\n")
        how, _, detail = line.decode("utf-8", "replace").partition(" ")
        yield Outcome(how, detail, time.monotonic() - begun)


def _work(look: Callable[[T], object], things: Sequence[T], writing: int) -> None:
    """Go through the things; never returns."""
    faulthandler.disable()  # a death is what is looked for, and no news
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        for thing in things:
            try:
                look(thing)
                answer = "done"
            except PublicAIError as error:
                answer = f"refused {type(error).__name__}: {error.message}"
            except BaseException as error:  # noqa: BLE001 - what escapes is what is looked for
                answer = f"escaped {type(error).__name__}: {error}"
            os.write(writing, answer[:500].replace("\n", " ").encode("utf-8", "replace") + b"\n")
    finally:
        os._exit(0)
