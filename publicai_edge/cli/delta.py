"""``publicai-edge diff`` and ``apply``: carry to a kiosk only what changed between two versions of a bundle."""

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from publicai_edge.cli import install, options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from publicai_edge.bundle.delta.rebuild import UpdateSource
    from publicai_edge.bundle.install.operation import Rules
    from publicai_edge.cli.console import Console

Old = Annotated[Path, typer.Argument(help="The version the kiosk has, a bundle folder.", show_default=False)]
New = Annotated[Path, typer.Argument(help="The version it is to have, a bundle folder.", show_default=False)]
UpdatePath = Annotated[Path, typer.Argument(help="The update, a .zip that `diff` wrote.", show_default=False)]


def diff(
    old: Old,
    new: New,
    output: Annotated[Path, typer.Option("--output", "-o", help="The update to write.")] = Path("update.zip"),
    quiet: options.Quiet = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Write an update that carries what OLD lacks of NEW: whole files, or the parts of them that changed.

    It holds NEW's manifests and signatures, so sign NEW first. Says when a full copy is as small.

    Example:  publicai-edge diff dist/demo-library-1.0.0 dist/demo-library-1.1.0 -o update.zip
    """
    from publicai_edge import atomic
    from publicai_edge.bundle.delta.write import write
    from publicai_edge.errors import HostError

    console = options.console(as_json=json_, debug=debug, quiet=quiet)
    atomic.check_target(output)
    if output.exists() and not zipfile.is_zipfile(output):
        raise HostError(f"{output} is there and is no update; it is left as it is.", hint="Give another --output.")
    done = write(old, new, output, console)
    console.say(
        f"{done.kept} files are taken from the old version, {done.patched} from pieces of it, {done.whole} are "
        f"carried whole: {done.size / 1e6:,.2f} MB, where the bundle has {done.full / 1e6:,.1f} MB."
    )
    if not done.worth_it:
        console.warn("A full copy is as small: bring the new bundle itself, with `copy` or `build --zip`.")
    if done.releases[1] <= done.releases[0]:
        console.warn(
            f"The new bundle has release {done.releases[1]}, and the old one {done.releases[0]}: a kiosk takes a "
            "higher number only. Raise `release` in the recipe, build, sign, and run `diff` again."
        )
    for warning in _refusals(new):
        console.warn(warning)
    value = {
        "update": str(done.path),
        "bytes": done.size,
        "full_bytes": done.full,
        "kept": done.kept,
        "patched": done.patched,
        "whole": done.whole,
        "worth_it": done.worth_it,
    }
    console.data(value, str(done.path))


def _refusals(new: Path) -> "Iterator[str]":
    """Yield what a kiosk would refuse a bundle for, that its steward can still mend."""
    from publicai_edge.bundle import validity
    from publicai_edge.bundle.signing import names
    from publicai_edge.bundle.verify import glance

    if (found := glance(new)) is None:
        return
    there, wanted = len(names.present(path.name for path in new.iterdir())), found.manifest.signatures_required
    if there < max(1, wanted):
        has = f"has {there} of the {wanted} signatures it asks for" if wanted else "is not signed"
        yield f"{new} {has}: a kiosk takes it with --unsigned only. Sign it, and run `diff` again."
    if validity.of(found.manifest).expired:
        yield f"{new} is past its last day, {found.manifest.valid_until}: no kiosk takes it."


def apply(
    update: UpdatePath,
    to: install.To = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            help="Build on this bundle folder, and put the new one beside it, instead of updating what is installed.",
            show_default=False,
        ),
    ] = None,
    unsigned: install.Unsigned = False,
    allow_downgrade: install.Downgrade = None,
    no_self_test: install.NoSelfTest = False,
    quiet: options.Quiet = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Update an installed bundle by what `diff` wrote, in the same steps as `install`; `rollback` undoes it.

    The new version is put together from the old one's files and the update, and checked against its own manifests and
    signatures.

    Example:  publicai-edge apply update.zip
    """
    from publicai_edge.bundle.delta import rebuild
    from publicai_edge.bundle.delta.container import open_update
    from publicai_edge.bundle.install import operation
    from publicai_edge.bundle.install.acceptance import Acceptance
    from publicai_edge.bundle.install.layout import named

    console = options.console(as_json=json_, debug=debug, quiet=quiet)
    rules = install.rules_of(
        console,
        Acceptance,
        unsigned=unsigned,
        no_self_test=no_self_test,
        downgrade=allow_downgrade,
        update=update.name,
    )
    if bundle is not None:
        _beside(rebuild.UpdateSource.open(update, bundle), bundle, rules, console)
        return
    with open_update(update) as opened:
        name = opened.update.old.name
    folder = install.folder_of(to)
    source = rebuild.UpdateSource.open(update, named(folder, name).in_use())
    install.tell(console, operation.install(source, folder, rules, console), unsigned=unsigned)


def _beside(source: "UpdateSource", bundle: Path, rules: "Rules", console: "Console") -> None:
    """Write the new bundle's folder beside the old one's."""
    from publicai_edge.bundle.delta.beside import write_beside

    target = write_beside(source, bundle.absolute().parent, rules.check, console)
    console.data({"bundle": str(target)}, str(target))
