"""Quantizing, calibrating and evaluating, beside llama.cpp's own tools of the same version.

    python benchmarks/peers.py                                    builds the tools, once
    python benchmarks/quantization.py [--quick] [--json FILE]     runs both sides alternately, and prints the table

Both sides get the same threads, model, text and context. Times are whole commands where a command is named, so ours
carry the start of Python. The floor of evaluating is the decode itself: each side must multiply every token through
every weight, and both do it with the same library; what can differ is what is done with the logits.

The models: SmolLM2-135M (in 16 bits that were once Q4_1, see material.py), nomic-embed-text (an encoder, really in 16
bits), and, without --quick, Qwen2.5-Coder-1.5B for the time of quantizing alone.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import material, peers, rows
from benchmarks.rows import Row
from publicai_edge import gguf
from publicai_edge.corpus import Corpus, Document, Split, TextSource
from publicai_edge.evaluate import sensitivity
from publicai_edge.evaluate.measure import Measurement, measure
from publicai_edge.evaluate.reference import ReferenceFile, make_reference
from publicai_edge.host import physical_cores
from publicai_edge.progress import Silent
from publicai_edge.quantize import collect, mix, quantize

CONTEXT = 512
THREADS = physical_cores()
PARITY = ("en", "sw", "hi")


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer runs, and no model of 1.5 billion parameters")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parts: dict[str, Callable[[Path, Split], list[Row]]] = {
        "quantizing": lambda work, _: quantizing(work, runs, chosen.quick),
        "calibrating": lambda work, split: calibrating(work, split, few),
        "evaluating": lambda work, split: evaluating(work, split, few, PARITY[:2] if chosen.quick else PARITY),
        "mixing": mixing,
        "languages": languages,
        "converting": lambda work, _: converting(work),
    }
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts), help="only these parts")
    chosen = parser.parse_args()
    runs, few = (3, 2) if chosen.quick else (7, 5)
    split = material.texts()
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen.only:
            print(f"{name} …", file=sys.stderr, flush=True)
            found += parts[name](Path(folder), split)
    return rows.report(found, chosen.json)


def quantizing(work: Path, runs: int, quick: bool) -> list[Row]:
    """Time F16 to Q4_K_M: our command against llama-quantize."""
    models = {"SmolLM2-135M": material.smollm2_f16(), "nomic-embed": material.nomic_f16()}
    if not quick:
        models["Qwen2.5-1.5B"] = material.qwen_f16()
    found = []
    for name, model in models.items():
        figure = f"quantize F16 to Q4_K_M, {name}"
        tool = peers.tool("llama-quantize")
        if tool is None:
            found.append(rows.missing(figure, "llama-quantize is not built: python benchmarks/peers.py"))
            continue
        ours, theirs = work / "ours.gguf", work / "theirs.gguf"
        mine, peer = _paired(
            lambda: _command(_cli("quantize", model, ours, "--type", "Q4_K_M", "-q")),
            lambda: _command([tool, model, theirs, "Q4_K_M", THREADS]),
            3 if name.startswith("Qwen") else runs,
        )
        found.append(rows.against(figure, "s", mine, "llama-quantize", peer, 1.05))
        ours.unlink()
        theirs.unlink()
    return found


def calibrating(work: Path, split: Split, runs: int) -> list[Row]:
    """Time an importance matrix, for each 1,000 tokens: ours takes whole documents, the tool whole chunks."""
    figure = "imatrix of 1,000 tokens, SmolLM2"
    tool = peers.tool("llama-imatrix")
    if tool is None:
        return [rows.missing(figure, "llama-imatrix is not built: python benchmarks/peers.py")]
    model, text = material.smollm2_f16(), work / "calibration.txt"
    text.write_text(material.as_text(split.calibration), "utf-8")
    folder = work / "texts"
    for document in split.calibration.documents:
        place = folder / document.language / f"{document.id.replace('/', '-')}.txt"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(document.text, "utf-8")
    options = [item for language in split.calibration.languages for item in ("-l", language)]
    ours = _cli("imatrix", model, work / "ours.imatrix.gguf", "--texts", folder, *options, "--json", "-q")
    theirs = [tool, "-m", model, "-f", text, "-c", CONTEXT, "-t", THREADS, "--no-ppl"]
    tokens: dict[str, int] = {}

    def mine() -> float:
        started = time.perf_counter()
        out = subprocess.run([str(part) for part in ours], check=True, capture_output=True, text=True).stdout
        spent = time.perf_counter() - started
        tokens["ours"] = sum(json.loads(out)["tokens"].values())
        return spent / tokens["ours"] * 1000

    def peer() -> float:
        started = time.perf_counter()
        command = [*theirs, "-o", work / "theirs.imatrix.gguf"]
        out = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True)
        spent = time.perf_counter() - started
        (chunks,) = set(re.findall(r"computing over (\d+) chunks", out.stdout + out.stderr))
        tokens["theirs"] = int(chunks) * CONTEXT
        return spent / tokens["theirs"] * 1000

    timed = _paired(mine, peer, runs)
    print(f"imatrix: {tokens['ours']:,} tokens, the tool {tokens['theirs']:,}")
    return [rows.against(figure, "s", timed[0], "llama-imatrix", timed[1], 1.1)]


def evaluating(work: Path, split: Split, runs: int, tags: Sequence[str]) -> list[Row]:
    """Time and value of the KL divergence, laid out as the tool lays it out."""
    tool = peers.tool("llama-perplexity")
    if tool is None:
        return [rows.missing("evaluation", "llama-perplexity is not built: python benchmarks/peers.py")]
    model, quantized = material.smollm2_f16(), work / "q4_0.gguf"
    quantize(model, quantized, "Q4_0", allow_requantize=False, progress=Silent())
    found = []
    for language in tags:
        text = "\n\n".join(
            document.text for side in (split.calibration, split.evaluation) for document in side.of(language)
        )
        (work / "text.txt").write_text(text, "utf-8")
        document = Document(f"udhr-{language}", language, text, "udhr")
        common = ["-f", work / "text.txt", "-c", CONTEXT, "-t", THREADS, "--kl-divergence-base", work / "base.kld"]
        base = [tool, "-m", model, *common]
        second = [tool, "-m", quantized, *common, "--kl-divergence"]
        reference = work / "reference"
        said: dict[str, float] = {}

        def make() -> float:
            started = time.perf_counter()
            make_reference(
                reference,
                model,
                [document],
                context=CONTEXT,
                laying="perplexity",
                progress=Silent(),
            )
            return time.perf_counter() - started

        def compare() -> float:
            started = time.perf_counter()
            done = measure(ReferenceFile.open(reference), quantized, [document], progress=Silent())
            said["ours"] = done.languages[0].mean_kl.value
            return time.perf_counter() - started

        def peer() -> float:
            started = time.perf_counter()
            out = subprocess.run([str(part) for part in second], check=True, capture_output=True, text=True)
            spent = time.perf_counter() - started
            said["theirs"] = float(re.findall(r"Mean\s+KLD:\s+([\d.]+)", out.stdout + out.stderr)[0])
            return spent

        first = _paired(make, lambda: _command(base), runs)
        timed = _paired(compare, peer, runs)
        found += [
            rows.against(f"reference pass, {language}", "s", first[0], "llama-perplexity, base", first[1], 1.2),
            rows.against(f"evaluation, {language}", "s", timed[0], "llama-perplexity --kl-divergence", timed[1], 1.2),
            _equal(f"mean KL divergence, Q4_0, {language}", said["ours"], said["theirs"], 0.01),
            rows.against(
                f"reference file, {language}",
                "MB",
                [reference.stat().st_size / 1e6],
                "llama-perplexity",
                [(work / "base.kld").stat().st_size / 1e6],
                1.0,
            ),
        ]
    return found


def mixing(work: Path, split: Split) -> list[Row]:
    """Compare mean KL at the same bytes: each tensor its own type, against llama-quantize's stock mixes.

    On the model with noise (material.py says why), and calibrated by each side's own tool on the same texts.
    """
    tool, collector = peers.tool("llama-quantize"), peers.tool("llama-imatrix")
    if tool is None or collector is None:
        return [rows.missing("mean KL at the same bytes", "the tools are not built: python benchmarks/peers.py")]
    model = material.smollm2_noisy()
    text, theirs, ours = work / "calibration.txt", work / "theirs.imatrix.gguf", work / "ours.imatrix.gguf"
    text.write_text(material.as_text(split.calibration), "utf-8")
    _command([collector, "-m", model, "-f", text, "-c", CONTEXT, "-t", THREADS, "--no-ppl", "-o", theirs])
    collect(model, split.calibration, ours, context=CONTEXT, progress=Silent())
    started = time.perf_counter()
    sensitive = sensitivity.measure(
        model,
        ours,
        split.calibration.documents,
        work / "state.json",
        Silent(),
        tensors=mix.quantizable(model),
    )
    searched = time.perf_counter() - started
    reference = _reference(work, model, split)
    found = []
    for kind in ("Q4_K_M", "Q3_K_M"):
        stock, mixed = work / f"stock-{kind}.gguf", work / f"mixed-{kind}.gguf"
        _command([tool, "--imatrix", theirs, model, stock, kind, THREADS])
        choices = mix.candidates(gguf.read(model), sensitive.losses)
        chosen = mix.assign(choices, stock.stat().st_size, fixed=mix.fixed_bytes(model, choices, ours))
        quantize(
            model,
            mixed,
            mix.BASE_TYPE,
            allow_requantize=False,
            progress=Silent(),
            imatrix=ours,
            tensor_types=dict(chosen.tensor_types),
        )
        kept = [
            _losses(measure(reference, path, split.evaluation.documents, progress=Silent())) for path in (mixed, stock)
        ]
        sizes = [path.stat().st_size / 1e6 for path in (mixed, stock)]
        means = [statistics.fmean(losses.values()) for losses in kept]
        worst = [max(losses.values()) for losses in kept]
        peer = f"{kind} with imatrix"
        found += [
            rows.against(f"mean KL, 8 languages, bytes of {kind}", "", means[:1], peer, means[1:], 0.9),
            rows.against(f"worst language's KL, bytes of {kind}", "", worst[:1], peer, worst[1:], 0.9),
            rows.against(f"bytes, mixed against {kind}", "MB", sizes[:1], peer, sizes[1:], 1.0),
        ]
        print(f"{kind}: mixed {kept[0]}\n{kind}: stock {kept[1]}")
    print(f"search for the mixes: {searched:.0f} s; notes: {sensitive.notes}")
    return found


def languages(work: Path, split: Split) -> list[Row]:
    """Compare the worst language's KL: calibrated on all the languages, or on English alone.

    On the noisy model, as :func:`mixing` does, and for its reason: on a 4-bit grid there is little left to weigh.
    """
    model = material.smollm2_noisy()
    reference = _reference(work, model, split)
    english = Corpus(split.calibration.of("en"), (_source(split.calibration.of("en")),))
    found = []
    matrices = {}
    for name, corpus in (("all", split.calibration), ("en", english)):
        matrices[name] = work / f"{name}.imatrix.gguf"
        collect(model, corpus, matrices[name], context=CONTEXT, progress=Silent())
    for kind in ("Q4_K_M", "Q4_0", "Q3_K_M"):
        kept = {}
        for name, matrix in matrices.items():
            target = work / f"{name}-{kind}.gguf"
            quantize(model, target, kind, allow_requantize=False, progress=Silent(), imatrix=matrix)
            kept[name] = _losses(measure(reference, target, split.evaluation.documents, progress=Silent()))
        print(f"{kind}: calibrated on all {kept['all']}\n{kind}: on English {kept['en']}")
        worst = {name: [max(losses.values())] for name, losses in kept.items()}
        figure = f"worst language's KL, {kind}, calibrated on 8 languages"
        found.append(rows.against(figure, "", worst["all"], "on English alone", worst["en"], 0.9999))
    return found


def converting(work: Path) -> list[Row]:
    """Peak memory of Hugging Face to GGUF, over the bytes of the model's weights."""
    from publicai_edge.convert.gguf import GgufSettings, convert
    from publicai_edge.pipeline.converter import converter_files
    from tests.convert.dequantized import hf_folder

    store = material.store()
    converter = work / "converter"
    store.checkout(converter_files(store, Silent()), converter)
    sources = {"SmolLM2-135M, 32 bits": hf_folder(material.smollm2(), work / "hf32", precision="F32")}
    sources["SmolLM2-135M, 16 bits"] = hf_folder(material.smollm2(), work / "hf16", precision="F16")
    found = []
    for name, folder in sources.items():
        weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
        settings = GgufSettings(type="f16", compare=False)
        _, done = convert(folder, work / "made.gguf", settings, converter, Silent())
        found.append(
            rows.against(
                f"peak memory of HF to GGUF, {name}", "MB", [done.peak_rss_bytes / 1e6], "weights", [weights / 1e6], 1.0
            )
        )
    return found


def _reference(work: Path, model: Path, split: Split) -> ReferenceFile:
    place = work / f"{model.stem}.reference"
    if place.exists():
        return ReferenceFile.open(place)
    return make_reference(place, model, split.evaluation.documents, context=CONTEXT, progress=Silent())


def _losses(measured: Measurement) -> dict[str, float]:
    return {loss.language: round(loss.mean_kl.value, 5) for loss in measured.languages}


def _source(documents: Sequence[Document]) -> TextSource:
    return TextSource.of(documents, name="udhr", license="", license_url=None)


def _equal(figure: str, ours: float, theirs: float, within: float) -> Row:
    """Return the row of a figure that both sides must agree on."""
    ratio = ours / theirs
    return Row(
        figure,
        "",
        ours,
        (ours,),
        f"within {within:.0%}",
        abs(ratio - 1) <= within,
        theirs,
        "llama-perplexity --kl-divergence",
        (theirs,),
        ratio,
    )


def _cli(*arguments: object) -> list[object]:
    return [Path(sys.executable).parent / "publicai-edge", *arguments]


def _command(command: Sequence[object]) -> float:
    os.sync()  # what the other side left unwritten is not this one's to wait for: ours sees its result safely on disk
    started = time.perf_counter()
    done = subprocess.run([str(part) for part in command], check=False, capture_output=True, text=True)
    spent = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr[-2000:]}")
    return spent


def _paired(ours: Callable[[], float], theirs: Callable[[], float], runs: int) -> tuple[list[float], list[float]]:
    """Run both sides alternately, so that what else the machine does falls on both; the first pair warms caches."""
    ours(), theirs()
    pairs = [(ours(), theirs()) for _ in range(runs)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


if __name__ == "__main__":
    sys.exit(main())
