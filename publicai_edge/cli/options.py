"""The options several verbs share, and what they turn into."""

import os
from pathlib import Path
from typing import Annotated

import typer

from publicai_edge.cli.console import Console

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but warnings and errors.")]
Offline = Annotated[bool, typer.Option("--offline", help="Use the cache only; never touch the network.")]
Cache = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        help="Folder of the cache (default: PUBLICAI_EDGE_CACHE or the user's cache).",
        show_default=False,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="Threads for the model (default: physical cores).", show_default=False),
]
RecipePath = Annotated[Path, typer.Argument(help="The recipe, a .toml file.", show_default=False)]
BundlePath = Annotated[Path, typer.Argument(help="The bundle's folder.", show_default=False)]


def console(*, as_json: bool, debug: bool, quiet: bool = False) -> Console:
    """Return the console of this run; ``--debug`` is remembered for the error handler."""
    if debug:
        os.environ["PUBLICAI_EDGE_DEBUG"] = "1"
    return Console(as_json=as_json, quiet=quiet)
