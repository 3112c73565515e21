"""``publicai-edge recipe``: check a recipe, write a new one, print the schema."""

from pathlib import Path
from typing import Annotated

import typer

from publicai_edge.cli import options
from publicai_edge.cli.failure import Group
from publicai_edge.errors import HostError, RecipeError

app = typer.Typer(cls=Group, no_args_is_help=True, help="Check a recipe, write a new one, print its schema.")


@app.command()
def check(
    recipe: options.RecipePath,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Check a recipe without fetching anything; files of this machine that it names are looked at.

    Example:  publicai-edge recipe check recipes/demo.toml
    """
    from publicai_edge.pipeline import candidates, local_sources
    from publicai_edge.pipeline.documents import find_documents
    from publicai_edge.pipeline.texts import licence_text
    from publicai_edge.recipe import load
    from publicai_edge.recipe.oversights import oversights
    from publicai_edge.store import Store, default_root

    console = options.console(as_json=json_, debug=debug)
    loaded = load(recipe)
    candidates.check(loaded.quantize, calibrated=bool(loaded.quality and loaded.quantize.imatrix))
    documents: list[str] = []
    if loaded.knowledge:
        found = find_documents(loaded.knowledge.documents, recipe.parent)
        documents = list(found.readable)
        for name in found.left_out:
            console.warn(f"{name} is of a kind that cannot be read; it will not be in the bundle.")
    for each in loaded.licensed():
        licence_text(each, recipe.parent)
    local_sources.check(loaded, recipe, Store(default_root()))
    missed = oversights(loaded)
    for sentence in missed:
        console.warn(sentence)
    zims = [item.file_name for item in loaded.knowledge.zim] if loaded.knowledge else []
    content = loaded.model_dump(mode="json")
    value = {"recipe": str(recipe), "documents": documents, "zim": zims, "oversights": missed, "content": content}
    languages = ", ".join(loaded.bundle.languages)
    services = len(loaded.services)
    console.data(
        value,
        f"{recipe} is a sound recipe: {loaded.bundle.name} {loaded.bundle.version}, {services} service(s) in "
        f"{languages}, {', '.join([f'{len(documents)} document(s)', *zims])}, model {loaded.model.name}.",
    )


@app.command()
def schema() -> None:
    """Print the JSON Schema of a recipe, for editors.

    Example:  publicai-edge recipe schema > recipe.schema.json
    """
    import json

    from publicai_edge.recipe.model import json_schema

    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


@app.command()
def new(
    path: Annotated[Path, typer.Argument(help="The file to write.", show_default=False)],
    title: Annotated[str, typer.Option("--title", help="What patrons call the place.")] = "Our Library",
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Write a commented recipe to start from; never over an existing file.

    Example:  publicai-edge recipe new my-library.toml --title "Hill Street Library"
    """
    from publicai_edge.recipe.template import EXAMPLE_DOCUMENT, new_recipe

    console = options.console(as_json=json_, debug=debug)
    if path.suffix != ".toml":
        raise RecipeError(f"{path} does not end in .toml.", hint=f"Try {path.with_suffix('.toml')}.")
    text = new_recipe(title)
    documents = path.parent / "documents"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
        if not documents.exists():
            documents.mkdir()
            (documents / "example.md").write_text(EXAMPLE_DOCUMENT, "utf-8")
    except FileExistsError as error:
        raise HostError(f"{path} exists already; it is left as it is.", hint="Choose another name.") from error
    except OSError as error:
        raise HostError(f"Cannot write {path}: {error.strerror}.") from error
    console.say(
        f"Put your documents into {documents}, say in {path} what is yours, and then:\n"
        f"  publicai-edge recipe check {path}\n"
        f"  publicai-edge plan {path} --device NAME    (will it run there? `publicai-edge device list` has the names)\n"
        f"  publicai-edge build {path}"
    )
    console.data({"recipe": str(path), "documents": str(documents)}, str(path))
