"""``publicai-edge trust``: whose signatures count on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from publicai_edge.cli import options

app = typer.Typer(no_args_is_help=True, help="Say whose signatures count on this machine.")


@app.command("add")
def add(
    file: Annotated[Path, typer.Argument(help="The public key, NAME.pub.", show_default=False)],
    name: Annotated[str, typer.Option("--name", help="Who signs with it.", show_default=False)],
    system: Annotated[
        bool, typer.Option("--system", help="For every user of this machine (as administrator).")
    ] = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Trust a key from now on. Compare its fingerprint with its owner's first, by telephone or letter.

    From the first key on, `verify` refuses bundles that no trusted key signed.

    Example:  publicai-edge trust add hill-street.pub --name hill-street
    """
    from publicai_edge.bundle.signing.trust import TrustStore

    console = options.console(as_json=json_, debug=debug)
    key = TrustStore().add(file, name, "system" if system else "user")
    console.data(key.to_json(), f"{key.name}  {key.fingerprint}")


@app.command("list")
def list_(json_: options.Json = False, debug: options.Debug = False) -> None:
    """Show the trusted keys, each with its fingerprint.

    Example:  publicai-edge trust list
    """
    from publicai_edge.bundle.signing.trust import TrustStore

    console = options.console(as_json=json_, debug=debug)
    keys = TrustStore().keys()
    if not keys:
        console.say("No key is trusted on this machine: nobody's signature is checked.")
    lines = [f"{key.name}  {key.fingerprint}  {key.place}" for key in keys]
    console.data([key.to_json() for key in keys], "\n".join(lines) if lines else None)


@app.command("remove")
def remove(
    name: Annotated[str, typer.Argument(help="The key's name, or its fingerprint.", show_default=False)],
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Trust a key no longer.

    Example:  publicai-edge trust remove hill-street
    """
    from publicai_edge.bundle.signing.trust import TrustStore

    console = options.console(as_json=json_, debug=debug)
    store = TrustStore()
    key = store.remove(name)
    if not store.keys():
        console.warn("No key is trusted any more: nobody's signature is checked on this machine.")
    console.data(key.to_json(), f"{key.name}  {key.fingerprint}")
