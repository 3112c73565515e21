"""The error of a weight matrix in each type, without evaluating anything, and the types it was once stored in.

Invariant: nothing here knows about text; errors are relative and squared, each column weighted by its importance.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from publicai_edge import gguf
from publicai_edge.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK = 32  # columns in the smallest block of a quantized type
_NEEDS_IMPORTANCE = frozenset({"IQ3_XXS"})
_ROW_SAMPLE = 1 << 16  # weights of a tensor whose error is computed
_NOISE = 0.14  # of a block's standard deviation: half a step of a 4-bit type
_ON_GRID = 0.3  # error over error with noise; 0.7 to 1.3 for weights that were never quantized
_NEVER_LEFT_OUT = 1e-4  # relative squared error with noise


@dataclass(frozen=True)
class WeightErrors:
    """What storing a matrix in each type does to it.

    Attributes:
        errors: relative squared error by type, of some of its rows, columns weighted by importance.
        left_out: types whose error is far smaller than weights that were never quantized would give.
    """

    errors: dict[str, float]
    left_out: tuple[str, ...]

    @property
    def offered(self) -> tuple[str, ...]:
        """The types to choose from."""
        return tuple(kind for kind in self.errors if kind not in self.left_out)


def importances(path: Path) -> dict[str, "NDArray[np.float32]"]:
    """Return the mean squared input of each column, float32, shape (matrices, columns), by the weight's name.

    Raises:
        ModelError: the file is not an importance matrix in GGUF form.
    """
    import numpy as np

    header = gguf.read(path)
    data = np.memmap(path, np.uint8, "r")
    found = {}
    tensors = {tensor.name: tensor for tensor in header.tensors if tensor.type == "F32"}

    def values(tensor: gguf.Tensor) -> "NDArray[np.float32]":
        start = header.data_start + tensor.offset
        return np.array(data[start : start + 4 * tensor.weights]).view("<f4").reshape(-1, tensor.dimensions[0])

    for name, tensor in tensors.items():
        counts = tensors.get(name.removesuffix(".in_sum2") + ".counts")
        if name.endswith(".in_sum2") and counts is not None:
            seen = values(counts)
            mean = values(tensor) / np.maximum(seen, 1)
            found[name.removesuffix(".in_sum2")] = np.where(seen > 0, mean, 1).astype(np.float32)
    if not found:
        raise ModelError(f"{path} holds no importance matrix.", hint="Collect one: publicai-edge imatrix.")
    return found


def weight_errors(
    weights: "NDArray[np.float32]", importance: "NDArray[np.float32] | None", types: Iterable[str]
) -> WeightErrors:
    """Compute a matrix's error in each type that its rows fit, on some of its rows.

    Args:
        weights: shape (rows, columns) or (matrices, rows, columns).
        importance: shape (matrices, columns); None counts all columns alike.
        types: ggml types.
    """
    import numpy as np

    from publicai_edge.engine import encoding

    columns = weights.shape[-1]
    step = max(1, weights.size // _ROW_SAMPLE)
    rows = np.ascontiguousarray(weights.reshape(-1, columns)[::step])
    counts = None if importance is None else importance.mean(axis=0)
    blocks = rows.reshape(-1, BLOCK)
    noise = np.random.default_rng(0).uniform(-_NOISE, _NOISE, blocks.shape).astype(np.float32)
    noisy = (blocks + noise * blocks.std(axis=1, keepdims=True)).reshape(rows.shape)
    errors, left_out = {}, []
    for kind in types:
        if not encoding.fits(kind, columns) or (kind in _NEEDS_IMPORTANCE and counts is None):
            continue
        errors[kind], expected = _error(rows, kind, counts), _error(noisy, kind, counts)
        if expected > _NEVER_LEFT_OUT and errors[kind] < _ON_GRID * expected:
            left_out.append(kind)
    return WeightErrors(errors, tuple(left_out))


def _error(rows: "NDArray[np.float32]", kind: str, importance: "NDArray[np.float32] | None") -> float:
    import numpy as np

    from publicai_edge.engine import encoding

    weigh = np.float32(1) if importance is None else importance
    wrong = float((((encoding.round_trip(rows, kind, importance) - rows) ** 2) * weigh).sum())
    return wrong / max(float(((rows**2) * weigh).sum()), 1e-30)
