"""The worker process: loads one model and answers requests that arrive as JSON lines on stdin.

In: ``{"op": "load", "config": …}`` first, then ``{"op": "chat", "id": n, "request": …}``,
``{"op": "cancel", "id": n}``, ``{"op": "ping", "n": k}``, ``{"op": "keep", "n": k, "request": …}`` (a passage is to be
read and kept) and, when there is nothing to answer, ``{"op": "rest"}``.
Out: ``{"event": "ready", "facts": …}`` or ``{"event": "failed", "error": …}``, then for each request its events with
its id, ``{"event": "pong", "n": k}`` and ``{"event": "kept", "n": k, "how": …}``. Nothing a patron typed is ever
written anywhere but to that stream.

Messages are looked at between two evaluations, so a request joins, and a cancelled one frees its place, within one of
them. When there is nothing to answer, shared prompts whose stored state could not be used are read, a piece at a time,
and then the passage that is to be kept; that evaluation is broken off when a message comes.
"""

import contextlib
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from publicai_edge import child, gguf
from publicai_edge.engine import fit, warm
from publicai_edge.engine.chat import ChatFormat, Prompt
from publicai_edge.engine.fit import Plan
from publicai_edge.engine.gpu import gpu_plan, gpus
from publicai_edge.engine.llama import LlamaContext, LlamaModel, build_id, library
from publicai_edge.engine.lookup import LONGEST
from publicai_edge.engine.passages.composer import Composer
from publicai_edge.engine.passages.context import CANNOT_SHIFT, PassageContext, cannot_compose
from publicai_edge.engine.passages.settings import PassageSettings
from publicai_edge.engine.passages.store import StateStore
from publicai_edge.engine.prefixes import Prefixes
from publicai_edge.engine.protocol import ChatMessage, ChatRequest, Event, Sampling
from publicai_edge.engine.sampling import Chooser
from publicai_edge.engine.scheduler import WORTH_SHARING, Scheduler
from publicai_edge.engine.threads import Threads, threads_on_this_machine
from publicai_edge.engine.warm import SharedPrompt
from publicai_edge.errors import EngineError, ModelError, PublicAIError
from publicai_edge.host import peak_rss_bytes, refuse_core_files, release_mapped
from publicai_edge.scrub import overwrite_what_is_freed, scrub, scrub_thread
from publicai_edge.tuning import Tuning

_BYTES_PER_TOKEN = 3  # of a prompt; English has four and a half, and what is too little here is only the estimate
_TEMPLATE_TOKENS = 32
_WARM_UP_WORDS = 24


class Inbox:
    """What the reader thread has received, in order; the process ends when the parent closes the stream.

    ``prepare`` is what that thread does to each message: a chat template may take a tenth of a second the first time,
    and answers under way need not wait for it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._stream = stream
        self.prepare: Callable[[dict[str, Any]], dict[str, Any]] = dict
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            for line in self._stream:
                self._messages.put(self.prepare(json.loads(line)))
        finally:
            os._exit(0)  # the parent is gone, or wants us to go; or nothing more would be heard

    def take(self, *, wait: bool) -> list[dict[str, Any]]:
        """Return all that has come; with ``wait``, at least one message."""
        found = []
        try:
            found.append(self._messages.get(block=wait))
            while True:
                found.append(self._messages.get_nowait())
        except queue.Empty:
            return found

    def waiting(self) -> bool:
        """Whether something has come that was not taken yet."""
        return not self._messages.empty()


@dataclass(frozen=True)
class Backend:
    """What runs a model: llama.cpp, or what has its face (:mod:`publicai_edge.engine.onnx.worker`).

    Attributes:
        plan: how many slots fit this machine's memory, and how many layers go to its graphics processors; raises
            HostError where the model does not fit. Asked before anything is loaded.
        model: loads the model at a path, for so many threads, with so many layers on graphics processors.
        context: makes room for requests: (model, tokens of one request, slots, threads, tuning).
        chooser: begins to choose an answer's tokens.
        build_id: names the engine; a state that another made is not trusted.
        passages: makes the context in which passages are put together, (model, tokens of one request, threads, tuning);
            or returns why that cannot be. None where the engine has none.
    """

    plan: Callable[[dict[str, Any], Sequence[SharedPrompt]], tuple[Plan, int]]
    model: Callable[[Path, int, int], Any]
    context: Callable[[Any, int, int, int, Tuning], Any]
    chooser: Callable[[Any, Sampling], Any]
    build_id: Callable[[], str]
    passages: Callable[[Any, int, int, Tuning], PassageContext | str] | None = None


def _llama_context(model: LlamaModel, limit: int, slots: int, threads: int, tuning: Tuning) -> Any:
    outputs = slots + LONGEST
    return LlamaContext(model, n_ctx=limit, n_seq=slots, threads=threads, outputs=outputs, tuning=tuning)


def _llama_plan(config: dict[str, Any], prompts: Sequence[SharedPrompt]) -> tuple[Plan, int]:
    path = Path(config["model"])
    header, tuning = gguf.read(path), Tuning(**config["tuning"])
    kv_type, batch = tuning.kv_type, tuning.ubatch or tuning.batch
    shared = sum(len(prompt.system.encode()) // _BYTES_PER_TOKEN + _TEMPLATE_TOKENS for prompt in prompts)

    composing = int(PassageSettings(**config["passages"]).composes)

    def cells_of(slots: int) -> int:
        return warm.cells(config["context"], slots + composing) + shared

    outputs = config["slots"] + LONGEST
    layers = config["gpu_layers"]
    if layers != 0:
        library()  # finds the devices
        devices, cells = gpus(), cells_of(config["slots"])
        if layers is None or not devices:
            layers = gpu_plan(header, devices, cells=cells, kv_type=kv_type, batch=batch, outputs=outputs)
    plan = fit.plan(
        lambda cells: fit.need(header, cells=cells, kv_type=kv_type, batch=batch, outputs=outputs, gpu_layers=layers),
        cells_of,
        slots=config["slots"],
        name=path.name,
    )
    return plan, layers


def _llama_model(path: Path, _threads: int, gpu_layers: int) -> LlamaModel:
    model = LlamaModel(path, gpu_layers=gpu_layers)
    release_mapped(path)  # weights repacked for this processor are read no more; the others come back when they are
    return model


def _llama_passages(model: LlamaModel, limit: int, threads: int, tuning: Tuning) -> PassageContext | str:
    if why := cannot_compose(model):
        return why
    context = PassageContext(model, n_ctx=limit, threads=threads, tuning=tuning)
    if context.can_shift:
        return context
    context.close()
    return CANNOT_SHIFT


LLAMA = Backend(_llama_plan, _llama_model, _llama_context, Chooser, build_id, _llama_passages)


class Worker:
    """A loaded model and the loop that answers with it."""

    def __init__(self, config: dict[str, Any], inbox: Inbox, channel: TextIO, backend: Backend) -> None:
        self._inbox = inbox
        self._channel = channel
        self._lines: list[str] = []
        self._reads_ahead = True
        started = time.perf_counter()
        prompts = [SharedPrompt(**item) for item in config["prompts"]]
        plan, gpu_layers = backend.plan(config, prompts)
        tuning = Tuning(**config["tuning"])
        most = config["threads"] or tuning.threads or threads_on_this_machine()
        model = backend.model(Path(config["model"]), most, gpu_layers)
        self._chat = chat = ChatFormat(model)
        slots, limit = plan.slots, config["context"]
        tokens = [chat.shared_prefix(prompt.system) for prompt in prompts]
        with contextlib.suppress(ModelError):
            if len(bare := chat.bare_prefix()) >= WORTH_SHARING:
                tokens.append(bare)
        self._context = backend.context(model, limit, slots, most, tuning)
        made_here = warm.fingerprint(config["model_sha256"], tuning.state_form, backend.build_id())
        settings = PassageSettings(**config["passages"])
        self._composer, composition = self._make_composer(settings, backend, model, limit, tuning, made_here)
        self._keeping: int | None = None
        self._prefixes = Prefixes(self._context, tokens)
        self._scheduler = Scheduler(
            self._context,
            chat,
            self._prefixes,
            slots=slots,
            limit=limit,
            send=self._event,
            threads=None if config["threads"] else Threads(most),
            drafts=tuning.drafts,
            make_chooser=backend.chooser,
            composer=self._composer,
        )
        self._warm_up(bare=len(tokens) > len(prompts))
        rebuilt = self._load_states(prompts, trusted=config["fingerprint"] == made_here)
        self._prefixes.lay(range(slots))
        self._facts = {
            "engine": backend.build_id(),
            "load_seconds": round(time.perf_counter() - started, 3),
            "states_reused": len(prompts) - len(rebuilt),
            "states_rebuilt": rebuilt,
            **plan.facts(),
            "threads": most,
            "tuning": tuning.to_json(),
            "gpu_layers": gpu_layers,
            "passages": composition,
            "ping": True,
        }

    def _make_composer(
        self, settings: PassageSettings, backend: Backend, model: Any, limit: int, tuning: Tuning, fingerprint: str
    ) -> tuple[Composer | None, str]:
        """Return what puts passages together, and what to say of it."""
        if not settings.composes:
            return None, "exact"
        context: PassageContext | str = "this engine keeps no states of passages"
        if backend.passages:
            try:
                context = backend.passages(model, limit, self._context.threads, tuning)
            except EngineError as error:
                context = error.message
        if isinstance(context, str):
            return None, f"exact: {context}"
        bundled = Path(settings.bundled) if settings.bundled else None
        store = StateStore(Path(str(settings.folder)), fingerprint, settings.disk_bytes, bundled=bundled)
        return Composer(context, store, settings, lambda: int(self._context.threads)), settings.composition

    def _load_states(self, prompts: Sequence[SharedPrompt], *, trusted: bool) -> dict[str, str]:
        """Take the stored states that are of use; return why the others are not, by the names of their files."""
        unused = {}
        for index, prompt in enumerate(prompts):
            if prompt.file is None:
                why: str | None = "is not used"
            elif not trusted:
                why = "was made by another engine, or for another model"
            else:
                why = self._prefixes.load(index, Path(prompt.file), prompt.sha256)
            if why:
                unused[prompt.file_name] = why
        return unused

    def _warm_up(self, bare: bool) -> None:
        """Answer something that nobody asked, so that the first patron does not wait for pages, kernels and libraries.

        Where the template writes something before a conversation without a system prompt, that is read by it.
        """
        words = "a " * _WARM_UP_WORDS
        sampling = Sampling(max_tokens=2, temperature=1.0, seed=0)
        chat = ChatRequest((ChatMessage("user", words),), sampling)
        scheduler = self._scheduler
        scheduler.send = lambda _number, _event: None
        scheduler.admit(0, chat if bare else ChatRequest(sampling=sampling, prompt=words))
        while scheduler.busy:
            scheduler.step()
        scheduler.send = self._event

    def run(self) -> None:
        """Answer until the parent closes the stream."""
        self._inbox.prepare = self._prepare
        overwrite_what_is_freed()  # not before: what is taken is written to as well, buffers held in reserve too
        self._write({"event": "ready", "facts": self._facts})
        self._flush()
        while True:
            to_read = self._reads_ahead and bool(self._prefixes.missing)
            keeping = self._composer is not None and self._composer.keeping
            idle = not (self._scheduler.busy or to_read or keeping)
            for message in self._inbox.take(wait=idle):
                self._handle(message)
            if self._scheduler.busy:
                self._scheduler.step()
            elif to_read:
                self._read_ahead()
            elif keeping:
                self._read_passage()
            self._flush()

    def _read_ahead(self) -> None:
        """Read a piece of a shared prompt nobody waits for; one that cannot be read is left to whoever asks for it."""
        try:
            self._scheduler.read_ahead()
        except PublicAIError:
            self._reads_ahead = False

    def _read_passage(self) -> None:
        """Read a piece of the passage that is to be kept."""
        assert self._composer is not None  # noqa: S101 - the caller has looked
        try:
            how = self._composer.read_piece(self._inbox.waiting)
        except PublicAIError:
            how = "failed"
        if how:
            self._kept(self._keeping, how)

    def _keep(self, number: int, prompt: Prompt | PublicAIError) -> None:
        """Take in a passage to keep; one at a time."""
        if self._composer is None or isinstance(prompt, PublicAIError) or not prompt.runs or self._composer.keeping:
            self._kept(number, "refused")
            return
        self._keeping = number
        self._composer.keep(prompt)

    def _kept(self, number: int | None, how: str) -> None:
        self._write({"event": "kept", "n": number, "how": how})

    def _prepare(self, message: dict[str, Any]) -> dict[str, Any]:
        """Turn a request's conversation into tokens; in the reader's thread."""
        if message["op"] == "rest":
            scrub_thread()
        if message["op"] not in {"chat", "keep"}:
            return message
        request = ChatRequest.from_json(message["request"])
        prompt: Prompt | PublicAIError
        try:
            prompt = self._chat.encode_request(request)
        except PublicAIError as error:
            prompt = error
        return {**message, "request": request, "prompt": prompt}

    def _handle(self, message: dict[str, Any]) -> None:
        match message["op"]:
            case "chat" if isinstance(message["prompt"], PublicAIError):
                self._event(message["id"], message["prompt"])
            case "chat":
                self._scheduler.admit(message["id"], message["request"], message["prompt"])
            case "keep":
                self._keep(message["n"], message["prompt"])
            case "cancel":
                self._scheduler.cancel(message["id"])
            case "ping":
                self._write({"event": "pong", "n": message["n"]})
            case "rest" if not self._scheduler.busy:
                scrub()

    def _event(self, number: int, event: Event | PublicAIError) -> None:
        if isinstance(event, PublicAIError):
            self._write({"id": number, "event": "error", "error": event.to_json()})
        else:
            self._write({"id": number, "event": type(event).__name__.lower(), **vars(event)})

    def _write(self, message: dict[str, Any]) -> None:
        self._lines.append(json.dumps(message))

    def _flush(self) -> None:
        """Send all lines of one step in one piece."""
        if self._lines:
            self._channel.write("\n".join(self._lines) + "\n")
            self._channel.flush()
            self._lines.clear()


def main(backend: Backend = LLAMA) -> None:
    """Run the worker on this process's stdin and stdout."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # a signal to the whole group is the parent's to handle; its pipe ends us
    refuse_core_files()
    channel = child.claim_stdout()
    config = json.loads(sys.stdin.readline())["config"]
    inbox = Inbox(sys.stdin)
    try:
        worker = Worker(config, inbox, channel, backend)
    except PublicAIError as error:
        failed = {"event": "failed", "error": error.to_json(), "peak_rss_bytes": peak_rss_bytes()}
        channel.write(json.dumps(failed) + "\n")
        channel.flush()
        return
    worker.run()


if __name__ == "__main__":
    main()
