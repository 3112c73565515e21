"""One round of `bench` whose evaluations all take longer than they do: a regression whose size is known.

After each evaluation the process computes for as long again as makes the speed what it was, times ``1 - share``. So the
slowdown is one of the program, in whatever the machine does meanwhile, and what measures it knows nothing of it.
"""

import time
from collections.abc import Sequence
from typing import Any

from publicai_edge import child
from publicai_edge.bench import speed
from publicai_edge.bench.settings import Settings, Target
from publicai_edge.bench.speed import Samples
from publicai_edge.progress import Progress, Silent


def measure(target: Target, settings: Settings, share: float) -> Samples:
    """Measure one round, slower by ``share``; as :func:`publicai_edge.bench.speed.measure`."""
    payload = {**speed.payload(target, settings), "share": share}
    result = child.run(f"{__name__}:_measure", payload, what="measure it slowed down", progress=Silent())
    return Samples(**result.value)


def _measure(payload: dict[str, Any], progress: Progress) -> dict[str, Any]:
    whole = speed.Lane.evaluate
    more = 1 / (1 - payload["share"]) - 1

    def slowed(lane: speed.Lane, tokens: Sequence[int], *, logits: bool) -> None:
        started = time.perf_counter()
        whole(lane, tokens, logits=logits)
        end = time.perf_counter()
        end += (end - started) * more
        while time.perf_counter() < end:
            pass

    speed.Lane.evaluate = slowed  # type: ignore[method-assign] # that is what is planted
    return speed.measure_here(payload, progress)
