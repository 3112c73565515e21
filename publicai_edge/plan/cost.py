"""What a model asks of any machine, from its GGUF header: bytes and operations, by the kind of its weights."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from publicai_edge import gguf

FAMILIES = ("Q4_0", "Q4_K", "Q6_K", "Q8_0", "F16")
"""The kinds of weights whose speeds are told apart; every type counts as the one whose kernels are nearest."""

_NEAREST = {
    "Q4_0": "Q4_0", "Q4_1": "Q4_0", "IQ4_NL": "Q4_0", "Q5_0": "Q4_0", "Q5_1": "Q4_0", "MXFP4": "Q4_0",
    "Q2_K": "Q4_K", "Q3_K": "Q4_K", "Q4_K": "Q4_K", "Q5_K": "Q6_K", "Q6_K": "Q6_K", "IQ4_XS": "Q4_K",
    "Q8_0": "Q8_0", "Q8_1": "Q8_0", "Q8_K": "Q8_0",
    "F16": "F16", "BF16": "F16", "F32": "F16", "F64": "F16",
}  # fmt: skip
_TABLE = "token_embd.weight"
_OUTPUT = "output.weight"
_EXPERTS = "_exps."


@dataclass(frozen=True)
class Cost:
    """What evaluating a model costs.

    Attributes:
        bytes_read: of the weights, for each token that is written, by family.
        weights_used: of the matrices that each token of a prompt passes through, by family.
        layers: how many.
        width: numbers in a token's vector.
        look_back: operations for each token and each position behind it, as attention does them.
        looked_up: bytes of a table of which each token reads one row, and nobody the rest.
    """

    bytes_read: Mapping[str, float]
    weights_used: Mapping[str, float]
    layers: int
    width: int
    look_back: float
    looked_up: float = 0.0


def cost_of(header: gguf.Header, types: Mapping[str, str] | None = None) -> Cost:
    """Return what a model costs; of experts, those that a token uses count.

    Args:
        header: the model's.
        types: the type of each weight, where it is planned to be another than in the file.
    """
    sizes = {name: (block, size) for name, block, size in gguf.TENSOR_TYPES.values()}
    experts, used = header.number("expert_count") or 0, header.number("expert_used_count") or 0
    tied = not any(tensor.name == _OUTPUT for tensor in header.tensors)
    read: Counter[str] = Counter()
    weights: Counter[str] = Counter()
    looked_up = 0.0
    for tensor in header.tensors:
        kind = (types or {}).get(tensor.name, tensor.type)
        block, size = sizes.get(kind, (1, 4))
        if tensor.name == _TABLE and not tied:
            looked_up = tensor.weights / block * size
            continue
        share = used / experts if _EXPERTS in tensor.name and experts else 1.0
        family = _NEAREST.get(kind, "Q4_K")
        read[family] += tensor.weights / block * size * share  # type: ignore[assignment]
        if len(tensor.dimensions) > 1 and tensor.name not in {_TABLE, _OUTPUT}:
            weights[family] += tensor.weights * share  # type: ignore[assignment]
    layers, heads = header.number("block_count") or 0, header.number("attention.head_count") or 0
    width = header.number("embedding_length") or 0
    key = header.number("attention.key_length") or (width // heads if heads else 0)
    value = header.number("attention.value_length") or (width // heads if heads else 0)
    return Cost(dict(read), dict(weights), layers, width, 2.0 * layers * heads * (key + value), looked_up)
