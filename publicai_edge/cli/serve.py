"""``publicai-edge serve``: run the kiosk."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from publicai_edge.cli import options

if TYPE_CHECKING:
    from publicai_edge.cli.console import Console

Host = Annotated[str, typer.Option("--host", help="Address to listen on; only this machine reaches the default.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes any free one.")]
Names = Annotated[
    list[str] | None,
    typer.Option("--name", help="A further name or address terminals use for this kiosk; may be repeated."),
]
Slots = Annotated[
    int | None,
    typer.Option("--slots", min=1, max=64, help="Patrons answered at the same time.", show_default="the bundle's"),
]
Open = Annotated[bool, typer.Option("--open", help="Open the page in the browser.")]
DocumentsDir = Annotated[
    Path | None,
    typer.Option(
        "--documents-dir",
        help="Folder for what staff add to the documents, for their code, and for patrons' slips.",
        show_default="one of the bundle's own, which outlasts its updates",
    ),
]
FullScreen = Annotated[
    bool, typer.Option("--fullscreen", help="Keep the page on the whole screen, in a browser that remembers nothing.")
]

ShareStatus = Annotated[
    bool, typer.Option("--share-status", help="Let other machines read /status, the operator's page.")
]
Printing = Annotated[
    bool | None,
    typer.Option(
        "--printing/--no-printing",
        help="Offer to print answers (default: yes, but not with --fullscreen, where it prints without a dialog).",
        show_default=False,
    ),
]


def serve(
    bundle: options.BundlePath,
    host: Host = "127.0.0.1",
    port: Port = 8017,
    name: Names = None,
    open_: Open = False,
    fullscreen: FullScreen = False,
    printing: Printing = None,
    share_status: ShareStatus = False,
    threads: options.Threads = None,
    slots: Slots = None,
    gpu_layers: options.GpuLayers = None,
    documents_dir: DocumentsDir = None,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Serve a bundle's page and its OpenAI-style API until Ctrl-C; needs no network.

    Example:  publicai-edge serve dist/demo-library-1.0.0 --open
    """
    import signal
    from contextlib import ExitStack

    from publicai_edge.bundle import validity
    from publicai_edge.bundle.open import open_bundle
    from publicai_edge.cli import parts
    from publicai_edge.errors import HostError
    from publicai_edge.kiosk import screen
    from publicai_edge.kiosk.server import serve as run
    from publicai_edge.kiosk.staff_place import PASSAGES, place_of

    console = options.console(as_json=json_, debug=debug)
    console.show_log("publicai_edge.kiosk")
    if host in {"0.0.0.0", "::"} and not name:  # noqa: S104 - compared, not bound
        raise HostError(
            f"--host {host} listens on every address, but the kiosk answers only to names it knows, and it knows none.",
            hint="Give this machine's own address with --host, or the name terminals use with --name.",
        )
    browser = screen.find() if fullscreen else None
    if browser:  # the web server raises the signal again that ended it; by default that would leave the browser behind
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    opened = open_bundle(bundle.resolve())  # an update that moves the link meanwhile must not be mixed in
    if warning := validity.of(opened.manifest).warning:
        console.warn(warning)
    layers = options.gpu_layers(gpu_layers, opened.manifest.engine.name, console)

    staff = parts.staff(opened, documents_dir)
    place = place_of(opened.manifest.name, documents_dir)

    with ExitStack() as shown:

        def on_ready(address: str) -> None:
            console.data({"url": address, "api": f"{address}v1"}, address)
            console.say("The kiosk is open. Press Ctrl-C to stop it.")
            if browser:
                listening = opened.manifest.dictation is not None
                shown.enter_context(
                    screen.filled(browser, address, console.warn, printing=bool(printing), listening=listening)
                )
            elif open_:
                _open_page(address, console)

        run(
            opened,
            parts.engine(opened, threads, slots, layers, place / PASSAGES),
            parts.documents(opened, staff),
            host=host,
            port=port,
            names=name or (),
            staff=staff,
            state=place,
            share_status=share_status,
            printing=not fullscreen if printing is None else printing,
            on_ready=on_ready,
        )
    console.say("The kiosk is closed.")


def _open_page(address: str, console: "Console") -> None:
    """Open the page beside the server: a text browser, or ``$BROWSER``, is waited for until it ends."""
    import threading
    import webbrowser

    def work() -> None:
        if not webbrowser.open(address):
            console.warn(f"No browser could be started here. Open {address} in one yourself.")

    threading.Thread(target=work, daemon=True).start()
