"""``publicai-edge key``: make the keys that bundles are signed with."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from publicai_edge.cli import options
from publicai_edge.errors import RecipeError

if TYPE_CHECKING:
    from publicai_edge.bundle.signing.pairs import PrivateKey

PASSWORD_VARIABLE = "PUBLICAI_EDGE_KEY_PASSWORD"  # noqa: S105 - the variable's name

app = typer.Typer(no_args_is_help=True, help="Make keys to sign bundles with.")


@app.command("new")
def new(
    name: Annotated[Path, typer.Argument(help="The key's name, or a path that ends in it.", show_default=False)],
    password: Annotated[
        bool,
        typer.Option("--password", help=f"Ask for a password to keep it under (or take {PASSWORD_VARIABLE})."),
    ] = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Make a pair of keys: NAME.pem signs, and is for its owner alone; NAME.pub checks, and is for everybody.

    Example:  publicai-edge key new hill-street --password
    """
    from publicai_edge.bundle.signing import pairs

    console = options.console(as_json=json_, debug=debug)
    given = os.environ.get(PASSWORD_VARIABLE)
    if password and not given:
        if not sys.stdin.isatty():
            raise RecipeError(
                "A password is asked for on a terminal, and there is none here.",
                hint=f"Put it in {PASSWORD_VARIABLE}, or run this in a terminal.",
            )
        given = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    private, public, key = pairs.make(name, given.encode() if given else None)
    console.say(
        f"{private} signs: keep it, with a copy in a safe place, and give it to nobody. {public} checks: put it on "
        "every kiosk, and tell its fingerprint by another way."
    )
    value = {"private_key": str(private), "public_key": str(public), "fingerprint": key.fingerprint}
    console.data(value, f"{private}\n{public}\n{key.fingerprint}")


def load(place: Path) -> "PrivateKey":
    """Return the private key in a file; its password is asked for where it has one, on a terminal.

    Raises:
        SignatureError: it cannot be opened.
    """
    from publicai_edge.bundle.signing import pairs

    given = os.environ.get(PASSWORD_VARIABLE)
    try:
        return pairs.load(place, given.encode() if given else None)
    except pairs.PasswordNeededError:
        if given or not sys.stdin.isatty():
            raise
    return pairs.load(place, typer.prompt(f"Password of {place}", hide_input=True, err=True).encode())
