"""``publicai-edge staff-code``: turn the staff page of a kiosk on, or off."""

from pathlib import Path
from typing import Annotated

import typer

from publicai_edge.cli import options
from publicai_edge.cli.serve import DocumentsDir

Remove = Annotated[bool, typer.Option("--remove", help="Take the code away: there is no staff page then.")]


def staff_code(
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder, as `serve` is given it.", show_default=False)],
    documents_dir: DocumentsDir = None,
    remove: Remove = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Draw the code that opens the kiosk's page for staff, and print it once; a code drawn before stops to work.

    Run it as the user who runs the kiosk, and as root for a service that was installed by root.

    Example:  publicai-edge staff-code dist/demo-library-1.0.0
    """
    from publicai_edge.bundle.open import open_bundle
    from publicai_edge.kiosk import staff_code as codes
    from publicai_edge.kiosk.staff_place import place_of

    console = options.console(as_json=json_, debug=debug)
    opened = open_bundle(bundle.resolve())
    place = place_of(opened.manifest.name, documents_dir)
    if remove:
        gone = codes.remove(place)
        console.data(
            {"removed": gone, "folder": str(place)}, "There is no staff page now." if gone else "There was none."
        )
        return
    if opened.knowledge_path is None or opened.embedding_path is None:
        console.warn("This bundle has no documents that are searched, so nothing can be added to it.")
    code = codes.draw()
    codes.store(place, code)
    console.say(f"Write the code down now: only a hash of it is kept, in {place}.")
    console.say("Staff open the page /staff on the kiosk itself, or follow the link under “About this kiosk”.")
    console.data({"code": code, "folder": str(place)}, code)
