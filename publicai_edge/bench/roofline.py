"""How near a measured speed comes to what the machine's memory and processor allow.

Writing a token reads every weight once, so it cannot be faster than the memory: bandwidth over bytes. Reading a prompt
uses each weight for many tokens, so there the processor's arithmetic decides: peak over operations (Williams,
Waterman and Patterson, "Roofline", 2009). Both limits are measured on the machine itself, and neither counts what a
clever program leaves out: a share over 100 % means that a part was found in the processor's own cache, or that 8-bit
arithmetic beat the 32-bit peak it is held against.
"""

from dataclasses import dataclass

from publicai_edge import gguf
from publicai_edge.bench.result import Run, Work

_EXPERTS = "_exps."
_TABLE = "token_embd.weight"
BANDWIDTH, PEAK = "memory bandwidth", "float32 peak"


@dataclass(frozen=True)
class Share:
    """A figure, and the limit it is held against: both in tokens a second."""

    figure: str
    of: str
    speed: float
    limit: float

    @property
    def share(self) -> float:
        """The speed as a share of the limit."""
        return self.speed / self.limit

    def __str__(self) -> str:
        return f"{self.figure} reaches {self.share:.0%} of what this machine's {self.of} allows"


def work_of(header: gguf.Header) -> Work:
    """Return what a token of a GGUF model costs, from its header. Of experts, those that a token uses count."""
    sizes = {name: (block, size) for name, block, size in gguf.TENSOR_TYPES.values()}
    experts, used = header.number("expert_count") or 0, header.number("expert_used_count") or 0
    tied = not any(tensor.name == "output.weight" for tensor in header.tensors)
    read = operations = 0
    for tensor in header.tensors:
        if tensor.name == _TABLE and not tied:
            continue  # one row of it is looked up
        block, size = sizes.get(tensor.type, (1, 4))
        share = used / experts if _EXPERTS in tensor.name and experts else 1.0
        read += int(tensor.weights // block * size * share)
        if len(tensor.dimensions) > 1 and tensor.name not in {_TABLE, "output.weight"}:
            operations += int(2 * tensor.weights * share)  # a prompt's logits are computed for its last token only
    layers, heads = header.number("block_count") or 0, header.number("attention.head_count") or 0
    width = header.number("embedding_length") or 0
    key = header.number("attention.key_length") or (width // heads if heads else 0)
    value = header.number("attention.value_length") or (width // heads if heads else 0)
    return Work(
        bytes_per_token=read,
        cache_bytes_per_position=header.kv_bytes_per_token(),
        operations_per_token=operations,
        operations_per_position=2 * layers * heads * (key + value),
    )


def work_at(work: Work, name: str) -> tuple[float, float] | None:
    """Return what a token of a figure costs in (bytes, operations); None for a figure that is no speed of the model.

    Of a prompt, all tokens of it share one reading of the weights.
    """
    what, _, at = name.partition("@")
    if what not in {"decode", "prefill"} or not work.bytes_per_token:
        return None
    count = int(at)
    if what == "decode":
        read = work.bytes_per_token + work.cache_bytes_per_position * count
        return float(read), float(work.operations_per_token + work.operations_per_position * count)
    looked_back = count / 2  # on average
    operations = work.operations_per_token + work.operations_per_position * looked_back
    return work.bytes_per_token / count, operations


def shares(run: Run) -> list[Share]:
    """Return how near each figure of decoding and prefill comes to its limit; empty where a limit is not known."""
    bandwidth, peak = run.figure("bandwidth"), run.figure("peak")
    found = []
    for figure in run.figures:
        cost = work_at(run.work, figure.name)
        if cost and bandwidth and figure.name.startswith("decode"):
            limit = bandwidth.median.value * 1e9 / cost[0]
            found.append(Share(figure.name, BANDWIDTH, figure.median.value, limit))
        elif cost and peak and figure.name.startswith("prefill") and cost[1]:
            found.append(Share(figure.name, PEAK, figure.median.value, peak.median.value * 1e9 / cost[1]))
    return found
