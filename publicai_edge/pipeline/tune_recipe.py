"""From a recipe to the settings that are fastest on this machine: ``RECIPE.tuned.json``, which the build takes up."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from publicai_edge import atomic, digest, gguf, host
from publicai_edge.artifact import Blob
from publicai_edge.bench import machine
from publicai_edge.errors import HostError, RecipeError
from publicai_edge.kept import Kept
from publicai_edge.pipeline import stages, tune_duration
from publicai_edge.pipeline.options import Options
from publicai_edge.pipeline.prepared import prepare
from publicai_edge.pipeline.steps import Runner
from publicai_edge.pipeline.tune_models import Judged, models
from publicai_edge.progress import Progress
from publicai_edge.quantize import KEEP
from publicai_edge.recipe import AUTO, Recipe, load
from publicai_edge.recipe.tuned import Tuned, tuned_path, write
from publicai_edge.tune import features, measure
from publicai_edge.tune.features import Features
from publicai_edge.tune.neighbour import busy
from publicai_edge.tune.search import Found, Search, Work
from publicai_edge.tune.space import Space
from publicai_edge.tuning import Tuning

PROTOCOL = 1


@dataclass(frozen=True)
class Wanted:
    """What is to be fast, and under which circumstances.

    Attributes:
        work: a prompt and its answer.
        busy: cores that another program keeps busy meanwhile.
        seconds: how long speeds may be measured.
    """

    work: Work = Work()  # noqa: RUF009 - frozen
    busy: int = 0
    seconds: float = 600.0


@dataclass(frozen=True)
class Outcome:
    """What was found and where it was written; the types whose quality was asked for."""

    path: Path
    tuned: Tuned
    found: Found
    features: Features
    judged: tuple[Judged, ...]
    seconds: float


def tune(recipe_path: Path, wanted: Wanted, options: Options) -> Outcome:
    """Search, and write the tuned file beside the recipe.

    Raises:
        RecipeError: the recipe's model is in ONNX, nothing fits the device, or no type keeps within the bounds.
        HostError: there are not as many cores as are to be kept busy, or the tuned file cannot be written.
        PublicAIError: of the class of whatever else went wrong.
    """
    recipe, began = load(recipe_path), time.monotonic()
    _check(recipe, wanted, options)
    target = tuned_path(recipe_path)
    atomic.check_target(target)
    runner = Runner(options.store, options.progress)
    ready = prepare(recipe, recipe_path, runner, options)
    if not isinstance(ready.original, Blob):
        raise TypeError("a model in ONNX was let through")
    among = models(runner, ready, options, ready.original)
    own = recipe.engine.model_dump(exclude_none=True)
    space = Space.of(among.names, fixed=own, prompt=wanted.work.prompt, kv_types=among.kv_types)
    known = [PROTOCOL, machine.facts(), asdict(wanted), among.inputs, repr(space)]
    kept = Kept.open(target.with_suffix(".part"), digest.of_json(known))
    if kept.rounds:
        options.progress.say(f"{len(kept.rounds)} rounds of this search are there already; it goes on after them.")

    def measured(type_: str, tunings: Sequence[Tuning], read: int, write_: int) -> list[measure.Sample]:
        return measure.measure(among.path(type_), tunings, read=read, write=write_)

    header = gguf.read(options.store.path(ready.original))
    options.progress.say(
        tune_duration.told(space, wanted.work, wanted.seconds, busy=wanted.busy, header=header, reading=among.reading)
    )
    with beside(wanted, options.progress):
        search = Search(
            space, wanted.work, measured, among.holds, kept, seconds=wanted.seconds, progress=options.progress
        )
        found = search.run()
        prompts = [prompt.system for prompt in stages.shared_prompts(tuple(recipe.services))]
        extra = features.measure(among.path(found.point.type), found.point.tuning, prompts)
    tuned = _tuned(recipe, found, extra, wanted, among.judged)
    write(target, tuned)
    kept.done()
    return Outcome(target, tuned, found, extra, tuple(among.judged), time.monotonic() - began)


def _check(recipe: Recipe, wanted: Wanted, options: Options) -> None:
    if recipe.model.engine != "llama":
        raise RecipeError(
            'Only GGUF models can be tuned; [model] engine is "onnx".', hint="There is nothing to set for it."
        )
    check_busy(wanted)
    if recipe.quality is None and recipe.quantize.type != KEEP and not options.model:
        options.progress.warn(
            "The recipe has no [quality], so nothing says what a type costs: only the engine's settings are tuned."
        )


def check_busy(wanted: Wanted) -> None:
    """Refuse to keep all cores busy.

    Raises:
        HostError: there are not more cores than that.
    """
    if wanted.busy and wanted.busy >= (cores := host.usable_cores()):
        raise HostError(
            f"--busy {wanted.busy} would leave no core of this machine's {cores}.", hint=f"Give at most {cores - 1}."
        )


@contextmanager
def beside(wanted: Wanted, progress: Progress) -> Iterator[None]:
    """Keep as many cores busy as is wanted."""
    if wanted.busy:
        progress.say(f"{wanted.busy} of {host.usable_cores()} cores are kept busy meanwhile.")
    with busy(wanted.busy):
        yield


def device_in_words() -> str:
    """Return what tells this machine from others, for people."""
    facts = machine.facts()
    cores = facts["physical_cores"]
    return f"{facts['cpu']}, {cores} core{'s' if cores != 1 else ''}"


def _tuned(recipe: Recipe, found: Found, extra: Features, wanted: Wanted, judged: Sequence[Judged]) -> Tuned:
    point = found.point
    own = recipe.engine.model_dump(exclude_none=True)
    engine = {**replace(point.tuning, drafts=extra.drafts).to_json(), "warm": extra.warm}
    engine = {name: value for name, value in engine.items() if value is not None and name not in own}
    return Tuned(
        source=recipe.model.source,
        device=device_in_words(),
        engine=engine,
        type=point.type if recipe.quantize.type == AUTO else None,
        busy=wanted.busy,
        figures={
            "work": asdict(wanted.work),
            "speed": asdict(found.speed),
            "usual": {"point": str(found.usual), **asdict(found.usual_speed)},
            "reasons": [asdict(reason) for reason in found.reasons],
            "quality": [asdict(each) for each in judged],
            "features": asdict(extra),
            "points": found.points,
            "measurements": found.samples,
        },
    )
