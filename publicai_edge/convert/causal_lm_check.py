"""A causal model in ONNX, measured against its original: what the conversion cost.

The original's logits were written to files by the process that held it (``causal_lm_export``), so the two models are
never in memory together, and this module needs neither torch nor transformers.

Units: logits without a unit, KL divergence in nats per token (original against converted), shares from 0 to 1.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from publicai_edge.errors import ModelError
from publicai_edge.progress import Progress

IDS_FILE = "ids.json"
_CACHED_TEXTS = 3
_CACHED_TOKENS = 32
_ROWS = 64  # rows of logits widened to 64 bits at a time

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Loss:
    """How far a converted model is from its original, over ``texts`` texts and ``tokens`` positions.

    Attributes:
        texts: texts read.
        tokens: positions compared.
        mean_kl: mean KL divergence, nats per token.
        p99_kl: its 99th percentile over positions.
        worst_text_kl: mean KL divergence of the text that lost most.
        worst_text: how that text begins.
        top_agreement: share of positions where both think the same token likeliest.
        perplexity_ratio: perplexity over the original's.
        perplexity: the converted model's.
        max_logit_difference: largest absolute difference of a logit.
        cache_kl: mean KL divergence of decoding token by token with the cache from reading at once, nats per token.
        cache_max_logit_difference: largest absolute difference of a logit between the two.
    """

    texts: int
    tokens: int
    mean_kl: float
    p99_kl: float
    worst_text_kl: float
    worst_text: str
    top_agreement: float
    perplexity_ratio: float
    perplexity: float
    max_logit_difference: float
    cache_kl: float
    cache_max_logit_difference: float


def logits_file(folder: Path, index: int) -> Path:
    """Return where the original's logits of text ``index`` lie: float32, (tokens, vocabulary)."""
    return folder / f"logits-{index}.npy"


def run(payload: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Measure ``payload["model"]`` against ``payload["reference"]``, inside a child process."""
    return asdict(measure(Path(payload["model"]), Path(payload["reference"]), progress))


def measure(model: Path, reference: Path, progress: Progress) -> Loss:
    """Compare an ONNX file with the original's logits in the folder ``reference``.

    Raises:
        ModelError: onnxruntime cannot load or run the file, or what it gives is not a number.
    """
    texts = json.loads((reference / IDS_FILE).read_text(encoding="utf-8"))
    decoder = Decoder(model)
    rows: list[_Compared] = []
    caches: list[tuple[float, float]] = []
    with progress.task("Comparing with the original", total=len(texts), unit="items") as task:
        for index, (_, ids) in enumerate(texts):
            original = np.load(logits_file(reference, index), mmap_mode="r")
            logits, _ = decoder.run(ids, None)
            rows.append(_compare(original, logits, ids))
            if index < _CACHED_TEXTS:
                caches.append(_compare_cached(decoder, ids[:_CACHED_TOKENS]))
            task.advance(1)
    loss = _summary(rows, caches, [text for text, _ in texts])
    if not np.isfinite([loss.mean_kl, loss.max_logit_difference, loss.cache_kl]).all():
        raise ModelError(
            f"The model in ONNX gives values that are not numbers (mean KL divergence {loss.mean_kl}).",
            hint="Convert it with --quantize none; if that fails too, its architecture is not exported rightly.",
        )
    return loss


class Decoder:
    """Runs a causal model in ONNX with its key-value cache, one sequence at a time."""

    def __init__(self, model: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises its own classes for every kind of fault
            raise ModelError(f"onnxruntime cannot load {model.name}: {' '.join(str(error).split())[:400]}") from error
        self._empty = {item.name: _empty_cache(item) for item in self._session.get_inputs() if _is_cache(item.name)}
        self._names = {item.name for item in self._session.get_inputs()}
        self._outputs = [item.name for item in self._session.get_outputs()]

    def run(self, ids: list[int], cache: dict[str, Any] | None) -> tuple[Logits, dict[str, Any]]:
        """Return the logits (tokens, vocabulary) of ``ids`` behind ``cache``, and the cache with them."""
        past = self._empty if cache is None else cache
        before = next(iter(past.values())).shape[2] if past else 0
        total = before + len(ids)
        known = {
            "input_ids": np.array([ids], np.int64),
            "attention_mask": np.ones((1, total), np.int64),
            "position_ids": np.arange(before, total, dtype=np.int64)[None],
        }
        feed = {name: value for name, value in known.items() if name in self._names} | past
        found = dict(zip(self._outputs, self._session.run(None, feed), strict=True))
        after = {name: found[name.replace("past_key_values", "present")] for name in past}
        return found["logits"][0].astype(np.float32, copy=False), after


def _is_cache(name: str) -> bool:
    return name.startswith("past_key_values")


def _empty_cache(item: Any) -> npt.NDArray[Any]:
    """Return a cache of length 0: shape (1, heads, 0, width)."""
    kinds = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
    match item.shape:
        case [_, int(heads), _, int(width)] if item.type in kinds:
            return np.zeros((1, heads, 0, width), kinds[item.type])
    raise ModelError(
        f"The cache input {item.name} is {item.type} of shape {item.shape}; expected (batch, heads, length, width) in "
        "16 or 32 bits, with heads and width known.",
        hint="This architecture keeps another kind of state: convert it to GGUF.",
    )


@dataclass(frozen=True)
class _Compared:
    kl: npt.NDArray[np.float64]  # a position each
    agree: npt.NDArray[np.bool_]
    surprise: npt.NDArray[np.float64]  # of the next token, nats; one position fewer
    original_surprise: npt.NDArray[np.float64]
    largest: float


def _compare(original: Logits, logits: Logits, ids: list[int]) -> _Compared:
    kl, agree, ours, theirs, largest = [], [], [], [], 0.0
    following = [*ids[1:], -1]
    for start in range(0, len(ids), _ROWS):
        a = np.asarray(original[start : start + _ROWS])
        b = logits[start : start + _ROWS]
        largest = max(largest, float(np.abs(a - b).max()))
        log_a, log_b = _log_softmax(a), _log_softmax(b)
        kl.append((np.exp(log_a) * (log_a - log_b)).sum(axis=1))
        agree.append(a.argmax(axis=1) == b.argmax(axis=1))
        for row, token in enumerate(following[start : start + _ROWS]):
            if token >= 0:
                theirs.append(-log_a[row, token])
                ours.append(-log_b[row, token])
    return _Compared(np.concatenate(kl), np.concatenate(agree), np.array(ours), np.array(theirs), largest)


def _compare_cached(decoder: Decoder, ids: list[int]) -> tuple[float, float]:
    """Return (mean KL divergence, largest difference) of decoding ``ids`` one by one from reading them at once."""
    at_once, _ = decoder.run(ids, None)
    rows, cache = [], None
    for token in ids:
        logits, cache = decoder.run([token], cache)
        rows.append(logits[0])
    found = _compare(at_once, np.stack(rows), ids)
    return float(found.kl.mean()), found.largest


def _log_softmax(logits: Logits) -> npt.NDArray[np.float64]:
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    wide -= np.log(np.exp(wide).sum(axis=1, keepdims=True))
    return wide


def _summary(rows: list[_Compared], caches: list[tuple[float, float]], texts: list[str]) -> Loss:
    kl = np.concatenate([row.kl for row in rows])
    ours = float(np.concatenate([row.surprise for row in rows]).mean())
    theirs = float(np.concatenate([row.original_surprise for row in rows]).mean())
    means = [float(row.kl.mean()) for row in rows]
    worst = int(np.argmax(means))
    return Loss(
        texts=len(rows),
        tokens=len(kl),
        mean_kl=float(kl.mean()),
        p99_kl=float(np.quantile(kl, 0.99)),
        worst_text_kl=means[worst],
        worst_text=texts[worst],
        top_agreement=float(np.concatenate([row.agree for row in rows]).mean()),
        perplexity_ratio=float(np.exp(ours - theirs)),
        perplexity=float(np.exp(ours)),
        max_logit_difference=max(row.largest for row in rows),
        cache_kl=float(np.mean([kl for kl, _ in caches])),
        cache_max_logit_difference=max(largest for _, largest in caches),
    )
