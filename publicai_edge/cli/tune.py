"""``publicai-edge tune``: the settings that are fastest on this machine."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from publicai_edge import columns
from publicai_edge.cli import options
from publicai_edge.errors import RecipeError

if TYPE_CHECKING:
    from publicai_edge.cli.console import Console
    from publicai_edge.pipeline.tune_recipe import Outcome, Wanted
    from publicai_edge.tune.features import Features
    from publicai_edge.tune.search import Found


def tune(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a .toml file; or a bundle's folder.", show_default=False)],
    model: Annotated[
        Path | None,
        typer.Option("--model", help="Tune for this GGUF file instead of the recipe's model.", show_default=False),
    ] = None,
    busy: Annotated[
        int, typer.Option("--busy", min=0, help="Cores that another program keeps busy meanwhile, as a browser does.")
    ] = 0,
    prompt: Annotated[int, typer.Option("--prompt", min=32, help="Tokens of a question with its passages.")] = 512,
    answer: Annotated[int, typer.Option("--answer", min=1, help="Tokens of an answer.")] = 128,
    minutes: Annotated[
        float,
        typer.Option(
            "--minutes", min=0.5, help="How long speeds may be measured; what types cost is measured besides, once."
        ),
    ] = 10.0,
    offline: options.Offline = False,
    cache: options.Cache = None,
    quiet: options.Quiet = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Find the type and the engine settings that are fastest on this machine, within the recipe's bounds of quality.

    Run it on the kiosk, or on a machine like it, with other programs closed; --busy 1 stands for a browser. Writes
    RECIPE.tuned.json beside the recipe: `publicai-edge build` takes it up. What the recipe itself says of its type
    and its engine stays as it is. A search that was interrupted goes on where it was.

    Of a bundle, only what changes no answer is searched (threads, batches, drafts), and written into it.

    Example:  publicai-edge tune recipes/mini-pc.toml

    Example:  publicai-edge tune recipes/mini-pc.toml --busy 1 --prompt 900

    Example:  publicai-edge tune dist/demo-library-1.0.0
    """
    from publicai_edge.bundle.manifest import FILE_NAME
    from publicai_edge.pipeline import tune_recipe
    from publicai_edge.pipeline.options import Options
    from publicai_edge.store import Store, default_root
    from publicai_edge.tune.search import Work

    console = options.console(as_json=json_, debug=debug, quiet=quiet)
    wanted = tune_recipe.Wanted(Work(prompt, answer), busy, minutes * 60)
    if (recipe / FILE_NAME).is_file():
        if model:
            raise RecipeError("--model goes with a recipe; a bundle has its own.", hint="Leave it out.")
        _bundle(recipe, wanted, console)
        return
    chosen = Options(Path("dist"), Store(cache or default_root()), console, offline=offline, model=model)
    made = tune_recipe.tune(recipe, wanted, chosen)
    value = {**made.tuned.to_json(), "file": str(made.path), "seconds": made.seconds}
    console.data(value, None if json_ else _shown(made, recipe))


def _bundle(folder: Path, wanted: "Wanted", console: "Console") -> None:
    from dataclasses import asdict

    from publicai_edge.bundle.open import open_bundle
    from publicai_edge.pipeline import tune_bundle

    made = tune_bundle.tune(open_bundle(folder), wanted, console)
    found, engine = made.found, made.bundle.manifest.engine
    lines = [*_found(found, made.features, engine.tuned_on), _effort(found, made.seconds)]
    lines[-1] += f" Written into {folder}. Next: publicai-edge serve {shlex.quote(str(folder))}"
    value = {"bundle": str(folder), "engine": engine.tuning.to_json(), "tuned_on": engine.tuned_on}
    console.data({**value, "figures": asdict(found), "seconds": made.seconds}, "\n".join(lines))


def _found(found: "Found", features: "Features", device: str | None) -> list[str]:
    lines = [f"Fastest on {device}: {found.point}", "", *_speeds(found), ""]
    return [*lines, *_reasons(found), *_features(features), ""]


def _effort(found: "Found", seconds: float) -> str:
    return f"{found.samples} measurements of {found.points} points, {seconds / 60:.1f} minutes."


def _shown(made: "Outcome", recipe: Path) -> str:
    found = made.found
    lines = _found(found, made.features, made.tuned.device)
    if made.judged:
        lines += ["What the types lose, in nats per token:", "", *_quality(made), ""]
    lines.append(f"{_effort(found, made.seconds)} Written to {made.path}. Next: publicai-edge build {recipe}")
    return "\n".join(lines)


def _speeds(found: "Found") -> list[str]:
    rows = [["", "prompts, tokens/s", "answers, tokens/s", "seconds"]]
    for name, speed in (("usual settings", found.usual_speed), ("these", found.speed)):
        rows.append([name, f"{speed.prefill:.0f}", f"{speed.decode:.1f}", f"{speed.seconds:.2f}"])
    return columns.lines(rows, right=range(1, 4))


def _reasons(found: "Found") -> list[str]:
    if not found.reasons:
        return ["The usual settings are the fastest."]
    told = []
    for reason in found.reasons:
        brings = f"{reason.ratio:.2f} times as long with {reason.usual}"
        told.append(f"{reason.setting} = {reason.chosen}: {brings}")
        if reason.left:
            told[-1] += "; too little to tell, so the usual value stays"
    return told


def _features(features: "Features") -> list[str]:
    lines = []
    if features.read_seconds:
        ratio = features.read_seconds / max(features.restore_seconds, 1e-9)
        lines.append(
            f"warm = {str(features.warm).lower()}: the longest service prompt is taken up in "
            f"{features.restore_seconds:.3f} s, and read in {features.read_seconds:.2f} s ({ratio:.0f} times as long); "
            f"its state takes {features.state_bytes / 1e6:.1f} MB"
        )
    if features.quoting_seconds:
        lines.append(
            f"drafts = {str(features.drafts).lower()}: an answer that quotes takes {features.drafting_seconds:.2f} s "
            f"with drafts, and {features.quoting_seconds:.2f} s without"
        )
    return lines


def _quality(made: "Outcome") -> list[str]:
    languages = list(dict.fromkeys(language for item in made.judged for language in item.loss))
    rows = [["type", "KV cache", "MB", *languages, "within bounds"]]
    for item in made.judged:
        losses = [f"{item.loss[language]:.4f}" if language in item.loss else "" for language in languages]
        rows.append([item.type, item.kv_type, f"{item.bytes / 1e6:.0f}", *losses, "yes" if item.passes else "no"])
    return columns.lines(rows, right=range(2, 3 + len(languages)))
