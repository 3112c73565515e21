"""The one place that turns an error into a message and an exit code.

A :class:`PublicAIError` ends the run with its class's code. Ctrl-C ends it with 130, also before and after a verb runs
(:mod:`.interrupts`). Anything else is a bug of this program: 70, and the traceback with ``--debug``.
"""

import io
import json
import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from publicai_edge.cli import interrupts
from publicai_edge.cli.console import Console
from publicai_edge.cli.interrupts import INTERRUPTED
from publicai_edge.errors import HostError, PublicAIError

BUG = 70


class Group(TyperGroup):
    """The command group whose errors end in :func:`_end`."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb."""
        _take_any_name()
        try:
            with interrupts.as_exceptions():
                return super().invoke(ctx)
        except PublicAIError as error:
            _debug_trace()
            _end(error, "--json" in sys.argv)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            interrupts.end_at_once()  # the person may press it again
            Console().error("Interrupted.", "Run the same command again; what is done is kept.")
            raise typer.Exit(INTERRUPTED) from None
        except MemoryError:
            Console().error(
                "There is not enough memory for this.", "Close other programs, or raise the limit set for this one."
            )
            raise typer.Exit(HostError.exit_code) from None
        except BrokenPipeError:
            # The reader of our output went away, as `| head` does: that is not an error of ours.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            if _is_usage(error):
                raise
            _debug_trace()
            Console().error(
                f"This is a bug in publicai-edge: {type(error).__name__}: {error}",
                "Run it again with --debug and report what it prints, at the project's issue tracker.",
            )
            raise typer.Exit(BUG) from None


def _take_any_name() -> None:
    """Let stdout take names of files that are not UTF-8: escaped, in the form that JSON has too, and no error."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _is_usage(error: Exception) -> bool:
    """Say whether typer itself has words for an error: a wrong option, a missing argument."""
    return hasattr(error, "show") and hasattr(error, "exit_code")


def _end(error: PublicAIError, as_json: bool) -> None:
    Console().error(error.message, error.hint)
    if as_json:
        sys.stdout.write(json.dumps({"error": error.to_json()}, indent=2, ensure_ascii=False, default=str) + "\n")


def _debug_trace() -> None:
    if os.environ.get("PUBLICAI_EDGE_DEBUG"):
        import traceback

        traceback.print_exc()
