"""Build time: what a model in ONNX is, and the stored states of its services' prompts, each in a child process."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from publicai_edge import child
from publicai_edge.engine import warm
from publicai_edge.engine.chat import ChatFormat
from publicai_edge.engine.onnx.context import OnnxContext, OnnxModel
from publicai_edge.engine.onnx.graph import version
from publicai_edge.engine.prefixes import SHARED_CHUNK, Prefixes
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
    model, threads = Path(payload["model"]), _threads()
    loaded = OnnxModel(model, threads)
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
    """Compute the states of ``prompts``, one file each in ``out``; as :func:`publicai_edge.engine.warm.build`.

    Returns:
        ``{"tokens": {file name: count}, "peak_rss_bytes": …}``.

    Raises:
        ModelError: the model cannot be loaded or has no usable chat template.
        ContextOverflowError: a prompt alone fills the context.
    """
    payload = {
        "model": str(model),
        "prompts": [asdict(prompt) for prompt in prompts],
        "out": str(out),
        "context": context,
    }
    result = child.run(f"{__name__}:_build", payload, what="prepare the warm start", progress=progress)
    return {**result.value, "peak_rss_bytes": result.peak_rss_bytes}


def _build(payload: dict[str, Any], progress: Progress) -> dict[str, Any]:
    model = OnnxModel(Path(payload["model"]), _threads())
    chat = ChatFormat(model)
    prompts = [SharedPrompt(**item) for item in payload["prompts"]]
    shared = [chat.shared_prefix(prompt.system) for prompt in prompts]
    for prompt, tokens in zip(prompts, shared, strict=True):
        warm.check_room(prompt, len(tokens), payload["context"])
    with progress.task("Reading the service prompts", total=sum(map(len, shared)), unit="tokens") as task:
        for prompt, tokens in zip(prompts, shared, strict=True):
            context = OnnxContext(model, length=len(tokens) + 1, n_seq=1)
            prefixes: Any = Prefixes(context, [tokens])  # type: ignore[arg-type] # it has llama.cpp's face
            while prefixes.missing:
                prefixes.read_piece(0, sequence=0)
            context.save(0, tokens, Path(payload["out"]) / prompt.file_name)
            context.close()
            task.advance(len(tokens))
    return {"tokens": {prompt.file_name: len(tokens) for prompt, tokens in zip(prompts, shared, strict=True)}}


def _threads() -> int:
    from publicai_edge.host import physical_cores

    return physical_cores()
