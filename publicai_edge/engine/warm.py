"""Warm starts: the state of each prompt that every patron shares, computed once and kept.

At build time :func:`build` writes one file for each service and language. On the kiosk
:class:`publicai_edge.engine.prefixes.Prefixes` lends them in milliseconds where prefill would take seconds. A file is
used only when its digest is the bundle's (llama.cpp may abort the process on a damaged one), its fingerprint (engine
version, model, form of the KV cache) is the running engine's and its tokens are exactly the prompt's; anything else is
computed anew, and the engine's facts say why.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from publicai_edge import child, digest, host
from publicai_edge.engine.chat import ChatFormat
from publicai_edge.engine.llama import CELLS_STEP, LlamaContext, LlamaModel, build_id
from publicai_edge.engine.prefixes import Prefixes
from publicai_edge.errors import ContextOverflowError
from publicai_edge.progress import Progress
from publicai_edge.tuning import Tuning

FILE_SUFFIX = ".state"


@dataclass(frozen=True)
class SharedPrompt:
    """One service's system prompt in one language, and its state's file and digest where there is one."""

    service: str
    language: str
    system: str
    file: str | None = None
    sha256: str | None = None

    @property
    def file_name(self) -> str:
        """Name of its state file."""
        return f"{self.service}.{self.language}{FILE_SUFFIX}"


def fingerprint(model_sha256: str, state_form: str, engine: str | None = None) -> str:
    """Return what a stored state depends on besides its tokens.

    Args:
        model_sha256: the model's digest.
        state_form: see :attr:`publicai_edge.tuning.Tuning.state_form`.
        engine: the engine's build; llama.cpp's where it is not named.
    """
    return digest.of_json({"engine": engine or build_id(), "model": model_sha256, "kv": state_form})


def cells(context: int, slots: int) -> int:
    """Return the size of a cache in which each slot has room for a whole context, in tokens."""
    return slots * (-(-context // CELLS_STEP) * CELLS_STEP)


def build(
    model: Path,
    prompts: Sequence[SharedPrompt],
    out: Path,
    *,
    context: int,
    progress: Progress,
    by: str = f"{__name__}:_build",
    tuning: Tuning = Tuning(),  # noqa: B008 - frozen
) -> dict[str, Any]:
    """Compute the states of ``prompts`` in a child process, one file each in ``out``.

    Args:
        model: the GGUF file, or the folder of an ONNX model.
        prompts: the prompts.
        out: the folder.
        context: tokens that one conversation may have.
        progress: where it is shown.
        tuning: what the kiosk's engine will be started with.
        by: what the child runs, another engine's in place of llama.cpp's.

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
        "tuning": tuning.to_json(),
    }
    result = child.run(by, payload, what="prepare the warm start", progress=progress)
    return {**result.value, "peak_rss_bytes": result.peak_rss_bytes}


def _build(payload: dict[str, Any], progress: Progress) -> dict[str, Any]:
    model = LlamaModel(Path(payload["model"]))
    threads, tuning = host.physical_cores(), Tuning(**payload["tuning"])

    def context_for(tokens: int) -> LlamaContext:
        return LlamaContext(model, n_ctx=tokens, n_seq=1, threads=threads, tuning=tuning)

    return read_prompts(payload, model, context_for, progress)


def read_prompts(
    payload: dict[str, Any], model: Any, context_for: Callable[[int], Any], progress: Progress
) -> dict[str, Any]:
    """Do what :func:`build` asks of its child, with any engine's model.

    Args:
        payload: what :func:`build` gave.
        model: the model, as :class:`LlamaModel`.
        context_for: makes a context of one sequence with room for so many tokens, as :class:`LlamaContext`.
        progress: where it is shown.
    """
    chat = ChatFormat(model)
    prompts = [SharedPrompt(**item) for item in payload["prompts"]]
    shared = [chat.shared_prefix(prompt.system) for prompt in prompts]
    for prompt, tokens in zip(prompts, shared, strict=True):
        _check_room(prompt, len(tokens), payload["context"])
    counts = {}
    with progress.task("Reading the service prompts", total=sum(map(len, shared)), unit="tokens") as task:
        for prompt, tokens in zip(prompts, shared, strict=True):
            context = context_for(len(tokens) + 1)  # a fresh one: the file then depends on this prompt alone
            prefixes = Prefixes(context, [tokens])
            while prefixes.missing:
                prefixes.read_piece(0, sequence=0)
            context.save(0, tokens, Path(payload["out"]) / prompt.file_name)
            context.close()
            counts[prompt.file_name] = len(tokens)
            task.advance(len(tokens))
    return {"tokens": counts}


def _check_room(prompt: SharedPrompt, tokens: int, context: int) -> None:
    """Refuse a prompt that leaves no room for a question.

    Raises:
        ContextOverflowError: it takes more than three quarters of the context.
    """
    if tokens * 4 > context * 3:
        raise ContextOverflowError(
            f"The prompt of service {prompt.service!r} in {prompt.language!r} has {tokens} tokens; "
            f"the context has {context}.",
            hint="Shorten the prompt, or raise target.context in the recipe.",
        )
