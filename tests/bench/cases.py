"""Benchmarks made up for tests: samples around a value, drawn by a seed."""

import random
from collections.abc import Mapping
from typing import Any

from publicai_edge.bench.result import Figure, Run, Subject, Unit, Work

MACHINE = {"cpu": "Example N100", "cores": 4, "physical_cores": 4, "memory_gib": 8, "system": "Linux"}
SETTINGS = {"threads": 4, "lengths": [512], "tokens": 64}
VALUES: dict[str, tuple[float, Unit]] = {
    "bandwidth": (20.0, "GB/s"),
    "peak": (150.0, "GFLOP/s"),
    "load": (0.4, "s"),
    "decode@0": (100.0, "tokens/s"),
    "prefill@512": (500.0, "tokens/s"),
    "decode@512": (90.0, "tokens/s"),
    "first_token_warm": (0.08, "s"),
    "patrons@4": (130.0, "tokens/s"),
    "memory": (300e6, "bytes"),
}


def run(
    seed: int = 0,
    factors: Mapping[str, float] | None = None,
    *,
    everything: float = 1.0,
    noise: float = 0.02,
    rounds: int = 10,
    **more: Any,
) -> Run:
    """A run whose figures are as in VALUES.

    Args:
        seed: of the noise.
        factors: what single figures are multiplied by.
        everything: how much faster the whole machine is, its limits included.
        noise: standard deviation of the logarithm.
        rounds: samples of a figure.
        more: of the run, in place of the usual.
    """
    numbers = random.Random(seed)
    figures = []
    for name, (value, unit) in VALUES.items():
        factor = (factors or {}).get(name, 1.0)
        if unit != "bytes":
            factor *= everything if unit not in {"s"} else 1 / everything
        spread = 0.001 if unit == "bytes" else noise
        samples = tuple(value * factor * numbers.lognormvariate(0, spread) for _ in range(rounds))
        figures.append(Figure(name, unit, samples))
    values: dict[str, Any] = {
        "subject": Subject("model", "model.gguf", "a" * 64, 80_000_000, "GGUF", "Q4_0", "llama", 135_000_000),
        "settings": SETTINGS,
        "machine": MACHINE,
        "engine": {"publicai-edge": "0.1.0", "llama-cpp-python": "0.3.36"},
        "work": Work(80_000_000, 46_000, 220_000_000, 70_000),
        "figures": tuple(figures),
        "notes": ("A note.",),
        "started": "2026-11-24T00:00:00+00:00",
        "seconds": 60.0,
    }
    return Run(**{**values, **more})
