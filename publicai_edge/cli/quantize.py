"""``publicai-edge quantize``: make one GGUF file smaller."""

from pathlib import Path
from typing import Annotated

import typer

from publicai_edge.cli import options


def quantize(
    source: Annotated[Path, typer.Argument(help="A GGUF file.", show_default=False)],
    target: Annotated[Path, typer.Argument(help="Where the result goes.", show_default=False)],
    type_: Annotated[str, typer.Option("--type", "-t", help="A llama.cpp type, such as Q8_0.")] = "Q4_K_M",
    imatrix: Annotated[
        Path | None,
        typer.Option("--imatrix", help="An importance matrix (publicai-edge imatrix).", show_default=False),
    ] = None,
    tensor_types: Annotated[
        Path | None,
        typer.Option(
            "--tensor-types",
            help='Types of single weights, a JSON file: {"blk.0.attn_v.weight": "Q8_0"}.',
            show_default=False,
        ),
    ] = None,
    allow_requantize: Annotated[
        bool, typer.Option("--allow-requantize", help="Take a model that is already quantized.")
    ] = False,
    quiet: options.Quiet = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Quantize a GGUF model.

    Memory stays small whatever the model's size: tensors stream from one file to the other.

    Example:  publicai-edge quantize model.F16.gguf model.Q4_K_M.gguf --type Q4_K_M
    """
    from dataclasses import asdict

    from publicai_edge.quantize import quantize as run

    console = options.console(as_json=json_, debug=debug, quiet=quiet)
    done = run(
        source,
        target,
        type_,
        allow_requantize=allow_requantize,
        progress=console,
        imatrix=imatrix,
        tensor_types=_read_types(tensor_types) if tensor_types else None,
    )
    share = done.bytes_after / done.bytes_before
    console.say(
        f"{done.before} to {type_.upper()}: {done.bytes_before / 1e6:,.1f} MB became {done.bytes_after / 1e6:,.1f} MB "
        f"({share:.0%}) in {done.seconds:.1f} s, peak memory {done.peak_rss_bytes / 1e6:,.0f} MB."
    )
    console.data({"file": str(target), **asdict(done)}, str(target))


def _read_types(path: Path) -> dict[str, str]:
    """Return the file's weights and their types."""
    import json

    from publicai_edge.atomic import host_errors
    from publicai_edge.errors import RecipeError

    try:
        with host_errors("read", path):
            found = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"{path} is not a JSON file: {error}.", hint="Write weights and types as JSON.") from error
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise RecipeError(
            f"{path} does not hold one JSON object of weights and their types.",
            hint='Expected: {"blk.0.attn_v.weight": "Q8_0", …}',
        )
    return found
