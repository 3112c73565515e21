"""States of passages computed at build time, so that a kiosk's first questions begin at once.

Which passages: those that the recipe's own questions find, the best of each first, until the bound is reached.
The files are as a kiosk makes them (:mod:`.store`); a bundle carries them read-only.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from publicai_edge import child, host
from publicai_edge.engine.chat import ChatFormat
from publicai_edge.engine.llama import LlamaModel
from publicai_edge.engine.passages.composer import Composer
from publicai_edge.engine.passages.context import PassageContext, cannot_compose
from publicai_edge.engine.passages.settings import PassageSettings
from publicai_edge.engine.passages.store import StateStore, files
from publicai_edge.engine.protocol import ChatMessage, ChatRequest
from publicai_edge.progress import Progress
from publicai_edge.tuning import Tuning


def alone(turn: ChatMessage, index: int) -> ChatMessage:
    """Return a turn with its passage ``index`` in the place of the first, and nothing behind it."""
    first, (begin, end) = turn.passages[0][0], turn.passages[index]
    text = turn.content[:first] + turn.content[begin:end]
    return ChatMessage(turn.role, f"{text}\n.", ((first, len(text)),))


def build(
    model: Path,
    requests: Sequence[ChatRequest],
    out: Path,
    *,
    fingerprint: str,
    disk_bytes: int,
    context: int,
    tuning: Tuning,
    progress: Progress,
) -> dict[str, Any]:
    """Compute the states of all passages in ``requests`` in a child process.

    Args:
        model: the GGUF file.
        requests: as :func:`publicai_edge.kiosk.answering.compose` makes them.
        out: the folder of the store.
        fingerprint: of the engine, the model and the form of its cache.
        disk_bytes: how much they may take.
        context: tokens that one conversation may have.
        tuning: what the kiosk's engine will be started with.
        progress: where it is shown.

    Returns:
        ``{"states": count, "left_out": count, "peak_rss_bytes": …}``.

    Raises:
        ModelError: the model cannot be loaded.
    """
    payload = {
        "model": str(model),
        "requests": [request.to_json() for request in requests],
        "out": str(out),
        "fingerprint": fingerprint,
        "disk_bytes": disk_bytes,
        "context": context,
        "tuning": tuning.to_json(),
    }
    result = child.run(f"{__name__}:_build", payload, what="read the passages ahead", progress=progress)
    return {**result.value, "peak_rss_bytes": result.peak_rss_bytes}


def _build(payload: dict[str, Any], progress: Progress) -> dict[str, Any]:
    model = LlamaModel(Path(payload["model"]))
    if cannot_compose(model):
        return {"states": 0, "left_out": 0}
    tuning, out = Tuning(**payload["tuning"]), Path(payload["out"])
    context = PassageContext(model, n_ctx=payload["context"], threads=host.physical_cores(), tuning=tuning)
    if not context.can_shift:
        return {"states": 0, "left_out": 0}
    store = StateStore(out, payload["fingerprint"], payload["disk_bytes"])
    composer = Composer(context, store, PassageSettings("shifted"))
    chat = ChatFormat(model)
    wanted = _single([ChatRequest.from_json(item) for item in payload["requests"]])
    left_out = 0
    with progress.task("Reading passages ahead", total=len(wanted), unit="items") as task:
        for request in wanted:
            prompt = chat.encode(request.messages)
            if prompt.runs[0].end < payload["context"]:
                composer.keep(prompt)
                while (how := composer.read_piece()) is None:
                    pass
                left_out += how == "full"
            task.advance(1)
    return {"states": sum(1 for _ in files(out)), "left_out": left_out}


def _single(requests: Sequence[ChatRequest]) -> list[ChatRequest]:
    """Return a request for each passage, each once, best first."""
    found: dict[str, ChatRequest] = {}
    for index in range(max((len(request.messages[-1].passages) for request in requests), default=0)):
        for request in requests:
            *before, turn = request.messages
            if index < len(turn.passages):
                single = ChatRequest((*before, alone(turn, index)))
                found.setdefault(repr([asdict(message) for message in single.messages]), single)
    return list(found.values())
