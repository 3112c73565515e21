"""Model and context in ONNX, with the face of llama.cpp's (:mod:`publicai_edge.engine.llama`).

So the scheduler, the shared prompts and the chat format work with either. What differs: the number of threads is
fixed when the model is loaded; logits are computed for every token of a run; a shared prompt's state is rounded to 16
bits when it is first lent or stored, which is how llama.cpp keeps all of them, so that it is the same from a file and
from reading the prompt.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from publicai_edge.engine.onnx import state
from publicai_edge.engine.onnx.cache import open_cache
from publicai_edge.engine.onnx.folder import ChatFolder
from publicai_edge.engine.onnx.graph import Array, open_graph
from publicai_edge.engine.onnx.vocabulary import Vocabulary
from publicai_edge.errors import ModelError

_PIECE = 64  # tokens of a prompt read at once; pieces of 128 to 512 were read more slowly in every run measured


class OnnxModel(Vocabulary):
    """A loaded model and its vocabulary.

    Args:
        path: the model's folder.
        threads: threads of every evaluation.

    Raises:
        ModelError: a file is missing or broken, or the model is of an unknown kind.
    """

    keeps_positions = True

    def __init__(self, path: Path, threads: int) -> None:
        folder = ChatFolder.open(path)
        super().__init__(folder)
        self.folder = folder
        self.graph = open_graph(folder, threads)
        self.n_vocab = self.graph.n_vocab
        if self.n_tokens > self.n_vocab:
            raise ModelError(
                f"The tokenizer in {path} makes {self.n_tokens} tokens; the model knows {self.n_vocab}.",
                hint="They belong to different models: fetch the model again.",
                path=str(path),
            )


@dataclass(frozen=True)
class _Span:
    """Tokens of one sequence in a batch: the last ``logits`` of them have their logits wanted."""

    at: int
    tokens: tuple[int, ...]
    sequence: int
    position: int
    logits: int


@dataclass
class Batch:
    """What the next evaluation holds.

    Attributes:
        capacity: tokens.
        spans: one for each sequence that takes part.
    """

    capacity: int
    spans: list[_Span] = field(default_factory=list)
    _count: int = 0

    def __len__(self) -> int:
        return self._count

    @property
    def room(self) -> int:
        """Tokens that may still be added."""
        return self.capacity - self._count

    def clear(self) -> None:
        """Begin again."""
        self.spans.clear()
        self._count = 0

    def add(self, tokens: Sequence[int], *, sequence: int, position: int, logits: int) -> int:
        """Add tokens of one sequence from ``position`` on, and want the logits of the last ``logits`` of them.

        Returns:
            The index in the batch of the first whose logits are wanted.

        Raises:
            ValueError: there is no room; the caller looks first.
        """
        if len(tokens) > self.room or logits > len(tokens):
            raise ValueError(f"no room for {len(tokens)} tokens and {logits} rows of logits")
        self.spans.append(_Span(self._count, tuple(tokens), sequence, position, logits))
        self._count += len(tokens)
        return self._count - logits


class OnnxContext:
    """The caches of several sequences, and what is evaluated in them.

    Args:
        model: the loaded model.
        length: tokens one sequence may have.
        n_seq: how many sequences there may be.
    """

    holds = False  # a sequence's memory is given back when it is cleared, and what is free should take none

    def __init__(self, model: OnnxModel, *, length: int, n_seq: int) -> None:
        self.model = model
        self.n_batch = _PIECE + n_seq  # a piece, and the next token of everybody else
        self.batch = Batch(self.n_batch)
        self.evaluated = 0  # tokens decoded so far: what proves that a prompt was reused
        self._cache = open_cache(model.graph, n_seq, length)
        self._filled = [0] * n_seq
        self._logits: dict[int, Array] = {}

    def close(self) -> None:
        """Forget everything."""
        for sequence in range(len(self._filled)):
            self.clear(sequence)

    def use_threads(self, threads: int) -> None:
        """Do nothing: onnxruntime's threads are made with the session, and sleep when they have to wait."""

    def evaluate(self) -> None:
        """Evaluate what is in ``batch``; it stays there until it is cleared.

        Raises:
            EngineError: onnxruntime failed.
        """
        self._logits.clear()
        for group in self._groups():
            tokens = np.array([span.tokens for span in group], np.int64)
            found = self._cache.run(group[0].sequence, tokens, [span.position for span in group])
            for span, rows in zip(group, found, strict=True):
                self._filled[span.sequence] = span.position + len(span.tokens)
                for place in range(len(span.tokens) - span.logits, len(span.tokens)):
                    self._logits[span.at + place] = rows[place]
        self.evaluated += len(self.batch)

    def _groups(self) -> Iterator[list[_Span]]:
        """Yield what can be run at once: neighbouring sequences that take one token each, or one sequence."""
        group: list[_Span] = []
        for span in sorted(self.batch.spans, key=lambda item: item.sequence):
            joins = group and self._cache.together and len(span.tokens) == len(group[-1].tokens) == 1
            if joins and span.sequence == group[-1].sequence + 1:
                group.append(span)
                continue
            if group:
                yield group
            group = [span]
        if group:
            yield group

    def decode(self, tokens: Sequence[int], *, sequence: int, position: int, logits: bool) -> None:
        """Evaluate up to ``n_batch`` tokens of one sequence alone, from ``position`` on.

        Raises:
            EngineError: onnxruntime failed.
        """
        self.batch.clear()
        self.batch.add(tokens, sequence=sequence, position=position, logits=int(logits))
        self.evaluate()

    def logits(self, index: int) -> Array:
        """Return the logits, one a token of the vocabulary, at a place of the batch just evaluated."""
        return self._logits[index]

    def forget(self, sequence: int, begin: int) -> None:
        """Forget a sequence from position ``begin`` on: what comes next is written over it."""
        self._filled[sequence] = min(begin, self._filled[sequence])

    def clear(self, sequence: int) -> None:
        """Forget a sequence."""
        self._cache.clear(sequence)
        self._filled[sequence] = 0

    def copy_first(self, source: int, target: int, count: int) -> None:
        """Make ``target`` begin with the first ``count`` positions of ``source``."""
        self._cache.copy(source, target, count)
        self._filled[target] = count

    def state(self, sequence: int) -> list[Array]:
        """Return a sequence's state, rounded to 16 bits; the sequence itself is rounded as well."""
        parts = [state.rounded(values) for values in self._cache.read(sequence, self._filled[sequence])]
        self._cache.write(sequence, parts)
        return parts

    def restore(self, sequence: int, kept: Sequence[Array]) -> bool:
        """Make a sequence what it was when its state was taken."""
        self._cache.write(sequence, kept)
        self._filled[sequence] = kept[0].shape[1]
        return True

    def save(self, sequence: int, tokens: Sequence[int], path: Path) -> None:
        """Write a sequence's state, with the tokens it stands for, to ``path``."""
        state.write(path, tokens, self.state(sequence))

    def open_state(self, path: Path, capacity: int) -> tuple[list[int], list[Array]] | None:
        """Return what :meth:`save` wrote, of up to ``capacity`` tokens; None when it is not one for this model."""
        return state.read(path, capacity, self.model.graph.parts)
