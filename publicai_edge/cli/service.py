"""``publicai-edge service``: start an installed bundle with the machine."""

from typing import Annotated

import typer

from publicai_edge.cli import install, options

app = typer.Typer(no_args_is_help=True, help="Start an installed bundle with the machine, by systemd.")
Print = Annotated[bool, typer.Option("--print", help="Print the unit; write nothing.")]
User = Annotated[
    bool,
    typer.Option("--user", help="For the user's own service manager, which can shut the service in less."),
]


@app.command("install")
def install_(
    name: install.Name,
    to: install.To = None,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="Port of the page.", show_default="8017")
    ] = None,
    user: User = False,
    print_: Print = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Write the systemd unit of an installed bundle, and start it now and with the machine.

    It names the version in use by its link: after an update, restart the service.

    Example:  publicai-edge service install demo-library
    """
    from publicai_edge.bundle.install import service, unit
    from publicai_edge.bundle.install.layout import named

    console = options.console(as_json=json_, debug=debug)
    layout = named(install.folder_of(to), name)
    scope: unit.Scope = "user" if user else service.default_scope()
    if print_:
        text = unit.text(layout, unit.program_of(layout), scope, port)
        console.data({"name": unit.name_of(layout), "scope": scope, "text": text}, text.rstrip("\n"))
        return
    place = service.install(layout, scope, console, port)
    console.data({"unit": str(place), "scope": scope}, str(place))


@app.command("remove")
def remove(
    name: install.Name,
    to: install.To = None,
    user: User = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Stop the service of a bundle and remove its unit; the bundle stays installed.

    Example:  publicai-edge service remove demo-library
    """
    from publicai_edge.bundle.install import service, unit
    from publicai_edge.bundle.install.layout import Layout
    from publicai_edge.errors import NotFoundError

    console = options.console(as_json=json_, debug=debug)
    scope: unit.Scope = "user" if user else service.default_scope()
    place = service.remove(Layout(install.folder_of(to), name), scope, console)
    if place is None:
        raise NotFoundError(
            f"{service.units_folder(scope)} has no unit of a bundle called {name!r}.",
            hint="`publicai-edge installed` lists the bundles; --user looks among the user's own services.",
        )
    console.data({"removed": str(place)}, f"{place} is removed.")
