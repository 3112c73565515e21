"""``publicai-edge ask``: one question on the terminal, answered as the page would."""

import sys
import textwrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from publicai_edge.cli import options
from publicai_edge.cli.console import plain
from publicai_edge.cli.serve import DocumentsDir

if TYPE_CHECKING:
    from publicai_edge.bundle.open import Bundle
    from publicai_edge.cli.console import Console
    from publicai_edge.cli.parts import ReadAdditions
    from publicai_edge.engine.client import WorkerEngine
    from publicai_edge.kiosk.answering import Inquiry


def ask(
    bundle: options.BundlePath,
    question: Annotated[str, typer.Argument(help="The question; - reads it from stdin.", show_default=False)],
    service: Annotated[
        str | None, typer.Option("--service", help="Which service answers (default: the first).")
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", help="Language of the answer (default: the bundle's first).")
    ] = None,
    threads: options.Threads = None,
    gpu_layers: options.GpuLayers = None,
    documents_dir: DocumentsDir = None,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Ask a bundle one question: passages, then the answer with its sources; needs no network.

    Documents that staff added on this machine's kiosk are searched, too, and those they hid are not.

    Example:  publicai-edge ask dist/demo-library-1.0.0 "When is the library open on Saturday?"
    """
    import asyncio

    from publicai_edge.bundle.open import open_bundle
    from publicai_edge.cli import parts
    from publicai_edge.errors import RecipeError
    from publicai_edge.kiosk import words
    from publicai_edge.kiosk.answering import Inquiry, clean

    console = options.console(as_json=json_, debug=debug)
    opened = open_bundle(bundle)
    text = clean(sys.stdin.read() if question == "-" else question)
    if not text:
        raise RecipeError("The question is empty.", hint='Ask, for example: "When are you open?"')
    chosen = opened.manifest.service(service) if service else opened.manifest.services[0]
    if chosen is None:
        names = ", ".join(item.id for item in opened.manifest.services)
        raise RecipeError(f"This bundle has no service {service!r}; it has {names}.")
    languages = opened.manifest.languages
    if language and language not in languages:
        raise RecipeError(f"This bundle does not speak {language!r}; it speaks {', '.join(languages)}.")
    spoken = language or languages[0]
    inquiry = Inquiry(chosen, spoken, text, labels=words.load(spoken))
    layers = options.gpu_layers(gpu_layers, opened.manifest.engine.name, console)
    engine = parts.engine(opened, threads, slots=1, gpu_layers=layers)
    additions = parts.ReadAdditions(opened, documents_dir, console.warn)
    value = asyncio.run(_ask(opened, inquiry, console, engine, additions))
    if json_:
        console.data(value)


async def _ask(
    opened: "Bundle", inquiry: "Inquiry", console: "Console", engine: "WorkerEngine", additions: "ReadAdditions"
) -> dict[str, Any]:
    """Answer and print as it comes; return the whole for ``--json``."""
    from contextlib import aclosing

    from publicai_edge.cli import parts
    from publicai_edge.kiosk import answering
    from publicai_edge.kiosk.library import Library

    opener = parts.documents(opened, additions)
    library = Library(opener) if opener else None
    printer = _Printer(console)
    await engine.start()
    try:
        async with aclosing(answering.answer(opened.manifest, engine, library, inquiry)) as events:
            async for event in events:
                printer.show(event)
    finally:
        printer.end()
        await engine.close()
        if library:
            library.close()
    return printer.value


class _Printer:
    """Prints passages to stderr and the answer, with its source marks, to stdout."""

    def __init__(self, console: "Console") -> None:
        self._console = console
        self._answer = ""
        self.value: dict[str, Any] = {"found": True, "answer": "", "sources": [], "sentences": []}

    def show(self, event: Any) -> None:
        from publicai_edge.kiosk import events

        match event:
            case events.PassagesFound(sources):
                self._passages(sources)
            case events.NothingFound():
                self.value["found"] = False
                self._write("Nothing about this was found in the documents of this bundle.\n")
            case events.AnswerText(text):
                self._answer += text
                self._write(text)
            case events.Attributed(start=start, end=end, sources=sources):
                self._write("".join(f" [{number}]" for number in sources))
                sentence = self._answer[start:end]
                self.value["sentences"].append({"text": sentence, "sources": list(sources)})
            case events.AnswerDone(reason=reason):
                self.value["reason"] = reason

    def _passages(self, sources: Any) -> None:
        for source in sources:
            place = ", ".join(part for part in (source.heading, f"page {source.page}" if source.page else "") if part)
            self._console.say(f"[{source.number}] {source.document}{': ' + place if place else ''} ({source.source})")
            self._console.say(textwrap.indent(source.text.strip(), "    "))
            self.value["sources"].append(
                {
                    "number": source.number,
                    "document": source.document,
                    "source": source.source,
                    "heading": source.heading,
                    "page": source.page,
                    "text": source.text,
                }
            )
        self._console.say("")

    def _write(self, text: str) -> None:
        if not self._console.as_json:
            sys.stdout.write(plain(text))
            sys.stdout.flush()

    def end(self) -> None:
        """End the line, also of an answer that an error breaks off."""
        self.value["answer"] = self._answer
        if self._answer:
            self._write("\n")
        elif self.value.get("reason") == "stop" and self.value["found"]:
            self._console.warn("The model said nothing. `publicai-edge verify` tells whether the bundle is damaged.")
        told = [sentence["sources"] for sentence in self.value["sentences"]]
        if self.value["sources"] and told and not any(told):
            self._console.say("\nNothing in this answer could be matched to the passages above. Read them yourself.")
        if self.value.get("reason") == "length":
            self._console.say("\nThe answer was cut here: it reached the longest length this service allows.")
