"""``publicai-edge try``: ask a kiosk the questions that its bundle brings, and score what comes."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from publicai_edge.cli import options

if TYPE_CHECKING:
    from publicai_edge.bundle.open import Bundle
    from publicai_edge.bundle.questions import Questions
    from publicai_edge.cli.console import Console
    from publicai_edge.kiosk.trial.result import Trial

TOO_FEW_RIGHT = 10


def try_(
    bundle: options.BundlePath,
    url: Annotated[
        str | None,
        typer.Option("--url", help="A kiosk that runs already (default: start one).", show_default=False),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option("--recipe", help="Take the questions from this recipe, not from the bundle.", show_default=False),
    ] = None,
    report: Annotated[
        list[Path] | None,
        typer.Option("--report", help="Write a report: .html, .md or .json; may be repeated.", show_default=False),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option("--min-score", min=0, max=100, help="End with code 10 when fewer of 100 questions are right."),
    ] = None,
    threads: options.Threads = None,
    gpu_layers: options.GpuLayers = None,
    quiet: options.Quiet = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Ask a kiosk the questions of its recipe, as a patron would, and score passages, facts, sources and seconds.

    Without --url a kiosk is started for the test, on a free port. Ctrl-C ends it; what was asked by then is told, and
    written into the reports.

    Example:  publicai-edge try dist/demo-library-1.0.0 --report trial.html
    """
    from functools import partial

    from publicai_edge.bundle.open import open_bundle
    from publicai_edge.errors import PublicAIError
    from publicai_edge.kiosk.trial import report as reports
    from publicai_edge.kiosk.trial.asking import Asker
    from publicai_edge.kiosk.trial.running import Attempt

    console = options.console(as_json=json_, debug=debug, quiet=quiet)
    places = tuple(report or ())
    reports.check(places)
    opened = open_bundle(bundle.resolve())
    questions = _questions(opened, recipe)
    address = Asker(url).url if url else None
    attempt = Attempt(opened, questions, _machine(), address, partial(_started, opened, threads, gpu_layers, console))
    try:
        attempt.run(console)
    except (KeyboardInterrupt, PublicAIError):
        if attempt.trial.lines:
            _tell(attempt.trial, places, console)
        raise
    _tell(attempt.trial, places, console)
    console.data(attempt.trial.to_json(), reports.headline(attempt.trial))
    if min_score is not None and attempt.trial.total.percent < min_score:
        console.warn(f"{attempt.trial.total.percent:.1f} of 100 questions are right; {min_score:g} are asked for.")
        raise typer.Exit(TOO_FEW_RIGHT)


def _questions(opened: "Bundle", recipe: Path | None) -> "Questions":
    from publicai_edge.bundle import questions
    from publicai_edge.errors import RecipeError

    if recipe is None:
        found = questions.read(opened)
    else:
        from publicai_edge.recipe import load

        asked = questions.of(load(recipe))
        if asked is None:
            raise RecipeError(f"{recipe} has no questions.", hint="Add [[services.questions]] below a service.")
        found = asked
    manifest = opened.manifest
    for question in found.questions:
        if manifest.service(question.service) is None or question.language not in manifest.languages:
            raise RecipeError(
                f"A question is for the service {question.service!r} in {question.language!r}, which {opened.root} "
                "does not have.",
                hint="Build the bundle again from that recipe, or take its own questions.",
            )
    return found


def _started(
    opened: "Bundle", threads: int | None, layers: int | None, console: "Console"
) -> AbstractContextManager[str]:
    from publicai_edge.cli import parts
    from publicai_edge.kiosk.server import beside

    given = options.gpu_layers(layers, opened.manifest.engine.name, console)
    console.say("Starting a kiosk for the test …")
    return beside(opened, parts.engine(opened, threads, gpu_layers=given), parts.documents(opened))


def _machine() -> str:
    """Return the machine in a few words."""
    from publicai_edge.bench import machine

    facts = machine.facts()
    return f"{facts['cpu']}, {facts['physical_cores']} cores, {facts['memory_gib']} GiB, {facts['system']}"


def _tell(trial: "Trial", places: tuple[Path, ...], console: "Console") -> None:
    """Print a trial, also one that was cut short, and write its reports."""
    from publicai_edge.kiosk.trial import report as reports

    console.stop()
    for line in trial.lines:
        if not line.right:
            console.say(f"Wrong ({line.service}, {line.language}): {line.question}")
            console.say(f"    {'; '.join(reports.remarks(line))}")
    rows = [[reports.name(item), *reports.cells(item)] for item in reports.rows(trial)]
    console.table(f"{trial.bundle} {trial.version}", ["service", *reports.COLUMNS], rows)
    for place in places:
        reports.write(trial, place)
        console.say(f"The report: {place}")
    if not trial.whole:
        console.say(f"{reports.headline(trial)}.")
