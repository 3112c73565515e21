"""What `publicai-edge bench` says of a model beside what llama.cpp's own `llama-bench` says of it.

    python benchmarks/peers.py                                           builds llama-bench, once
    python benchmarks/bench_agreement.py [--quick] [--json FILE] [--model FILE]

Both measure the same GGUF (SmolLM2-135M in Q4_0, or --model) with the same threads and lengths, in turn: a round of
ours, then one of theirs, the next time the other way round, so that what the machine does meanwhile falls on both
alike. A figure agrees when the ratio of the medians is within 3 % of 1; beside it stands the median of the ratios of
the single rounds, with its 95 % interval, which the machine's drift over the rounds does not reach.

Two programs that measure the same agree; two that are set up differently need not. So llama-bench gets what ours has
(docs/adr/0037): the same OpenMP spin, the same batch, a context of the same kind, and a repetition before the one that
counts, because its first one comes right after loading. What it says with its own defaults is told as well.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import material, peers, rows
from benchmarks.rows import Row
from publicai_edge.bench import speed
from publicai_edge.bench.settings import Settings
from publicai_edge.engine.lowlevel import SPIN
from publicai_edge.host import physical_cores
from publicai_edge.pipeline.benchmarking import choose
from publicai_edge.tuning import Tuning

PEER = "llama-bench"
OURS, ALIKE, DEFAULTS = "ours", f"{PEER}, set up alike", f"{PEER}, its own defaults"
LENGTH, TOKENS = 512, 128
NAMES = (f"prefill@{LENGTH}", "decode@0", f"decode@{LENGTH}")
WITHIN = 0.03
Measure = Callable[[], dict[str, float]]
Rounds = dict[str, list[dict[str, float]]]


def main() -> int:
    """Run all in turn, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="8 rounds instead of 20")
    parser.add_argument("--rounds", type=int, help="so many rounds")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--model", type=Path, help="another GGUF file")
    chosen = parser.parse_args()
    model = (chosen.model or material.smollm2_q4()).resolve()
    sides = _sides(model)
    found: Rounds = {name: [] for name in sides}
    for number in range(chosen.rounds or (8 if chosen.quick else 20)):
        print(f"round {number + 1} …", file=sys.stderr, flush=True)
        # Ours and theirs stay side by side, whichever comes first.
        for name in list(sides) if number % 2 == 0 else list(sides)[::-1]:
            found[name].append(sides[name]())
    return rows.report(list(_rows(found)), chosen.json)


def _sides(model: Path) -> dict[str, Measure]:
    settings = Settings(threads=physical_cores(), lengths=(LENGTH,), tokens=TOKENS, parts=("speed",))
    target = choose(model, settings).target
    sides: dict[str, Measure] = {OURS: lambda: speed.measure(target, settings).values}
    if tool := peers.tool(PEER):
        sides[ALIKE] = lambda: _alike(tool, model, settings.threads)
        sides[DEFAULTS] = lambda: _defaults(tool, model)
    return sides


def _rows(found: Rounds) -> Iterator[Row]:
    for name in NAMES:
        runs = {side: [values[name] for values in rounds] for side, rounds in found.items()}
        if ALIKE not in runs:
            yield rows.missing(name, f"{PEER} is not built: python benchmarks/peers.py", "/s", runs[OURS])
            continue
        row = rows.beside(name, "/s", runs[OURS], ALIKE, runs[ALIKE])
        yield replace(row, bound=f"1 ± {WITHIN:g} times", holds=abs((row.ratio or 0.0) - 1) <= WITHIN)
        yield rows.beside(f"{name}, round by round", "/s", runs[OURS], ALIKE, runs[ALIKE], paired=True)
        yield rows.beside(f"{name}, defaults", "/s", runs[OURS], DEFAULTS, runs[DEFAULTS], paired=True)


def _alike(tool: Path, model: Path, threads: int) -> dict[str, float]:
    """Return what llama-bench says where it is set up as our engine is, its first repetition left out."""
    usual = Tuning()
    batch = {"-b": usual.batch, "-ub": usual.ubatch or usual.batch}
    shape = {"-t": threads, **batch, "-ctk": usual.kv_type, "-ctv": usual.kv_type, "-fa": "auto", "-r": 2}
    spin, count = SPIN
    environment = {**os.environ, spin: os.environ.get(spin, count)}
    return _measured(tool, model, shape, environment, lambda result: float(result["samples_ts"][-1]))


def _defaults(tool: Path, model: Path) -> dict[str, float]:
    """Return what llama-bench says to whoever types nothing but the lengths."""
    environment = {name: value for name, value in os.environ.items() if name != SPIN[0]}
    return _measured(tool, model, {}, environment, lambda result: float(result["avg_ts"]))


def _measured(
    tool: Path,
    model: Path,
    options: Mapping[str, object],
    environment: Mapping[str, str],
    rate: Callable[[dict[str, Any]], float],
) -> dict[str, float]:
    """Return the figures in tokens a second; two runs of llama-bench: behind nothing, and behind a prompt."""
    found: dict[str, float] = {}
    for shape in ({"-p": LENGTH, "-n": TOKENS}, {"-p": 0, "-n": TOKENS, "-d": LENGTH}):
        parts = [str(part) for pair in {**shape, **options}.items() for part in pair]
        command = [str(tool), "-m", str(model), *parts, "-o", "json"]
        ran = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=dict(environment)
        )
        for result in json.loads(ran.stdout):
            kind = f"prefill@{result['n_prompt']}" if result["n_prompt"] else f"decode@{result['n_depth']}"
            found[kind] = rate(result)
    return found


if __name__ == "__main__":
    sys.exit(main())
