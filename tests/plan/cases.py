"""Models and devices made up for tests, in round numbers."""

from pathlib import Path

from publicai_edge import gguf
from publicai_edge.plan.cost import FAMILIES, cost_of
from publicai_edge.plan.device import Measured, Profile
from publicai_edge.plan.forecast import Model, Use

WIDTH, HIDDEN, WORDS, LAYERS = 256, 512, 1024, 2
NUMBERS = {
    "llama.block_count": LAYERS,
    "llama.embedding_length": WIDTH,
    "llama.feed_forward_length": HIDDEN,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "llama.context_length": 4096,
    "llama.vocab_size": WORDS,
}
USE = Use(
    context=2048, patrons=2, shared_tokens=100, longest_prompt=50, question_tokens=50, other_disk=10_000_000,
    search=True,
)  # fmt: skip


def header(kind: str = "F16", *, output: bool = False, **numbers: int) -> gguf.Header:
    """A Llama of two layers, 256 wide; ``output``: with an output matrix of its own."""
    found = [("token_embd.weight", (WIDTH, WORDS)), ("output_norm.weight", (WIDTH,))]
    if output:
        found.append(("output.weight", (WIDTH, WORDS)))
    for layer in range(LAYERS):
        found += [(f"blk.{layer}.attn_q.weight", (WIDTH, WIDTH)), (f"blk.{layer}.ffn_up.weight", (WIDTH, HIDDEN))]
    tensors = tuple(gguf.Tensor(name, sizes, "F32" if len(sizes) == 1 else kind, 0) for name, sizes in found)
    metadata = {"general.architecture": "llama", **NUMBERS, **{f"llama.{key}": value for key, value in numbers.items()}}
    return gguf.Header(Path(__file__), 3, metadata, tensors, 0)


def model(kind: str = "F16", size: int = 1_000_000_000) -> Model:
    """The Llama as a file of ``size`` bytes."""
    found = header(kind)
    return Model(kind, size, found, cost_of(found))


def device(**changes: object) -> Profile:
    """A device of 4 GB that was probed: 10 GB/s, 100 Gop/s, a millisecond a layer."""
    rates = {
        "read": dict.fromkeys(FAMILIES, 10e9),
        "work": dict.fromkeys(FAMILIES, 100e9),
        "layer_seconds": 1e-3,
        "vector_seconds": dict.fromkeys(FAMILIES, 1e-9),
        "look_back_writing": 1e9,
        "look_back_reading": 1e10,
        "threads": 4,
        "engine": "llama.cpp",
    }
    values = {
        "name": "town", "title": "Town hall's PC", "cpu": "Example N100", "cores": 4, "ram_gb": 4.0, "system_gb": 1.0,
        "disk_gb": 10.0, "sources": ["a test"], "measured": Measured.model_validate(rates),
    }  # fmt: skip
    return Profile.model_validate({**values, **changes})
