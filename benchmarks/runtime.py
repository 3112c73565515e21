"""The standalone program beside the same code in this Python, whose llama.cpp was compiled for this very processor.

    publicai-edge runtime build                              makes the program, once
    python benchmarks/runtime.py [--quick] [--json FILE]     runs both, and prints the table

Both serve the same bundle over HTTP, with the same number of threads. They are started together, stay, and are asked by
turns, in the other order in every second turn; the ratio is the median of the turns' own. Temperature is 0, and every
answer runs to its limit.

The machine must be quiet: a figure is worth what the load beside it allows.
"""

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import material, patrons, prompts, rows, servers
from benchmarks.rows import Row

OURS, NATIVE = "standalone program", "native build"
TOKENS, BOUND = 96, 0.97
SERVICE = "You answer questions of a library's visitors, in one paragraph. " * 20


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer turns")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    chosen = parser.parse_args()
    program = _program()
    if program is None:
        return rows.report([rows.missing("decoding", "publicai-edge runtime build", "tokens/s")], chosen.json)
    with tempfile.TemporaryDirectory() as folder:
        bundle = servers.build_bundle(material.smollm2_q4(), SERVICE, Path(folder))
        found = _in_turns(bundle, program, 4 if chosen.quick else 48)
    return rows.report(_rows(found), chosen.json)


def _program() -> Path | None:
    from publicai_edge.errors import NotFoundError, RecipeError
    from publicai_edge.pipeline import runtimes
    from publicai_edge.runtime import platforms
    from publicai_edge.store import Store, default_root

    store = Store(default_root())
    try:
        if not runtimes.find(platforms.here(), store).current:
            print("This runtime was made from other code than is here: what follows is of that code.", file=sys.stderr)
        return runtimes.lay_out(platforms.here(), store) / platforms.program_file(platforms.here())
    except (NotFoundError, RecipeError):  # none was made, or none can be for this kind of machine
        return None


def _in_turns(bundle: Path, program: Path, turns: int) -> dict[str, list[patrons.Answer]]:
    """Return each side's answers, in the order of the turns; those of the first turn warm and are dropped."""
    commands = {OURS: [str(program)], NATIVE: [sys.executable, "-m", "publicai_edge"]}
    found: dict[str, list[patrons.Answer]] = {side: [] for side in commands}
    with contextlib.ExitStack() as stack:
        running = [(side, stack.enter_context(_serving(command, bundle))) for side, command in commands.items()]
        for number in range(turns + 1):
            for side, (port, model) in running if number % 2 == 0 else running[::-1]:
                story = prompts.own_stories(1, number)[0]
                (answer,) = patrons.ask(port, patrons.request(model, story, service=SERVICE, tokens=TOKENS))
                if number:
                    found[side].append(answer)
    return found


@contextlib.contextmanager
def _serving(command: Sequence[str], bundle: Path):  # noqa: ANN202 - a context manager of a port and a model
    port = servers.free_port()
    options = ["serve", str(bundle), "--port", str(port), "--slots", "1", "--threads", str(servers.THREADS)]
    with servers.running([*command, *options]) as process:
        servers.wait_ready(process, port, command[0])
        yield port, servers.model_of(port)


def _rows(found: dict[str, list[patrons.Answer]]) -> list[Row]:
    ours, native = found[OURS], found[NATIVE]
    pace = [[answer.pace for answer in answers] for answers in (ours, native)]
    reading = [
        [(answer.prompt_tokens - answer.reused_tokens) / answer.wait for answer in answers]
        for answers in (ours, native)
    ]
    wait = [[answer.wait for answer in answers] for answers in (ours, native)]
    return [
        rows.beyond("decoding", "tokens/s", pace[0], NATIVE, pace[1], BOUND, paired=True),
        rows.beside("reading a prompt", "tokens/s", reading[0], NATIVE, reading[1], paired=True),
        rows.beside("first text", "s", wait[0], NATIVE, wait[1], paired=True),
    ]


if __name__ == "__main__":
    sys.exit(main())
