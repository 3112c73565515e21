"""What `publicai-edge bench` says of a model beside what llama.cpp's own `llama-bench` says of it.

    python benchmarks/peers.py                                           builds llama-bench, once
    python benchmarks/bench_agreement.py [--quick] [--json FILE] [--model FILE]

Both measure the same GGUF (SmolLM2-135M in Q4_0, or --model) with the same threads and lengths, in turn: a round of
ours, a run of theirs of one repetition, so that what the machine does meanwhile falls on both alike. A figure agrees
when the ratio of the medians is within 3 % of 1.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import material, peers, rows
from publicai_edge.bench import speed
from publicai_edge.bench.settings import Settings
from publicai_edge.host import physical_cores
from publicai_edge.pipeline.benchmarking import choose

PEER = "llama-bench"
LENGTH, TOKENS = 512, 128
WITHIN = 0.03


def main() -> int:
    """Run both in turn, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="8 rounds instead of 20")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--model", type=Path, help="another GGUF file")
    chosen = parser.parse_args()
    model = (chosen.model or material.smollm2_q4()).resolve()
    settings = Settings(threads=physical_cores(), lengths=(LENGTH,), tokens=TOKENS, parts=("speed",))
    names = {"prefill@512": (LENGTH, 0, 0), "decode@0": (0, TOKENS, 0), "decode@512": (0, TOKENS, LENGTH)}
    tool = peers.tool(PEER)
    target = choose(model, settings).target
    ours: dict[str, list[float]] = {name: [] for name in names}
    theirs: dict[str, list[float]] = {name: [] for name in names}
    for number in range(8 if chosen.quick else 20):
        print(f"round {number + 1} …", file=sys.stderr, flush=True)
        sides = [True, False] if number % 2 == 0 else [False, True]
        for side in sides:
            if side:
                values = speed.measure(target, settings).values
                for name in names:
                    ours[name].append(values[name])
            elif tool:
                for name, (prompt, tokens, depth) in names.items():
                    theirs[name].append(_peer(tool, model, prompt, tokens, depth))
    found = []
    for name in names:
        if not tool:
            found.append(rows.missing(name, f"{PEER} is not built: python benchmarks/peers.py", "/s", ours[name]))
            continue
        row = rows.beside(name, "/s", ours[name], PEER, theirs[name])
        holds = abs((row.ratio or 0.0) - 1) <= WITHIN
        found.append(replace(row, bound=f"1 ± {WITHIN:g} times", holds=holds))
    return rows.report(found, chosen.json)


def _peer(tool: Path, model: Path, prompt: int, tokens: int, depth: int) -> float:
    """Return what one run of llama-bench says, in tokens a second; it warms up by itself."""
    shape = {"-p": prompt, "-n": tokens, "-d": depth, "-t": physical_cores(), "-r": 1, "-fa": "auto"}
    options = [str(part) for pair in shape.items() for part in pair]
    command = [str(tool), "-m", str(model), *options, "-o", "json"]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    (result,) = json.loads(out)
    return float(result["avg_ts"])


if __name__ == "__main__":
    sys.exit(main())
