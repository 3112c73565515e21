"""One verb without the others: a kiosk verifies before anything else, and must not wait for what it does not use.

Everything but that verb goes to ``main``, which knows all of them.
"""

import os
import sys

# pydantic asks every installed package whether it is a plugin of its. None is wanted here, and asking takes longer than
# to verify a small bundle.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def main() -> None:
    """Run the command line."""
    if sys.argv[1:2] == ["verify"]:
        _verify()
    else:
        from publicai_edge.cli.main import main as every

        every()


def _verify() -> None:
    import typer

    from publicai_edge.cli import verify
    from publicai_edge.cli.failure import Group

    app = typer.Typer(
        name="publicai-edge",
        cls=Group,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(lambda: None)  # or typer would leave out the verb's name
    app.command("verify")(verify.verify)
    app()
