"""``publicai-edge install``, ``rollback``, ``uninstall``, ``installed``: bundles on a kiosk, version after version."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from publicai_edge.cli import options

if TYPE_CHECKING:
    from publicai_edge.bundle.install.acceptance import Acceptance, Return
    from publicai_edge.bundle.install.operation import Done, Rules
    from publicai_edge.cli.console import Console

To = Annotated[
    Path | None,
    typer.Option(
        "--to",
        help="Folder of the installed bundles (default: /opt/publicai-edge for root, else the user's data folder).",
        show_default=False,
    ),
]
Name = Annotated[str, typer.Argument(help="The installed bundle's name.", show_default=False)]
Unsigned = Annotated[
    bool, typer.Option("--unsigned", help="Take a bundle that no trusted key signed; written into the log.")
]


def _said(reason: str | None) -> str | None:
    if reason is not None and not reason.strip():
        raise typer.BadParameter("say why, in words that whoever reads the log understands.")
    return reason


Downgrade = Annotated[
    str | None,
    typer.Option(
        "--allow-downgrade",
        metavar="REASON",
        callback=_said,
        help="Take a release that is not newer than the highest one installed here; the reason goes into the log.",
        show_default=False,
    ),
]
NoSelfTest = Annotated[bool, typer.Option("--no-self-test", help="Do not load the model and ask it a question.")]


def folder_of(to: Path | None) -> Path:
    """Return the folder of the installed bundles."""
    from publicai_edge.bundle.install.layout import default_folder

    return (to or default_folder()).absolute()


def rules_of(
    console: "Console",
    check: "type[Acceptance] | type[Return]",
    *,
    unsigned: bool,
    no_self_test: bool,
    downgrade: str | None = None,
    **note: Any,
) -> "Rules":
    """Return what a bundle must pass here: signed by a trusted key, whole, and answering; ``check`` judges."""
    from functools import partial

    from publicai_edge.bundle.install import selftest
    from publicai_edge.bundle.install.acceptance import Acceptance
    from publicai_edge.bundle.install.operation import Rules
    from publicai_edge.bundle.signing.trust import TrustStore

    said = {**note, **({"unsigned": True} if unsigned else {}), **({"self_test": False} if no_self_test else {})}
    judge = check(console, TrustStore().keys(), unsigned)
    return Rules(
        check=judge,
        foresee=judge.foresee if isinstance(judge, Acceptance) else None,
        test=None if no_self_test else partial(selftest.run, progress=console),
        downgrade=downgrade,
        note=said,
    )


def install(
    bundle: options.BundlePath,
    to: To = None,
    unsigned: Unsigned = False,
    allow_downgrade: Downgrade = None,
    no_self_test: NoSelfTest = False,
    quiet: options.Quiet = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Install a bundle, or update the one of its name, so that there is always the old version or the new one.

    It is copied beside what is there, checked as copied, tested, and put in use by one rename. Whatever interrupts it:
    run the same command again. `publicai-edge rollback NAME` goes back.

    Example:  publicai-edge install /media/usb/demo-library-1.0.0
    """
    from publicai_edge.bundle.install import operation
    from publicai_edge.bundle.install.acceptance import Acceptance
    from publicai_edge.bundle.install.staging import FolderSource

    console = options.console(as_json=json_, debug=debug, quiet=quiet)
    rules = rules_of(console, Acceptance, unsigned=unsigned, no_self_test=no_self_test, downgrade=allow_downgrade)
    tell(console, operation.install(FolderSource(bundle), folder_of(to), rules, console), unsigned=unsigned)


def tell(console: "Console", done: "Done", *, unsigned: bool, back: bool = False) -> None:
    """Say what an installation, or with ``back`` a rollback, came to, and print it."""
    from publicai_edge.bundle.install import service
    from publicai_edge.bundle.install.layout import version_of

    name, version = done.layout.name, version_of(done.entry)
    if unsigned and done.changed:
        console.warn("Nobody's signature was checked. The log says so.")
    if not done.changed and back:
        check = shlex.join(["publicai-edge", "verify", str(done.layout.versions / done.entry)])
        console.say(f"{name} {version} is in use already; nothing was changed, or looked at: `{check}` does that.")
        if done.before:
            console.say(f"Before it was {version_of(done.before)}. To go there: {_way_back(done, by_name=True)}")
    elif not done.changed:
        console.say(f"{name} {version} is in use already, whole; nothing was changed.")
    elif done.before and version_of(done.before) == version:
        console.say(f"{name} {version} is in use, whole. It took the place of what was there of the same version.")
    elif done.before:
        before = version_of(done.before)
        console.say(
            f"{name} {version} is in use; before it was {before}. To go back there: {_way_back(done, by_name=back)}"
        )
    else:
        start = ["publicai-edge", "serve", str(done.layout.current)]
        console.say(f"{name} {version} is in use. Start it: {shlex.join(start)}")
    if done.changed and (hint := service.restart_hint(done.layout, service.default_scope())):
        console.say(f"The service goes on with the version it started with until: {hint}")
    console.data(done.to_json(), str(done.layout.current))


def _way_back(done: "Done", *, by_name: bool) -> str:
    """Return the command that goes to the version before.

    `rollback` alone goes to what was there before the newest; after one, only the version's name leads there.
    """
    from publicai_edge.bundle.install.layout import version_of

    command = ["publicai-edge", "rollback", done.layout.name]
    command += ["--version", version_of(done.before)] if by_name and done.before else []
    return shlex.join([*command, *_to(done.layout.folder)])


def _to(folder: Path) -> list[str]:
    return ["--to", str(folder)] if folder != folder_of(None) else []


def rollback(
    name: Name,
    to: To = None,
    version: Annotated[
        str | None,
        typer.Option("--version", help="Go to this kept version, also forward again.", show_default=False),
    ] = None,
    unsigned: Unsigned = False,
    no_self_test: NoSelfTest = False,
    quiet: options.Quiet = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Go back to the version that was in use before. Run again, it changes nothing.

    As for `install`, a key that is trusted today must have signed it.

    The highest release that was ever installed stays known: a rollback is no way for an old bundle to come in.

    Example:  publicai-edge rollback demo-library
    """
    from publicai_edge.bundle.install import operation
    from publicai_edge.bundle.install.acceptance import Return

    console = options.console(as_json=json_, debug=debug, quiet=quiet)
    rules = rules_of(console, Return, unsigned=unsigned, no_self_test=no_self_test)
    tell(
        console, operation.rollback(name, folder_of(to), rules, console, version=version), unsigned=unsigned, back=True
    )


def uninstall(
    name: Name,
    to: To = None,
    quiet: options.Quiet = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Remove an installed bundle: its versions, its log, its service, and the folders made for it.

    What it remembers of releases goes too.

    Example:  publicai-edge uninstall demo-library
    """
    from publicai_edge.bundle.install import operation, service

    console = options.console(as_json=json_, debug=debug, quiet=quiet)
    layout = operation.removable(name, folder_of(to))
    unit = service.remove(layout, service.default_scope(), console)
    operation.uninstall(name, folder_of(to), console)
    value = {"name": layout.name, "removed": str(layout.home), "unit": str(unit) if unit else None}
    console.data(value, f"{layout.home} is removed.")


def installed(
    to: To = None,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Show the installed bundles: the version in use, the one before, and the highest release ever.

    Example:  publicai-edge installed --json
    """
    from publicai_edge.bundle.install.inventory import installed as found_in
    from publicai_edge.bundle.install.inventory import interrupted_in

    console = options.console(as_json=json_, debug=debug)
    folder = folder_of(to)
    found = found_in(folder)
    rows = [
        [item["name"], item["version"], str(item["release"]), item["previous"] or "", str(item["highest_release"])]
        for item in found
    ]
    if rows:
        console.table(f"Installed in {folder}", ["name", "version", "release", "before", "highest"], rows)
    else:
        console.say(f"No bundle is installed in {folder}.")
    if waiting := interrupted_in(folder):
        name, size = waiting
        remove = ""
        if name and all(item["name"] != name for item in found):  # else it would remove what is in use as well
            remove = f", or remove it: {shlex.join(['publicai-edge', 'uninstall', name, *_to(folder)])}"
        what = f"An installation of {name or 'a bundle'} was interrupted, and {size / 1e6:,.1f} MB of it are kept."
        console.say(f"{what} Run it again to go on{remove}.")
    lines = [f"{item['name']} {item['version']} {item['path']}" for item in found]
    console.data({"folder": str(folder), "bundles": found}, "\n".join(lines) or None)
