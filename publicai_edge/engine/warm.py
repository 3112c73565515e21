"""Warm starts: the state of each prompt that every patron shares, computed once and kept.

At build time :func:`build` writes one file for each service and language. On the kiosk :class:`Prefixes` loads them
in milliseconds where prefill would take seconds. A file is used only when its digest is the bundle's (llama.cpp aborts
the process on a damaged one), its fingerprint (engine version, model, KV type) is the running engine's and its tokens
are exactly the prompt's; anything else is computed anew, silently.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from publicai_edge import child, digest
from publicai_edge.engine.chat import ChatFormat
from publicai_edge.engine.llama import LlamaContext, LlamaModel, build_id
from publicai_edge.errors import ContextOverflowError, EngineError
from publicai_edge.progress import Progress

FILE_SUFFIX = ".state"
_CELL_STEP = 256
# Prompts that patrons share are always read alone and in pieces of this size, at build time and on the kiosk: the last
# bits of a sum depend on the batch's shape, and so an answer is the same warm and cold.
SHARED_CHUNK = 64


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


def fingerprint(model_sha256: str, kv_type: str, engine: str | None = None) -> str:
    """Return what a stored state depends on besides its tokens; ``engine`` is llama.cpp where it is not named."""
    return digest.of_json({"engine": engine or build_id(), "model": model_sha256, "kv": kv_type})


def cells(own: int, lengths: Sequence[int]) -> int:
    """Return the size of a cache that holds every shared prompt beside ``own`` tokens of requests."""
    total = own + sum(lengths)
    return -(-total // _CELL_STEP) * _CELL_STEP


def cells_of_requests(context: int, slots: int) -> int:
    """Return the tokens that requests may have together: one whole context, and half of one for each further slot.

    Few conversations fill their context, and the cache takes memory for all of its cells. A request for which there is
    no room at the moment waits for its turn.
    """
    return context + (slots - 1) * context // 2


class Prefixes:
    """The shared prompts of a running context, each in a sequence of its own from ``first`` on."""

    def __init__(self, context: LlamaContext, tokens: Sequence[tuple[int, ...]], first: int) -> None:
        self._context = context
        self._tokens = list(tokens)
        self._read = [0] * len(tokens)
        self._first = first
        self.loaded = 0
        self.rebuilt = 0

    def load(self, index: int, path: Path, sha256: str | None) -> bool:
        """Take a state from its file if it is whole and exactly this prompt's."""
        expected = self._tokens[index]
        try:
            whole = path.is_file() and digest.of_file(path) == sha256
        except OSError:
            whole = False
        sequence = self._first + index
        found = self._context.load(sequence, path, len(expected) + 1) if whole else None
        if found is None or tuple(found) != expected:
            self._context.clear(sequence)
            return False
        self._read[index] = len(expected)
        self.loaded += 1
        return True

    def is_ready(self, index: int) -> bool:
        """Whether a prompt's state is there."""
        return self._read[index] == len(self._tokens[index])

    @property
    def missing(self) -> list[int]:
        """Indexes of prompts whose state is not there yet."""
        return [index for index in range(len(self._tokens)) if not self.is_ready(index)]

    def read_piece(self, index: int) -> None:
        """Evaluate the next piece of a prompt, alone, as it was at build time.

        Raises:
            EngineError: the native call failed; the prompt is begun anew.
        """
        tokens, read, sequence = self._tokens[index], self._read[index], self._first + index
        piece = tokens[read : read + SHARED_CHUNK]
        try:
            self._context.decode(piece, sequence=sequence, position=read, logits=False)
        except EngineError:
            self._context.clear(sequence)
            self._read[index] = 0
            raise
        self._read[index] += len(piece)
        if self.is_ready(index):
            self.rebuilt += 1

    def of(self, tokens: Sequence[int]) -> int | None:
        """Return the longest shared prompt that ``tokens`` begins with, read or not."""
        best = None
        for index, prefix in enumerate(self._tokens):
            fits = 0 < len(prefix) < len(tokens) and tuple(tokens[: len(prefix)]) == prefix
            if fits and (best is None or len(prefix) > len(self._tokens[best])):
                best = index
        return best

    def lend(self, index: int, sequence: int) -> int:
        """Make ``sequence`` begin with a shared prompt that is ready; return its length in tokens."""
        self._context.copy(self._first + index, sequence)
        return len(self._tokens[index])


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
    shared = [chat.shared_prefix(prompt.system) for prompt in prompts]
    for prompt, tokens in zip(prompts, shared, strict=True):
        check_room(prompt, len(tokens), payload["context"])
    counts = {}
    threads = physical_cores()
    with progress.task("Reading the service prompts", total=sum(map(len, shared)), unit="tokens") as task:
        for prompt, tokens in zip(prompts, shared, strict=True):
            # A fresh context each: the file then depends on this prompt alone, byte for byte.
            context = LlamaContext(model, n_ctx=cells(0, [len(tokens) + 1]), n_seq=1, threads=threads)
            prefixes = Prefixes(context, [tokens], first=0)
            while prefixes.missing:
                prefixes.read_piece(0)
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
