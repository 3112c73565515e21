"""Whether the verdicts of `bench compare` can be relied on: no false alarms, and a planted slowdown found.

    python benchmarks/bench_verdicts.py [--quick] [--json FILE] [--model FILE] [--comparisons N]

The build is measured in turns with itself, and compared: every figure that is called faster or slower is a false alarm.
Then it is measured in turns with one that is slower by a tenth, planted in the process that is measured
(`benchmarks/slowed.py`): the slowdown must be found, or the verdict be that it cannot be told; "faster" and "the same"
are wrong.
"""

import argparse
import os
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import material, rows, slowed
from benchmarks.rows import Row
from publicai_edge.bench import turns
from publicai_edge.bench.compare import Comparison, compare
from publicai_edge.bench.settings import Effort, Settings, Target
from publicai_edge.bench.turns import Side
from publicai_edge.host import physical_cores
from publicai_edge.pipeline.benchmarking import choose
from publicai_edge.progress import Silent

SETTINGS = Settings(threads=physical_cores(), lengths=(128,), tokens=32, parts=("speed",))
EFFORT = Effort(rounds=10, within=1.0, seconds=0.0)


@dataclass(frozen=True)
class Bench:
    """Compares short benchmarks of one model."""

    target: Target
    folder: Path

    def compare(self, before: str = turns.__name__, after: str = turns.__name__) -> Comparison:
        """Return the comparison of what two modules measure."""
        python = Path(sys.executable)
        first, second = (Side(self.target, SETTINGS, python, module) for module in (before, after))
        return compare(*turns.run(first, second, EFFORT, self.folder, Silent()))


def main() -> int:
    """Run it, and print the table."""
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)  # for the processes that are started
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="10 comparisons and 4 slowdowns")
    parser.add_argument("--comparisons", type=int, help="comparisons of the build with itself (default: 100)")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--model", type=Path, help="another GGUF file")
    chosen = parser.parse_args()
    model = (chosen.model or material.smollm2_q4()).resolve()
    count = chosen.comparisons or (10 if chosen.quick else 100)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(choose(model, SETTINGS).target, Path(folder))
        found = [*itself(bench, count), *planted(bench, 4 if chosen.quick else 20)]
    return rows.report(found, chosen.json)


def itself(bench: Bench, count: int) -> list[Row]:
    """Compare a build with itself."""
    alarms, words = [], Counter[str]()
    for number in range(count):
        found = bench.compare()
        words.update(verdict.word for verdict in found.verdicts)
        alarms.append(float(any(verdict.better is not None for verdict in found.verdicts)))
        told = ", ".join(f"{verdict.figure} {verdict.word}" for verdict in found.verdicts if verdict.better is not None)
        print(f"  itself {number + 1}/{count}: {told or 'no alarm'}", file=sys.stderr, flush=True)
    print(f"  verdicts on the build itself: {dict(words)}", file=sys.stderr)
    share = 100 * sum(alarms) / len(alarms)
    return [rows.at_most("comparisons of a build with itself that raise an alarm", "%", [share], 2)]


def planted(bench: Bench, count: int) -> list[Row]:
    """Compare a build with one that is slower by a tenth."""
    words: dict[str, Counter[str]] = {}
    for number in range(count):
        found = bench.compare(after=slowed.__name__)
        for verdict in found.verdicts:
            words.setdefault(verdict.figure, Counter())[verdict.word] += 1
        told = ", ".join(f"{item.figure} {item.word} ({item.ratio.value - 1:+.1%})" for item in found.verdicts)
        print(f"  slower by {slowed.SHARE:.0%} {number + 1}/{count}: {told}", file=sys.stderr, flush=True)
    table = []
    for name, counted in words.items():
        missed, wrong = count - counted["slower"], counted["faster"] + counted["same"]
        table += [
            rows.at_most(f"{name} slower by a tenth: not found", "%", [100 * missed / count], 10),
            rows.at_most(f"{name} slower by a tenth: called faster or the same", "%", [100 * wrong / count], 0),
        ]
    return table


if __name__ == "__main__":
    sys.exit(main())
