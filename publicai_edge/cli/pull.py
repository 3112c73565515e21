"""``publicai-edge pull``: fetch into the cache."""

from pathlib import Path
from typing import Annotated

import typer

from publicai_edge.cli import options
from publicai_edge.errors import RecipeError


def pull(
    what: Annotated[str, typer.Argument(help="A recipe (.toml), or one source.", show_default=False)],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also copy the files into this folder.")] = None,
    revision: Annotated[
        str | None, typer.Option("--revision", help="For hf: sources: a branch, tag or commit.")
    ] = None,
    sha256: Annotated[str | None, typer.Option("--sha256", help="Digest the file must have.")] = None,
    update_lock: Annotated[
        bool, typer.Option("--update-lock", help="Resolve every source anew instead of using the lock file.")
    ] = False,
    offline: options.Offline = False,
    cache: options.Cache = None,
    quiet: options.Quiet = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Fetch what a recipe needs, or one source, into the cache.

    Downloads resume where they stopped and are checked; a recipe's are pinned in its lock file.

    Example:  publicai-edge pull recipes/demo.toml

    Example:  publicai-edge pull hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF/qwen2.5-0.5b-instruct-q4_0.gguf -o models
    """
    from publicai_edge import atomic
    from publicai_edge.pipeline.build import pull as pull_recipe
    from publicai_edge.pipeline.options import Options
    from publicai_edge.sources import Fetcher, Request
    from publicai_edge.store import Store, default_root

    console = options.console(as_json=json_, debug=debug, quiet=quiet)
    if output:
        atomic.check_folder(output)
    store = Store(cache or default_root())
    if what.endswith(".toml"):
        if revision or sha256:
            raise RecipeError("--revision and --sha256 belong to a single source; a recipe names its own.")
        chosen = Options(Path("dist"), store, console, offline=offline, update_lock=update_lock)
        pins = pull_recipe(Path(what), chosen)
    else:
        request = Request(what, revision, sha256, Path.cwd())
        pins = {"source": Fetcher(store, console, offline=offline).fetch(request)}
    lines = []
    for role, pin in pins.items():
        if output:
            store.export(pin.files, output if role == "source" else output / role)
        for path, blob in pin.files:
            place = (output if role == "source" else output / role) / path if output else store.path(blob)
            lines.append(str(place))
    console.data({role: pin.to_json() for role, pin in pins.items()}, "\n".join(lines))
