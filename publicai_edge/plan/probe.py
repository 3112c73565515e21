"""Makes a profile of the machine at hand: measures models made up for it, in less than a minute.

A made-up model has the shape of a real one and weights of no meaning, for how fast a matrix is multiplied does not
depend on its numbers. For each family of types one model with few, wide layers tells how fast weights are read and
multiplied; one with many, narrow layers tells what a layer takes beside its weights; and reading and writing behind a
long prompt tells what looking back takes. Each time is the median of several.
"""

import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from publicai_edge import child, gguf
from publicai_edge.gguf import write
from publicai_edge.plan.cost import FAMILIES, Cost, cost_of
from publicai_edge.progress import Progress

_WORDS = 2048
_HEAD = 64
_PIECE, _DEEP = 256, 1536
_DEEP_IN = "Q4_0"
_TOKENS = 24
_TIMES = 5
_WARM_UP_SECONDS = 0.7
_PASSES = 2  # a loaded model has its luck: where its memory lies decides some percents of its speed
_BLOCK_SCALE = struct.pack("<e", 0.01)


@dataclass(frozen=True)
class Shape:
    """A made-up model: so many layers of such a width, with weights of one type."""

    layers: int
    width: int
    type: str

    @property
    def hidden(self) -> int:
        """Width inside the feed-forward part."""
        return self.width * 5 // 2 // 256 * 256


WIDE = {
    "Q4_0": Shape(5, 1536, "Q4_0"),
    "Q4_K": Shape(5, 1536, "Q4_K"),
    "Q6_K": Shape(4, 1536, "Q6_K"),
    "Q8_0": Shape(3, 1536, "Q8_0"),
    "F16": Shape(2, 1536, "F16"),
}
NARROW = {"Q4_0": Shape(30, 576, "Q4_0"), "F16": Shape(30, 576, "F16")}
"""As wide as the smallest models that are in use. Families that have none are taken to be as Q4_0."""


def probe(folder: Path, threads: int, progress: Progress) -> dict[str, Any]:
    """Measure this machine in a child process; return what a profile keeps under ``measured``.

    Args:
        folder: for the made-up models, up to 100 MB at a time; what is written there is deleted again.
        threads: of every evaluation.
        progress: where it is shown.

    Raises:
        EngineError: the engine does not run here.
    """
    payload = {"folder": str(folder), "threads": threads}
    result = child.run(f"{__name__}:_probe", payload, what="probe this machine", progress=progress)
    return dict(result.value)


def _probe(payload: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from publicai_edge.engine.llama import build_id

    folder, threads = Path(payload["folder"]), payload["threads"]
    times: dict[str, list[float]] = {}
    shapes = {**WIDE, **{f"narrow {family}": shape for family, shape in NARROW.items()}}
    with progress.task("Probing this machine", total=_PASSES * len(shapes), unit="items") as task:
        for _ in range(_PASSES):
            for name, shape in shapes.items():
                with _lane(shape, folder, threads) as lane:
                    found = {f"{name} writing": lane.write(), f"{name} reading": lane.read()}
                    if name == _DEEP_IN:
                        found["deep writing"], found["deep reading"] = lane.deep()
                for key, seconds in found.items():
                    times.setdefault(key, []).append(seconds)
                task.advance(1)
    return {**_rates({key: median(each) for key, each in times.items()}), "threads": threads, "engine": build_id()}


def _rates(seconds: dict[str, float]) -> dict[str, Any]:
    """Return the rates that the measured times mean."""
    writing = {family: seconds[f"{family} writing"] for family in FAMILIES}
    reading = {family: seconds[f"{family} reading"] for family in FAMILIES}
    deep_writing, deep_reading = seconds["deep writing"], seconds["deep reading"]
    read, work = {}, {}
    look_back = _cost(WIDE[_DEEP_IN]).look_back
    fits = {family: _Fit(WIDE[family], shape) for family, shape in NARROW.items()}
    layer = fits[_DEEP_IN].layer(writing[_DEEP_IN], seconds[f"narrow {_DEEP_IN} writing"])
    vectors = {family: fit.vector(reading[family], seconds[f"narrow {family} reading"]) for family, fit in fits.items()}
    for family, shape in WIDE.items():
        size, count = _Fit.sizes(shape)
        read[family] = size / max(writing[family] - shape.layers * layer, writing[family] / 2)
        beside = _PIECE * shape.layers * shape.width * vectors.get(family, vectors[_DEEP_IN])
        work[family] = 2 * count * _PIECE / max(reading[family] - beside, reading[family] / 2)
    return {
        "read": read,
        "work": work,
        "layer_seconds": layer,
        "vector_seconds": {family: vectors.get(family, vectors[_DEEP_IN]) for family in FAMILIES},
        "look_back_writing": _rate(look_back * (_DEEP - _TOKENS / 2), deep_writing - writing[_DEEP_IN]),
        "look_back_reading": _rate(look_back * _DEEP * _PIECE, deep_reading - reading[_DEEP_IN]),
    }


def _rate(operations: float, seconds: float) -> float:
    """Return operations a second; a difference that drowned in noise counts as a microsecond."""
    return operations / max(seconds, 1e-6)


class _Fit:
    """Two models, two unknowns: seconds for a byte and for a layer; seconds for an operation and for a vector."""

    def __init__(self, wide: Shape, slim: Shape) -> None:
        self._wide, self._slim = wide, slim

    @staticmethod
    def sizes(shape: Shape) -> tuple[float, float]:
        """Return a model's bytes read a token, and weights used a token of a prompt."""
        cost = _cost(shape)
        return sum(cost.bytes_read.values()), sum(cost.weights_used.values())

    def layer(self, wide: float, slim: float) -> float:
        return _second_unknown(
            (self.sizes(self._wide)[0], self._wide.layers, wide), (self.sizes(self._slim)[0], self._slim.layers, slim)
        )

    def vector(self, wide: float, slim: float) -> float:
        rows = [
            (self.sizes(shape)[1] * _PIECE, shape.layers * shape.width * _PIECE, seconds)
            for shape, seconds in ((self._wide, wide), (self._slim, slim))
        ]
        return _second_unknown(rows[0], rows[1])


def _second_unknown(first: tuple[float, float, float], second: tuple[float, float, float]) -> float:
    """Solve ``a x + b y = t`` twice for y; what comes out below nothing is nothing."""
    (a, b, t), (c, d, u) = first, second
    return max(0.0, (a * u - c * t) / (a * d - c * b))


def _cost(shape: Shape) -> Cost:
    tensors = tuple(gguf.Tensor(name, sizes, kind, 0) for name, sizes, kind in _tensors(shape))
    metadata = {"general.architecture": "llama", **{f"llama.{key}": value for key, value in _numbers(shape).items()}}
    return cost_of(gguf.Header(Path("made-up.gguf"), 3, metadata, tensors, 0))


def _numbers(shape: Shape) -> dict[str, int]:
    heads = shape.width // _HEAD
    return {
        "block_count": shape.layers,
        "context_length": _DEEP + 2 * _PIECE,
        "embedding_length": shape.width,
        "feed_forward_length": shape.hidden,
        "attention.head_count": heads,
        "attention.head_count_kv": _kv_heads(shape),
        "rope.dimension_count": _HEAD,
        "vocab_size": _WORDS,
    }


def _kv_heads(shape: Shape) -> int:
    return max(1, shape.width // _HEAD // 3)


def _tensors(shape: Shape) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """Yield each tensor's name, dimensions (innermost first) and type."""
    width, hidden, kind = shape.width, shape.hidden, shape.type
    grouped = _kv_heads(shape) * _HEAD
    yield "token_embd.weight", (width, _WORDS), kind
    yield "output_norm.weight", (width,), "F32"
    for layer in range(shape.layers):
        name = f"blk.{layer}"
        yield f"{name}.attn_norm.weight", (width,), "F32"
        yield f"{name}.attn_q.weight", (width, width), kind
        yield f"{name}.attn_k.weight", (width, grouped), kind
        yield f"{name}.attn_v.weight", (width, grouped), kind
        yield f"{name}.attn_output.weight", (width, width), kind
        yield f"{name}.ffn_norm.weight", (width,), "F32"
        yield f"{name}.ffn_gate.weight", (width, hidden), kind
        yield f"{name}.ffn_up.weight", (width, hidden), kind
        yield f"{name}.ffn_down.weight", (hidden, width), kind


def write_model(shape: Shape, path: Path) -> None:
    """Write a made-up model; its vocabulary has numbers and no words."""
    entries = [
        write.entry("general.architecture", "llama"),
        write.entry("tokenizer.ggml.model", "no_vocab"),
        write.entry("llama.attention.layer_norm_rms_epsilon", 1e-5),
        *(write.entry(f"llama.{key}", value) for key, value in _numbers(shape).items()),
    ]
    tensors = ((name, sizes, kind, _data(sizes, kind)) for name, sizes, kind in _tensors(shape))
    path.write_bytes(write.file(entries, tensors))


def _data(sizes: tuple[int, ...], kind: str) -> bytes:
    block, size = next((block, size) for name, block, size in gguf.TENSOR_TYPES.values() if name == kind)
    count = 1
    for each in sizes:
        count *= each
    return _block(kind, size) * (count // block)


def _block(kind: str, size: int) -> bytes:
    """Return a block of weights that are small and not zero, as ``ggml-common.h`` lays it out."""
    match kind:
        case "F32":
            return struct.pack("<f", 1.0)
        case "F16":
            return _BLOCK_SCALE
        case "Q6_K":  # low bits, high bits, scales, the scale of scales
            return b"\x5a" * (size - 2) + _BLOCK_SCALE
        case "Q4_K":
            return _BLOCK_SCALE * 2 + b"\x5a" * (size - 4)
        case _:  # the scale, and the weights
            return _BLOCK_SCALE + b"\x5a" * (size - 2)


@contextmanager
def _lane(shape: Shape, folder: Path, threads: int) -> Iterator["_Lane"]:
    from publicai_edge.engine.llama import LlamaContext, LlamaModel

    path = folder / "made-up.gguf"
    try:
        write_model(shape, path)
        model = LlamaModel(path)
        context = LlamaContext(model, n_ctx=_DEEP + 2 * _PIECE, n_seq=1, threads=threads)
        try:
            yield _Lane(context)
        finally:
            context.close()
            model.close()
    finally:
        path.unlink(missing_ok=True)


class _Lane:
    """One sequence, and how long evaluations in it take."""

    def __init__(self, context: Any) -> None:
        self._context = context
        # A processor that rested is faster for some seconds than one that answers patrons all day.
        end = time.perf_counter() + _WARM_UP_SECONDS
        while time.perf_counter() < end:
            context.clear(0)
            self._evaluate(_PIECE, 0)
            self._evaluate(1, _PIECE)

    def write(self) -> float:
        """Return the seconds of a written token."""
        return self._median(lambda: self._one_by_one(0), 0) / _TOKENS

    def read(self) -> float:
        """Return the seconds of a piece of a prompt."""
        return self._median(lambda: self._evaluate(_PIECE, 0), 0)

    def deep(self) -> tuple[float, float]:
        """Return the seconds of a written token, and of a piece of a prompt, behind a long one."""
        self._context.clear(0)
        for place in range(0, _DEEP, _PIECE):
            self._evaluate(_PIECE, place)
        writing = self._median(lambda: self._one_by_one(_DEEP), _DEEP)
        return writing / _TOKENS, self._median(lambda: self._evaluate(_PIECE, _DEEP), _DEEP)

    def _one_by_one(self, begin: int) -> None:
        for place in range(begin, begin + _TOKENS):
            self._evaluate(1, place)

    def _median(self, work: Callable[[], Any], keep: int) -> float:
        found = []
        for _ in range(_TIMES):
            self._context.forget(0, keep) if keep else self._context.clear(0)
            started = time.perf_counter()
            work()
            found.append(time.perf_counter() - started)
        return median(found)

    def _evaluate(self, count: int, position: int) -> None:
        self._context.decode([number % _WORDS for number in range(count)], sequence=0, position=position, logits=True)
        self._context.logits(count - 1)
