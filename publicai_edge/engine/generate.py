"""One answer: prefill the prompt, then choose tokens until the answer ends.

Text leaves as whole Unicode characters, and never a part of a stop string. Between steps ``cancelled`` is asked, so
that a patron who walks away frees the engine within one decode step.
"""

import codecs
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from publicai_edge.engine.chat import Prompt
from publicai_edge.engine.llama import LlamaContext, LlamaModel, library
from publicai_edge.engine.protocol import Delta, Event, Finished, Sampling, Started

# Prompts that patrons share are always read in pieces of this size, at build time, on the kiosk and when they are not
# stored at all: the last bits of a sum depend on the batch's shape, and so an answer is the same warm and cold. A
# patron who comes while one is being read in an idle moment waits for one such piece at most.
SHARED_CHUNK = 64

Reason = Literal["stop", "length", "cancelled"]


def prefill(
    context: LlamaContext,
    tokens: Sequence[int],
    *,
    sequence: int,
    position: int,
    logits: bool,
    cancelled: Callable[[], bool],
    chunk: int,
) -> bool:
    """Evaluate ``tokens`` from ``position`` on, ``chunk`` at a time; False when cancelled on the way."""
    for start in range(0, len(tokens), chunk):
        if cancelled():
            return False
        piece = tokens[start : start + chunk]
        last = start + len(piece) == len(tokens)
        context.decode(piece, sequence=sequence, position=position + start, logits=logits and last)
    return True


def generate(
    context: LlamaContext,
    prompt: Prompt,
    sampling: Sampling,
    *,
    sequence: int,
    reused: int,
    limit: int,
    cancelled: Callable[[], bool],
) -> Iterator[Event]:
    """Yield the events of one answer to the prompt ``tokens``.

    Args:
        context: the context; its ``sequence`` already holds the first ``reused`` tokens.
        prompt: the whole prompt.
        sampling: how tokens are chosen.
        sequence: the sequence to work in.
        reused: how many tokens need no computing.
        limit: tokens the prompt and the answer may have together.
        cancelled: asked between steps.
    """
    started = time.perf_counter()
    tokens = prompt.tokens
    parts = [(reused, max(reused, prompt.shared), SHARED_CHUNK)]
    parts.append((parts[0][1], len(tokens), context.n_batch))
    done = all(
        prefill(
            context,
            tokens[begin:end],
            sequence=sequence,
            position=begin,
            logits=end == len(tokens),
            cancelled=cancelled,
            chunk=chunk,
        )
        for begin, end, chunk in parts
    )
    read = time.perf_counter()
    if not done:
        yield Finished("cancelled", 0, read - started, 0.0)
        return
    yield Started(len(tokens), reused)
    reason: Reason = "length"
    count = 0
    text = _TextOut(sampling.stop)
    room = min(sampling.max_tokens, limit - len(tokens))
    with _sampler(context.model, sampling) as sample:
        while count < room:
            if cancelled():
                reason = "cancelled"
                break
            token = sample(context)
            if context.model.ends(token):
                reason = "stop"
                break
            count += 1
            if out := text.push(context.model.piece(token)):
                yield Delta(out)
            if text.stopped:
                reason = "stop"
                break
            if count < room:
                context.decode([token], sequence=sequence, position=len(tokens) + count - 1, logits=True)
    if rest := text.flush():
        yield Delta(rest)
    yield Finished(reason, count, read - started, time.perf_counter() - read)


@contextmanager
def _sampler(model: LlamaModel, sampling: Sampling) -> Iterator[Callable[[LlamaContext], int]]:
    """Yield a function that picks the next token after the context's last one."""
    llama = library()
    chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())

    def add(sampler: Any) -> None:
        llama.llama_sampler_chain_add(chain, sampler)

    if sampling.repeat_penalty != 1.0:
        add(llama.llama_sampler_init_penalties(model.n_vocab, 128, sampling.repeat_penalty, 0.0, 0.0))
    if sampling.temperature <= 0:
        add(llama.llama_sampler_init_greedy())
    else:
        add(llama.llama_sampler_init_top_p(sampling.top_p, 1))
        add(llama.llama_sampler_init_min_p(sampling.min_p, 1))
        add(llama.llama_sampler_init_temp(sampling.temperature))
        seed = 0xFFFFFFFF if sampling.seed is None else sampling.seed & 0x7FFFFFFF
        add(llama.llama_sampler_init_dist(seed))
    try:
        yield lambda context: int(llama.llama_sampler_sample(chain, context.handle, -1))
    finally:
        llama.llama_sampler_free(chain)


class _TextOut:
    """Bytes in, text out: holds back half characters and what may become a stop string."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.stopped = False

    def push(self, data: bytes) -> str:
        self._held += self._decoder.decode(data)
        for stop in self._stops:
            at = self._held.find(stop)
            if at >= 0:
                self._held, self.stopped = self._held[:at], True
        if self.stopped:
            return self.flush()
        keep = max((_overlap(self._held, stop) for stop in self._stops), default=0)
        out, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return out

    def flush(self) -> str:
        out, self._held = self._held, ""
        return out


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of ``text`` that begins ``stop``."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
