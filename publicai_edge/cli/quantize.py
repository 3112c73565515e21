"""``publicai-edge quantize``: make one GGUF file smaller."""

from pathlib import Path
from typing import Annotated

import typer

from publicai_edge.cli import options


def quantize(
    source: Annotated[Path, typer.Argument(help="A GGUF file.", show_default=False)],
    target: Annotated[Path, typer.Argument(help="Where the result goes.", show_default=False)],
    type_: Annotated[str, typer.Option("--type", "-t", help="A llama.cpp type, such as Q8_0.")] = "Q4_K_M",
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
    done = run(source, target, type_, allow_requantize=allow_requantize, progress=console)
    share = done.bytes_after / done.bytes_before
    console.say(
        f"{done.before} to {type_.upper()}: {done.bytes_before / 1e6:,.1f} MB became {done.bytes_after / 1e6:,.1f} MB "
        f"({share:.0%}) in {done.seconds:.1f} s, peak memory {done.peak_rss_bytes / 1e6:,.0f} MB."
    )
    console.data({"file": str(target), **asdict(done)}, str(target))
