"""``publicai-edge bench``: how fast is it here, and is it slower than it was?"""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from publicai_edge.cli import options
from publicai_edge.errors import RecipeError

_RUN = "run"


class _Group(TyperGroup):
    """``bench MODEL`` is ``bench run MODEL``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put in the verb where there is none."""
        if args and args[0] not in {*self.commands, "-h", "--help"}:
            args = [_RUN, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    help=(
        "Measure a model or a bundle on this machine, and compare what was measured.\n\n"
        "`bench MODEL` is `bench run MODEL`."
    ),
)


@app.command(_RUN)
def run(
    target: Annotated[
        Path, typer.Argument(help="A GGUF file, the folder of a model in ONNX, or a bundle.", show_default=False)
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The result (default: NAME.bench.json).", show_default=False)
    ] = None,
    lengths: Annotated[
        list[int] | None,
        typer.Option("--length", min=16, help="Tokens of a prompt; several times.", show_default="128, 512, 1024"),
    ] = None,
    tokens: Annotated[int, typer.Option("--tokens", min=8, help="Tokens written for a figure of decoding.")] = 64,
    patrons: Annotated[
        list[int] | None,
        typer.Option("--patrons", min=1, max=8, help="Patrons at once; several times.", show_default="1, 2, 4, 8"),
    ] = None,
    part: Annotated[
        list[str] | None,
        typer.Option("--part", help="Only this: speed, service or documents; several times.", show_default="all"),
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=2, help="Fewest rounds; each measures all once.")] = 8,
    within: Annotated[
        float, typer.Option("--within", min=0.5, max=50, help="How well medians are to be known, in percent.")
    ] = 3.0,
    budget: Annotated[
        float, typer.Option("--budget", min=0, help="Seconds after which it ends, once --rounds are there.")
    ] = 300.0,
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            help="Also show what a plan for this device predicted: a name, or a profile's file.",
            show_default=False,
        ),
    ] = None,
    threads: options.Threads = None,
    gpu_layers: options.GpuLayers = None,
    quiet: options.Quiet = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Measure how fast a model or a bundle is on this machine.

    Every figure is measured once a round, in processes of its own, until it is known well enough or the time is up.
    Ended in the middle, it goes on where it was. Close other programs first: what they take is noticed, and told.

    Example:  publicai-edge bench dist/demo-library-1.0.0 -o today.json
    """
    from dataclasses import replace

    from publicai_edge import atomic
    from publicai_edge.bench.report.terminal import render
    from publicai_edge.bench.settings import PARTS, Effort, Settings
    from publicai_edge.engine.threads import threads_on_this_machine
    from publicai_edge.pipeline import benchmarking
    from publicai_edge.plan import device as devices

    console = options.console(as_json=json_, debug=debug, quiet=quiet)
    place = output or Path(f"{target.resolve().name.removesuffix('.gguf')}.bench.json")
    atomic.check_target(place, target, suffix=".json")
    if wrong := [name for name in part or () if name not in PARTS]:
        raise RecipeError(f"--part {wrong[0]} is no part; there are {', '.join(PARTS)}.", hint="Leave it out for all.")
    settings = Settings(
        threads=threads or threads_on_this_machine(),
        lengths=tuple(sorted(set(lengths or Settings.lengths))),
        tokens=tokens,
        patrons=tuple(sorted(set(patrons or Settings.patrons))),
        parts=tuple(name for name in PARTS if not part or name in part),
    )
    chosen = benchmarking.choose(target, settings)
    settings = replace(settings, gpu_layers=options.gpu_layers(gpu_layers, chosen.target.engine, console))
    effort = Effort(rounds, within / 100, budget)
    planned = benchmarking.predict(chosen.target, settings, devices.load(device)) if device else None
    result = benchmarking.measure(chosen, settings, effort, place, console, planned)
    console.data(result.to_json(), render(result, _width()).rstrip("\n"))
    console.say(f"The result: {place}")


@app.command("turns")
def turns(
    before: Annotated[Path, typer.Argument(help="A GGUF file, or the folder of a model in ONNX.", show_default=False)],
    after: Annotated[
        Path | None, typer.Argument(help="Another, to hold against it (default: the same).", show_default=False)
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder for before.json and after.json.")] = Path(
        "turns"
    ),
    before_python: Annotated[
        Path | None,
        typer.Option("--before-python", help="The python of the other program's environment.", show_default="this one"),
    ] = None,
    after_python: Annotated[
        Path | None,
        typer.Option("--after-python", help="The python that AFTER is measured with.", show_default="this one"),
    ] = None,
    lengths: Annotated[
        list[int] | None,
        typer.Option("--length", min=16, help="Tokens of a prompt; several times.", show_default="128, 512, 1024"),
    ] = None,
    tokens: Annotated[int, typer.Option("--tokens", min=16, help="Tokens written for a figure of decoding.")] = 64,
    rounds: Annotated[int, typer.Option("--rounds", min=2, help="Fewest pairs of processes.")] = 12,
    within: Annotated[
        float, typer.Option("--within", min=0.5, max=50, help="How well ratios are to be known, in percent.")
    ] = 3.0,
    budget: Annotated[
        float, typer.Option("--budget", min=0, help="Seconds after which it ends, once --rounds are there.")
    ] = 300.0,
    threads: options.Threads = None,
    quiet: options.Quiet = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Measure two programs, or two models, in turns of a tenth of a second, and compare them.

    For machines that are not quiet: what others do there falls on both alike. Give the python of an environment with
    the other version of publicai-edge; or two models; or both. Both are in memory at the same time. Ended in the
    middle, it goes on where it was.

    Example:  publicai-edge bench turns model.gguf --before-python ../released/bin/python

    Example:  publicai-edge bench turns q4_0.gguf q4_k_m.gguf
    """
    import sys

    from publicai_edge import atomic
    from publicai_edge.bench.compare import compare as judge
    from publicai_edge.bench.report.terminal import render_comparison
    from publicai_edge.bench.settings import Effort, Settings
    from publicai_edge.engine.threads import threads_on_this_machine
    from publicai_edge.pipeline import benchmarking

    console = options.console(as_json=json_, debug=debug, quiet=quiet)
    settings = Settings(
        threads=threads or threads_on_this_machine(),
        lengths=tuple(sorted(set(lengths or Settings.lengths))),
        tokens=tokens,
        parts=("speed",),
    )
    mine = Path(sys.executable)
    pythons = before_python or mine, after_python or mine
    atomic.check_folder(output)
    with atomic.host_errors("write", output):
        output.mkdir(parents=True, exist_ok=True)
    effort = Effort(rounds, within / 100, budget)
    first, second = benchmarking.in_turns((before, after or before), pythons, settings, effort, output, console)
    found = judge(first, second, despite=("model",) if after else ())
    console.data(found.to_json(), render_comparison(found).rstrip("\n"))
    console.say(f"The results: {output / 'before.json'} and {output / 'after.json'}")


def _width() -> int:
    import shutil

    return shutil.get_terminal_size((100, 24)).columns


Result = Annotated[Path, typer.Argument(help="A file that `bench` wrote.", show_default=False)]


@app.command("compare")
def compare(
    before: Result,
    after: Result,
    despite: Annotated[
        list[str] | None,
        typer.Option(
            "--despite", help="What may differ: model, machine or settings; several times.", show_default="nothing"
        ),
    ] = None,
    same_within: Annotated[
        float, typer.Option("--same-within", min=0.1, max=50, help="Percent up to which two speeds are the same.")
    ] = 5.0,
    fail_on_regression: Annotated[
        str | None,
        typer.Option(
            "--fail-on-regression",
            help='Exit with 8 when a figure became worse by so much, such as "5%".',
            show_default=False,
        ),
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="Also write a table for a CI summary; it is added to the file.")
    ] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Also write JUnit's XML: a test for a figure.")] = None,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Say of each figure whether it became faster or slower, or that it cannot be told.

    Runs on different machines, models or settings are refused, and what differs is named. The test goes by ranks, asks
    for no distribution, and is wrong in at most 2 of 100 comparisons; a change of the machine between the two runs is
    taken out.

    Example:  publicai-edge bench compare before.json after.json --fail-on-regression 5%
    """
    from publicai_edge import atomic
    from publicai_edge.bench import result
    from publicai_edge.bench.compare import ASPECTS
    from publicai_edge.bench.compare import compare as judge
    from publicai_edge.bench.report import ci
    from publicai_edge.bench.report.terminal import render_comparison

    console = options.console(as_json=json_, debug=debug)
    if wrong := [name for name in despite or () if name not in ASPECTS]:
        raise RecipeError(
            f"--despite {wrong[0]} is nothing that may differ; there are {', '.join(ASPECTS)}.",
            hint="Leave it out: then nothing may differ but the program.",
        )
    bound = None if fail_on_regression is None else _share(fail_on_regression)
    if junit:
        atomic.check_target(junit, before, after, suffix=".xml")
    found = judge(result.read(before), result.read(after), despite=despite or (), same_within=same_within / 100)
    worse = [] if bound is None else found.regressions(bound)
    if markdown:
        ci.append(markdown, ci.markdown(found, bound))
    if junit:
        atomic.write_bytes(junit, ci.junit(found, bound))
    console.data({**found.to_json(), "regressions": [verdict.figure for verdict in worse]}, render_comparison(found))
    if worse:
        names = ", ".join(f"{verdict.figure} by {verdict.loss:.1%}" for verdict in worse)
        console.error(f"Worse than allowed: {names}.", "Measure again if you doubt it; else find the change.")
        raise typer.Exit(REGRESSION)


REGRESSION = 8


def _share(text: str) -> float:
    """Return a share from "5%" or "0.05"; raises RecipeError for anything else."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise RecipeError(f"--fail-on-regression {text!r} is no share.", hint='Give one such as "5%".')
    return value


@app.command("report")
def report(
    runs: Annotated[list[Path], typer.Argument(help="Files that `bench` wrote.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="The page.")] = Path("bench.html"),
    quality: Annotated[
        Path | None,
        typer.Option("--quality", help="quality.json of `evaluate`: to plot loss against size and speed."),
    ] = None,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Make one page with plots of one benchmark or several: a file that needs nothing else, also in print.

    Example:  publicai-edge bench report q4.json q8.json --quality quality/quality.json
    """
    from publicai_edge import atomic
    from publicai_edge.bench import result
    from publicai_edge.bench.report.page import render_html

    console = options.console(as_json=json_, debug=debug)
    atomic.check_target(output, *runs, suffix=".html")
    losses = _losses(quality) if quality else {}
    atomic.write_bytes(output, render_html([result.read(path) for path in runs], losses))
    console.data({"report": str(output)}, str(output))


def _losses(path: Path) -> dict[str, float]:
    """Return each type's mean loss from a quality report, by the type's name."""
    import json

    try:
        data = json.loads(path.read_text("utf-8"))
        found = {}
        for candidate in data["candidates"]:
            languages = candidate["measured"]["languages"]
            found[str(candidate["measured"]["name"])] = sum(item["mean_kl"]["value"] for item in languages) / len(
                languages
            )
    except (OSError, ValueError, KeyError, TypeError, RecursionError, ZeroDivisionError) as error:
        raise RecipeError(
            f"{path} is not a quality.json of `publicai-edge evaluate`.", hint="Give the file that it wrote."
        ) from error
    return found
