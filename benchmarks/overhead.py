"""What Python adds to a decode step: the scheduler in this process, with nothing else beside it.

    python benchmarks/overhead.py MODEL [--patrons K] [--no-drafts] [--temperature T] [--rounds N] [--profile]

Prints JSON: for each round the seconds of all steps and, of these, the seconds inside llama.cpp's evaluation. All else
counts as Python's, also what is native in it: choosing tokens, turning them into text, the events as JSON lines.
Only steps in which every patron's answer is being written count.
"""

import argparse
import cProfile
import io
import json
import os
import pstats
import sys
import time
from pathlib import Path
from typing import Any, TextIO

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import prompts
from publicai_edge.engine.chat import ChatFormat
from publicai_edge.engine.llama import LlamaContext, LlamaModel
from publicai_edge.engine.lookup import LONGEST
from publicai_edge.engine.prefixes import Prefixes
from publicai_edge.engine.protocol import ChatMessage, ChatRequest, Event, Sampling, Started
from publicai_edge.engine.scheduler import Counts, Scheduler
from publicai_edge.engine.threads import Threads
from publicai_edge.errors import PublicAIError
from publicai_edge.host import physical_cores

CONTEXT = 2048
TOKENS = 160
_LINES = 25


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--patrons", type=int, default=1)
    parser.add_argument("--no-drafts", action="store_true", help="guess nothing ahead")
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="print cProfile's top lines to stderr; slows it down")
    chosen = parser.parse_args()
    with Path(os.devnull).open("w") as channel:
        bench = Bench(
            chosen.model, chosen.patrons, channel, drafts=not chosen.no_drafts, temperature=chosen.temperature
        )
        found = [bench.round() for _ in range(chosen.rounds)]
        print(json.dumps(found))
        if chosen.profile:
            print(profiled(bench), file=sys.stderr)
    return 0


class Bench:
    """The scheduler of a worker, fed from here."""

    def __init__(self, model: Path, patrons: int, channel: TextIO, *, drafts: bool, temperature: float) -> None:
        self._channel = channel
        self._lines: list[str] = []
        self._patrons = patrons
        self._sampling = Sampling(max_tokens=TOKENS, temperature=temperature, seed=1)
        self._writing = 0
        threads = physical_cores()
        loaded = LlamaModel(model)
        chat = ChatFormat(loaded)
        context = LlamaContext(loaded, n_ctx=CONTEXT, n_seq=patrons, threads=threads, outputs=patrons + LONGEST)
        self.scheduler = Scheduler(
            context,
            chat,
            Prefixes(context, []),
            slots=patrons,
            limit=CONTEXT,
            send=self._send,
            threads=Threads(threads),
            drafts=drafts,
        )

    def _send(self, number: int, event: Event | PublicAIError) -> None:
        if isinstance(event, PublicAIError):
            raise event
        if isinstance(event, Started):
            self._writing += 1
        self._lines.append(json.dumps({"id": number, "event": type(event).__name__.lower(), **vars(event)}))

    def _step(self) -> None:
        self.scheduler.step()
        if self._lines:
            self._channel.write("\n".join(self._lines) + "\n")
            self._channel.flush()
            self._lines.clear()

    def round(self, profile: cProfile.Profile | None = None) -> dict[str, Any]:
        """Answer every patron; return the seconds of the steps in which all of them are written for."""
        for number, prompt in enumerate(prompts.stories(self._patrons)):
            self.scheduler.admit(number, ChatRequest((ChatMessage("user", prompt),), self._sampling))
        self._writing = 0
        while self._writing < self._patrons:
            self._step()
        self.scheduler.counts = counts = Counts()
        if profile:
            profile.enable()
        started = time.perf_counter()
        while self.scheduler.active == self._patrons:
            self._step()
        seconds = time.perf_counter() - started
        if profile:
            profile.disable()
        while self.scheduler.busy:
            self._step()
        return {
            "steps": counts.steps,
            "seconds": seconds,
            "native_seconds": counts.native_seconds,
            "drafted": counts.drafted,
            "drafts_right": counts.drafts_right,
        }


def profiled(bench: Bench) -> str:
    """Return cProfile's lines of one more round, by the time spent in each function itself."""
    profile, out = cProfile.Profile(), io.StringIO()
    bench.round(profile)
    pstats.Stats(profile, stream=out).sort_stats("tottime").print_stats(_LINES)
    return out.getvalue()


if __name__ == "__main__":
    sys.exit(main())
