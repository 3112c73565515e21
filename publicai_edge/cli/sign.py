"""``publicai-edge sign``: vouch for a bundle."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from publicai_edge.cli import key as keys
from publicai_edge.cli import options

if TYPE_CHECKING:
    from publicai_edge.bundle.signing.pairs import PrivateKey
    from publicai_edge.cli.console import Console

Key = Annotated[
    Path, typer.Option("--key", help="The private key, NAME.pem of `publicai-edge key new`.", show_default=False)
]


def sign(
    bundle: options.BundlePath,
    key: Key,
    quiet: options.Quiet = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Sign a bundle: check every byte of it, and vouch for what was found.

    A second person signs the same bundle with another key; the signatures lie beside each other.

    Example:  publicai-edge sign dist/hill-street-library-1.0.0 --key hill-street.pem
    """
    console = options.console(as_json=json_, debug=debug, quiet=quiet)
    run(bundle, keys.load(key), console)


def run(bundle: Path, key: "PrivateKey", console: "Console") -> None:
    """Sign, and say what came of it."""
    from publicai_edge.bundle.signing.sign import sign as add

    signed = add(bundle, key, console)
    needed = signed.checked.manifest.signatures_required
    if signed.signatures < needed:
        console.say(f"The recipe asks for {needed} signatures; {needed - signed.signatures} to go, by other keys.")
    value = {
        "bundle": str(bundle),
        "signature": str(signed.file),
        "fingerprint": key.public.fingerprint,
        "signatures": signed.signatures,
        "signatures_required": needed,
        "files": signed.checked.files,
        "bytes": signed.checked.bytes,
    }
    console.data(value, str(signed.file))
