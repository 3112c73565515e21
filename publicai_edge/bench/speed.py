"""How fast a model reads and writes, without a server around it: one round of measurements in a process of its own.

A round loads the model, measures the machine's limits, and then each figure once: ``decode@0`` writes behind an empty
context, ``prefill@512`` reads 512 random tokens, ``decode@512`` writes behind them. As in ``llama-bench``, tokens are
random, nothing is sampled, and a warm-up comes first; a prompt is read in as large evaluations as the engine makes.

A process of its own for each round, because a process has its luck: where its memory lies decides some percents of its
speed, for as long as it lives.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from publicai_edge import child
from publicai_edge.bench import energy
from publicai_edge.bench.machine import watched
from publicai_edge.bench.settings import Settings, Target
from publicai_edge.engine.lane import WARM_UP, Lane
from publicai_edge.progress import Progress, Silent

_TRIES = 2  # a sample that others disturbed is taken once more


@dataclass
class Samples:
    """What one round brought: a value for each figure, and the names of those that others disturbed."""

    values: dict[str, float] = field(default_factory=dict)
    disturbed: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def take(self, name: str, measure: Callable[[], float]) -> None:
        """Take a sample, once more if others were busy meanwhile; the less disturbed one stays."""
        best: tuple[float, float] | None = None
        for _ in range(_TRIES):
            with watched() as others:
                value = measure()
            if best is None or others.share < best[0]:
                best = (others.share, value)
            if not others.disturbed:
                self.values[name] = value
                return
        if best:
            self.values[name] = best[1]
            self.disturbed.append(name)


def measure(target: Target, settings: Settings) -> Samples:
    """Measure one round in a child process.

    Raises:
        ModelError: the model cannot be loaded.
        EngineError: it does not run.
    """
    what = f"measure {target.subject.name}"
    result = child.run(f"{__name__}:measure_here", payload(target, settings), what=what, progress=Silent())
    return Samples(**result.value)


def payload(target: Target, settings: Settings) -> dict[str, Any]:
    """Return what :func:`measure_here` is given in its process."""
    return {
        "model": str(target.path),
        "engine": target.engine,
        "threads": settings.threads,
        "lengths": list(settings.lengths),
        "tokens": settings.tokens,
        "gpu_layers": settings.gpu_layers,
    }


def measure_here(payload: dict[str, Any], _progress: Progress) -> dict[str, Any]:
    """Measure one round in this process, which has done nothing else."""
    # Read once, when numpy is loaded; which is not yet.
    os.environ["OPENBLAS_NUM_THREADS"] = str(payload["threads"])
    from publicai_edge.bench.limits import Limits

    found = Samples()
    limits = Limits(payload["threads"])
    found.take("bandwidth", limits.bandwidth)
    found.take("peak", limits.peak)
    started = time.perf_counter()
    with opened(payload, found.facts) as context:
        found.values["load"] = time.perf_counter() - started
        if "gpu_memory" in found.facts:
            found.values["gpu_memory"] = float(found.facts.pop("gpu_memory"))
        lane = Lane(context)
        lane.read(WARM_UP)
        lane.write(2)
        lane.clear()
        found.take("decode@0", lambda: lane.write(payload["tokens"]))
        _take_energy(lane, payload["tokens"], found)
        for length in payload["lengths"]:

            def prefill(length: int = length) -> float:
                lane.clear()
                return lane.read(length)

            found.take(f"prefill@{length}", prefill)
            found.take(f"decode@{length}", lambda: lane.write(payload["tokens"]))
    return {"values": found.values, "disturbed": found.disturbed, "facts": found.facts}


def _take_energy(lane: Lane, tokens: int, found: Samples) -> None:
    """Take the joules of a written token, where this machine tells them; else say why not."""
    meter, found.facts["energy"] = energy.gpu_meter() if found.facts.get("gpu_layers") else energy.meter()
    if meter:
        before = meter.read()
        lane.write(tokens)
        found.values["energy"] = meter.joules(before) / tokens


@contextmanager
def opened(payload: dict[str, Any], facts: dict[str, Any]) -> Iterator[Any]:
    """Load the model and make room for the longest prompt and what is written behind it."""
    path, threads = Path(payload["model"]), payload["threads"]
    room = max(payload["lengths"], default=0) + payload["tokens"] + 1
    if payload["engine"] == "onnx":
        from publicai_edge.engine.onnx.context import OnnxContext, OnnxModel

        onnx = OnnxModel(path, threads)
        yield OnnxContext(onnx, length=max(room, WARM_UP + 3), n_seq=1)
        return
    from publicai_edge import gguf
    from publicai_edge.engine.gpu import gpu_plan, gpus
    from publicai_edge.engine.llama import LlamaContext, LlamaModel, system_info

    facts["build"] = system_info()
    devices = gpus()
    layers = payload["gpu_layers"]
    if layers is None or not devices:
        layers = gpu_plan(gguf.read(path), devices, cells=room)
    model = LlamaModel(path, gpu_layers=layers)
    context = LlamaContext(model, n_ctx=max(room, WARM_UP + 3), n_seq=1, threads=threads)
    if layers:
        facts["gpu_layers"] = layers
        facts["gpus"] = [device.name for device in devices]
        facts["gpu_memory"] = sum(before.free - after.free for before, after in zip(devices, gpus(), strict=True))
    try:
        yield context
    finally:
        context.close()
        model.close()
