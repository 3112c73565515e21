"""The worker process: loads one model and answers requests that arrive as JSON lines on stdin.

In: ``{"op": "load", "config": …}`` first, then ``{"op": "chat", "id": n, "request": …}`` and
``{"op": "cancel", "id": n}``. Out: ``{"event": "ready", "facts": …}`` or ``{"event": "failed", "error": …}``, then for
each request its events with its id. Nothing a patron typed is ever written anywhere but to that stream.

One request is decoded at a time; when the inbox is empty, shared prompts whose stored state could not be used are
computed, and dropped at once when a request comes. After each request its sequence is cleared: no patron's words stay
in the cache.
"""

import json
import os
import queue
import signal
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from publicai_edge import child
from publicai_edge.engine import warm
from publicai_edge.engine.chat import ChatFormat
from publicai_edge.engine.generate import generate
from publicai_edge.engine.llama import LlamaContext, LlamaModel, build_id
from publicai_edge.engine.protocol import ChatRequest
from publicai_edge.engine.warm import Prefixes, SharedPrompt
from publicai_edge.errors import ContextOverflowError, PublicAIError
from publicai_edge.host import peak_rss_bytes, physical_cores

_SEQUENCE = 0


class _Inbox:
    """What the reader thread has received: requests in order, and the ids that were cancelled."""

    def __init__(self, stream: TextIO) -> None:
        self._requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._finished = 0
        self._stream = stream
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._stream:
            message = json.loads(line)
            if message["op"] == "cancel":
                if message["id"] > self._finished:
                    self._cancelled.add(message["id"])
            else:
                self._requests.put(message)
        os._exit(0)  # the parent is gone, or wants us to go

    def next(self, timeout: float | None = None) -> dict[str, Any] | None:
        try:
            return self._requests.get(timeout=timeout)
        except queue.Empty:
            return None

    @property
    def waiting(self) -> bool:
        return not self._requests.empty()

    def cancelled(self, number: int) -> bool:
        return number in self._cancelled

    def finished(self, number: int) -> None:
        self._finished = number
        self._cancelled.discard(number)


class _Worker:
    """A loaded model and the loop that answers with it."""

    def __init__(self, config: dict[str, Any], inbox: _Inbox, channel: TextIO) -> None:
        self._inbox = inbox
        self._channel = channel
        started = time.perf_counter()
        model = LlamaModel(Path(config["model"]))
        self._chat = ChatFormat(model)
        self._limit: int = config["context"]
        prompts = [SharedPrompt(**item) for item in config["prompts"]]
        tokens = [self._chat.shared_prefix(prompt.system) for prompt in prompts]
        self._context = LlamaContext(
            model,
            n_ctx=warm.cells(self._limit, [len(item) for item in tokens]),
            n_seq=1 + len(tokens),
            threads=config.get("threads") or physical_cores(),
        )
        self._prefixes = Prefixes(self._context, tokens)
        self._warm_up(model)
        trusted = config["fingerprint"] == warm.fingerprint(config["model_sha256"], config["kv_type"])
        for index, prompt in enumerate(prompts):
            if trusted and prompt.file:
                self._prefixes.load(index, Path(prompt.file), prompt.sha256)
        self._facts = {
            "engine": build_id(),
            "load_seconds": round(time.perf_counter() - started, 3),
            "warm_loaded": self._prefixes.loaded,
            "warm_missing": len(self._prefixes.missing),
        }

    def _warm_up(self, model: LlamaModel) -> None:
        """Evaluate one token, so that the first patron does not wait for pages and kernels."""
        token = model.bos if model.bos >= 0 else model.tokenize("a", special=False)[0]
        self._context.decode([token], sequence=_SEQUENCE, position=0, logits=True)
        self._context.clear(_SEQUENCE)

    def run(self) -> None:
        """Answer until the parent closes the stream."""
        self.send({"event": "ready", "facts": self._facts})
        while True:
            idle = bool(self._prefixes.missing)
            message = self._inbox.next(timeout=0 if idle else None)
            if message is None:
                index = self._prefixes.missing[0]
                self._prefixes.compute(index, lambda: self._inbox.waiting)
            else:
                self._answer(message["id"], ChatRequest.from_json(message["request"]))

    def _answer(self, number: int, request: ChatRequest) -> None:
        try:
            prompt = self._chat.encode(request.messages)
            room = self._limit - len(prompt.tokens)
            if room < 1:
                raise ContextOverflowError(
                    f"The conversation has {len(prompt.tokens)} tokens; the model's context has {self._limit}.",
                    hint="Ask a shorter question, or begin a new session.",
                    prompt_tokens=len(prompt.tokens),
                    context=self._limit,
                )
            reused = self._prefixes.lend(prompt.tokens, _SEQUENCE)
            events = generate(
                self._context,
                prompt,
                request.sampling,
                sequence=_SEQUENCE,
                reused=reused,
                limit=self._limit,
                cancelled=lambda: self._inbox.cancelled(number),
            )
            for event in events:
                self.send({"id": number, "event": type(event).__name__.lower(), **asdict(event)})
        except PublicAIError as error:
            self.send({"id": number, "event": "error", "error": error.to_json()})
        finally:
            self._context.clear(_SEQUENCE)
            self._inbox.finished(number)

    def send(self, message: dict[str, Any]) -> None:
        _send(self._channel, message)


def _send(channel: TextIO, message: dict[str, Any]) -> None:
    channel.write(json.dumps(message) + "\n")
    channel.flush()


def _main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # a signal to the whole group is the parent's to handle; its pipe ends us
    _no_core_dumps()
    channel = child.claim_stdout()
    config = json.loads(sys.stdin.readline())["config"]
    inbox = _Inbox(sys.stdin)
    try:
        worker = _Worker(config, inbox, channel)
    except PublicAIError as error:
        _send(channel, {"event": "failed", "error": error.to_json(), "peak_rss_bytes": peak_rss_bytes()})
        return
    worker.run()


def _no_core_dumps() -> None:
    """A core file would hold what patrons typed."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    _main()
