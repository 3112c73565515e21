"""``publicai-edge plan``: will it run on the device, told before the download."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from publicai_edge import columns
from publicai_edge.cli import options
from publicai_edge.errors import RecipeError

if TYPE_CHECKING:
    from publicai_edge.cli.console import Console
    from publicai_edge.pipeline.planning import Plan
    from publicai_edge.plan.device import Profile, Range
    from publicai_edge.plan.forecast import Forecast

DOES_NOT_FIT = 9
_GB = 1e9


def plan(
    recipe: options.RecipePath,
    device: Annotated[
        str | None,
        typer.Option(
            "--device", help="A device of `publicai-edge device list`, or a profile's file.", show_default=False
        ),
    ] = None,
    ram: Annotated[
        float | None, typer.Option("--ram", min=0.25, help="Memory of the device, in GB.", show_default=False)
    ] = None,
    disk: Annotated[
        float | None, typer.Option("--disk", min=0.1, help="Free disk of the device, in GB.", show_default=False)
    ] = None,
    cpu: Annotated[
        str | None,
        typer.Option("--cpu", help="With --ram and --disk: as fast as this device.", show_default=False),
    ] = None,
    offline: options.Offline = False,
    cache: options.Cache = None,
    quiet: options.Quiet = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Tell what a recipe takes of a device, and how fast it will be, before any weights are downloaded.

    Of remote files only the headers are read, a few megabytes. Without a device, what the recipe's target says is
    taken, and nothing is said of speed. Exit code 9 when the bundle does not fit.

    Example:  publicai-edge plan recipes/mini-pc.toml --device intel-n100

    Example:  publicai-edge plan recipes/demo.toml --ram 4 --disk 16 --cpu raspberry-pi-4
    """
    from publicai_edge.pipeline import planning
    from publicai_edge.pipeline.options import Options
    from publicai_edge.recipe import load
    from publicai_edge.store import Store, default_root

    console = options.console(as_json=json_, debug=debug, quiet=quiet)
    loaded = load(recipe)
    profile = _device(device, ram, disk, cpu, (loaded.target.ram_gb, loaded.target.disk_gb))
    chosen = Options(Path("dist"), Store(cache or default_root()), console, offline=offline)
    found = planning.plan(loaded, recipe, profile, chosen)
    console.data(found.to_json())
    if not json_:
        _show(console, recipe, found)
    if not found.fits:
        raise typer.Exit(DOES_NOT_FIT)


def _device(
    device: str | None, ram: float | None, disk: float | None, cpu: str | None, target: tuple[float, float]
) -> "Profile":
    from publicai_edge.pipeline import planning
    from publicai_edge.plan import device as devices

    if device and (ram or disk or cpu):
        raise RecipeError(
            "--device says already what --ram, --disk and --cpu would.", hint="Give either the one or the others."
        )
    return devices.load(device) if device else planning.given(ram or target[0], disk or target[1], cpu)


def _show(console: "Console", recipe: Path, found: "Plan") -> None:
    from publicai_edge.plan.forecast import why_not

    device = found.device
    console.data(None, f"{recipe.name} on {device.title}")
    moved = f", of which {found.transferred / 1e6:.1f} MB were read for this plan" if found.transferred else ""
    here = "nothing: all of it is in the cache" if not found.download else f"{_gb(found.download)}{moved}"
    console.data(None, f"Download  {here}")
    rows = [_row(each) for each in found.forecasts]
    head = ["type", "disk", "memory", "to start", "free", "first word", "tokens/s"]
    _table(console, [[*head, "fits"], *rows])
    for sentence in why_not(found.forecasts):
        console.warn(sentence)
    if not found.fits and not found.instead:
        console.warn("No smaller type, fewer patrons or shorter context would fit: choose a smaller model.")
    if found.instead:
        console.data(None, "This would fit instead:")
        rows = [[words, *_row(each)[1:-1]] for words, each in found.instead]
        _table(console, [["change", *head[1:]], *rows])
    console.data(None, "Memory by tokens of context and patrons at once; what the device does not have is in brackets:")
    _table(console, _memory_rows(found))
    console.data(None, _basis(device))


def _memory_rows(found: "Plan") -> list[list[str]]:
    patrons = sorted({each.patrons for each in found.memory})
    rows = [["context", *(f"{count} patron{'s' if count > 1 else ''}" for count in patrons)]]
    for context in sorted({each.context for each in found.memory}):
        cells = {each.patrons: each for each in found.memory if each.context == context}
        told = [(_gb(cells[count].expected), cells[count].fits) for count in patrons]
        rows.append([f"{context:,}", *(text if fits else f"({text})" for text, fits in told)])
    return rows


def _table(console: "Console", rows: list[list[str]]) -> None:
    console.data(None, "\n".join(["", *columns.lines(rows, right=range(1, len(rows[0]))), ""]))


def _row(each: "Forecast") -> list[str]:
    return [
        each.type,
        _gb(each.disk),
        _gb(each.memory.middle),
        _gb(each.asked),
        _gb(each.free),
        _range(each.first_token, "s"),
        _range(each.tokens_per_second, ""),
        "yes" if each.fits else "no",
    ]


def _range(found: "Range | None", unit: str) -> str:
    if found is None:
        return "not known"
    digits = 0 if found.low >= 10 else 1 if found.low >= 1 else 2  # noqa: PLR2004 - three figures are enough
    return f"{found.low:.{digits}f} to {found.high:.{digits}f} {unit}".rstrip()


def _gb(size: float) -> str:
    return f"{size / _GB:.2f} GB"


def _basis(device: "Profile") -> str:
    if device.measured:
        return (
            "Speeds are predicted from what was measured on that machine (±25 %). Measure: publicai-edge bench BUNDLE"
        )
    if device.published:
        others = sorted({figure.machine for figure in device.published if figure.machine})
        stand_in = f", some of them of other machines ({'; '.join(others)})" if others else ""
        return (
            f"Speeds are predicted from {len(device.published)} published figures{stand_in}; expect no more of them "
            "than their range. On the machine itself: publicai-edge device probe FILE, then plan --device FILE."
        )
    return "Nothing is known of the device's speed: name one with --device, or with --cpu."
