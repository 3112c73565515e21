"""A causal decoder in ONNX as onnxruntime sees it: its inputs, its outputs, and how its cache is shaped.

Two kinds are known. ``optimum`` and transformers.js trace a model's code: such a graph reads its cache and returns a
longer one. onnxruntime-genai's builder writes attention as one operator, which may write the cache where it reads it.
Both name their inputs alike: ``input_ids``, ``attention_mask``, sometimes ``position_ids``, and
``past_key_values.N.key`` and ``.value``, shaped (batch, heads, tokens, width).

Nothing here reports to onnxruntime's maker, and its threads sleep while they wait.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from publicai_edge.engine.onnx.folder import MODEL_FILE, ChatFolder
from publicai_edge.errors import ModelError

Array = npt.NDArray[Any]

_HINT = "Make it with `publicai-edge convert`, or convert the model to GGUF."
_FLOATS: "dict[str, np.dtype[Any]]" = {"tensor(float)": np.dtype(np.float32), "tensor(float16)": np.dtype(np.float16)}
_INTEGERS: "dict[str, np.dtype[Any]]" = {"tensor(int64)": np.dtype(np.int64), "tensor(int32)": np.dtype(np.int32)}
_PAST = re.compile(r"past_key_values\.(\d+)\.(key|value)")
_PLAIN = {"input_ids", "attention_mask", "position_ids"}
_LOGITS = "logits"


@dataclass(frozen=True)
class Part:
    """One layer's keys or values in the cache: where they go in and come out, (batch, heads, tokens, width)."""

    past: str
    present: str
    heads: int
    width: int
    dtype: "np.dtype[Any]"

    @property
    def bytes_per_token(self) -> int:
        """What one token takes in it."""
        return self.heads * self.width * self.dtype.itemsize


@dataclass(frozen=True)
class Graph:
    """An opened model.

    Attributes:
        session: onnxruntime's.
        parts: the cache, in the order of layers.
        integers: the plain inputs there are, and their type.
        n_vocab: tokens that have a logit.
        logits: type of the logits.
        in_place: whether the cache may be written where it is read.
    """

    session: Any
    parts: tuple[Part, ...]
    integers: dict[str, "np.dtype[Any]"]
    n_vocab: int
    logits: "np.dtype[Any]"
    in_place: bool

    @property
    def bytes_per_token(self) -> int:
        """What one token takes in the cache."""
        return sum(part.bytes_per_token for part in self.parts)


def version() -> str:
    """Return onnxruntime's version, as engines are named."""
    import onnxruntime

    return f"onnxruntime {onnxruntime.__version__}"


def open_graph(folder: ChatFolder, threads: int) -> Graph:
    """Load the model of ``folder``.

    Raises:
        ModelError: onnxruntime refuses it, or it is no decoder of a kind known here.
    """
    path = folder.path / MODEL_FILE
    session = _session(path, threads)
    inputs = {item.name: item for item in session.get_inputs()}
    outputs = {item.name: item for item in session.get_outputs()}
    unknown = sorted(name for name in inputs if name not in _PLAIN and not _PAST.fullmatch(name))
    if unknown or "input_ids" not in inputs or _LOGITS not in outputs:
        asks = f"asks for {', '.join(unknown[:4])}" if unknown else "has no input_ids or no logits"
        raise ModelError(f"{path} {asks}: not a decoder that is known here.", hint=_HINT, path=str(path))
    names = sorted((name for name in inputs if _PAST.fullmatch(name)), key=_order)
    parts = tuple(_part(path, inputs[name], outputs) for name in names)
    if not parts:
        raise ModelError(f"{path} has no key-value cache: every word would read all before it again.", hint=_HINT)
    vocabulary = outputs[_LOGITS].shape[-1]
    if not isinstance(vocabulary, int):
        raise ModelError(f"{path} does not say how many tokens it knows.", hint=_HINT, path=str(path))
    return Graph(
        session=session,
        parts=parts,
        integers={name: _typed(path, inputs[name], _INTEGERS) for name in sorted(_PLAIN & set(inputs))},
        n_vocab=vocabulary,
        logits=_typed(path, outputs[_LOGITS], _FLOATS),
        in_place=folder.grows_in_place,
    )


def _session(path: Path, threads: int) -> Any:
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # the variable set in publicai_edge/__init__.py is not read on Windows
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(1, threads)
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what it would print is in the exception too
    # Threads that spin while idle take the browser's CPU on a kiosk.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class of their own
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise ModelError(f"onnxruntime cannot load {path}: {reason}.", hint=_HINT, path=str(path)) from error


def _order(name: str) -> tuple[int, str]:
    found = _PAST.fullmatch(name)
    return (int(found[1]), found[2]) if found else (-1, name)


def _part(path: Path, item: Any, outputs: dict[str, Any]) -> Part:
    present = item.name.replace("past_key_values", "present")
    match item.shape:
        case [_, int(heads), _, int(width)] if present in outputs:
            return Part(item.name, present, heads, width, _typed(path, item, _FLOATS))
    raise ModelError(
        f"{path} keeps another kind of state than keys and values: {item.name} has the shape {item.shape}.",
        hint=_HINT,
        path=str(path),
    )


def _typed(path: Path, item: Any, known: "dict[str, np.dtype[Any]]") -> "np.dtype[Any]":
    if item.type not in known:
        raise ModelError(f"{path} has {item.name} in {item.type}, not {', '.join(known)}.", hint=_HINT, path=str(path))
    return known[item.type]
