"""The benchmark itself: rounds, until every figure is known well enough or the time is up.

A round measures every figure once, in processes of its own; so a figure's samples lie apart in time, and what a machine
does for a minute (grows warm, is used by somebody) falls on all figures alike and shows in their intervals.

Invariants: a benchmark that is ended goes on where it was: each finished round is kept beside the output until the
result is written; a round counts whole or not at all.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from publicai_edge import __version__, atomic, digest
from publicai_edge.bench import documents, machine, service, speed, statistics
from publicai_edge.bench.result import Figure, Planned, Run, Unit
from publicai_edge.bench.settings import Effort, Settings, Target
from publicai_edge.bench.speed import Samples
from publicai_edge.engine.config import EngineConfig
from publicai_edge.errors import EngineError
from publicai_edge.kept import Kept
from publicai_edge.progress import Progress

UNITS: dict[str, Unit] = {
    "prefill": "tokens/s",
    "decode": "tokens/s",
    "patrons": "tokens/s",
    "load": "s",
    "start": "s",
    "first_token_cold": "s",
    "first_token_warm": "s",
    "memory": "bytes",
    "gpu_memory": "bytes",
    "energy": "J/token",
    "embed": "texts/s",
    "search": "s",
    "bandwidth": "GB/s",
    "peak": "GFLOP/s",
}
# Held to no precision: they are for orientation, or as steady as the machine lets them be.
_LOOSE = {"load", "start", "memory", "gpu_memory", "bandwidth", "peak", "energy", "first_token_cold"}
_FEWEST = 6


def run(
    target: Target,
    settings: Settings,
    effort: Effort,
    output: Path,
    progress: Progress,
    *,
    config: EngineConfig | None,
    system: str,
    measure: Mapping[str, Callable[[], Samples]] | None = None,
    planned: Planned | None = None,
) -> Run:
    """Measure ``target``, and write the result to ``output``.

    Args:
        target: what.
        settings: how.
        effort: how long.
        output: the JSON file; rounds are kept beside it until it is written.
        progress: where it is shown.
        config: what the engine is started with; None where it cannot be asked.
        system: the prompt of the service that is asked.
        planned: what was predicted, to be shown beside it.
        measure: what measures each part in a round, in place of the real ones.

    Raises:
        PublicAIError: it cannot be loaded, or does not run; what was measured before is kept.
    """
    parts = dict(measure) if measure is not None else _parts(target, settings, config, system)
    key = digest.of_json({"target": asdict(target.subject), "settings": settings.to_json(), "version": __version__})
    kept = Kept.open(output.with_name(f"{output.name}.part"), key)
    hot = machine.throttled()
    began, started = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    if kept.rounds:
        progress.say(f"{len(kept.rounds)} rounds of this benchmark are there already; it goes on after them.")
    facts: dict[str, Any] = {}
    with progress.task(f"Measuring {target.subject.name}", total=effort.rounds, unit="rounds") as task:
        task.advance(len(kept.rounds))
        while not _enough(kept.rounds, effort, time.monotonic() - began):
            if len(kept.rounds) >= effort.rounds:
                task.set_total(len(kept.rounds) + 1)
            found = Samples()
            for part in parts.values():
                samples = part()
                found.values |= samples.values
                found.disturbed += samples.disturbed
                found.facts |= samples.facts
            if not all(value > 0 for value in found.values.values()):
                raise EngineError("A measurement gave no time at all.", hint="Give longer lengths and more tokens.")
            kept.add(asdict(found))
            task.advance(1)
    for values in kept.rounds:
        facts |= values["facts"]
    figures = _figures(kept.rounds)
    notes = [*_notes(figures, effort, hot), *([facts["energy"]] if "energy" in facts else [])]
    result = Run(
        subject=target.subject,
        settings=settings.to_json(),
        machine=machine.facts(),
        engine=engine_facts(target.engine, facts),
        work=target.work,
        figures=figures,
        notes=tuple(notes),
        started=started,
        seconds=round(time.monotonic() - began, 1),
        planned=planned,
    )
    atomic.write_bytes(output, (json.dumps(result.to_json(), indent=1) + "\n").encode())
    kept.done()
    return result


def _parts(
    target: Target, settings: Settings, config: EngineConfig | None, system: str
) -> dict[str, Callable[[], Samples]]:
    found: dict[str, Callable[[], Samples]] = {}
    if "speed" in settings.parts:
        found["speed"] = lambda: speed.measure(target, settings)
    if "service" in settings.parts and config is not None:
        found["service"] = lambda: service.measure(config, system, settings)
    bundle = target.bundle
    if "documents" in settings.parts and bundle is not None:
        found["documents"] = lambda: documents.measure(bundle)
    return found


def _enough(rounds: list[dict[str, Any]], effort: Effort, seconds: float) -> bool:
    if len(rounds) < effort.rounds:
        return False
    if seconds >= effort.seconds:
        return True
    figures = _figures(rounds)
    held = [figure for figure in figures if figure.name.partition("@")[0] not in _LOOSE]
    return all(statistics.is_steady(figure.samples, effort.within) for figure in held)


def _figures(rounds: list[dict[str, Any]]) -> tuple[Figure, ...]:
    """Return what all rounds have, in the order of the first."""
    first = rounds[0]["values"] if rounds else {}
    found = []
    for name in first:
        if not all(name in item["values"] for item in rounds):
            continue
        samples = tuple(float(item["values"][name]) for item in rounds)
        disturbed = sum(name in item["disturbed"] for item in rounds)
        found.append(Figure(name, UNITS[name.partition("@")[0]], samples, disturbed))
    return tuple(found)


def _notes(figures: tuple[Figure, ...], effort: Effort, hot: int | None) -> list[str]:
    notes = []
    noisy = [
        figure.name
        for figure in figures
        if figure.name.partition("@")[0] not in _LOOSE and not statistics.is_steady(figure.samples, effort.within)
    ]
    few = max((len(figure.samples) for figure in figures), default=0) < _FEWEST
    if few:
        notes.append(
            f"A median's interval takes {_FEWEST} rounds at least; with fewer, how sure a figure is is not known."
        )
    elif noisy:
        notes.append(
            f"Too noisy to know within {effort.within:.0%}: {', '.join(noisy)}. A quieter machine, or more time "
            "(--budget), makes them surer."
        )
    if busy := [f"{figure.name} ({figure.disturbed})" for figure in figures if figure.disturbed]:
        notes.append(f"Other programs used the processor in some rounds of {', '.join(busy)}.")
    now = machine.throttled()
    if hot is None or now is None:
        notes.append("Whether the processor was slowed down by heat is not told by this machine.")
    elif now > hot:
        notes.append(f"The processor was slowed down by heat {now - hot} times while this was measured.")
    return notes


def engine_facts(engine: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the versions of this program and of its engine, and of ``facts`` what says how it was built."""
    from importlib.metadata import version

    library = "llama-cpp-python" if engine == "llama" else "onnxruntime"
    found = {"publicai-edge": __version__, library: version(library)}
    return {**found, **{name: facts[name] for name in ("build", "gpus", "gpu_layers") if name in facts}}
