"""``/health`` and ``/metrics``: how the kiosk is, for the operator's own tools.

Invariant: numbers, states and the bundle's name only; nothing of any request is in them.

The form of ``/metrics`` is Prometheus's text format 0.0.4
(https://prometheus.io/docs/instrumenting/exposition_formats/), which is short enough to write by hand.
"""

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from fastapi import APIRouter, Response
from starlette.responses import JSONResponse

from publicai_edge import __version__
from publicai_edge.engine.protocol import EngineMetrics, State
from publicai_edge.kiosk.replies import RETRY_SECONDS
from publicai_edge.kiosk.state import Kiosk

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Family:
    """One metric: its name, kind and meaning, and how its samples are taken from the engine's counts."""

    name: str
    kind: Literal["gauge", "counter"]
    meaning: str
    value: Callable[[EngineMetrics], float]


_ENGINE = (
    _Family("publicai_edge_slots", "gauge", "Answers that can be written at the same time.", lambda m: m.slots),
    _Family("publicai_edge_slots_busy", "gauge", "Answers being written.", lambda m: m.slots_busy),
    _Family("publicai_edge_requests_queued", "gauge", "Requests that wait for a slot.", lambda m: m.queued),
    _Family(
        "publicai_edge_prompt_tokens_total",
        "counter",
        "Tokens of all prompts, reused ones included.",
        lambda m: m.prompt_tokens,
    ),
    _Family(
        "publicai_edge_reused_tokens_total",
        "counter",
        "Tokens of prompts that needed no computing.",
        lambda m: m.reused_tokens,
    ),
    _Family("publicai_edge_completion_tokens_total", "counter", "Tokens written.", lambda m: m.completion_tokens),
    _Family(
        "publicai_edge_queue_seconds_total",
        "counter",
        "Seconds that requests waited for a slot, summed up.",
        lambda m: m.queue_seconds,
    ),
    _Family(
        "publicai_edge_prefill_seconds_total",
        "counter",
        "Seconds in which prompts were read, summed up over requests.",
        lambda m: m.prefill_seconds,
    ),
    _Family(
        "publicai_edge_decode_seconds_total",
        "counter",
        "Seconds in which answers were written, summed up over requests.",
        lambda m: m.decode_seconds,
    ),
    _Family(
        "publicai_edge_worker_restarts_total",
        "counter",
        "Times the engine's process was started again.",
        lambda m: m.restarts,
    ),
)


def monitoring_routes(kiosk: Kiosk) -> APIRouter:
    """Return the two routes."""
    router = APIRouter()

    @router.head("/health", response_class=Response, include_in_schema=False)
    @router.get("/health", response_class=Response)
    async def health() -> Response:
        """Return the engine's state: 200 when it answers, 503 while it does not."""
        status = kiosk.engine.status
        state = status.state
        if state == "ready":
            note = {"note": status.facts["slots_note"]} if "slots_note" in status.facts else {}
            return JSONResponse({"status": "ok", "engine": state, **note})
        return JSONResponse(
            {"status": "unavailable", "engine": state}, 503, headers={"retry-after": str(RETRY_SECONDS)}
        )

    @router.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Return counts and states in Prometheus's text format."""
        return Response(exposition(kiosk), headers={"content-type": CONTENT_TYPE})

    return router


def exposition(kiosk: Kiosk) -> str:
    """Return what ``GET /metrics`` answers."""
    counts, status = kiosk.engine.metrics, kiosk.engine.status
    manifest = kiosk.bundle.manifest
    about = (("version", __version__), ("bundle", manifest.name), ("bundle_version", manifest.version))
    lines = _family("publicai_edge_info", "gauge", "What runs here.", [(about, 1)])
    states: list[tuple[_Labels, float]] = [
        ((("state", state),), int(state == status.state)) for state in get_args(State)
    ]
    lines += _family("publicai_edge_engine_state", "gauge", "1 for the engine's state, 0 for the others.", states)
    lines += _family("publicai_edge_requests_total", "counter", "Requests, by how they ended.", _ends(counts))
    for family in _ENGINE:
        lines += _family(family.name, family.kind, family.meaning, [((), family.value(counts))])
    if status.state == "ready":
        stored: list[tuple[_Labels, float]] = [
            ((("use", "reused"),), status.facts.get("states_reused", 0)),
            ((("use", "rebuilt"),), len(status.facts.get("states_rebuilt", ()))),
        ]
        meaning = "Service prompts by what became of their stored states when the engine was started."
        lines += _family("publicai_edge_stored_states", "gauge", meaning, stored)
    if kiosk.ahead.state != "none":
        meaning = "Passages, each for every service and language, by whether they are read ahead."
        ahead: list[tuple[_Labels, float]] = [
            ((("read", "yes"),), kiosk.ahead.done),
            ((("read", "not yet"),), kiosk.ahead.all - kiosk.ahead.done),
        ]
        lines += _family("publicai_edge_passages_read_ahead", "gauge", meaning, ahead)
    memory: list[tuple[_Labels, float]] = [
        ((("process", name),), used)
        for name, used in (
            ("web", resident_bytes(os.getpid())),
            ("worker", resident_bytes(status.facts.get("pid"))),
            ("zim", readers_bytes(kiosk)),
            ("dictation", dictation_bytes(kiosk)),
            ("voices", voices_bytes(kiosk)),
        )
        if used is not None
    ]
    if memory:
        lines += _family("publicai_edge_resident_memory_bytes", "gauge", "Memory in use, by process.", memory)
    return "\n".join(lines) + "\n"


def _ends(counts: EngineMetrics) -> list[tuple[_Labels, float]]:
    return [((("outcome", name),), getattr(counts, name)) for name in ("answered", "failed", "cancelled", "refused")]


def _family(name: str, kind: str, meaning: str, samples: list[tuple[_Labels, float]]) -> list[str]:
    lines = [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
        lines.append(f"{name}{{{inner}}} {value!r}" if inner else f"{name} {value!r}")
    return lines


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def readers_bytes(kiosk: Kiosk) -> int | None:
    """Return the resident memory of the processes that read ZIM files; None where there are none."""
    return _together(kiosk.library.pids if kiosk.library else ())


def dictation_bytes(kiosk: Kiosk) -> int | None:
    """Return the resident memory of the process that writes down what is said; None where it does not run."""
    return _together(kiosk.dictation.pids if kiosk.dictation else ())


def voices_bytes(kiosk: Kiosk) -> int | None:
    """Return the resident memory of the process that reads aloud; None where it does not run."""
    return _together(kiosk.voices.pids if kiosk.voices else ())


def _together(pids: Iterable[int]) -> int | None:
    found = [resident_bytes(pid) for pid in pids]
    known = [used for used in found if used is not None]
    return sum(known) if known else None


def resident_bytes(pid: Any) -> int | None:
    """Return a process's resident memory; None where the system does not tell it so, or the process is gone."""
    if sys.platform != "linux" or not isinstance(pid, int):
        return None
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
