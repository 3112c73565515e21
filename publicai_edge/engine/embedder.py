"""Texts to vectors, with an ONNX model and its tokenizer: what finds passages.

Needs onnxruntime, tokenizers and numpy; never torch, transformers or the hub. A folder holds ``model.onnx``,
``tokenizer.json`` and ``embedding.json``; :mod:`publicai_edge.convert.embedding` writes it.

Invariants:

- A text's vector does not depend on the texts it is encoded with. Models in dynamic int8 choose one scale for
  all the activations of a run, so neighbours in a batch would change each other's vectors. Each text is a run
  of its own, without padding; on a CPU that is also faster (MiniLM, passages of 15 to 160 tokens, one thread:
  134 ms against 194 ms in batches of 16 for int8, 216 against 383 for fp32).
- The same texts give the same vectors on the same machine, whatever the number of calling threads.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from publicai_edge import digest
from publicai_edge.errors import EngineError, ModelError

MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "embedding.json"

Vectors = npt.NDArray[np.float32]
Kind = Literal["query", "passage"]

_MAX_CONFIG_BYTES = 1 << 16
_HINT = "Copy the folder again, or run `publicai-edge convert` on the original model."


@dataclass(frozen=True)
class EmbeddingConfig:
    """The content of ``embedding.json``; the two digests are those of the files beside it."""

    dim: int
    pooling: Literal["mean", "cls"]
    max_tokens: int
    query_prefix: str
    passage_prefix: str
    model_sha256: str
    tokenizer_sha256: str

    @property
    def fingerprint(self) -> str:
        """One digest for everything that decides a text's vector; an index remembers it."""
        return digest.of_json(asdict(self))

    def to_bytes(self) -> bytes:
        """Return the file's content."""
        return (json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def read_config(folder: Path) -> EmbeddingConfig:
    """Read ``embedding.json``.

    Raises:
        ModelError: it is missing, not JSON, or lacks something.
    """
    path = folder / CONFIG_FILE
    try:
        with path.open("rb") as stream:
            raw = json.loads(stream.read(_MAX_CONFIG_BYTES))
        return _checked(EmbeddingConfig(**raw))
    except OSError as error:
        raise _missing(path, error) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise ModelError(f"{path} is not a valid embedding.json: {error}.", hint=_HINT) from error


def _checked(config: EmbeddingConfig) -> EmbeddingConfig:
    texts = (config.query_prefix, config.passage_prefix)
    numbers = (config.dim, config.max_tokens)
    if not all(isinstance(text, str) for text in texts) or not all(type(number) is int for number in numbers):
        raise ValueError("a key has a value of the wrong type")
    if config.pooling not in ("mean", "cls"):
        raise ValueError(f"pooling is {config.pooling!r}, expected 'mean' or 'cls'")
    if config.dim < 1 or config.max_tokens < 1:
        raise ValueError("dim and max_tokens must be at least 1")
    digest.check(config.model_sha256)
    digest.check(config.tokenizer_sha256)
    return config


def _missing(path: Path, error: OSError) -> ModelError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return ModelError(f"The embedding model lacks {path.name}: there is no {path}.", hint=_HINT)
    return ModelError(f"Cannot read {path}: {error.strerror or error}.", hint=_HINT)


class Embedder:
    """An opened embedding model; several threads may call :meth:`encode` at once."""

    def __init__(self, config: EmbeddingConfig, session: Any, tokenizer: Any) -> None:
        self.config = config
        self._session = session
        self._tokenizer = tokenizer
        self._inputs = [item.name for item in session.get_inputs()]

    @staticmethod
    def open(folder: Path, threads: int = 1) -> "Embedder":
        """Load the model in ``folder``.

        Args:
            folder: holds ``model.onnx``, ``tokenizer.json`` and ``embedding.json``.
            threads: cores that one call of :meth:`encode` uses; a fixed number gives fixed vectors.

        Raises:
            ModelError: a file is missing or broken.
        """
        config = read_config(folder)
        return Embedder(config, _open_session(folder / MODEL_FILE, threads), _open_tokenizer(folder, config))

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.config.dim

    @property
    def fingerprint(self) -> str:
        """Digest of everything that decides a text's vector."""
        return self.config.fingerprint

    def lengths(self, texts: Sequence[str], kind: Kind) -> list[int]:
        """Return how many tokens each text has; more than ``max_tokens`` where :meth:`encode` cuts it."""
        encodings = self._tokenizer.encode_batch(self._prepared(texts, kind))
        return [len(item.ids) + sum(len(rest.ids) for rest in item.overflowing) for item in encodings]

    def encode(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """Return one unit vector a text: float32 of shape (len(texts), dim), in the order given.

        Raises:
            EngineError: the model does not run, or its vectors are not what ``embedding.json`` says.
        """
        clean = self._prepared(texts, kind)
        out = np.zeros((len(clean), self.dim), dtype=np.float32)
        for row, tokens in enumerate(self._tokenizer.encode_batch(clean)):
            out[row] = self._run(tokens.ids)
        return out

    def _prepared(self, texts: Sequence[str], kind: Kind) -> list[str]:
        prefix = self.config.query_prefix if kind == "query" else self.config.passage_prefix
        # A lone surrogate (from a damaged document) cannot be handed to the tokenizer.
        return [(prefix + text).encode("utf-8", "replace").decode("utf-8") for text in texts]

    def _run(self, tokens: list[int]) -> Vectors:
        ids = np.array([tokens or [0]], dtype=np.int64)
        feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        try:
            hidden = self._session.run(None, {name: feeds[name] for name in self._inputs})[0]
        except Exception as error:  # onnxruntime's errors share no base class of their own
            raise EngineError(f"The embedding model failed: {_first_line(error)}.", hint=_HINT) from error
        if hidden.shape != (1, ids.shape[1], self.dim):
            raise EngineError(
                f"The embedding model gives an array of shape {hidden.shape} for {ids.shape[1]} tokens; "
                f"embedding.json says {self.dim} dimensions a token.",
                hint=_HINT,
            )
        pooled = hidden[0, 0] if self.config.pooling == "cls" else hidden[0].mean(axis=0)
        unit: Vectors = (pooled / max(float(np.linalg.norm(pooled)), 1e-12)).astype(np.float32)
        return unit


def _open_session(path: Path, threads: int) -> Any:
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # the variable set in publicai_edge/__init__.py is not read on Windows
    if not path.is_file():
        raise ModelError(f"The embedding model lacks {path.name}: there is no {path}.", hint=_HINT)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(1, threads)
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what it would print is in the exception too
    # Threads that spin while idle take the browser's CPU on a kiosk.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class of their own
        raise ModelError(f"{path} is not a model that onnxruntime reads: {_first_line(error)}.", hint=_HINT) from error
    known = {"input_ids", "attention_mask", "token_type_ids"}
    if unknown := {item.name for item in session.get_inputs()} - known:
        raise ModelError(f"{path} asks for {', '.join(sorted(unknown))}: not a text embedding model.", hint=_HINT)
    return session


def _open_tokenizer(folder: Path, config: EmbeddingConfig) -> Any:
    from tokenizers import Tokenizer

    path = folder / TOKENIZER_FILE
    if not path.is_file():
        raise ModelError(f"The embedding model lacks {path.name}: there is no {path}.", hint=_HINT)
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises plain Exception
        raise ModelError(f"{path} is not a tokenizer: {_first_line(error)}.", hint=_HINT) from error
    tokenizer.enable_truncation(config.max_tokens)
    tokenizer.no_padding()
    return tokenizer


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300].rstrip(".")
