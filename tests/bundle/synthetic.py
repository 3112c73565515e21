"""A small bundle of valid form, written by the project's own packer in milliseconds; its model answers nothing.

Two of the same arguments have the same bytes. What a kiosk would load is a few hundred bytes of noise, so that it can
be verified, signed, installed, updated and broken, and not served.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from publicai_edge import digest
from publicai_edge.artifact import Blob
from publicai_edge.bundle import bag, pack
from publicai_edge.bundle.manifest import (
    EngineInfo,
    KnowledgeInfo,
    Manifest,
    ModelInfo,
    ServiceInfo,
    StewardInfo,
)
from publicai_edge.progress import Silent
from publicai_edge.store import Store

MODEL = "data/model/model.gguf"
KNOWLEDGE = "data/knowledge/knowledge.sqlite"


def noise(seed: str, size: int) -> bytes:
    """Return ``size`` bytes that depend on ``seed`` alone."""
    return hashlib.shake_128(seed.encode()).digest(size)


def payload_of(model: bytes, extra: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the payload of a bundle with this model."""
    return {
        MODEL: model,
        KNOWLEDGE: noise("knowledge", 300),
        "data/licenses/model.txt": b"Do what is right with it.\n",
        "data/reports/build.json": b"{}\n",
        **extra,
    }


def manifest_of(payload: Mapping[str, bytes], name: str, version: str, release: int, **changes: Any) -> Manifest:
    """Return the manifest of a bundle with this payload; ``changes`` are fields of it."""
    model = payload[MODEL]
    whole = Manifest(
        name=name,
        version=version,
        release=release,
        title={"en": "Town Library"},
        languages=("en",),
        steward=StewardInfo(name="Town Library", contact="desk@example.org", ask_a_person={"en": "Ask at the desk."}),
        model=ModelInfo(
            name="Noise",
            source="file:noise.gguf",
            revision=None,
            license="CC0-1.0",
            license_url="https://example.org/cc0",
            quantization="F32",
            file=MODEL,
            sha256=f"sha256:{digest.of_bytes(model)}",
            size=len(model),
        ),
        embedding=None,
        knowledge=KnowledgeInfo(file=KNOWLEDGE, license="CC0-1.0", documents=1, passages=1, top=1, min_relevance=0.3),
        services=(
            ServiceInfo(
                id="ask",
                title={"en": "Ask"},
                description={"en": "Ask anything."},
                prompt={"en": "You answer."},
                search=False,
                max_tokens=32,
                temperature=0.0,
                repeat_penalty=1.0,
            ),
        ),
        engine=EngineInfo(context=512),
        session_minutes=10,
        recipe=f"sha256:{digest.of_bytes(f'{name} {version} {release}'.encode())}",
        built_by="publicai-edge 0.1.0",
    )
    return whole.model_copy(update=changes)


def write_bundle(
    parent: Path,
    name: str = "town-library",
    version: str = "1.0.0",
    release: int = 1,
    *,
    model: bytes | None = None,
    extra: Mapping[str, bytes] | None = None,
    **changes: Any,
) -> Path:
    """Write a bundle into ``parent`` and return its folder.

    Args:
        parent: made where it is not there.
        name: of the bundle.
        version: its version; the folder is NAME-VERSION.
        release: its release number.
        model: the bytes in the model's place; by default some that depend on name, version and release.
        extra: further files of the payload, by path (``data/…``).
        changes: further fields of ``bundle.json``, such as ``valid_until``.
    """
    chosen = noise(f"{name} {version} {release}", 800) if model is None else model
    payload = payload_of(chosen, extra or {})
    with TemporaryDirectory() as scratch:
        store = Store(Path(scratch) / "cache")
        blobs: dict[str, tuple[Blob, Path]] = {}
        for path, data in payload.items():
            blob = store.add_bytes(data)
            blobs[path] = (blob, store.path(blob))
        tags = {"START-HERE.html": b"<title>Town Library</title>\n", "start": b"#!/bin/sh\nexit 0\n"}
        manifest = manifest_of(payload, name, version, release, **changes)
        folder, _ = pack.write(pack.Content(manifest, blobs, tags), parent, store, Silent())
    return folder


def list_payload(root: Path) -> None:
    """Write the payload's list and its size, as if what lies below ``data/`` had been built so."""
    payload = {path: blob for path, blob in _blobs(root).items() if path.startswith(bag.PAYLOAD)}
    info = root / bag.INFO
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    fields = dict(line.split(": ", 1) for line in lines if not line.startswith("Payload-Oxum"))
    _write(info, bag.info(fields, payload))
    _write(root / bag.PAYLOAD_MANIFEST, bag.manifest(payload))


def list_anew(root: Path) -> None:
    """Write all lists of a bundle that was changed, as if it had been built so; no linked file is written to."""
    list_payload(root)
    tags = {path: blob for path, blob in _blobs(root).items() if not path.startswith(bag.PAYLOAD)}
    tags.pop(bag.TAG_MANIFEST, None)
    _write(root / bag.TAG_MANIFEST, bag.manifest(tags))


def _blobs(root: Path) -> dict[str, Blob]:
    return {path: Blob(digest.of_file(root / path), (root / path).stat().st_size) for path in pack.files_below(root)}


def _write(place: Path, data: bytes) -> None:
    place.unlink(missing_ok=True)
    place.write_bytes(data)
