"""``publicai-edge convert``: an embedding model from safetensors to ONNX."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from publicai_edge.cli import options


def convert(
    source: Annotated[
        Path,
        typer.Argument(help="Folder with config.json, tokenizer.json, *.safetensors.", show_default=False),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the result.", show_default=False)],
    quantize: Annotated[
        Literal["int8", "none"], typer.Option("--quantize", help="int8 is a quarter of the size.")
    ] = "int8",
    pooling: Annotated[
        Literal["mean", "cls"], typer.Option("--pooling", help="How token vectors become one.")
    ] = "mean",
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=16, help="Tokens the model reads.")] = 256,
    query_prefix: Annotated[str, typer.Option("--query-prefix", help="Text before a question.")] = "",
    passage_prefix: Annotated[str, typer.Option("--passage-prefix", help="Text before a passage.")] = "",
    min_cosine: Annotated[
        float, typer.Option("--min-cosine", min=0, max=1, help="Least mean cosine to the original.")
    ] = 0.98,
    quiet: options.Quiet = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Convert an embedding model to ONNX, and measure what that cost.

    The result is checked against the original by cosine similarity, and refused below --min-cosine. Needs the extra
    `onnx`.

    Example:  publicai-edge convert all-MiniLM-L6-v2 -o minilm-int8
    """
    from dataclasses import asdict

    from publicai_edge.convert.embedding import EmbeddingSettings, convert_embedding

    console = options.console(as_json=json_, debug=debug, quiet=quiet)
    settings = EmbeddingSettings(
        pooling=pooling,
        max_tokens=max_tokens,
        query_prefix=query_prefix,
        passage_prefix=passage_prefix,
        quantize=quantize,
        min_cosine=min_cosine,
    )
    report, child = convert_embedding(source, output, settings, console)
    console.say(
        f"{report.bytes_before / 1e6:,.1f} MB became {report.bytes_after / 1e6:,.1f} MB ({report.quantization}); "
        f"cosine to the original: mean {report.mean_cosine:.4f}, least {report.least_cosine:.4f} "
        f"over {report.texts} texts."
    )
    value = {"folder": str(output), **asdict(report), "peak_rss_bytes": child.peak_rss_bytes}
    console.data(value, str(output))
