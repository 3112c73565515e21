"""Whether a model fits this machine's memory, and how much of it fits its graphics processors.

Pure functions of numbers, asked before anything is loaded: what does not fit is refused with the numbers, and not by
the system's killer of processes in the middle of somebody's answer.

Estimates are made to be too high rather than too low. Of what llama.cpp allocates for SmolLM2-135M, with 1,024 to 8,192
cells and batches of 128 to 512 tokens, the KV cache (22 to 180 MiB) is met to the byte, and the buffers (5 to 23 MiB)
are overstated by 39 to 66 %. Weights that llama.cpp repacks for the processor count once: the file's own pages are
given back when memory is short.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from publicai_edge import gguf, host
from publicai_edge.errors import HostError

# The worker without a model: Python, llama.cpp, numpy and their libraries; and the vocabulary, of which llama.cpp keeps
# two maps. Measured on x86-64 with SmolLM2: 17 MiB for 49,152 tokens.
_PROGRAM_BYTES = 90 << 20
_BYTES_PER_TOKEN_KNOWN = 400
_FLOAT = 4
# llama.cpp reuses a layer's buffers; so many rows of each width are alive at the same time.
_WIDTHS, _HIDDENS = 6, 3


@dataclass(frozen=True)
class Need:
    """What a model takes of this machine's memory, in bytes.

    Attributes:
        weights: the file, without what lies on graphics processors.
        cache: the KV cache, likewise.
        compute: what one evaluation works in, and the logits it gives.
        program: the process itself, and the vocabulary.
    """

    weights: int
    cache: int
    compute: int
    program: int = _PROGRAM_BYTES

    @property
    def total(self) -> int:
        """All of it together."""
        return self.weights + self.cache + self.compute + self.program

    def __str__(self) -> str:
        parts = (("weights", self.weights), ("KV cache", self.cache), ("buffers", self.compute))
        shown = ", ".join(f"{name} {_mib(size)}" for name, size in parts)
        return f"{shown} and the program {_mib(self.program)} make {_mib(self.total)}"


@dataclass(frozen=True)
class Plan:
    """How a model is loaded so that it fits.

    Attributes:
        slots: conversations at the same time.
        cells: of the KV cache.
        need: what that takes.
        available: bytes of memory there are; 0 where the system does not say.
        note: why there are fewer slots than were asked for; None where there are not.
    """

    slots: int
    cells: int
    need: Need
    available: int
    note: str | None = None

    def facts(self) -> dict[str, Any]:
        """Return what the worker tells of it when it is ready."""
        facts: dict[str, Any] = {"slots": self.slots, "memory_needed": self.need.total}
        return {**facts, "slots_note": self.note} if self.note else facts


def need(
    header: gguf.Header, *, cells: int, kv_type: str = "f16", batch: int = 512, outputs: int = 1, gpu_layers: int = 0
) -> Need:
    """Return what a model would take of this machine's memory.

    Args:
        header: the GGUF file's.
        cells: of the KV cache: of all slots and shared prompts together.
        kv_type: the cache's type, as ggml names it.
        batch: tokens of one evaluation.
        outputs: rows of logits of one evaluation.
        gpu_layers: layers that go to graphics processors, as llama.cpp counts them (see :mod:`.gpu`).
    """
    weights, cache = header.size, cells * kv_bytes_per_cell(header, kv_type)
    layers = header.number("block_count") or 0
    if gpu_layers and layers:
        sizes = layer_sizes(header)
        there = min(gpu_layers - 1, layers)
        weights -= sum(sizes.layers[layers - there :]) + (0 if sizes.tied else sizes.output)
        cache -= cache * there // layers
    return Need(max(0, weights), cache, compute_bytes(header, cells, batch, outputs), _program(header))


def kv_bytes_per_cell(header: gguf.Header, kv_type: str = "f16") -> int:
    """Return the KV cache's bytes for one cell, rounded up; 0 where the header does not tell.

    Models that look back over a window only, or keep a state in place of a cache, take less.
    """
    block, size = next((block, size) for name, block, size in gguf.TENSOR_TYPES.values() if name == kv_type.upper())
    return -(-header.kv_bytes_per_token(1) * size // block)


def plan(
    need_of: Callable[[int], Need],
    cells_of: Callable[[int], int],
    *,
    slots: int,
    name: str,
    available: int | None = None,
) -> Plan:
    """Return as many slots as fit the memory, up to ``slots``.

    Args:
        need_of: what a number of cells takes.
        cells_of: the cells that a number of slots has, with those of the shared prompts.
        slots: how many are wanted.
        name: the model's, for the message.
        available: bytes of memory; by default what this machine, or its control group, has left now.

    Raises:
        HostError: not even one slot fits. The message has every number.
    """
    if available is None:
        _, available = host.memory_bytes()
    slots = max(1, slots)
    needs = {count: need_of(cells_of(count)) for count in range(slots, 0, -1)}
    fitting = next((count for count, each in needs.items() if not available or each.total <= available), None)
    if fitting is None:
        raise _refusal(name, needs[1], cells_of(1), available)
    note = None
    if fitting < slots:
        note = (
            f"{fitting} of {slots} slots: {slots} would take {_mib(needs[slots].total)} of memory, and "
            f"{_mib(available)} are free."
        )
    return Plan(fitting, cells_of(fitting), needs[fitting], available, note)


def check(need: Need, *, name: str, cells: int, available: int | None = None) -> None:
    """Refuse a model that does not fit; see :func:`plan` for the arguments.

    Raises:
        HostError: it needs more memory than there is. The message has every number.
    """
    plan(lambda _: need, lambda _: cells, slots=1, name=name, available=available)


def _refusal(name: str, need: Need, cells: int, available: int) -> HostError:
    without_cache = replace(need, cache=0).total
    smaller = "Choose a smaller model or quantize.type"
    hint = f"{smaller}, or free some memory."
    if without_cache < available:
        room = (available - without_cache) * cells // max(1, need.cache)
        hint = f"Lower the context: about {room:,} tokens with the shared prompts would fit. Or {smaller.lower()}."
    return HostError(
        f"{name} does not fit this machine's memory: {need}, with {cells:,} tokens of context for one conversation and "
        f"the shared prompts; {_mib(available)} are free.",
        hint=hint,
        needed=need.total,
        available=available,
        weights=need.weights,
        cache=need.cache,
        compute=need.compute,
        program=need.program,
    )


def compute_bytes(header: gguf.Header, cells: int, batch: int, outputs: int) -> int:
    """Return what one evaluation works in, and the logits it gives, in bytes; arguments as :func:`need`."""
    width = header.number("embedding_length") or 0
    hidden = (header.number("feed_forward_length") or 0) * max(1, header.number("expert_used_count") or 1)
    activations = batch * _FLOAT * (_WIDTHS * width + _HIDDENS * hidden)
    mask = batch * cells * _FLOAT
    return activations + mask + outputs * _words(header) * _FLOAT * 2


def _program(header: gguf.Header) -> int:
    return _PROGRAM_BYTES + vocabulary_bytes(header)


def vocabulary_bytes(header: gguf.Header) -> int:
    """Return what llama.cpp keeps of the model's vocabulary, in bytes."""
    return _words(header) * _BYTES_PER_TOKEN_KNOWN


def _words(header: gguf.Header) -> int:
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    return int(tokens["array"]) if isinstance(tokens, dict) else header.number("vocab_size") or 0


def _mib(size: int) -> str:
    return f"{-(-size // (1 << 20)):,} MiB"


@dataclass(frozen=True)
class LayerSizes:
    """Bytes of a model's weights: of each layer, and of the output that follows them.

    ``tied``: the output's weights are those of the input's table, which stays with the processor.
    """

    layers: tuple[int, ...]
    output: int
    tied: bool = False


def layer_sizes(header: gguf.Header) -> LayerSizes:
    """Return the bytes of each layer's weights, and of the output's, from a GGUF header."""
    known = {name: (block, size) for name, block, size in gguf.TENSOR_TYPES.values()}
    layers = [0] * (header.number("block_count") or 0)
    table = output = 0
    for tensor in header.tensors:
        block, size = known.get(tensor.type, (1, _FLOAT))
        taken = tensor.weights // block * size
        parts = tensor.name.split(".")
        if parts[0] == "blk" and parts[1].isdigit() and int(parts[1]) < len(layers):
            layers[int(parts[1])] += taken
        elif parts[0] in {"output", "output_norm"}:
            output += taken
        elif tensor.name == "token_embd.weight":
            table = taken
    tied = not any(tensor.name == "output.weight" for tensor in header.tensors)
    return LayerSizes(tuple(layers), output + (table if tied else 0), tied)
