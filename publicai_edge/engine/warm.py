"""Warm starts: the state of each prompt that every patron shares, computed once and kept.

At build time :func:`build` writes one file for each service and language. On the kiosk :class:`Prefixes` loads them
in milliseconds where prefill would take seconds. A file is used only when its digest is the bundle's (llama.cpp aborts
the process on a damaged one), its fingerprint (engine version, model, KV type) is the running engine's and its tokens
are exactly the prompt's; anything else is computed anew, silently.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from publicai_edge import child, digest
from publicai_edge.engine.chat import ChatFormat
from publicai_edge.engine.generate import SHARED_CHUNK, prefill
from publicai_edge.engine.llama import LlamaContext, LlamaModel, build_id
from publicai_edge.errors import ContextOverflowError
from publicai_edge.progress import Progress

FILE_SUFFIX = ".state"
_CELL_STEP = 256


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


def fingerprint(model_sha256: str, kv_type: str) -> str:
    """Return what a stored state depends on besides its tokens."""
    return digest.of_json({"engine": build_id(), "model": model_sha256, "kv": kv_type})


def cells(context: int, lengths: Sequence[int]) -> int:
    """Return the size of a cache that holds every shared prompt beside one full context."""
    total = context + sum(lengths)
    return -(-total // _CELL_STEP) * _CELL_STEP


class Prefixes:
    """The shared prompts of a running context, each in a sequence of its own from 1 on."""

    def __init__(self, context: LlamaContext, tokens: Sequence[tuple[int, ...]]) -> None:
        self._context = context
        self._tokens = list(tokens)
        self._ready = [False] * len(tokens)
        self.loaded = 0
        self.rebuilt = 0

    def load(self, index: int, path: Path, sha256: str | None) -> bool:
        """Take a state from its file if it is whole and exactly this prompt's."""
        expected = self._tokens[index]
        try:
            whole = path.is_file() and digest.of_file(path) == sha256
        except OSError:
            whole = False
        found = self._context.load(index + 1, path, len(expected) + 1) if whole else None
        if found is None or tuple(found) != expected:
            self._context.clear(index + 1)
            return False
        self._ready[index] = True
        self.loaded += 1
        return True

    @property
    def missing(self) -> list[int]:
        """Indexes of prompts whose state is not there yet."""
        return [index for index, ready in enumerate(self._ready) if not ready]

    def compute(self, index: int, cancelled: Callable[[], bool]) -> bool:
        """Evaluate a prompt; False, and nothing kept, when cancelled on the way."""
        tokens = self._tokens[index]
        sequence = index + 1
        done = prefill(
            self._context,
            tokens,
            sequence=sequence,
            position=0,
            logits=False,
            cancelled=cancelled,
            chunk=SHARED_CHUNK,
        )
        if not done:
            self._context.clear(sequence)
            return False
        self._ready[index] = True
        self.rebuilt += 1
        return True

    def lend(self, tokens: Sequence[int], sequence: int) -> int:
        """Copy the longest shared prompt that ``tokens`` begins with into ``sequence``; return its length."""
        best = -1
        for index, prefix in enumerate(self._tokens):
            fits = self._ready[index] and len(prefix) < len(tokens) and tuple(tokens[: len(prefix)]) == prefix
            if fits and (best < 0 or len(prefix) > len(self._tokens[best])):
                best = index
        if best < 0:
            return 0
        self._context.copy(best + 1, sequence)
        return len(self._tokens[best])


def build(
    model: Path, prompts: Sequence[SharedPrompt], out: Path, *, context: int, progress: Progress
) -> dict[str, Any]:
    """Compute the states of ``prompts`` in a child process, one file each in ``out``.

    Returns:
        ``{"fingerprint": …, "tokens": {file name: count}, "peak_rss_bytes": …}``.

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
    from publicai_edge.host import physical_cores

    model = LlamaModel(Path(payload["model"]))
    chat = ChatFormat(model)
    prompts = [SharedPrompt(**item) for item in payload["prompts"]]
    prefixes = [chat.shared_prefix(prompt.system) for prompt in prompts]
    for prompt, tokens in zip(prompts, prefixes, strict=True):
        check_room(prompt, len(tokens), payload["context"])
    counts = {}
    threads = physical_cores()
    with progress.task("Reading the service prompts", total=sum(map(len, prefixes)), unit="tokens") as task:
        for prompt, tokens in zip(prompts, prefixes, strict=True):
            # A fresh context each: the file then depends on this prompt alone, byte for byte.
            context = LlamaContext(model, n_ctx=cells(0, [len(tokens) + 1]), n_seq=1, threads=threads)
            prefill(
                context,
                tokens,
                sequence=0,
                position=0,
                logits=False,
                cancelled=lambda: False,
                chunk=SHARED_CHUNK,
            )
            context.save(0, tokens, Path(payload["out"]) / prompt.file_name)
            context.close()
            counts[prompt.file_name] = len(tokens)
            task.advance(len(tokens))
    return {"tokens": counts}


def check_room(prompt: SharedPrompt, tokens: int, context: int) -> None:
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
