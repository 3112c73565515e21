"""``publicai-edge imatrix``: collect what a quantization should spend its precision on."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from publicai_edge.cli import options
from publicai_edge.errors import RecipeError

if TYPE_CHECKING:
    from publicai_edge.cli.console import Console
    from publicai_edge.corpus import Corpus


def imatrix(
    model: Annotated[Path, typer.Argument(help="A GGUF file, best in F16 or BF16.", show_default=False)],
    target: Annotated[Path, typer.Argument(help="Where the importance matrix goes (.gguf).", show_default=False)],
    texts: Annotated[
        list[Path],
        typer.Option("--texts", help="A file or folder of texts; may be given several times.", show_default=False),
    ],
    languages: Annotated[
        list[str],
        typer.Option("--language", "-l", help="A language of the texts; may be given several times."),
    ] = ["en"],  # noqa: B006 - Typer reads it and never changes it
    context: Annotated[int, typer.Option("--context", min=32, help="Tokens evaluated together.")] = 512,
    per_language: Annotated[
        int | None,
        typer.Option("--tokens", min=1, help="Tokens of each language (default: what all have).", show_default=False),
    ] = None,
    threads: options.Threads = None,
    quiet: options.Quiet = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Collect an importance matrix for `publicai-edge quantize --imatrix`.

    With several languages, a text tells its own by its folder or name: texts/sw/leaflet.txt, leaflet.sw.md. Every
    language brings about the same number of tokens.

    Example:  publicai-edge imatrix model.F16.gguf model.imatrix.gguf --texts texts -l en -l sw
    """
    from publicai_edge import atomic
    from publicai_edge.quantize import collect

    console = options.console(as_json=json_, debug=debug, quiet=quiet)
    tags = options.languages(languages)
    atomic.check_target(target, model, *texts)
    corpus = _read(texts, tags, console)
    report = collect(
        model, corpus, target, context=context, per_language=per_language, threads=threads, progress=console
    )
    for note in report.notes:
        console.warn(note)
    counts = ", ".join(f"{language} {count:,}" for language, count in report.tokens.items())
    console.say(
        f"{report.entries} weights observed over {sum(report.tokens.values()):,} tokens ({counts}) of "
        f"{report.documents:,} documents in {report.seconds:.1f} s."
    )
    if report.partial:
        console.warn(f"No token reached some experts of {len(report.partial)} weights: give more texts.")
    console.data({"file": str(target), **report.to_json()}, str(target))


def _read(texts: list[Path], languages: tuple[str, ...], console: "Console") -> "Corpus":
    from publicai_edge.corpus import files

    reading = files.Reading(languages=languages, language=languages[0] if len(languages) == 1 else None)
    name = ", ".join(place.name for place in texts)
    corpus = files.read(texts, reading, name=name, license="not stated", progress=console)
    if missing := [language for language in languages if not corpus.of(language)]:
        raise RecipeError(
            f"--texts {' '.join(map(str, texts))} hold nothing in {', '.join(missing)}, so the matrix would know "
            "nothing of it.",
            hint="Put texts in a folder named after their language (sw/leaflet.txt), end the file's name with it "
            "(leaflet.sw.txt), or leave out that --language.",
        )
    return corpus
