"""``/status``: how the kiosk is, on a page for whoever runs it.

Invariants: only this machine reads it, unless the operator shares it; numbers, states and the bundle's own names only,
nothing of any question; asking for it changes nothing.
"""

import asyncio
import os
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response

from publicai_edge import host
from publicai_edge.bundle import validity
from publicai_edge.bundle.install import history
from publicai_edge.bundle.install.layout import Layout, tag_of, version_of
from publicai_edge.bundle.open import Bundle
from publicai_edge.bundle.signing import vouching
from publicai_edge.errors import PublicAIError
from publicai_edge.kiosk import page_files, words
from publicai_edge.kiosk.monitoring import dictation_bytes, readers_bytes, resident_bytes, voices_bytes
from publicai_edge.kiosk.slips import MOST
from publicai_edge.kiosk.staff_routes import is_here
from publicai_edge.kiosk.state import Kiosk
from publicai_edge.kiosk.watch import troubles

_CHANGES = ("installed", "rolled back")


@dataclass(frozen=True)
class _Fixed:
    """What does not change while the kiosk runs, and takes reading files to know."""

    digest: str | None
    signature: vouching.Vouching
    changed: dict[str, str] | None


def operator_routes(kiosk: Kiosk, *, shared: bool) -> APIRouter:
    """Return the routes; ``shared`` lets other machines read them, too."""
    router = APIRouter()
    fixed: list[_Fixed] = []

    def refuse_others(request: Request) -> None:
        if not (shared or is_here(request)):
            raise HTTPException(404)

    @router.get("/status", include_in_schema=False)
    async def show(request: Request) -> Response:
        refuse_others(request)
        return Response(page_files.page("status.html"), media_type=page_files.MEDIA_TYPES[".html"])

    @router.get("/api/operator-status")
    async def status(request: Request) -> dict[str, Any]:
        """Return how the kiosk, its model, its bundle and the machine are; 404 for other machines."""
        refuse_others(request)
        if not fixed:
            fixed.append(await asyncio.to_thread(_fixed, kiosk.bundle))
        return await asyncio.to_thread(describe, kiosk, fixed[0])

    @router.get("/api/operator-words")
    async def spoken(request: Request) -> dict[str, Any]:
        """Return the words of the status page in every language there is; 404 for other machines."""
        refuse_others(request)
        return {
            language: {
                "direction": words.direction(language),
                "words": {
                    key: text for key, text in words.load(language).items() if key.startswith(words.OPERATOR_WORDS)
                },
            }
            for language in words.shipped()
        }

    return router


def describe(kiosk: Kiosk, fixed: _Fixed) -> dict[str, Any]:
    """Return what ``GET /api/operator-status`` answers."""
    manifest, counts, engine = kiosk.bundle.manifest, kiosk.engine.metrics, kiosk.engine.status
    valid = validity.of(manifest)
    total, available = host.memory_bytes()
    more = kiosk.staff.changed() if kiosk.staff else (0, 0)
    return {
        "now": datetime.now().astimezone().isoformat(timespec="seconds"),
        "uptime_seconds": round(time.monotonic() - kiosk.started),
        "troubles": sorted(troubles(kiosk)),
        "bundle": {
            "title": manifest.title,
            "name": manifest.name,
            "version": manifest.version,
            "release": manifest.release,
            "steward": manifest.steward.name,
            "digest": fixed.digest,
            "signature": fixed.signature.state,
            "signers": list(fixed.signature.signers),
            "valid_until": str(valid.until) if valid.until else None,
            "expired": valid.expired,
            "clock_wrong": valid.clock_wrong,
            "changed": fixed.changed,
        },
        "model": {
            "name": manifest.model.name,
            "quantization": manifest.model.quantization,
            "state": engine.state,
            "restarts": counts.restarts,
            "note": engine.facts.get("slots_note"),
        },
        "documents": {
            "state": kiosk.library.state if kiosk.library else "none",
            "documents": (manifest.knowledge.documents if manifest.knowledge else 0) + more[0],
            "passages": (manifest.knowledge.passages if manifest.knowledge else 0) + more[1],
            "ahead": kiosk.ahead.to_json(),
        },
        "answering": {"slots": counts.slots, "busy": counts.slots_busy, "waiting": counts.queued},
        "counts": {name: getattr(counts, name) for name in ("answered", "failed", "cancelled", "refused")},
        "slips": {"count": kiosk.slips.count(), "most": MOST} if kiosk.slips else None,
        "machine": {
            "celsius": host.processor_celsius(),
            "memory_total": total or None,
            "memory_available": available if total else None,
            "memory_web": resident_bytes(os.getpid()),
            "memory_worker": resident_bytes(engine.facts.get("pid")),
            "memory_zim": readers_bytes(kiosk),
            "memory_dictation": dictation_bytes(kiosk),
            "memory_voices": voices_bytes(kiosk),
        },
    }


def _fixed(bundle: Bundle) -> _Fixed:
    try:
        digest = tag_of(bundle.root)
    except PublicAIError:
        digest = None
    return _Fixed(digest, vouching.of(bundle.root), _last_change(bundle))


def _last_change(bundle: Bundle) -> dict[str, str] | None:
    """Return when and how the version in use came, from the log of an installed bundle; None where there is none."""
    folder = bundle.root.resolve().parent
    if folder.name != "versions":
        return None
    try:
        log = history.read(Layout(folder.parent.parent, folder.parent.name))
    except PublicAIError:
        return None
    last = next((line for line in reversed(log) if line.get("action") in _CHANGES), None)
    if last is None:
        return None
    entry = str(last.get("entry", ""))
    return {"time": str(last.get("time", "")), "action": str(last["action"]), "version": version_of(entry)}
