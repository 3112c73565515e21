"""Where the keys and values of conversations are kept, and how a graph is run on them.

:class:`InPlace` has one array a layer for all sequences. Memory is taken by the system page by page as it is written,
and given back when a sequence is cleared. Sequences that take one token each are run together; the result is the one
each would have had alone, bit by bit on x86-64 with AVX-512, and with AVX2 only but for the last bits
(``tests/engine/onnx`` holds it to 1e-5).

:class:`Growing` is for graphs that return a longer cache: each sequence has its own values, and runs alone. Values are
never written to, so sequences share them.

Invariant: after :meth:`clear` nothing of a sequence can be read from the cache.
"""

import contextlib
import mmap
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from publicai_edge.engine.onnx.graph import Array, Graph
from publicai_edge.errors import EngineError

_STEP = 256


class Cache(Protocol):
    """The sequences of one context, by number."""

    together: bool
    """Whether one run may hold several sequences."""

    def run(self, first: int, tokens: Array, positions: Sequence[int]) -> Array:
        """Evaluate ``tokens`` (sequences, tokens) of the sequences from ``first`` on; return the logits.

        Args:
            first: the first of neighbouring sequences.
            tokens: their tokens, as many each.
            positions: where each sequence's tokens begin.

        Returns:
            float32 of shape (sequences, tokens, vocabulary).
        """
        ...

    def read(self, sequence: int, count: int) -> list[Array]:
        """Return the first ``count`` positions, a part each: (heads, count, width); not to be written to."""
        ...

    def write(self, sequence: int, parts: Sequence[Array]) -> None:
        """Begin a sequence with what :meth:`read` returned."""
        ...

    def copy(self, source: int, target: int, count: int) -> None:
        """Make ``target`` begin with the first ``count`` positions of ``source``."""
        ...

    def clear(self, sequence: int) -> None:
        """Forget a sequence."""
        ...


def open_cache(graph: Graph, sequences: int, length: int) -> Cache:
    """Return an empty cache for ``sequences`` of up to ``length`` tokens each.

    Raises:
        EngineError: the system refuses the memory.
    """
    return InPlace(graph, sequences, length) if graph.in_place else Growing(graph)


class InPlace:
    """A cache that the graph writes where it reads it."""

    together = True

    def __init__(self, graph: Graph, sequences: int, length: int) -> None:
        import onnxruntime

        self._graph = graph
        self._length = -(-length // _STEP) * _STEP
        self._value = onnxruntime.OrtValue.ortvalue_from_numpy
        self._maps: list[mmap.mmap] = []
        self._arrays: list[Array] = []
        try:
            for part in graph.parts:
                size = sequences * self._length * part.bytes_per_token
                self._maps.append(_pages(size))
                flat = np.frombuffer(self._maps[-1], part.dtype)
                self._arrays.append(flat.reshape(sequences, part.heads, self._length, part.width))
        except (OSError, ValueError, MemoryError) as error:
            raise EngineError(
                f"The system gives no memory for {sequences} conversations of {length} tokens: {error}.",
                hint="Lower target.context in the recipe.",
            ) from error
        self._bindings: dict[tuple[int, int], Any] = {}

    def run(self, first: int, tokens: Array, positions: Sequence[int]) -> Array:
        """Evaluate; see the protocol."""
        graph = self._graph
        count = tokens.shape[1]
        if max(positions) + count > self._length:  # the graph would write beyond the array
            raise EngineError(
                f"A sequence would have {max(positions) + count} tokens; there is room for {self._length}."
            )
        binding = self._binding(first, len(tokens))
        _bind_integers(binding, graph, tokens, positions)
        logits = np.empty((len(tokens), count, graph.n_vocab), graph.logits)
        binding.bind_ortvalue_output("logits", self._value(logits))
        _run(graph, binding)
        return logits.astype(np.float32, copy=False)

    def _binding(self, first: int, count: int) -> Any:
        """Return a binding of the cache of neighbouring sequences to the graph's inputs and outputs, made once."""
        key = (first, count)
        if key not in self._bindings:
            binding = self._graph.session.io_binding()
            for part, array in zip(self._graph.parts, self._arrays, strict=True):
                value = self._value(array[first : first + count])
                binding.bind_ortvalue_input(part.past, value)
                binding.bind_ortvalue_output(part.present, value)
            self._bindings[key] = binding
        return self._bindings[key]

    def read(self, sequence: int, count: int) -> list[Array]:
        """Return the beginning of a sequence; see the protocol."""
        return [array[sequence, :, :count] for array in self._arrays]

    def write(self, sequence: int, parts: Sequence[Array]) -> None:
        """Begin a sequence; see the protocol."""
        for array, values in zip(self._arrays, parts, strict=True):
            array[sequence, :, : values.shape[1]] = values

    def copy(self, source: int, target: int, count: int) -> None:
        """Copy; see the protocol."""
        self.write(target, self.read(source, count))

    def clear(self, sequence: int) -> None:
        """Forget a sequence and give its memory back."""
        for part, array, pages in zip(self._graph.parts, self._arrays, self._maps, strict=True):
            size = self._length * part.bytes_per_token
            if size % mmap.PAGESIZE or not _drop(pages, sequence * size, size):
                array[sequence] = 0


def _pages(size: int) -> mmap.mmap:
    """Return memory that reads as zeros and takes room only where it is written."""
    if not hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, size)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):  # in huge pages, the first token would take the room of thousands
        with contextlib.suppress(OSError):
            pages.madvise(mmap.MADV_NOHUGEPAGE)
    return pages


def _drop(pages: mmap.mmap, start: int, size: int) -> bool:
    """Give pages back so that they read as zeros again; False where the system does not do that."""
    import sys

    if not sys.platform.startswith("linux"):  # elsewhere MADV_DONTNEED is advice that changes no content
        return False
    with contextlib.suppress(OSError):
        pages.madvise(mmap.MADV_DONTNEED, start, size)
        return True
    return False


class Growing:
    """A cache that the graph returns anew, longer by what it was given."""

    together = False

    def __init__(self, graph: Graph) -> None:
        import onnxruntime

        self._graph = graph
        self._value = onnxruntime.OrtValue.ortvalue_from_numpy
        self._empty = [self._value(np.zeros((1, part.heads, 0, part.width), part.dtype)) for part in graph.parts]
        self._sequences: dict[int, list[Any]] = {}

    def run(self, first: int, tokens: Array, positions: Sequence[int]) -> Array:
        """Evaluate one sequence; what it has beyond ``positions[0]`` is forgotten."""
        graph = self._graph
        values = self._first(first, positions[0])
        binding = graph.session.io_binding()
        for part, value in zip(graph.parts, values, strict=True):
            binding.bind_ortvalue_input(part.past, value)
            binding.bind_output(part.present, "cpu")
        _bind_integers(binding, graph, tokens, positions)
        logits = np.empty((1, tokens.shape[1], graph.n_vocab), graph.logits)
        binding.bind_ortvalue_output("logits", self._value(logits))
        _run(graph, binding)
        found = binding.get_outputs()
        self._sequences[first] = list(found[: len(graph.parts)])
        return logits.astype(np.float32, copy=False)

    def _first(self, sequence: int, count: int) -> list[Any]:
        values = self._sequences.get(sequence, self._empty)
        length = values[0].shape()[2]
        if length < count:
            raise EngineError(f"A sequence has {length} tokens in the cache; {count} were expected.")
        if length == count:
            return values
        return [self._value(np.ascontiguousarray(value.numpy()[:, :, :count])) for value in values]

    def read(self, sequence: int, count: int) -> list[Array]:
        """Return the beginning of a sequence; see the protocol."""
        return [value.numpy()[0] for value in self._first(sequence, count)]

    def write(self, sequence: int, parts: Sequence[Array]) -> None:
        """Begin a sequence; see the protocol."""
        types = [part.dtype for part in self._graph.parts]
        made = [np.ascontiguousarray(values[None], dtype=kind) for values, kind in zip(parts, types, strict=True)]
        self._sequences[sequence] = [self._value(values) for values in made]

    def copy(self, source: int, target: int, count: int) -> None:
        """Share the values; see the protocol."""
        self._sequences[target] = self._first(source, count)

    def clear(self, sequence: int) -> None:
        """Forget a sequence."""
        self._sequences.pop(sequence, None)


def _bind_integers(binding: Any, graph: Graph, tokens: Array, positions: Sequence[int]) -> None:
    """Bind the tokens, and where they stand."""
    count = tokens.shape[1]
    starts = np.asarray(positions)[:, None]
    values = {
        "input_ids": tokens,
        "attention_mask": np.arange(max(positions) + count)[None] < starts + count,
        "position_ids": starts + np.arange(count)[None],
    }
    for name, kind in graph.integers.items():
        binding.bind_cpu_input(name, np.ascontiguousarray(values[name], dtype=kind))


def _run(graph: Graph, binding: Any) -> None:
    try:
        graph.session.run_with_iobinding(binding)
    except Exception as error:  # onnxruntime's errors share no base class of their own
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise EngineError(f"onnxruntime could not evaluate the model: {reason}.") from error
