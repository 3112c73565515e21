"""``publicai-edge build``: from a recipe to a bundle."""

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from publicai_edge.cli import key as keys
from publicai_edge.cli import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from publicai_edge.bundle.signing.pairs import PrivateKey
    from publicai_edge.cli.console import Console
    from publicai_edge.pipeline.build import Built
    from publicai_edge.pipeline.options import Options
    from publicai_edge.pipeline.steps import StepResult

PROGRAM = "publicai-edge"
_NAMES_SHOWN = 5

Output = Annotated[Path, typer.Option("--output", "-o", help="Folder the bundle is put into.")]
Zip = Annotated[bool, typer.Option("--zip", help="Also write the bundle as a .zip beside it.")]
SignWith = Annotated[
    Path | None,
    typer.Option("--sign-with", help="Sign the bundle with this private key, as `sign` does.", show_default=False),
]


def build(
    recipe: options.RecipePath,
    output: Output = Path("dist"),
    zip_: Zip = False,
    sign_with: SignWith = None,
    update_lock: Annotated[
        bool, typer.Option("--update-lock", help="Resolve every source anew instead of using the lock file.")
    ] = False,
    runtime: Annotated[
        str | None,
        typer.Option(
            "--runtime",
            help="Platforms whose program goes into the bundle, such as linux-x86_64,linux-aarch64 "
            "(default: the recipe's target.platforms).",
            show_default=False,
        ),
    ] = None,
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
            runtimes=None if runtime is None else tuple(runtime.split(",")),
        ),
        console,
        as_zip=zip_,
        sign_with=sign_with,
    )


def run(recipe: Path, chosen: "Options", console: "Console", *, as_zip: bool, sign_with: Path | None = None) -> None:
    """Build and print what came of it; ``pack`` does the same with files made by hand."""
    from publicai_edge.bundle import pack
    from publicai_edge.pipeline.build import build as build_bundle

    key = keys.load(sign_with) if sign_with else None  # a wrong password is told before the work
    built = build_bundle(recipe, chosen)
    signature = _sign(built.folder, key, console) if key else None
    archive = None
    if as_zip:
        archive = pack.write_zip(built.folder, built.folder.with_name(f"{built.folder.name}.zip"), console)
    console.table("What was done", ["stage", "", "seconds", "peak memory"], _rows(built))
    disk = built.report["budget"]["disk_bytes"] / 1e6
    state = "" if built.written else ", unchanged"
    start = shlex.join([_program(), "serve", str(built.folder), "--open"])
    if left_out := [item["name"] for item in (built.report.get("index") or {}).get("skipped", ())]:
        console.warn(f"{_named(left_out)} not in the bundle; START-HERE.html tells why.")
    console.say(f"The bundle is ready ({disk:,.0f} MB{state}). Try it: {start}")
    value = {
        "bundle": str(built.folder),
        "zip": str(archive) if archive else None,
        "signature": str(signature) if signature else None,
        "written": built.written,
        "steps": [
            {"name": step.name, "reused": step.reused, "seconds": step.seconds, **step.measured} for step in built.steps
        ],
        "report": built.report,
    }
    console.data(value, str(archive or built.folder))


def _program() -> str:
    """Return what a shell finds this program by: its name, or its path where it is not on the PATH."""
    own = Path(sys.executable).with_name(PROGRAM)
    found = shutil.which(PROGRAM)
    return str(own) if own.exists() and (found is None or not own.samefile(found)) else PROGRAM


def _named(names: "Sequence[str]") -> str:
    shown = ", ".join(names[:_NAMES_SHOWN])
    more = len(names) - _NAMES_SHOWN
    several = "are" if len(names) > 1 else "is"
    return f"{shown} and {more} more are" if more > 0 else f"{shown} {several}"


def _sign(folder: Path, key: "PrivateKey", console: "Console") -> Path:
    """Sign what was built; a bundle that did not change since this key signed it stays as it is."""
    from publicai_edge.bundle.signing.sign import sign as add
    from publicai_edge.bundle.signing.sign import signature_of

    return signature_of(folder, key) or add(folder, key, console).file


def _rows(built: "Built") -> list[list[str]]:
    """Return a row for each kind of step: trying many types makes many of one kind."""
    kinds: dict[str, list[StepResult]] = {}
    for step in built.steps:
        kinds.setdefault(step.name, []).append(step)
    rows = [_row(name, steps) for name, steps in kinds.items()]
    rows.append(["pack", "written" if built.written else "unchanged", "", ""])
    return rows


def _row(name: str, steps: "list[StepResult]") -> list[str]:
    """Return a kind's row: seconds of all that were made, the highest peak of one."""
    from publicai_edge.quantize import KEEP

    made = [step for step in steps if not step.reused]
    peak = max((step.measured.get("peak_rss_bytes") or 0 for step in made), default=0)
    memory = f"{peak / 1e6:,.0f} MB" if peak else ""
    seconds = f"{sum(step.seconds for step in made):.1f}" if made else ""
    if len(steps) == 1:
        state = "kept as it is" if steps[0].facts.get("type") == KEEP else "made" if made else "reused"
        return [name, state, seconds, memory]
    counts = (("made", len(made)), ("reused", len(steps) - len(made)))
    return [name, ", ".join(f"{count} {state}" for state, count in counts if count), seconds, memory]
