"""``publicai-edge runtime``: the standalone program that a bundle carries for machines without Python."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from publicai_edge.cli import options

if TYPE_CHECKING:
    from publicai_edge.pipeline.runtimes import Runtime

app = typer.Typer(help="Make the program that a bundle carries, for kiosks without Python.", no_args_is_help=True)

Platform = Annotated[
    str | None,
    typer.Argument(help="Such as linux-x86_64 or linux-aarch64 (default: this machine's).", show_default=False),
]


@app.command("build")
def build(
    platform: Platform = None,
    mirror: Annotated[
        str | None,
        typer.Option("--mirror", help="Address of Debian's archive (default: the one apt uses).", show_default=False),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Compilers at a time (default: one a core).", show_default=False)
    ] = None,
    zim: Annotated[bool, typer.Option("--zim", help="With what reads ZIM files: 27 MB more, under the GPL.")] = False,
    offline: options.Offline = False,
    cache: options.Cache = None,
    quiet: options.Quiet = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Make the runtime for a platform: a portable llama.cpp, a Python, and this program, in one folder.

    Takes a quarter of an hour on two cores; what is finished is kept when it is interrupted.

    Example:  publicai-edge runtime build linux-aarch64
    """
    from publicai_edge.pipeline import runtimes
    from publicai_edge.runtime import platforms
    from publicai_edge.store import Store, default_root

    console = options.console(as_json=json_, debug=debug, quiet=quiet)
    store = Store(cache or default_root())
    found, steps = runtimes.build(
        platform or platforms.here(), store, console, mirror=mirror, jobs=jobs, offline=offline, zim=zim
    )
    made = found.manifest
    if made.size > made.budget:
        console.warn(f"The runtime has {made.size / 1e6:,.1f} MB; it should have {made.budget / 1e6:,.0f} MB at most.")
    console.say(
        f"{made.name} is ready: {made.size / 1e6:,.1f} MB, for glibc {made.glibc} or newer. "
        f"Pack it: publicai-edge build RECIPE --runtime {made.platform}"
    )
    value = runtimes.describe(found)
    value["steps"] = [{"name": step.name, "reused": step.reused, "seconds": step.seconds} for step in steps]
    console.data(value, made.name)


@app.command("list")
def list_(cache: options.Cache = None, json_: options.Json = False, debug: options.Debug = False) -> None:
    """List the runtimes that can be packed.

    Example:  publicai-edge runtime list
    """
    from publicai_edge.pipeline import runtimes
    from publicai_edge.store import Store, default_root

    console = options.console(as_json=json_, debug=debug)
    found = list(runtimes.all_of(Store(cache or default_root())))
    if not found:
        console.say("There are none. Make one: publicai-edge runtime build")
    console.data([runtimes.describe(runtime) for runtime in found], "\n".join(map(_line, found)))


def _line(runtime: "Runtime") -> str:
    made = runtime.manifest
    state = "" if runtime.current else "  made from other code than this program's"
    return f"{made.name}  {made.size / 1e6:,.1f} MB  glibc {made.glibc or '-'}{state}"


@app.command("export")
def export(
    platform: Platform = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write, or its folder.", show_default=False)
    ] = None,
    cache: options.Cache = None,
    quiet: options.Quiet = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Write a runtime as one file, for another laptop.

    Example:  publicai-edge runtime export linux-aarch64
    """
    from publicai_edge.pipeline import runtimes
    from publicai_edge.runtime import platforms
    from publicai_edge.store import Store, default_root

    console = options.console(as_json=json_, debug=debug, quiet=quiet)
    place = runtimes.export(platform or platforms.here(), Store(cache or default_root()), output, console)
    console.say(f"On the other laptop: publicai-edge runtime import {place.name}")
    console.data({"file": str(place), "bytes": place.stat().st_size}, str(place))


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="What `runtime export` wrote.", show_default=False)],
    cache: options.Cache = None,
    quiet: options.Quiet = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Take in a runtime that another machine made; every file is checked against its digest.

    Example:  publicai-edge runtime import publicai-edge-0.1.0-windows-x86_64.runtime.tar
    """
    from publicai_edge.pipeline import runtimes
    from publicai_edge.store import Store, default_root

    console = options.console(as_json=json_, debug=debug, quiet=quiet)
    found = runtimes.bring(file, Store(cache or default_root()), console)
    console.say(f"Its files are as its maker listed them. Who made it, nothing says: ask whoever gave you {file.name}.")
    console.data(runtimes.describe(found), found.manifest.name)


@app.command("path")
def path(
    platform: Platform = None,
    cache: options.Cache = None,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Print the folder of a runtime, ready to be run.

    Example:  "$(publicai-edge runtime path)"/publicai-edge --version
    """
    from publicai_edge.pipeline import runtimes
    from publicai_edge.runtime import platforms
    from publicai_edge.store import Store, default_root

    console = options.console(as_json=json_, debug=debug)
    place = runtimes.lay_out(platform or platforms.here(), Store(cache or default_root()))
    console.data({"folder": str(place)}, str(place))
