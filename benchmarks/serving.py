"""The kiosk's engine beside llama.cpp's own server: both over HTTP with OpenAI's API, on the same model.

    python benchmarks/peers.py                                               builds llama-server, once
    python benchmarks/serving.py [--quick] [--json FILE] [--only PART ...]   runs both, and prints the table

Both sides get the same GGUF (SmolLM2-135M in Q4_0, or --model), as many threads as there are physical cores, and a
cache for the same number of tokens; else each is at its defaults, llama-server with its prompt cache. Speeds are
measured in turns: both are started and stay, and are asked by turns, in the other order in every second turn, so that
a processor that grows slower or faster within seconds does so for both; the ratio is the median of the turns' own.
What belongs to a start is measured on servers started anew for each round. Temperature is 0, and every answer runs to
its limit; what does not is told. Answers of small models repeat themselves, and our engine drafts repetitions ahead, so
decoding is told at temperature 0.8 as well.

The machine must be quiet: a figure is worth what the load beside it allows.
"""

import argparse
import contextlib
import json
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import material, patrons, prompts, rows, servers
from benchmarks.patrons import Answer
from benchmarks.rows import Row
from benchmarks.servers import OURS, PEER, Server, Sides

LONG, SHORT, CROWD = 128, 64, 96
BUSY = 16  # tokens; llama-server writes a few a second then
SLOTS = 4  # of a kiosk at its defaults, and of llama-server at its own
NOT_BUILT = "llama-server is not built: python benchmarks/peers.py"


@dataclass(frozen=True)
class Bench:
    """What every part of the benchmark needs."""

    sides: Sides
    rounds: int
    turns: int
    profile: bool

    def run(
        self,
        slots: int,
        use: Callable[[Server], dict[str, float]],
        before: Callable[[], object] | None = None,
        *,
        watch: bool = False,
    ) -> "Runs":
        """Start each side in each round and use it; return what came, by side, in the order of the rounds."""
        found = Runs({})
        for number in range(self.rounds):
            order = self.sides.names if number % 2 == 0 else self.sides.names[::-1]
            for side in order:
                if before:
                    before()
                with self.sides.start(side, slots, watch=watch) as server:
                    found.values.setdefault(side, []).append(use(server))
        return found

    def in_turns(self, slots: int, use: Callable[[Server, int], dict[str, float]]) -> "Runs":
        """Start both sides, and use them by turns; return what came, by side, in the order of the turns.

        Args:
            slots: conversations at a time.
            use: uses one side; it is given the number of the turn. What the first turn finds is dropped: it warms.
        """
        found = Runs({}, paired=True)
        with contextlib.ExitStack() as stack:
            running = [stack.enter_context(self.sides.start(side, slots, watch=False)) for side in self.sides.names]
            for number in range(self.turns + 1):
                for server in running if number % 2 == 0 else running[::-1]:
                    value = use(server, number)
                    if number:
                        found.values.setdefault(server.side, []).append(value)
        return found


@dataclass(frozen=True)
class Runs:
    """What was measured: for each side, one mapping of names to values a round, or a turn when they are paired."""

    values: dict[str, list[dict[str, float]]]
    paired: bool = False

    def of(self, side: str, name: str) -> list[float]:
        """Return one value of every round; empty when the side could not be run."""
        return [value[name] for value in self.values.get(side, [])]

    def row(
        self, how: Callable[..., Row], figure: str, unit: str, name: str, bound: float | None, note: str = ""
    ) -> Row:
        """Return the row of one value, or the one that says that the peer is missing."""
        ours, peer = self.of(OURS, name), self.of(PEER, name)
        if not peer:
            return rows.missing(figure, NOT_BUILT, unit, ours)
        return how(figure, unit, ours, f"{PEER}{note}", peer, *([] if bound is None else [bound]), paired=self.paired)


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="3 rounds instead of 5, 8 turns instead of 16")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="only these parts")
    parser.add_argument("--model", type=Path, help="another GGUF file with a chat template")
    parser.add_argument("--profile", action="store_true", help="with overhead: print what Python spends its time on")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the servers end with us
    model = (chosen.model or material.smollm2_q4()).resolve()
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        bundle = servers.build_bundle(model, prompts.SERVICE, Path(folder))
        bench = Bench(Sides(model, bundle), 3 if chosen.quick else 5, 8 if chosen.quick else 16, chosen.profile)
        for name in chosen.only:
            print(f"{name} …", file=sys.stderr, flush=True)
            found += PARTS[name](bench)
    return rows.report(found, chosen.json)


def decoding(bench: Bench) -> list[Row]:
    """One patron: tokens a second while the answer is written."""

    def use(server: Server, turn: int) -> dict[str, float]:
        story = prompts.stories(len(prompts.STORIES))[turn % len(prompts.STORIES)]
        greedy = _ask(server, [story], LONG)[0]
        drawn = _ask(server, [story], LONG, temperature=0.8)[0]
        return {"greedy": greedy.pace, "drawn": drawn.pace}

    runs = bench.in_turns(1, use)
    return [
        runs.row(rows.beyond, "decode, 1 patron", "/s", "greedy", 1.0),
        runs.row(rows.beside, "decode, 1 patron, temperature 0.8", "/s", "drawn", None),
    ]


def crowds(bench: Bench) -> list[Row]:
    """Tokens a second of 4 and 8 patrons together, from the first request to the last word: prompts included.

    Each patron's prompt is his own and new in each turn, so nothing can be shared.
    """
    found = []
    for count in (4, 8):

        def use(server: Server, turn: int, count: int = count) -> dict[str, float]:
            answers = _ask(server, prompts.own_stories(count, turn), CROWD)
            total = sum(answer.tokens for answer in answers) / _span(answers)
            waits = [answer.wait for answer in answers]
            return {"total": total, "first": max(waits), "mean": sum(waits) / len(waits)}

        runs = bench.in_turns(count, use)
        note, own = f" -np {count}", f"{count} patrons, own prompts: "
        found += [
            runs.row(rows.beyond, f"total tokens, {count} patrons, prompts included", "/s", "total", 1.0, note),
            runs.row(rows.beside, f"{own}until each has the first token", "s", "first", None, note),
            runs.row(rows.beside, f"{own}until the first token, mean", "s", "mean", None, note),
        ]
    return found


def service(bench: Bench) -> list[Row]:
    """Eight patrons at once on one service prompt, after one who asked before: until each has his tokens."""

    def use(server: Server) -> dict[str, float]:
        _ask(server, [prompts.WARMING], 16, service=prompts.SERVICE)
        answers = _ask(server, prompts.stories(8), SHORT, service=prompts.SERVICE)
        return {"seconds": _span(answers), "first": max(answer.wait for answer in answers)}

    runs = bench.run(8, use)
    figure = "8 patrons, one service prompt: until each has"
    return [
        runs.row(rows.against, f"{figure} {SHORT} tokens", "s", "seconds", 0.67, " -np 8"),
        runs.row(rows.beside, f"{figure} the first token", "s", "first", None, " -np 8"),
    ]


def cold(bench: Bench) -> list[Row]:
    """The first patron of a server that has just started, and the next ones with other questions."""

    def use(server: Server) -> dict[str, float]:
        first, second, *more = [
            _ask(server, [question], 16, service=prompts.SERVICE, whole=False)[0] for question in prompts.QUESTIONS
        ]
        if server.side == OURS:
            print(f"  {first.prompt_tokens} tokens in the prompt, {first.reused_tokens} reused", file=sys.stderr)
        later = statistics.median(answer.wait for answer in more)
        return {"start": server.start_seconds, "first": first.wait, "second": second.wait, "later": later}

    if not servers.drop_caches():
        print("  files stay in the page cache: only root may drop it", file=sys.stderr)
    runs = bench.run(SLOTS, use, before=servers.drop_caches)
    return [
        runs.row(rows.against, "first token after a cold start, service prompt", "s", "first", 1 / 20),
        runs.row(rows.beside, "start of the process until it is ready", "s", "start", None),
        runs.row(rows.against, "first token, second patron of the service", "s", "second", 1.0),
        runs.row(rows.beside, "first token, later patrons of the service", "s", "later", None),
    ]


def busy(bench: Bench) -> list[Row]:
    """One patron while another process keeps one core busy."""

    def use(server: Server) -> dict[str, float]:
        return {"pace": _ask(server, prompts.stories(1), BUSY)[0].pace}

    with servers.busy_core():
        runs = bench.run(SLOTS, use)
    return [runs.row(rows.beyond, "decode, 1 patron, one core kept busy", "/s", "pace", 2.0)]


def memory(bench: Bench) -> list[Row]:
    """Peak memory of all processes of a server, from its start until it has answered four patrons."""

    def use(server: Server) -> dict[str, float]:
        _ask(server, prompts.stories(4), CROWD, service=prompts.SERVICE)
        watched = server.memory
        watched.look()
        return {"all": watched.peak / 1e6, "worker": (watched.peak_of_children or watched.peak) / 1e6}

    runs = bench.run(4, use, watch=True)
    return [
        runs.row(rows.against, "peak memory, 4 patrons", "MB", "all", 1.1, " -np 4"),
        runs.row(rows.beside, "peak memory, 4 patrons, ours without its web process", "MB", "worker", None, " -np 4"),
    ]


def overhead(bench: Bench) -> list[Row]:
    """What Python adds to a decode step, of the time that the step spends in llama.cpp."""
    found = []
    for what, more in {
        "1 patron": ("--patrons", "1"),
        "1 patron, nothing drafted": ("--patrons", "1", "--no-drafts"),
        "1 patron, temperature 0.8": ("--patrons", "1", "--temperature", "0.8"),
        "4 patrons": ("--patrons", "4"),
    }.items():
        program = [sys.executable, str(Path(__file__).with_name("overhead.py")), str(bench.sides.model), *more]
        program += ["--rounds", str(bench.rounds), *(["--profile"] if bench.profile else [])]
        out = subprocess.run(program, check=True, stdout=subprocess.PIPE, text=True).stdout
        measured = json.loads(out)
        shares = [100 * (value["seconds"] / value["native_seconds"] - 1) for value in measured]
        print(f"  {what}: {measured[-1]}", file=sys.stderr)
        figure = f"Python's overhead a decode step, {what}"
        found.append(rows.at_most(figure, "%", shares, 5))
    return found


PARTS: dict[str, Callable[[Bench], list[Row]]] = {
    "decoding": decoding,
    "crowds": crowds,
    "service": service,
    "cold": cold,
    "busy": busy,
    "memory": memory,
    "overhead": overhead,
}


def _ask(
    server: Server,
    questions: Sequence[str],
    tokens: int,
    *,
    service: str | None = None,
    temperature: float = 0.0,
    whole: bool = True,
) -> list[Answer]:
    """Let one patron a question ask at once; with ``whole``, tell answers that ended before their limit."""
    bodies = [
        patrons.request(server.model, question, service=service, tokens=tokens, temperature=temperature)
        for question in questions
    ]
    answers = patrons.ask(server.port, *bodies)
    if whole and (short := [answer.tokens for answer in answers if answer.tokens < tokens]):
        print(f"  {server.side}: answers of {short} tokens instead of {tokens}", file=sys.stderr)
    return answers


def _span(answers: Sequence[Answer]) -> float:
    """Return the seconds from the first request to the last word."""
    return max(answer.last for answer in answers) - min(answer.asked for answer in answers)


if __name__ == "__main__":
    sys.exit(main())
