"""``publicai-edge verify``: who vouches for a bundle, and is every byte what they vouched for?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from publicai_edge.cli import options

if TYPE_CHECKING:
    from publicai_edge.bundle.verify import Verification


def verify(
    bundle: options.BundlePath,
    public_key: Annotated[
        list[Path] | None,
        typer.Option(
            "--public-key",
            help="Take this key, NAME.pub, instead of those trusted on this machine; more than once for several.",
            show_default=False,
        ),
    ] = None,
    signatures: Annotated[
        int | None,
        typer.Option(
            "--signatures",
            min=1,
            help="How many different keys must have signed (default: as many as the bundle asks for).",
            show_default=False,
        ),
    ] = None,
    quiet: options.Quiet = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Check who signed a bundle, and that it is whole and unchanged; names every file that differs.

    Where no key is trusted on this machine, the files alone are checked, and that is said.

    Example:  publicai-edge verify dist/demo-library-1.0.0
    """
    from publicai_edge.bundle import verify as checks
    from publicai_edge.bundle.signing.trust import TrustedKey

    console = options.console(as_json=json_, debug=debug, quiet=quiet)
    if public_key:
        keys = [TrustedKey.from_file(place) for place in public_key]
        found = checks.verify(bundle, console, keys, signatures)
    else:
        found = checks.verify_here(bundle, console, require=signatures)
    if found.strangers and not found.signers:
        console.warn(
            "Nobody's signature was checked, since no key is trusted on this machine. The bundle is whole, and says "
            f"that it is signed by {', '.join(found.strangers)}: `publicai-edge trust add` its steward's key."
        )
    elif not found.signers:
        console.warn("The bundle is not signed: it is whole, and nothing vouches for where it came from.")
    from publicai_edge.bundle import validity

    judged = validity.of(found.manifest)
    if judged.warning:
        console.warn(judged.warning)
    console.data(_value(bundle, found, expired=judged.expired), _words(found))


def _value(bundle: Path, found: "Verification", *, expired: bool) -> dict[str, object]:
    manifest = found.manifest
    return {
        "bundle": str(bundle),
        "name": manifest.name,
        "version": manifest.version,
        "release": manifest.release,
        "steward": manifest.steward.name,
        "files": found.files,
        "bytes": found.bytes,
        "signed": bool(found.signers),
        "signers": [key.to_json() for key in found.signers],
        "signed_by_unknown": list(found.strangers),
        "signatures_required": manifest.signatures_required,
        "valid_until": str(manifest.valid_until) if manifest.valid_until else None,
        "expired": expired,
    }


def _words(found: "Verification") -> str:
    manifest = found.manifest
    size = f"{manifest.folder_name} is whole: {found.files} files, {found.bytes / 1e6:,.1f} MB"
    if found.signers:
        who = ", ".join(f"{key.name} ({key.fingerprint})" for key in found.signers)
        return f"{size}, none changed since it was signed by {who}."
    return f"{size}, none changed since it was built. It says that {manifest.steward.name} answers for it."
