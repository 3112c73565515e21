"""The entry point: collects the verbs. Nothing heavy is imported here, so that ``--help`` answers at once."""

import typer

from publicai_edge.cli import (
    bench,
    build,
    convert,
    delta,
    device,
    doctor,
    evaluate,
    imatrix,
    key,
    operator,
    options,
    pack,
    plan,
    pull,
    quantize,
    recipe,
    runtime,
    sign,
    tune,
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


@app.callback()
def _root(version: options.Version = False) -> None:
    pass


STEWARD = "Steward: make a bundle"

app.command("build", rich_help_panel=STEWARD)(build.build)
app.command("plan", rich_help_panel=STEWARD)(plan.plan)
app.command("tune", rich_help_panel=STEWARD)(tune.tune)
app.command("pull", rich_help_panel=STEWARD)(pull.pull)
app.command("convert", rich_help_panel=STEWARD)(convert.convert)
app.command("imatrix", rich_help_panel=STEWARD)(imatrix.imatrix)
app.command("quantize", rich_help_panel=STEWARD)(quantize.quantize)
app.command("evaluate", rich_help_panel=STEWARD)(evaluate.evaluate)
app.command("pack", rich_help_panel=STEWARD)(pack.pack)
app.add_typer(key.app, name="key", rich_help_panel=STEWARD)
app.command("sign", rich_help_panel=STEWARD)(sign.sign)
app.command("diff", rich_help_panel=STEWARD)(delta.diff)
app.add_typer(recipe.app, name="recipe", rich_help_panel=STEWARD)
app.add_typer(runtime.app, name="runtime", rich_help_panel=STEWARD)
operator.add_to(app)
app.add_typer(bench.app, name="bench", rich_help_panel=operator.PANEL)
app.add_typer(device.app, name="device", rich_help_panel=operator.PANEL)
app.command("doctor", rich_help_panel=operator.PANEL)(doctor.doctor)


def main() -> None:
    """Run the command line."""
    app()
