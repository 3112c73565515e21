"""The options several verbs share, and what they turn into."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from publicai_edge import host
from publicai_edge.cli.console import Console
from publicai_edge.errors import HostError, RecipeError

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


def _check_threads(threads: int | None) -> int | None:
    """Refuse more threads than there are processors: they would wait for each other at every step."""
    if threads is not None and threads > (most := host.usable_cores()):
        raise HostError(
            f"--threads {threads} is more than this machine can run at once.",
            hint=f"Give at most {most}, or leave it out: the engine then takes what is free.",
        )
    return threads


Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        callback=_check_threads,
        help="Threads for the model, always so many (default: physical cores; a kiosk takes fewer while other programs "
        "keep them busy).",
        show_default=False,
    ),
]
GpuLayers = Annotated[
    int | None,
    typer.Option("--gpu-layers", min=0, help="Layers on a graphics processor; 0 for none.", show_default="what fits"),
]
RecipePath = Annotated[Path, typer.Argument(help="The recipe, a .toml file.", show_default=False)]
BundlePath = Annotated[Path, typer.Argument(help="The bundle's folder.", show_default=False)]


def gpu_layers(asked: int | None, engine: Literal["llama", "onnx"], console: Console) -> int | None:
    """Return how many layers go to graphics processors: what was asked for, or, where there are none, None with words.

    Raises:
        EngineError: llama.cpp cannot be loaded.
    """
    from publicai_edge.engine import gpu

    if not asked:
        return asked
    there = gpu.offer() if engine == "llama" else gpu.Offer(supported=False, names=())
    if why := gpu.in_vain(asked, engine, there):
        console.warn(why)
        return None
    return asked


def languages(given: Sequence[str]) -> tuple[str, ...]:
    """Return what ``--language`` named, each once.

    Raises:
        RecipeError: one is no language tag.
    """
    from publicai_edge.recipe.fields import language_tag

    for text in given:
        try:
            language_tag(text)
        except ValueError as error:
            near = _near_tag(text)
            raise RecipeError(
                f"--language is {text!r}; {error}" + (f"; did you mean {near!r}?" if near else "."),
                hint="Give languages by their tags, such as -l en -l sw.",
            ) from error
    return tuple(dict.fromkeys(given))


def _near_tag(text: str) -> str | None:
    """Return the tag of the language that ``text`` names in English, or writes in capitals."""
    import difflib

    from babel import Locale

    tags = {name.casefold(): tag for tag, name in Locale("en").languages.items() if tag.isalpha()}
    if text.casefold() in tags.values():
        return text.casefold()
    near = difflib.get_close_matches(text.casefold(), tags, n=1, cutoff=0.8)
    return tags[near[0]] if near else None


def console(*, as_json: bool, debug: bool, quiet: bool = False) -> Console:
    """Return the console of this run; ``--debug`` is remembered for the error handler."""
    if debug:
        os.environ["PUBLICAI_EDGE_DEBUG"] = "1"
    return Console(as_json=as_json, quiet=quiet)


def _print_version(wanted: bool) -> None:
    if wanted:
        from publicai_edge import __version__

        typer.echo(f"publicai-edge {__version__}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")]
