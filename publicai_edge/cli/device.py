"""``publicai-edge device``: what is known of machines."""

from pathlib import Path
from typing import Annotated

import typer

from publicai_edge import columns
from publicai_edge.cli import options

app = typer.Typer(no_args_is_help=True, help="Device profiles: those that come with the program, and one of this one.")


@app.command("list")
def list_(json_: options.Json = False, debug: options.Debug = False) -> None:
    """List the devices that `publicai-edge plan --device` knows by name.

    Example:  publicai-edge device list
    """
    from publicai_edge.plan import device

    console = options.console(as_json=json_, debug=debug)
    profiles = [device.load(name) for name in device.names()]
    console.data([each.model_dump(exclude_none=True) for each in profiles])
    if not json_:
        rows = [
            [each.name, each.title, f"{each.ram_gb:g} GB", f"{len(each.published)} published figures"]
            for each in profiles
        ]
        console.data(None, "\n".join(columns.lines([["name", "device", "memory", "speed from"], *rows])))


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A device's name, or a profile's file.", show_default=False)],
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Show a device's profile: what is known, and who published or measured it.

    Example:  publicai-edge device show raspberry-pi-5
    """
    from publicai_edge.plan import device

    console = options.console(as_json=json_, debug=debug)
    found = device.load(name)
    lines = [
        found.title,
        f"Processor  {found.cpu}, {found.cores} cores",
        f"Memory     {found.ram_gb:g} GB, {found.system_gb:g} GB of it for the system and a browser",
        f"Disk       {found.disk_gb:g} GB free",
    ]
    for figure in found.published:
        speeds = [(figure.prefill, "read"), (figure.decode, "written")]
        told = ", ".join(f"{speed:g} tokens/s {what}" for speed, what in speeds if speed)
        where = f" on {figure.machine}" if figure.machine else ""
        lines.append(f"Published  {figure.model}{where}: {told}  ({figure.source})")
    if found.measured:
        rates = ", ".join(f"{family} {rate / 1e9:.1f}" for family, rate in found.measured.read.items())
        lines.append(f"Measured   GB of weights a second: {rates}  (threads: {found.measured.threads})")
    lines += [f"Source     {source}" for source in found.sources]
    console.data(found.model_dump(exclude_none=True), "\n".join(lines))


@app.command("probe")
def probe(
    output: Annotated[Path, typer.Argument(help="Where the profile goes (.toml).", show_default=False)],
    threads: options.Threads = None,
    cache: options.Cache = None,
    quiet: options.Quiet = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Measure this machine, in less than a minute, and write its profile.

    Copy the file to where bundles are built: `publicai-edge plan RECIPE --device FILE` then predicts what a model will
    do here. Close other programs first.

    Example:  publicai-edge device probe kiosk.toml
    """
    from publicai_edge import atomic, host
    from publicai_edge.pipeline import planning
    from publicai_edge.pipeline.options import Options
    from publicai_edge.plan import device
    from publicai_edge.store import Store, default_root

    console = options.console(as_json=json_, debug=debug, quiet=quiet)
    atomic.check_target(output, suffix=".toml")
    chosen = Options(Path("dist"), Store(cache or default_root()), console)
    found = planning.this_machine(output.stem, threads or host.physical_cores(), output.absolute().parent, chosen)
    atomic.write_bytes(output, device.to_toml(found).encode())
    console.data(found.model_dump(exclude_none=True), str(output))
