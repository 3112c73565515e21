"""The entry point: collects the verbs. Nothing heavy is imported here, so that ``--help`` answers at once."""

from typing import Annotated

import typer

from publicai_edge.cli import (
    ask,
    bench,
    build,
    convert,
    device,
    doctor,
    evaluate,
    imatrix,
    pack,
    plan,
    pull,
    quantize,
    recipe,
    serve,
    tune,
    verify,
)
from publicai_edge.cli.failure import Group

app = typer.Typer(
    name="publicai-edge",
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Build offline AI bundles from open models, and run them on a kiosk with the network unplugged.\n\n"
        "A steward:  publicai-edge build recipes/demo.toml\n\n"
        "An operator:  publicai-edge serve dist/demo-library-1.0.0 --open"
    ),
)


def _version(wanted: bool) -> None:
    if wanted:
        from publicai_edge import __version__

        typer.echo(f"publicai-edge {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


STEWARD = "Steward: make a bundle"
OPERATOR = "Operator: use a bundle"

app.command("build", rich_help_panel=STEWARD)(build.build)
app.command("plan", rich_help_panel=STEWARD)(plan.plan)
app.command("tune", rich_help_panel=STEWARD)(tune.tune)
app.command("pull", rich_help_panel=STEWARD)(pull.pull)
app.command("convert", rich_help_panel=STEWARD)(convert.convert)
app.command("imatrix", rich_help_panel=STEWARD)(imatrix.imatrix)
app.command("quantize", rich_help_panel=STEWARD)(quantize.quantize)
app.command("evaluate", rich_help_panel=STEWARD)(evaluate.evaluate)
app.command("pack", rich_help_panel=STEWARD)(pack.pack)
app.add_typer(recipe.app, name="recipe", rich_help_panel=STEWARD)
app.command("verify", rich_help_panel=OPERATOR)(verify.verify)
app.command("serve", rich_help_panel=OPERATOR)(serve.serve)
app.command("ask", rich_help_panel=OPERATOR)(ask.ask)
app.add_typer(bench.app, name="bench", rich_help_panel=OPERATOR)
app.add_typer(device.app, name="device", rich_help_panel=OPERATOR)
app.command("doctor", rich_help_panel=OPERATOR)(doctor.doctor)


def main() -> None:
    """Run the command line."""
    app()
