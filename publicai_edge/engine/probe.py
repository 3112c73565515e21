"""Ask llama.cpp about a model, in a child process: does it know it, can it tokenize, has it a chat template?"""

from pathlib import Path
from typing import Any

from publicai_edge import child
from publicai_edge.engine.chat import ChatFormat
from publicai_edge.engine.llama import LlamaModel, build_id, library, system_info
from publicai_edge.engine.protocol import ChatMessage
from publicai_edge.errors import EngineError, ModelError
from publicai_edge.progress import Progress, Silent

_CPU_SECONDS = 10.0  # the largest vocabularies (256,000 tokens) take one; a slow laptop may need several
_MEMORY_BYTES = 2 << 30  # beside what the process has: the header's own bound is an eighth of that
_WALL_SECONDS = 120.0  # for a machine that stands still, and where processor time cannot be limited


def probe(model: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Return facts about a model that only the engine knows; costs no weights.

    The bounded reader sees the file before llama.cpp does, and the child has limits of processor time and memory.

    Raises:
        ModelError: llama.cpp does not know the architecture, refuses the file, crashes over it or does not end, or
            finds no chat template.
    """
    payload = {"model": str(model)}
    what = f"look at {model}"
    watched = progress or Silent()
    try:
        found = child.run(f"{__name__}:_probe", payload, what=what, progress=watched, limit_seconds=_WALL_SECONDS)
    except EngineError as error:
        raise ModelError(
            f"llama.cpp broke down over {model}, or took more time or memory than any model needs: {error.message}",
            hint="The file may be damaged or hostile: fetch it again, from a publisher you trust.",
            path=str(model),
        ) from error
    return dict(found.value)


def _probe(payload: dict[str, Any], _progress: Progress) -> dict[str, Any]:
    library()
    child.limit_this_process(_CPU_SECONDS, _MEMORY_BYTES)
    model = LlamaModel(Path(payload["model"]), vocab_only=True)
    turns = [ChatMessage("system", "s"), ChatMessage("user", "u")]
    ChatFormat(model).encode(turns)
    return {"engine": build_id(), "vocabulary": model.n_vocab}


def engine_facts() -> dict[str, str]:
    """Return the engine's version and what it uses of this processor, asked in a child process."""
    return dict(child.run(f"{__name__}:_facts", {}, what="start llama.cpp", progress=Silent()).value)


def _facts(_payload: dict[str, Any], _progress: Progress) -> dict[str, str]:
    return {"engine": build_id(), "system": system_info()}
