"""``publicai-edge pack``: a bundle from a model file made by hand."""

from pathlib import Path
from typing import Annotated

import typer

from publicai_edge.cli import build as build_verb
from publicai_edge.cli import options


def pack(
    recipe: options.RecipePath,
    model: Annotated[Path, typer.Option("--model", help="The GGUF file to pack, as it is.", show_default=False)],
    embedding: Annotated[
        Path | None,
        typer.Option("--embedding", help="Folder that `convert` made (default: as the recipe says)."),
    ] = None,
    output: build_verb.Output = Path("dist"),
    zip_: build_verb.Zip = False,
    offline: options.Offline = False,
    cache: options.Cache = None,
    quiet: options.Quiet = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Pack files made by hand into the bundle a recipe describes.

    Like `build`, but the model (and the search model, if given) are taken as they are: nothing is fetched or quantized
    for them. Documents are indexed and service prompts prepared as ever.

    Example:  publicai-edge pack recipes/demo.toml --model my-model.Q8_0.gguf
    """
    from publicai_edge.pipeline.options import Options
    from publicai_edge.store import Store, default_root

    console = options.console(as_json=json_, debug=debug, quiet=quiet)
    chosen = Options(
        output=output,
        store=Store(cache or default_root()),
        progress=console,
        offline=offline,
        model=model,
        embedding=embedding,
    )
    build_verb.run(recipe, chosen, console, as_zip=zip_)
