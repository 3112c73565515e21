"""A process of `bench turns` whose evaluations all take longer than they do: a regression whose size is known.

After each evaluation the process computes for as long again as makes the speed what it was, times ``1 - SHARE``. So the
slowdown is one of the program, in whatever the machine does meanwhile, and what measures it knows nothing of it.
"""

import time
from collections.abc import Sequence

from publicai_edge.bench import turns
from publicai_edge.engine.lane import Lane

SHARE = 0.1


def main() -> None:
    """Measure as a process of :mod:`publicai_edge.bench.turns` does, slower by :data:`SHARE`."""
    whole = Lane.evaluate
    more = 1 / (1 - SHARE) - 1

    def slowed(lane: Lane, tokens: Sequence[int], *, logits: bool) -> None:
        started = time.perf_counter()
        whole(lane, tokens, logits=logits)
        end = time.perf_counter()
        end += (end - started) * more
        while time.perf_counter() < end:
            pass

    Lane.evaluate = slowed  # type: ignore[assignment, method-assign] # that is what is planted
    turns.main()


if __name__ == "__main__":
    main()
