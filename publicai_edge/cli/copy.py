"""``publicai-edge copy``: a bundle onto a stick, checked on the stick."""

from pathlib import Path
from typing import Annotated

import typer

from publicai_edge.cli import options


def copy(
    bundle: options.BundlePath,
    target: Annotated[Path, typer.Argument(help="Folder it is put into, such as a stick's.", show_default=False)],
    quiet: options.Quiet = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Copy a bundle onto a stick or a share, and read every byte back from there.

    Looks first whether the files fit and the file system can hold them. A copy that was cut goes on where it was.

    Example:  publicai-edge copy dist/demo-library-1.0.0 /media/usb
    """
    from publicai_edge.bundle.media.copy import copy as run

    console = options.console(as_json=json_, debug=debug, quiet=quiet)
    done = run(bundle, target, console)
    for note in done.notes:
        console.say(note)
    value = {
        "bundle": str(done.folder),
        "files": done.files,
        "bytes": done.bytes,
        "file_system": done.file_system,
        "notes": list(done.notes),
    }
    console.say(f"Copied and read back: {done.files} files, {done.bytes / 1e6:,.1f} MB.")
    console.data(value, str(done.folder))
