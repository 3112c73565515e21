"""Handles on llama.cpp through llama-cpp-python's low-level API: a model, a context, its sequences.

Invariants: native handles are freed exactly once, by :meth:`LlamaContext.close` and :meth:`LlamaModel.close`; the log
callback stays referenced for the life of the process (without it, llama.cpp calls into freed memory); nothing here
knows about requests.
"""

import ctypes
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from publicai_edge import gguf
from publicai_edge.engine import lowlevel, state
from publicai_edge.engine.state import State
from publicai_edge.errors import EngineError, ModelError
from publicai_edge.tuning import Tuning

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LOG_LINES = 60
_log_tail: deque[str] = deque(maxlen=_LOG_LINES)
_log_callback: Any = None
_LEVEL_WARN = 3
_FLASH_ATTENTION = {
    "auto": "LLAMA_FLASH_ATTN_TYPE_AUTO",
    "on": "LLAMA_FLASH_ATTN_TYPE_ENABLED",
    "off": "LLAMA_FLASH_ATTN_TYPE_DISABLED",
}
CELLS_STEP = 256  # llama.cpp makes room for so many tokens at once


def library() -> Any:
    """Return the low-level module with its log turned into a short tail that error messages quote."""
    global _log_callback  # noqa: PLW0603 - the native library has one log for the whole process
    llama = lowlevel.load()
    if _log_callback is None:

        def keep(level: int, text: bytes, _data: Any) -> None:
            line = text.decode("utf-8", "replace").strip()
            if level >= _LEVEL_WARN and line:
                _log_tail.append(line)

        _log_callback = llama.llama_log_callback(keep)
        llama.llama_log_set(_log_callback, ctypes.c_void_p(0))
        llama.llama_backend_init()
    return llama


def build_id() -> str:
    """Return what names this engine: a stored state made by another is not trusted.

    The processor's features are left out on purpose: a state computed with AVX-512 on a laptop is as good on a kiosk
    without it, and keeping it is what makes the kiosk start warm.
    """
    return f"llama-cpp-python {lowlevel.version()}"


def system_info() -> str:
    """Return what llama.cpp says of its build and this processor, in one line."""
    return str(library().llama_print_system_info().decode("utf-8", "replace")).strip()


def uses_tiles(system: str) -> bool:
    """Say whether llama.cpp was compiled for Intel's AMX, from :func:`system_info`; then no weights are given to it.

    gcc 12 leaves most of the tiles' configuration unwritten, since its ``_tile_loadconfig`` names 8 of 64 bytes: what
    comes is an illegal instruction, or wrong numbers (ggml-org/llama.cpp, pull request 26954; docs/adr/0055).
    """
    return "AMX_INT8 = 1" in system


class LlamaModel:
    """A loaded GGUF model.

    Args:
        path: the file; it is memory-mapped and must stay where it is.
        vocab_only: load no weights: enough to tokenize and to learn whether the architecture is known.
        gpu_layers: layers to put on graphics processors, the output layer counted as one.
        writable: read the weights into memory of this process, as the file has them, instead of mapping the file.

    The bounded reader sees the file first, whatever brought it here: llama.cpp ends its process over some broken ones.

    Raises:
        ModelError: the file is no whole GGUF, or llama.cpp refuses it; its own words are quoted.
    """

    def __init__(self, path: Path, *, vocab_only: bool = False, gpu_layers: int = 0, writable: bool = False) -> None:
        gguf.read(path)
        self._llama = llama = library()
        _log_tail.clear()
        params = llama.llama_model_default_params()
        params.vocab_only = vocab_only
        params.n_gpu_layers = gpu_layers
        if uses_tiles(system_info()):
            params.use_extra_bufts = False
        if writable:
            params.load_mode = llama.LLAMA_LOAD_MODE_NONE
            params.use_extra_bufts = False  # no repacking for the processor: rows stay where they are
        self.path = path
        self.handle = llama.llama_model_load_from_file(str(path).encode(), params)
        if not self.handle:
            raise load_error(path)
        self.vocab = llama.llama_model_get_vocab(self.handle)
        self.n_vocab: int = llama.llama_vocab_n_tokens(self.vocab)
        self.n_ctx_train: int = llama.llama_model_n_ctx_train(self.handle)
        self._pieces: dict[int, bytes] = {}

    def close(self) -> None:
        """Free the model; contexts on it must be closed first."""
        if self.handle:
            self._llama.llama_model_free(self.handle)
            self.handle = None

    @property
    def chat_template(self) -> str | None:
        """The model's own chat template (Jinja source), or None."""
        text = self._llama.llama_model_chat_template(self.handle, None)
        return text.decode("utf-8", "replace") if text else None

    @property
    def keeps_positions(self) -> bool:
        """Whether part of a sequence's state can be kept; recurrent and hybrid models hold one state for all."""
        llama = self._llama
        return not (llama.llama_model_is_recurrent(self.handle) or llama.llama_model_is_hybrid(self.handle))

    @property
    def has_streams(self) -> bool:
        """Whether sequences may have streams of their own: where there is one plain KV cache, and nothing beside it.

        Windows of attention have a second cache, whose stored state is not one list of streams.
        """
        return self.keeps_positions and self._llama.llama_model_n_swa(self.handle) == 0

    def tokenize(self, text: str, *, special: bool, begin: bool = False) -> list[int]:
        """Return the tokens of ``text``.

        Args:
            text: any text.
            special: whether text such as ``<|im_start|>`` becomes the control token. Never for content.
            begin: whether the vocabulary's beginning-of-sequence token, if it wants one, comes first.
        """
        data = text.encode("utf-8", "replace")
        size = len(data) + 8
        buffer = (ctypes.c_int32 * size)()
        count = self._llama.llama_tokenize(self.vocab, data, len(data), buffer, size, begin, special)
        if count < 0:
            buffer = (ctypes.c_int32 * -count)()
            count = self._llama.llama_tokenize(self.vocab, data, len(data), buffer, -count, begin, special)
        if count < 0:
            raise EngineError(f"The tokenizer of {self.path.name} failed on {len(data)} bytes of text.")
        return list(buffer[:count])

    def piece(self, token: int) -> bytes:
        """Return the bytes a token stands for in text; control tokens stand for nothing."""
        known = self._pieces.get(token)
        if known is None:
            buffer = ctypes.create_string_buffer(64)
            count = self._llama.llama_token_to_piece(self.vocab, token, buffer, 64, 0, False)
            if count < 0:
                buffer = ctypes.create_string_buffer(-count)
                count = self._llama.llama_token_to_piece(self.vocab, token, buffer, -count, 0, False)
            known = self._pieces[token] = buffer.raw[: max(count, 0)]
        return known

    def token_text(self, token: int) -> str:
        """Return a token's text as the vocabulary writes it, control tokens included; "" for none."""
        if token < 0:
            return ""
        text = self._llama.llama_vocab_get_text(self.vocab, token)
        return text.decode("utf-8", "replace") if text else ""

    @property
    def bos(self) -> int:
        """The beginning-of-sequence token, or -1."""
        return int(self._llama.llama_vocab_bos(self.vocab))

    @property
    def eos(self) -> int:
        """The end-of-sequence token, or -1."""
        return int(self._llama.llama_vocab_eos(self.vocab))

    @property
    def adds_bos(self) -> bool:
        """Whether the vocabulary wants a beginning-of-sequence token before text."""
        return bool(self._llama.llama_vocab_get_add_bos(self.vocab))

    def ends(self, token: int) -> bool:
        """Say whether a token ends the answer."""
        return bool(self._llama.llama_vocab_is_eog(self.vocab, token))


class LlamaContext:
    """A context: the KV cache of several sequences, and what is evaluated in it.

    Each sequence has a stream of its own where the model allows it: in a cache that all share, the attention of each
    goes over the cells of all, and hides the others' only afterwards.

    Args:
        model: the loaded model.
        n_ctx: cells of each sequence; rounded up to 256.
        n_seq: how many sequences there may be.
        threads: threads for decode and for prefill.
        outputs: rows of logits of one evaluation; llama.cpp keeps room for them.
        tuning: sizes of evaluations, type of the cache, flash attention; its threads and drafts are not for here.
        unified: whether all sequences share ``n_ctx`` cells, so that one can be put together from others.
    """

    def __init__(
        self,
        model: LlamaModel,
        *,
        n_ctx: int,
        n_seq: int,
        threads: int,
        outputs: int = 1,
        tuning: Tuning = Tuning(),  # noqa: B008 - frozen
        unified: bool = False,
    ) -> None:
        from publicai_edge.engine.batch import Batch

        self.model = model
        self._llama = llama = library()
        params = llama.llama_context_default_params()
        n_ctx = -(-n_ctx // CELLS_STEP) * CELLS_STEP
        self._streams = n_seq if model.has_streams and n_seq <= state.MOST_STREAMS and not unified else 1
        self._n_seq = n_seq
        params.n_ctx = n_ctx if unified else n_ctx * n_seq
        params.n_batch = tuning.batch
        params.n_ubatch = tuning.ubatch or tuning.batch
        params.type_k = params.type_v = getattr(llama, f"GGML_TYPE_{tuning.kv_type.upper()}")
        params.flash_attn_type = getattr(llama, _FLASH_ATTENTION[tuning.flash_attention])
        params.n_seq_max = n_seq
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = self._streams == 1
        params.n_outputs_max = max(outputs, n_seq)
        params.no_perf = True
        _log_tail.clear()
        self.handle = llama.llama_init_from_model(model.handle, params)
        if not self.handle:
            raise EngineError(
                f"{model.path.name} loads, but a context of {n_ctx} tokens for each of {n_seq} conversations cannot be "
                f"made: {last_words()}",
                hint="Give the device more memory, or lower target.context in the recipe.",
            )
        self.memory = llama.llama_get_memory(self.handle)
        self.n_ctx = n_ctx
        self.n_batch = tuning.batch
        self.threads = threads
        self.batch = Batch(tuning.batch, max(outputs, n_seq))
        self._rows: dict[int, NDArray[np.float32]] = {}  # views of logits by their address; the buffer stays
        self.evaluated = 0  # tokens decoded so far: what proves that a prompt was reused

    def close(self) -> None:
        """Free the context."""
        self._rows.clear()
        if self.handle:
            self._llama.llama_free(self.handle)
            self.handle = None

    def use_threads(self, threads: int) -> None:
        """Evaluate with so many threads from now on."""
        if threads != self.threads:
            self._llama.llama_set_n_threads(self.handle, threads, threads)
            self.threads = threads

    def evaluate(self) -> None:
        """Evaluate what is in ``batch``; it stays there until it is cleared.

        Raises:
            EngineError: the cache is full, or the native call failed.
        """
        code = self._llama.llama_decode(self.handle, self.batch.native)
        if code:
            raise EngineError(f"llama.cpp could not evaluate {len(self.batch)} tokens (code {code}): {last_words()}")
        self.evaluated += len(self.batch)

    def decode(self, tokens: Sequence[int], *, sequence: int, position: int, logits: bool) -> None:
        """Evaluate up to ``n_batch`` tokens of one sequence alone, from ``position`` on.

        Args:
            tokens: the tokens.
            sequence: their sequence.
            position: position of the first.
            logits: whether the last one's logits are wanted.

        Raises:
            EngineError: the cache is full, or the native call failed.
        """
        self.batch.clear()
        self.batch.add(tokens, sequence=sequence, position=position, logits=int(logits))
        self.evaluate()

    def logits(self, index: int) -> "NDArray[np.float32]":
        """Return the logits, one a token of the vocabulary, at a place of the batch just evaluated; not a copy."""
        pointer = self._llama.llama_get_logits_ith(self.handle, index)
        if not pointer:
            raise EngineError(f"llama.cpp has no logits at place {index} of its batch.")
        address = ctypes.addressof(pointer.contents)
        row = self._rows.get(address)
        if row is None:
            import numpy as np

            array = (ctypes.c_float * self.model.n_vocab).from_address(address)
            row = self._rows[address] = np.frombuffer(memoryview(array), np.float32)
        return row

    def forget(self, sequence: int, begin: int) -> None:
        """Forget a sequence from position ``begin`` on."""
        self._llama.llama_memory_seq_rm(self.memory, sequence, begin, -1)

    def clear(self, sequence: int) -> None:
        """Forget a sequence."""
        self._llama.llama_memory_seq_rm(self.memory, sequence, -1, -1)

    @property
    def holds(self) -> bool:
        """Whether the beginning of a sequence may stay when the rest is forgotten.

        Not in a cache for all, where everybody's attention would go over it.
        """
        return self.model.keeps_positions and self._streams == self._n_seq

    def copy_first(self, source: int, target: int, count: int) -> None:
        """Make ``target``, which is empty, begin with the first ``count`` positions of ``source``."""
        self._llama.llama_memory_seq_cp(self.memory, source, target, -1, -1)  # between streams, only all can be copied
        self.forget(target, count)

    def state(self, sequence: int) -> State:
        """Return a sequence's state.

        Raises:
            EngineError: the native call failed.
        """
        data = bytearray(self._llama.llama_state_seq_get_size(self.handle, sequence))
        found = State(data, 0, len(data))
        written = self._llama.llama_state_seq_get_data(self.handle, found.pointer, len(data), sequence)
        if written != len(data) or not data:
            raise EngineError(f"llama.cpp cannot give the state of a sequence: {last_words()}")
        return found

    def fitted(self, data: bytes | bytearray) -> State:
        """Return a state that a context with one stream gave, fit for this one."""
        buffer = bytearray(data) + bytes(state.EMPTY_STREAM * (self._streams - 1))
        return State(buffer, 0, len(buffer), self._streams)

    def restore(self, sequence: int, kept: State) -> bool:
        """Make a sequence what it was when its state was taken; False when llama.cpp refuses it."""
        read = self._llama.llama_state_seq_set_data(self.handle, kept.pointer, kept.size, sequence)
        kept.release()
        if read != kept.size:
            self.clear(sequence)
            return False
        return True

    def save(self, sequence: int, tokens: Sequence[int], path: Path) -> None:
        """Write a sequence's state, with the tokens it stands for, to ``path``; the context has this sequence only.

        Raises:
            EngineError: the native call failed.
        """
        found = self.state(sequence)
        state.write(path, tokens, bytes(found.pointer))

    def open_state(self, path: Path, capacity: int) -> tuple[list[int], State] | None:
        """Return what :meth:`save` wrote, of up to ``capacity`` tokens; None when the file is not that."""
        return state.read(path, capacity, self._streams)


def last_words() -> str:
    """Return the end of llama.cpp's log, for an error's message."""
    return " ".join(list(_log_tail)[-3:]) or "it gave no reason"


def load_error(path: Path, doing: str = "load") -> ModelError:
    """Return the sentence for a file that llama.cpp has just refused, with its reason from the log."""
    lines = list(_log_tail)
    text = " ".join(lines)
    marker = "unknown model architecture:"
    if marker in text:
        name = text.split(marker, 1)[1].split("'")[1] if "'" in text.split(marker, 1)[1] else "?"
        return ModelError(
            f"{path} is a model of architecture {name!r}, which this llama.cpp does not know.",
            hint="Choose another model, or a newer publicai-edge; `publicai-edge doctor` prints the engine's version.",
            path=str(path),
            architecture=name,
        )
    reasons = [line for line in lines if "error" in line.lower() or "failed" in line.lower()]
    said = (reasons or lines or ["it gave no reason"])[0]
    return ModelError(
        f"llama.cpp cannot {doing} {path}: {said}",
        hint="Fetch the file again; if it is whole, this llama.cpp cannot read it.",
        path=str(path),
    )
