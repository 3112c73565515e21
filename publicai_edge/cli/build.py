"""``publicai-edge build``: from a recipe to a bundle."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from publicai_edge.cli import options

if TYPE_CHECKING:
    from publicai_edge.cli.console import Console
    from publicai_edge.pipeline.build import Built
    from publicai_edge.pipeline.options import Options

Output = Annotated[Path, typer.Option("--output", "-o", help="Folder the bundle is put into.")]
Zip = Annotated[bool, typer.Option("--zip", help="Also write the bundle as a .zip beside it.")]


def build(
    recipe: options.RecipePath,
    output: Output = Path("dist"),
    zip_: Zip = False,
    update_lock: Annotated[
        bool, typer.Option("--update-lock", help="Resolve every source anew instead of using the lock file.")
    ] = False,
    offline: options.Offline = False,
    cache: options.Cache = None,
    quiet: options.Quiet = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Build the bundle a recipe describes.

    Stages whose inputs did not change are taken from the cache, so an interrupted build continues where it was.

    Example:  publicai-edge build recipes/demo.toml -o dist
    """
    from publicai_edge.pipeline.options import Options
    from publicai_edge.store import Store, default_root

    console = options.console(as_json=json_, debug=debug, quiet=quiet)
    run(
        recipe,
        Options(
            output=output,
            store=Store(cache or default_root()),
            progress=console,
            offline=offline,
            update_lock=update_lock,
        ),
        console,
        as_zip=zip_,
    )


def run(recipe: Path, chosen: "Options", console: "Console", *, as_zip: bool) -> None:
    """Build and print what came of it; ``pack`` does the same with files made by hand."""
    from publicai_edge.bundle import pack
    from publicai_edge.pipeline.build import build as build_bundle

    built = build_bundle(recipe, chosen)
    archive = None
    if as_zip:
        archive = pack.write_zip(built.folder, built.folder.with_name(f"{built.folder.name}.zip"), console)
    console.table("What was done", ["stage", "", "seconds", "peak memory"], _rows(built))
    disk = built.report["budget"]["disk_bytes"] / 1e6
    state = "" if built.written else ", unchanged"
    console.say(f"The bundle is ready ({disk:,.0f} MB{state}). Try it: publicai-edge serve {built.folder} --open")
    value = {
        "bundle": str(built.folder),
        "zip": str(archive) if archive else None,
        "written": built.written,
        "steps": [
            {"name": step.name, "reused": step.reused, "seconds": step.seconds, **step.measured} for step in built.steps
        ],
        "report": built.report,
    }
    console.data(value, str(archive or built.folder))


def _rows(built: "Built") -> list[list[str]]:
    from publicai_edge.quantize import KEEP

    rows = []
    for step in built.steps:
        peak = step.measured.get("peak_rss_bytes")
        memory = f"{peak / 1e6:,.0f} MB" if peak and not step.reused else ""
        seconds = "" if step.reused else f"{step.seconds:.1f}"
        state = "kept as it is" if step.facts.get("type") == KEEP else "reused" if step.reused else "made"
        rows.append([step.name, state, seconds, memory])
    rows.append(["pack", "written" if built.written else "unchanged", "", ""])
    return rows
