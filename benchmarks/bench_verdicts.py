"""Whether the verdicts of `bench compare` can be relied on: no false alarms, and a planted slowdown found.

    python benchmarks/bench_verdicts.py [--quick] [--json FILE] [--model FILE] [--comparisons N]

The build is measured in turns with itself, and compared: every figure that is called faster or slower is a false alarm.
In between it is measured in turns with one that is slower by a tenth, planted in the process that is measured
(`benchmarks/slowed.py`): the slowdown must be found, or the verdict be that it cannot be told; "faster" and "the same"
are wrong.

Each comparison has as few pairs of processes as a verdict of so many figures can have (docs/adr/0037): that leaves the
least time for luck to even out, so it is the hardest case of what `bench turns` promises. What was compared is kept
until all is there: ended with Ctrl-C and started again, it goes on where it was.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import material, rows, slowed
from benchmarks.rows import Row
from publicai_edge import digest
from publicai_edge.bench import machine, statistics, turns
from publicai_edge.bench.compare import ERROR, Comparison, compare
from publicai_edge.bench.settings import Effort, Settings, Target
from publicai_edge.bench.turns import Side
from publicai_edge.host import physical_cores
from publicai_edge.kept import Kept
from publicai_edge.pipeline.benchmarking import choose
from publicai_edge.pipeline.steps import source_digest
from publicai_edge.progress import Silent

SETTINGS = Settings(threads=physical_cores(), lengths=(128,), tokens=32, parts=("speed",))
FIGURES = 1 + 2 * len(SETTINGS.lengths)  # writing behind nothing, and reading and writing at each length
EFFORT = Effort(rounds=statistics.fewest_pairs_for(1 - ERROR / FIGURES), within=1.0, seconds=0.0)
ITSELF, SLOWED = "itself", f"slower by {slowed.SHARE:.0%}"
MODULES = {ITSELF: turns.__name__, SLOWED: slowed.__name__}
_CODE = ("publicai_edge.bench", "publicai_edge.engine", "benchmarks.slowed")


@dataclass(frozen=True)
class Bench:
    """Compares short benchmarks of one model."""

    target: Target
    folder: Path

    def compare(self, kind: str) -> Comparison:
        """Return the comparison of the build with itself, or with the slower one."""
        python = Path(sys.executable)
        first, second = (Side(self.target, SETTINGS, python, module) for module in (MODULES[ITSELF], MODULES[kind]))
        return compare(*turns.run(first, second, EFFORT, self.folder, Silent()))


def main() -> int:
    """Run it, and print the table."""
    root = Path(__file__).resolve().parent.parent
    os.environ["PYTHONPATH"] = str(root)  # for the processes that are started
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="10 comparisons and 4 slowdowns")
    parser.add_argument("--comparisons", type=int, help="comparisons of the build with itself (default: 100)")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--model", type=Path, help="another GGUF file")
    chosen = parser.parse_args()
    model = (chosen.model or material.smollm2_q4()).resolve()
    counts = {ITSELF: chosen.comparisons or (10 if chosen.quick else 100), SLOWED: 4 if chosen.quick else 20}
    target = choose(model, SETTINGS).target
    kept = _kept(target)
    with tempfile.TemporaryDirectory() as folder:
        _run(Bench(target, Path(folder)), _order(counts), kept)
    status = rows.report([*_itself(kept.rounds), *_planted(kept.rounds)], chosen.json)
    kept.done()
    return status


def _kept(target: Target) -> Kept:
    """Return what was compared already, of this program, this model and this machine."""
    code = [source_digest(name) for name in _CODE]
    known = [code, target.subject.sha256, SETTINGS.to_json(), asdict(EFFORT), machine.facts()]
    place = material.store().root.parent / "verdicts.part"
    place.parent.mkdir(parents=True, exist_ok=True)
    return Kept.open(place, digest.of_json(known))


def _order(counts: dict[str, int]) -> list[str]:
    """Return the kinds of all comparisons, evenly mixed: what the machine does for an hour falls on both."""
    places = [((number + 0.5) / count, kind) for kind, count in counts.items() for number in range(count)]
    return [kind for _, kind in sorted(places)]


def _run(bench: Bench, order: Sequence[str], kept: Kept) -> None:
    """Make the comparisons that are not there yet, and tell each as it comes."""
    if kept.rounds:
        _tell(f"{len(kept.rounds)} comparisons are there already; it goes on after them")
    done, began, begun = Counter(item["kind"] for item in kept.rounds), time.monotonic(), len(kept.rounds)
    for kind in order:
        if done[kind] > 0:
            done[kind] -= 1
            continue
        verdicts = [asdict(verdict) for verdict in bench.compare(kind).verdicts]
        kept.add({"kind": kind, "verdicts": verdicts})
        told = ", ".join(f"{each['figure']} {each['word']} ({each['ratio']['value'] - 1:+.1%})" for each in verdicts)
        count = len(kept.rounds)
        left = (len(order) - count) * (time.monotonic() - began) / (count - begun)
        _tell(f"{count}/{len(order)} {kind}: {told}; {left / 60:.0f} min left")


def _of(found: Sequence[dict[str, Any]], kind: str) -> list[list[dict[str, Any]]]:
    return [item["verdicts"] for item in found if item["kind"] == kind]


def _itself(found: Sequence[dict[str, Any]]) -> Iterator[Row]:
    """Yield how often a build was called faster or slower than itself."""
    compared = _of(found, ITSELF)
    words = Counter(verdict["word"] for verdicts in compared for verdict in verdicts)
    _tell(f"verdicts on the build itself: {dict(words)}")
    alarms = [float(any(verdict["better"] is not None for verdict in verdicts)) for verdicts in compared]
    share = 100 * sum(alarms) / len(alarms)
    yield rows.at_most("comparisons of a build with itself that raise an alarm", "%", [share], 2)


def _planted(found: Sequence[dict[str, Any]]) -> Iterator[Row]:
    """Yield, for each figure, how often the slowdown was not found, and how often the verdict was wrong."""
    compared = _of(found, SLOWED)
    for name in [verdict["figure"] for verdict in compared[0]]:
        words = Counter(verdict["word"] for verdicts in compared for verdict in verdicts if verdict["figure"] == name)
        missed, wrong = len(compared) - words["slower"], words["faster"] + words["same"]
        share = 100 / len(compared)
        yield rows.at_most(f"{name} slower by a tenth: not found", "%", [missed * share], 10)
        yield rows.at_most(f"{name} slower by a tenth: called faster or the same", "%", [wrong * share], 0)


def _tell(what: str) -> None:
    print(f"  {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
