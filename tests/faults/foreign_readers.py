"""Every reader of bytes from elsewhere, and bytes it accepts to start from. A new reader is a line in :data:`READERS`.

A reader takes bytes and returns anything, or raises :class:`PublicAIError` (the readers of lines from the worker, which
never reach a person, raise :class:`BrokenLinkError`). Whatever else it raises is a fault.
"""

import asyncio
import io
import json
import pickle
import random
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric import ec

from publicai_edge import archives, gguf
from publicai_edge.artifact import Blob, FileSet
from publicai_edge.bundle import bag
from publicai_edge.bundle import manifest as bundle_manifest
from publicai_edge.bundle.delta import document
from publicai_edge.bundle.delta.container import open_update
from publicai_edge.bundle.signing import envelope, keys, statement
from publicai_edge.convert.pronunciation import crf
from publicai_edge.engine import embedder
from publicai_edge.engine.embedder import EmbeddingConfig
from publicai_edge.engine.link import BrokenLinkError, Link, read_event
from publicai_edge.engine.voice.folder import VoiceFolder
from publicai_edge.errors import BundleError, PublicAIError
from publicai_edge.knowledge.extract import extract
from publicai_edge.plan import device
from publicai_edge.recipe import lock
from publicai_edge.recipe.load import parse as parse_recipe
from publicai_edge.sources import pickles
from tests.faults import hostile_gguf
from tests.kiosk.conftest import manifest
from tests.knowledge import books

OWN = (PublicAIError, BrokenLinkError)
ROOT = Path(__file__).parent.parent.parent
Reader = Callable[[bytes], object]


@dataclass(frozen=True)
class Target:
    """A reader, and what it accepts."""

    read: Reader
    seeds: Callable[[], list[bytes]]


def _file(read: Callable[[Path], object], name: str = "file") -> Reader:
    """Let a reader of files read bytes."""
    folder = Path(tempfile.mkdtemp(prefix="publicai-edge-fuzz-"))

    def of_bytes(data: bytes) -> object:
        place = folder / name
        place.write_bytes(data)
        return read(place)

    return of_bytes


def _unpacked(place: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="publicai-edge-fuzz-") as folder:
        archives.extract(place, Path(folder) / "out", error=BundleError, limits=archives.Limits(free_bytes=1 << 20))


def _carried(place: Path) -> None:
    with open_update(place) as opened:
        for entry in opened.update.entries:
            with opened.bytes_of(entry) as carried:
                assert len(b"".join(carried.read(entry.carried))) == entry.carried


def _recipe(data: bytes) -> object:
    return parse_recipe(data.decode("utf-8", "replace"))


def _said(data: bytes) -> None:
    """Read what a worker says, as the client does."""

    async def read() -> None:
        stream = asyncio.StreamReader(limit=1 << 20)
        stream.feed_data(data)
        stream.feed_eof()
        link = Link(cast("Any", SimpleNamespace(stdin=object(), stdout=stream)))
        async for message in link.messages():
            read_event(message)

    asyncio.run(read())


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/b.txt", b"content " * 20)
        archive.writestr("empty", b"")
    return buffer.getvalue()


def _update() -> bytes:
    end = document.End("ab" * 32, "town-library", "1.0.0", 1)
    whole = document.Entry("data/a.txt", 140, "cd" * 32)
    pieces = document.Entry("data/b.txt", 5, "ef" * 32, "data/c.txt", ((0, 2), (-1, 3)))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(document.FILE_NAME, document.Update(end, end, (whole, pieces)).to_bytes())
        archive.writestr("new/data/a.txt", b"carried" * 20)
        archive.writestr("part/data/b.txt", b"new")
    return buffer.getvalue()


def _tar(form: int, mode: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=form) as archive:
        for name in ("a/b.txt", "x" * 80 + "/" + "y" * 80):
            entry = tarfile.TarInfo(name)
            entry.size = 100
            archive.addfile(entry, io.BytesIO(bytes(100)))
    return buffer.getvalue()


def _events() -> list[bytes]:
    said: list[dict[str, object]] = [
        {"event": "started", "prompt_tokens": 3, "reused_tokens": 1},
        {"event": "delta", "text": "a word"},
        {"event": "finished", "reason": "stop", "completion_tokens": 2, "prefill_seconds": 0.1, "decode_seconds": 0.2},
        {"event": "error", "error": {"kind": "EngineError", "message": "m", "hint": None, "facts": {"n": 1}}},
    ]
    return [json.dumps(one).encode() + b"\n" for one in said]


def _lock() -> bytes:
    pin = lock.Pin("hf:a/b/c", "1" * 40, None, FileSet({"c": Blob("ab" * 32, 3)}), "main")
    return json.dumps({"format": 1, "pins": {"model": pin.to_json()}}).encode()


_KEY = keys.of(ec.derive_private_key(7, ec.SECP256R1()).public_key())
_SIGNED = statement.Statement("town-library-1.0.0", {"bundle.json": "ab" * 32, "data/model/m.gguf": "cd" * 32})


def _signature(data: bytes) -> bool:
    """Read a signature file, and check it against a key, as ``verify`` does."""
    found = envelope.parse(data, "signature.sigstore.json")
    return _KEY.signed(found.signed_bytes, found.signature)


def _signature_file() -> bytes:
    never_made = bytes.fromhex("3006020101020101")  # in form, and true of nothing
    return envelope.Envelope("x", _KEY.hint, _SIGNED.to_bytes(), never_made).to_bytes()


_SHA = "sha256:" + "0" * 64
_HTML = b"<html><head><title>T</title></head><body><h1>A</h1><p>b <b>c</b></p><table><tr><td>1</td></tr></table></body>"
_MARKDOWN = b"# T\n\nA *b* [c](d).\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n- x\n  - y\n\n```\ncode\n```\n"


def _profiles() -> list[bytes]:
    return [place.read_bytes() for place in sorted((ROOT / "publicai_edge/plan/profiles").glob("*.toml"))]


def _document(name: str) -> Callable[[Path], object]:
    return lambda place: extract(place, name, 1 << 20, 1 << 20)


def _voice_beside(place: Path) -> object:
    place.with_suffix("").touch()
    return VoiceFolder.open(place.parent)


def _voice() -> list[bytes]:
    ids = {sign: [number] for number, sign in enumerate("_^$ ab")}
    told = {"audio": {"sample_rate": 22_050}, "espeak": {"voice": "en-us"}, "inference": {"length_scale": 1},
            "num_speakers": 1, "phoneme_id_map": ids, "phoneme_type": "espeak"}  # fmt: skip
    return [json.dumps(told).encode()]


def _guesser() -> list[bytes]:
    import pycrfsuite

    trainer = pycrfsuite.Trainer(verbose=False)
    trainer.append([{"a": "x"}, {"a": "y"}, {"b": "ü"}], ["one", "two", "one"])
    with tempfile.TemporaryDirectory(prefix="publicai-edge-fuzz-") as folder:
        trainer.train(str(Path(folder) / "model.crf"))
        return [(Path(folder) / "model.crf").read_bytes()]


READERS: dict[str, Target] = {
    "bundle.json": Target(lambda data: bundle_manifest.parse(data, "bundle.json"), lambda: [manifest().to_bytes()]),
    "a manifest of a bag": Target(lambda data: bag.parse_manifest(data, "m"), lambda: [b"ab" * 32 + b"  data/x\n"]),
    "a signature": Target(_signature, lambda: [_signature_file()]),
    "a signed list": Target(lambda data: statement.parse(data, "s"), lambda: [_SIGNED.to_bytes()]),
    "a public key": Target(lambda data: keys.parse(data, "k"), lambda: [_KEY.pem]),
    "a lock file": Target(_file(lock.read, "x.lock.json"), lambda: [_lock()]),
    "a recipe": Target(_recipe, lambda: [(ROOT / "recipes/demo.toml").read_bytes()]),
    "a GGUF header": Target(_file(gguf.read), lambda: [hostile_gguf.whole(), hostile_gguf.Parts(weights=[]).file()]),
    "a zip": Target(_file(_unpacked), lambda: [_zip()]),
    "an update": Target(_file(_carried), lambda: [_update()]),
    "a tar": Target(_file(_unpacked), lambda: [_tar(form, mode) for form in (0, 1, 2) for mode in ("w", "w:gz")]),
    "what a worker says": Target(_said, _events),
    "an embedding's settings": Target(_file(lambda place: embedder.read_config(place.parent), embedder.CONFIG_FILE),
                                      lambda: [EmbeddingConfig(8, "mean", 16, "q ", "", _SHA, _SHA).to_bytes()]),
    "a voice's configuration": Target(_file(_voice_beside, "v.onnx.json"), _voice),
    "a guesser of words": Target(_file(crf.read), _guesser),
    "a machine's profile": Target(lambda data: device.parse(data.decode("utf-8", "replace"), "d"), _profiles),
    "what may be a pickle": Target(_file(pickles.holds_pickle), lambda: [pickle.dumps([1, {"a": 2.5}]), _zip()]),
    "a page in HTML": Target(_file(_document("x.html"), "x.html"), lambda: [_HTML]),
    "a page in Markdown": Target(_file(_document("x.md"), "x.md"), lambda: [_MARKDOWN]),
    "a book": Target(_file(_document("x.epub"), "x.epub"), lambda: [books.book({})]),
}  # fmt: skip


def mutated(seeds: list[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Yield changed copies of the seeds, the same ones for the same seed, and some bytes that were never one."""
    rng = random.Random(seed)
    words = [b"{", b"[", b'"', b"}", b"null", b"-1", b"1e999", b"9" * 5000, b"\0", b"\xff", b"\xed\xa0\x80", b"../",
             b"[" * 3000, b'{"a":' * 3000, b"\n", b"'", b"=", b"\x80", b"\xff\xff\xff\xff"]  # fmt: skip
    for _ in range(count):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.choice([1, 1, 2, 4, 16])):
            at, length = rng.randrange(len(data) + 1), rng.choice([1, 1, 2, 8, 64])
            match rng.randrange(6):
                case 0:
                    data[at : at + 1] = rng.randbytes(1)
                case 1:
                    del data[at : at + length]
                case 2:
                    data[at:at] = data[at : at + length]
                case 3:
                    data[at : at + rng.choice([0, 1, 4])] = rng.choice(words)
                case 4:
                    data[at : at + length] = rng.randbytes(length)
                case 5:
                    data[at:] = data[at : at + length] if rng.random() < 0.2 else data[at:]
        yield bytes(data)


def escapes(read: Reader, things: Iterator[bytes]) -> list[str]:
    """Read everything; return what escaped that is no error of this project's."""
    found = []
    for data in things:
        try:
            read(data)
        except OWN:
            continue
        except Exception as error:  # noqa: BLE001 - what escapes is what is looked for
            found.append(f"{type(error).__name__}: {error} for {data[:60]!r} of {len(data)} bytes"[:300])
    return found
