"""Ask llama.cpp about a model, in a child process: does it know it, can it tokenize, has it a chat template?"""

from pathlib import Path
from typing import Any

from publicai_edge import child
from publicai_edge.engine.chat import ChatFormat
from publicai_edge.engine.llama import LlamaModel, build_id, system_info
from publicai_edge.engine.protocol import ChatMessage
from publicai_edge.progress import Progress, Silent

_LIMIT_SECONDS = 120.0  # a whole vocabulary loads in under a second; a hostile template may never end


def probe(model: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Return facts about a model that only the engine knows; costs no weights.

    Raises:
        ModelError: llama.cpp does not know the architecture, refuses the file, or finds no chat template.
    """
    payload = {"model": str(model)}
    what = f"look at {model}"
    watched = progress or Silent()
    found = child.run(f"{__name__}:_probe", payload, what=what, progress=watched, limit_seconds=_LIMIT_SECONDS)
    return dict(found.value)


def _probe(payload: dict[str, Any], _progress: Progress) -> dict[str, Any]:
    model = LlamaModel(Path(payload["model"]), vocab_only=True)
    turns = [ChatMessage("system", "s"), ChatMessage("user", "u")]
    ChatFormat(model).encode(turns)
    return {"engine": build_id(), "vocabulary": model.n_vocab}


def engine_facts() -> dict[str, str]:
    """Return the engine's version and what it uses of this processor, asked in a child process."""
    return dict(child.run(f"{__name__}:_facts", {}, what="start llama.cpp", progress=Silent()).value)


def _facts(_payload: dict[str, Any], _progress: Progress) -> dict[str, str]:
    return {"engine": build_id(), "system": system_info()}
