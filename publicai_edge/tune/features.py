"""What is decided by itself once the fastest point is known: drafts, and the stored states of the service prompts."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from publicai_edge import child, digest
from publicai_edge.engine.prefixes import Prefixes
from publicai_edge.progress import Silent
from publicai_edge.tuning import Tuning

if TYPE_CHECKING:
    from publicai_edge.engine.chat import ChatFormat
    from publicai_edge.engine.llama import LlamaContext
    from publicai_edge.engine.scheduler import Scheduler
    from publicai_edge.progress import Progress

_ANSWER = 96
_TURNS = 5  # the first warms
_LOSES = 1.02  # drafts that take longer than this are left out


@dataclass(frozen=True)
class Features:
    """Seconds with and without.

    Attributes:
        read_seconds: to read the longest service prompt; 0 where there is none.
        restore_seconds: to take up its stored state.
        state_bytes: of that state.
        quoting_seconds: of an answer that may quote, without drafts; 0 where the model has no chat template.
        drafting_seconds: of the same answer with drafts.
    """

    read_seconds: float = 0.0
    restore_seconds: float = 0.0
    state_bytes: int = 0
    quoting_seconds: float = 0.0
    drafting_seconds: float = 0.0

    @property
    def warm(self) -> bool:
        """Whether stored states are worth their bytes."""
        return self.restore_seconds <= self.read_seconds

    @property
    def drafts(self) -> bool:
        """Whether drafts do no harm; the engine itself uses them only where they pay."""
        return self.drafting_seconds <= self.quoting_seconds * _LOSES


def measure(model: Path, tuning: Tuning, prompts: Sequence[str]) -> Features:
    """Measure both in a child process.

    Args:
        model: a GGUF file.
        tuning: the fastest point's.
        prompts: of the services.

    Raises:
        PublicAIError: the model cannot be loaded or run.
    """
    payload = {"model": str(model), "tuning": tuning.to_json(), "prompts": list(prompts)}
    ran = child.run(f"{__name__}:_measure", payload, what=f"measure {model.name}", progress=Silent())
    return Features(**ran.value)


def _measure(payload: dict[str, Any], _progress: "Progress") -> dict[str, Any]:
    """Measure in this process, a child made for it."""
    from publicai_edge.engine.chat import ChatFormat
    from publicai_edge.engine.llama import LlamaContext, LlamaModel
    from publicai_edge.engine.lookup import LONGEST
    from publicai_edge.errors import ModelError

    model, tuning = LlamaModel(Path(payload["model"])), Tuning(**payload["tuning"])
    try:
        chat = ChatFormat(model)
    except ModelError:
        return {}
    shared = max((chat.shared_prefix(text) for text in payload["prompts"]), key=len, default=())
    text = max(payload["prompts"], key=len, default="")
    room = 2 * len(shared) + _ANSWER + 512
    context = LlamaContext(model, n_ctx=room, n_seq=1, threads=tuning.threads or 1, outputs=1 + LONGEST, tuning=tuning)
    return {**(_warm(context, shared) if shared else {}), **_drafts(context, chat, text, room)}


def _warm(context: "LlamaContext", tokens: tuple[int, ...]) -> dict[str, Any]:
    """Read a prompt, and take up its stored state."""
    reading, restoring, size = [], [], 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prompt.state"
        for _ in range(_TURNS):
            context.clear(0)
            prefixes = Prefixes(context, [tokens])
            started = time.perf_counter()
            while prefixes.missing:
                prefixes.read_piece(0, sequence=0)
            reading.append(time.perf_counter() - started)
            context.save(0, tokens, path)
            size, sha256 = path.stat().st_size, digest.of_file(path)
            context.clear(0)
            prefixes = Prefixes(context, [tokens])
            started = time.perf_counter()
            prefixes.load(0, path, sha256)
            prefixes.lend(0, 0)
            restoring.append(time.perf_counter() - started)
    context.clear(0)
    return {
        "read_seconds": median(reading[1:]),
        "restore_seconds": median(restoring[1:]),
        "state_bytes": size,
    }


def _drafts(context: "LlamaContext", chat: "ChatFormat", text: str, room: int) -> dict[str, Any]:
    """Answer a question that asks for a quotation, with drafts and without, by turns."""
    from publicai_edge.engine.protocol import ChatMessage, ChatRequest, Sampling
    from publicai_edge.engine.scheduler import Scheduler

    asked = f"Repeat this text word for word.\n\n{text}"
    request = ChatRequest((ChatMessage("user", asked),), Sampling(max_tokens=_ANSWER))
    sides = {
        drafts: Scheduler(
            context, chat, Prefixes(context, []), slots=1, limit=room, send=lambda *_: None, drafts=drafts
        )
        for drafts in (False, True)
    }
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(_TURNS):
        for drafts in (False, True) if turn % 2 else (True, False):
            seconds[drafts].append(_answered(sides[drafts], request))
    return {"quoting_seconds": median(seconds[False][1:]), "drafting_seconds": median(seconds[True][1:])}


def _answered(scheduler: "Scheduler", request: Any) -> float:
    scheduler.admit(0, request)
    started = time.perf_counter()
    while scheduler.busy:
        scheduler.step()
    return time.perf_counter() - started
