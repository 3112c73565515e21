"""Build time: what a model in ONNX is, and the stored states of its services' prompts, each in a child process."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from publicai_edge import child, host
from publicai_edge.engine import warm
from publicai_edge.engine.chat import ChatFormat
from publicai_edge.engine.onnx.context import OnnxContext, OnnxModel
from publicai_edge.engine.onnx.graph import version
from publicai_edge.engine.prefixes import SHARED_CHUNK
from publicai_edge.engine.protocol import ChatMessage
from publicai_edge.engine.warm import SharedPrompt
from publicai_edge.progress import Progress

_FORM = 1  # raised when the same model and engine would give other states: another way of reading, or of rounding
_LIMIT_SECONDS = 600.0


def build_id() -> str:
    """Return what names this engine: a stored state made by another is not trusted."""
    return f"{version()}, states {_FORM}"


def probe(model: Path, progress: Progress) -> dict[str, Any]:
    """Load a model, evaluate one conversation, and return what it is.

    Returns:
        ``engine``, ``vocabulary``, ``architecture``, ``context_trained`` and ``kv_bytes_per_token``.

    Raises:
        ModelError: it cannot be loaded, has no usable chat template, or its tokenizer is another model's.
        EngineError: it does not run.
    """
    what = f"look at {model.name}"
    found = child.run(
        f"{__name__}:_probe", {"model": str(model)}, what=what, progress=progress, limit_seconds=_LIMIT_SECONDS
    )
    return dict(found.value)


def _probe(payload: dict[str, Any], _progress: Progress) -> dict[str, Any]:
    model = Path(payload["model"])
    loaded = OnnxModel(model, host.physical_cores())
    tokens = ChatFormat(loaded).encode([ChatMessage("system", "s"), ChatMessage("user", "u")]).tokens
    context = OnnxContext(loaded, length=len(tokens) + 1, n_seq=1)
    for position in range(0, len(tokens), SHARED_CHUNK):
        piece = tokens[position : position + SHARED_CHUNK]
        context.decode(piece, sequence=0, position=position, logits=True)
    return {
        "engine": build_id(),
        "vocabulary": loaded.n_vocab,
        "architecture": loaded.folder.architecture,
        "context_trained": loaded.folder.context_trained,
        "kv_bytes_per_token": loaded.graph.bytes_per_token,
    }


def build(
    model: Path, prompts: Sequence[SharedPrompt], out: Path, *, context: int, progress: Progress
) -> dict[str, Any]:
    """Compute the states of ``prompts``, one file each in ``out``; as :func:`publicai_edge.engine.warm.build`."""
    return warm.build(model, prompts, out, context=context, progress=progress, by=f"{__name__}:_build")


def _build(payload: dict[str, Any], progress: Progress) -> dict[str, Any]:
    model = OnnxModel(Path(payload["model"]), host.physical_cores())
    return warm.read_prompts(payload, model, lambda tokens: OnnxContext(model, length=tokens, n_seq=1), progress)
