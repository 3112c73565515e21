"""What this machine allows: how many bytes its memory gives a second, and how many operations its cores do.

Both are measured with the threads that the model gets, in the process that measures the model, between its samples: so
they also tell how the machine changed from one sample to the next.

Reading is a sum over float32 numbers, far more than any cache holds, a part for each thread. Arithmetic is the product
of two float32 matrices by numpy's own library. 8-bit kernels can do more operations a second than that.
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from publicai_edge import child
from publicai_edge.progress import Progress, Silent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BYTES = 256 << 20
_WIDTH = 1536
_READ_SECONDS, _MULTIPLY_SECONDS = 0.1, 0.1


class Limits:
    """Measures with so many threads; holds the memory that it reads.

    The matrix library takes its own number of threads from ``OPENBLAS_NUM_THREADS`` when numpy is loaded: whoever wants
    another sets it before.
    """

    def __init__(self, threads: int) -> None:
        import numpy as np

        self._pool = ThreadPoolExecutor(threads)
        self._parts: list[NDArray[np.float32]] = np.array_split(np.ones(_BYTES // 4, np.float32), threads)
        self._left = np.full((_WIDTH, _WIDTH), 0.5, np.float32)
        self._right = np.full((_WIDTH, _WIDTH), 0.25, np.float32)
        self._product = np.empty((_WIDTH, _WIDTH), np.float32)

    def bandwidth(self) -> float:
        """Return how much memory all threads together read, in GB/s."""
        passes, started = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - started) < _READ_SECONDS:
            list(self._pool.map(_read, self._parts))
            passes += 1
        return passes * _BYTES / elapsed / 1e9

    def peak(self) -> float:
        """Return how many operations a second the cores do on float32, in GFLOP/s."""
        import numpy as np

        done, started = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - started) < _MULTIPLY_SECONDS:
            np.matmul(self._left, self._right, out=self._product)
            done += 1
        return done * 2 * _WIDTH**3 / elapsed / 1e9


def measure(threads: int) -> tuple[float, float]:
    """Return the bandwidth in GB/s and the arithmetic in GFLOP/s, measured once in a child process: in a second."""
    payload = {"threads": threads}
    ran = child.run(f"{__name__}:_measure", payload, what="measure what this machine allows", progress=Silent())
    return float(ran.value[0]), float(ran.value[1])


def _measure(payload: dict[str, Any], _progress: Progress) -> tuple[float, float]:
    os.environ["OPENBLAS_NUM_THREADS"] = str(payload["threads"])
    limits = Limits(payload["threads"])
    return limits.bandwidth(), limits.peak()


def _read(part: "NDArray[np.float32]") -> float:
    return float(part.sum())
