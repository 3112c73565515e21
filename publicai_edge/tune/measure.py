"""How long points take to read a prompt and to write behind it: one pass over the points of a model, in a process.

Each point has a context of its own, one after the other, in the order they are given; threads adapt to what else is
busy, as they do in the engine.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from publicai_edge import child
from publicai_edge.progress import Progress, Silent
from publicai_edge.tuning import Tuning

_SETTLE_SECONDS = 0.3  # so long it takes to see what else is busy
_WARM_WRITES = 2


@dataclass(frozen=True)
class Sample:
    """Seconds for each token read, and for each token written behind them."""

    read: float
    write: float

    def seconds(self, prompt: int, answer: int) -> float:
        """Return the seconds of a prompt and its answer."""
        return prompt * self.read + answer * self.write


def measure(model: Path, tunings: Sequence[Tuning], *, read: int, write: int, adapt: bool = True) -> list[Sample]:
    """Measure each of these settings once, in a child process.

    Args:
        model: a GGUF file.
        tunings: with their number of threads.
        read: tokens of the prompt.
        write: tokens written behind it.
        adapt: whether threads are given up to others that are busy, as the engine does; a peer would not.

    Raises:
        ModelError: the model cannot be loaded.
        EngineError: it does not run with one of the settings.
    """
    payload = {
        "model": str(model),
        "tunings": [tuning.to_json() for tuning in tunings],
        "read": read,
        "write": write,
        "adapt": adapt,
    }
    ran = child.run(f"{__name__}:_measure", payload, what=f"measure {model.name}", progress=Silent())
    return [Sample(*pair) for pair in ran.value]


def _measure(payload: dict[str, Any], _progress: Progress) -> list[tuple[float, float]]:
    """Measure in this process, a child made for it."""
    from publicai_edge import gguf
    from publicai_edge.engine.gpu import gpu_plan, gpus
    from publicai_edge.engine.lane import WARM_UP, Lane
    from publicai_edge.engine.llama import LlamaContext, LlamaModel
    from publicai_edge.engine.threads import Threads

    path, read, write = Path(payload["model"]), payload["read"], payload["write"]
    tunings = [Tuning(**item) for item in payload["tunings"]]
    room = max(read, WARM_UP) + write + _WARM_WRITES + 1
    layers = gpu_plan(gguf.read(path), gpus(), cells=room)
    counts = {tuning.threads or 1 for tuning in tunings}
    watching = {count: Threads(count) for count in counts}
    for threads in watching.values():
        threads.look()
    model = LlamaModel(path, gpu_layers=layers)
    time.sleep(_SETTLE_SECONDS)
    found = []
    for tuning in tunings:
        for threads in watching.values():
            threads.look()
        count = tuning.threads or 1
        context = LlamaContext(model, n_ctx=room, n_seq=1, threads=count, tuning=tuning)
        lane = Lane(context, watching[count] if payload["adapt"] else None)
        lane.read(WARM_UP)
        lane.write(_WARM_WRITES)
        lane.clear()
        found.append((1 / lane.read(read), 1 / lane.write(write)))
        context.close()
    model.close()
    return found
