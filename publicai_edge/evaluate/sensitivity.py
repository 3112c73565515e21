"""How much each tensor's quantization costs: the KL divergence it causes alone, measured, and scaled to other types.

One tensor at a time is stored in a probe type while all others stay as they are, and the model's predictions on a
sample of the calibration texts are compared with the untouched model's. For small errors the divergence grows with
the squared error of the weights, so the loss of other types follows from their error, which needs no evaluation. A
tensor that holds a large part of the model is measured in every type.

A reference that was once quantized lies on the grid of its old type, and storing it in that type again looks free. Such
a type gives itself away: noise far smaller than its steps multiplies its error, and hardly changes other types'. It is
left out for that tensor, and the notes say so; types of 8 bits are kept, for they cost next to nothing anyway.

Invariants: only the given documents are read; an interrupted measurement is continued from its state file; with a
limit of time, layers are measured evenly spread, one of each kind of tensor at least, and the others take the mean of
their measured neighbours.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from publicai_edge import atomic, child, digest
from publicai_edge.corpus import Document
from publicai_edge.errors import RecipeError
from publicai_edge.evaluate.weight_error import BLOCK, importances, weight_errors
from publicai_edge.host import usable_cores
from publicai_edge.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from publicai_edge.engine.perturb import Perturbed

TYPES = (
    *("Q2_K", "IQ3_XXS", "Q3_K", "IQ3_S", "IQ4_XS", "Q4_0", "IQ4_NL", "Q4_K", "Q4_1"),
    *("Q5_0", "Q5_K", "Q5_1", "Q6_K", "Q8_0"),
)
_NEEDS_IMPORTANCE = frozenset({"IQ3_XXS"})
_PROBES = ("Q4_0", "Q5_0", "IQ4_NL", "Q8_0")  # quick to encode, blocks of 32; the first that is not left out
_LARGE = 0.05  # share of all weights from which a tensor is measured in every type
_MIN_WINDOW = 4


@dataclass(frozen=True)
class TensorLoss:
    """One tensor: expected loss by type and language, nats per token.

    Attributes:
        name: the tensor.
        losses: mean KL divergence by type, then language.
        measured: the types whose loss was measured on this tensor; the others' is scaled.
        left_out: types the tensor was once stored in.
    """

    name: str
    losses: Mapping[str, Mapping[str, float]]
    measured: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Sensitivity:
    """What the measurement of one model found; ``tokens`` are the scored tokens of the sample."""

    reference: str
    tensors: tuple[TensorLoss, ...]
    languages: tuple[str, ...]
    tokens: int
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def losses(self) -> dict[str, Mapping[str, Mapping[str, float]]]:
        """Expected loss by tensor, type and language: what a mix is assigned from."""
        return {tensor.name: tensor.losses for tensor in self.tensors}

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Rebuild it from :meth:`to_json`'s value."""
        tensors = tuple(
            TensorLoss(one["name"], one["losses"], tuple(one["measured"]), tuple(one["left_out"]))
            for one in value["tensors"]
        )
        languages, notes = tuple(value["languages"]), tuple(value["notes"])
        return cls(value["reference"], tensors, languages, value["tokens"], value["seconds"], notes)


def measure(
    reference: Path,
    imatrix: Path | None,
    documents: Sequence[Document],
    state: Path,
    progress: Progress,
    *,
    tensors: Collection[str] | None = None,
    types: Sequence[str] = TYPES,
    tokens_per_language: int = 64,
    window: int = 32,
    max_seconds: float | None = None,
) -> Sensitivity:
    """Measure what quantizing each tensor of a model costs.

    Args:
        reference: the unquantized GGUF file.
        imatrix: an importance matrix in llama.cpp's GGUF form.
        documents: calibration texts; the beginnings of the first ones in each language are evaluated.
        state: a JSON file of what was measured so far; continued if it is of the same model, matrix and texts.
        progress: shows the tensors done.
        tensors: the tensors to measure; None: every matrix.
        types: the ggml types offered.
        tokens_per_language: size of the sample.
        window: tokens of one document.
        max_seconds: after which no further tensor is measured.

    Raises:
        RecipeError: no document, a type that is not offered, or documents too short.
        ModelError: the model is quantized or broken, or the matrix is.
    """
    unknown = [kind for kind in types if kind not in TYPES]
    if unknown or not documents:
        what = f"{unknown[0]!r} is no type to choose from" if unknown else "There is no text to measure the loss on"
        raise RecipeError(f"{what}.", hint=f"Types: {', '.join(TYPES)}. Give calibration texts.")
    payload = {
        "reference": str(reference),
        "imatrix": str(imatrix) if imatrix else None,
        "documents": [[one.language, one.text] for one in documents],
        "state": str(state),
        "tensors": sorted(tensors) if tensors is not None else None,
        "types": [kind for kind in TYPES if kind in types],
        "tokens": tokens_per_language,
        "window": window,
        "max_seconds": max_seconds,
    }
    done = child.run(f"{__name__}:_run", payload, what=f"measure the tensors of {reference}", progress=progress)
    return Sensitivity.from_json(done.value)


def _run(payload: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Measure in this process, a child made for it."""
    from publicai_edge.engine.perturb import Perturbed

    started = time.monotonic()
    path = Path(payload["reference"])
    matrix = importances(Path(payload["imatrix"])) if payload["imatrix"] else {}
    model = Perturbed(path, context=max(BLOCK, payload["window"]), threads=usable_cores())
    try:
        sample = _Sample(model, payload["documents"], payload["tokens"], payload["window"])
        state = _State(Path(payload["state"]), _identity(payload))
        _measure_all(model, sample, matrix, state, payload, progress)
    finally:
        model.close()
    tensors = _finish(state.done, sample.languages)
    notes = tuple(_notes(tensors, state.done, payload["imatrix"] is not None))
    seconds = time.monotonic() - started + state.before
    state.add_seconds(seconds)
    return Sensitivity(path.name, tensors, sample.languages, sample.tokens, seconds, notes).to_json()


def _measure_all(
    model: "Perturbed",
    sample: "_Sample",
    matrix: "Mapping[str, NDArray[np.float32]]",
    state: "_State",
    payload: Mapping[str, Any],
    progress: Progress,
) -> None:
    """Measure what is not in the state yet; past the limit of time, only look at the weights."""
    started, limit = time.monotonic(), payload["max_seconds"]
    wanted = model.shapes.keys() if payload["tensors"] is None else model.shapes.keys() & set(payload["tensors"])
    names = _spread(name for name in wanted if model.shapes[name][-1] % BLOCK == 0)
    total = sum(_size(shape) for shape in model.shapes.values())
    with progress.task("Measuring the tensors", total=len(names)) as task:
        for name in names:
            late = limit is not None and time.monotonic() - started > limit
            every = _size(model.shapes[name]) >= _LARGE * total
            if name not in state.done:
                looked = _look(model, name, matrix.get(name), payload["types"])
                known = {_place(other)[1] for other, one in state.done.items() if "measured" in one}
                if every or not late or _place(name)[1] not in known:
                    looked["measured"] = _probe(model, sample, name, matrix.get(name), looked, every=every)
                    state.keep(name, looked)
                else:
                    state.done[name] = looked
            task.advance(1)


class _Sample:
    """Beginnings of documents, and what the untouched model predicts for them."""

    def __init__(self, model: "Perturbed", documents: Sequence[Sequence[str]], tokens: int, window: int) -> None:
        import numpy as np

        from publicai_edge.engine.scoring import Window

        self._scorer = model.scorer
        self._windows: list[Window] = []
        rows: Counter[str] = Counter()
        languages: list[str] = []
        for number, (language, text) in enumerate(documents):
            room = min(window, tokens - rows[language] + 1)
            if room <= _MIN_WINDOW:
                continue
            piece = np.array(model.model.tokenize(text, special=False, begin=True)[:room], np.int32)
            if len(piece) > _MIN_WINDOW:
                self._windows.append(Window(number, piece, 1))
                rows[language] += self._windows[-1].rows
                languages += [language] * self._windows[-1].rows
        if not self._windows:
            raise RecipeError("The calibration texts are too short to measure on.", hint="Give longer texts.")
        self.languages = tuple(sorted(rows))
        self.tokens = len(languages)
        self._of = np.array(languages)
        self._before = [(batch.logits.copy(), _softmax(batch.logits)) for batch in self._scorer.rows(self._windows)]

    def loss(self) -> dict[str, float]:
        """Return the mean KL divergence of the model as it now is to the untouched one, by language."""
        import numpy as np

        pairs = zip(self._before, self._scorer.rows(self._windows), strict=True)
        values = np.concatenate([_divergence(share, before, batch.logits) for (before, share), batch in pairs])
        return {language: max(0.0, float(values[self._of == language].mean())) for language in self.languages}


class _State:
    """What was measured so far, on disk."""

    def __init__(self, path: Path, identity: str) -> None:
        self._path, self._identity = path, identity
        self.done: dict[str, dict[str, Any]] = {}
        self.before = 0.0
        self._started = time.monotonic()
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return
        if isinstance(found, dict) and found.get("identity") == identity:
            self.done, self.before = found["tensors"], found["seconds"]

    def keep(self, name: str, found: dict[str, Any]) -> None:
        """Add a tensor, and write."""
        self.done[name] = found
        self.add_seconds(self.before + time.monotonic() - self._started)

    def add_seconds(self, seconds: float) -> None:
        """Write what was measured, and how long it took in all."""
        measured = {name: one for name, one in self.done.items() if "measured" in one}
        value = {"identity": self._identity, "seconds": seconds, "tensors": measured}
        atomic.write_bytes(self._path, json.dumps(value).encode())


def _identity(payload: Mapping[str, Any]) -> str:
    parts = {key: payload[key] for key in ("documents", "types", "tokens", "window")}
    files = [digest.of_file(Path(payload[key])) for key in ("reference", "imatrix") if payload[key]]
    return digest.of_json({**parts, "files": files})


def _look(
    model: "Perturbed", name: str, importance: "NDArray[np.float32] | None", types: Sequence[str]
) -> dict[str, Any]:
    """Return a tensor's errors, the types left out, and the type to measure it in, as JSON values."""
    found = weight_errors(model.weights(name), importance, dict.fromkeys((*types, *_PROBES)))
    probe = next(kind for kind in _PROBES if kind not in found.left_out)
    offered = [kind for kind in found.offered if kind in types]
    return {"errors": found.errors, "left_out": list(found.left_out), "probe": probe, "offered": offered}


def _probe(
    model: "Perturbed",
    sample: _Sample,
    name: str,
    importance: "NDArray[np.float32] | None",
    looked: Mapping[str, Any],
    *,
    every: bool,
) -> dict[str, dict[str, float]]:
    """Measure the loss of the probe type, or of every type offered."""
    from publicai_edge.engine import encoding

    weights = model.weights(name)
    found = {}
    for kind in dict.fromkeys((looked["probe"], *(looked["offered"] if every else ()))):
        with model.replaced({name: encoding.round_trip(weights, kind, importance)}):
            found[kind] = sample.loss()
    return found


def _finish(done: Mapping[str, Mapping[str, Any]], languages: Sequence[str]) -> tuple[TensorLoss, ...]:
    """Scale every type's loss from the probe's, the tensor's own or its neighbours'."""
    tensors = []
    for name, one in sorted(done.items()):
        measured = one.get("measured", {})
        base = {language: _per_error(name, done, language) for language in languages}
        losses = {
            kind: measured.get(kind) or {language: base[language] * one["errors"][kind] for language in languages}
            for kind in one["offered"]
        }
        tensors.append(TensorLoss(name, losses, tuple(measured), tuple(one["left_out"])))
    return tuple(tensors)


def _per_error(name: str, done: Mapping[str, Mapping[str, Any]], language: str) -> float:
    """Return the loss for a unit of relative squared error: measured, or the mean of the nearest measured layers."""
    layer, kind = _place(name)
    known: list[tuple[int, float]] = []
    for other, one in done.items():
        if "measured" in one and (other == name or _place(other)[1] == kind):
            loss = one["measured"][one["probe"]][language] / max(one["errors"][one["probe"]], 1e-30)
            if other == name:
                return float(loss)
            known.append((abs(_place(other)[0] - layer), loss))
    near = sorted(known)[:2]
    if not near:
        raise RecipeError(f"Nothing was measured that resembles {name}.", hint="Give the measurement more time.")
    return sum(loss for _, loss in near) / len(near)


def _notes(tensors: Sequence[TensorLoss], done: Mapping[str, Mapping[str, Any]], has_importance: bool) -> Iterator[str]:
    left_out = Counter(kind for tensor in tensors for kind in tensor.left_out)
    for kind, count in sorted(left_out.items()):
        yield (
            f"The reference was once quantized: {kind} fits {count} of its {len(tensors)} tensors far better than "
            "weights that never were. It is left out for those, because its loss would look smaller than it is."
        )
    unmeasured = sum("measured" not in one for one in done.values())
    if unmeasured:
        yield f"{unmeasured} of {len(tensors)} tensors were not measured for lack of time; layers near them were."
    if not has_importance:
        yield "There was no importance matrix: all columns count alike."


def _spread(names: Iterable[str]) -> list[str]:
    """Return tensors outside the layers first, then layers so that any first part of the list is evenly spread."""
    places = {name: _place(name) for name in names}
    return sorted(places, key=lambda name: (_reversed_bits(places[name][0]), places[name]))


def _place(name: str) -> tuple[int, str]:
    """Return a tensor's layer (-1 outside the layers) and its name without it."""
    found = re.match(r"blk\.(\d+)\.(.+)", name)
    return (int(found[1]), found[2]) if found else (-1, name)


def _reversed_bits(layer: int) -> float:
    return -1.0 if layer < 0 else int(f"{layer:016b}"[::-1], 2)


def _size(shape: Sequence[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _softmax(logits: "NDArray[np.float32]") -> "NDArray[np.float32]":
    import numpy as np

    shares: NDArray[np.float32] = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return shares


def _divergence(
    share: "NDArray[np.float32]", before: "NDArray[np.float32]", after: "NDArray[np.float32]"
) -> "NDArray[np.float64]":
    """Return KL(before ‖ after) of each row, nats; exact also where it is small, which a difference of logs is not."""
    import numpy as np

    change = after - before
    change -= np.einsum("ij,ij->i", share, change)[:, None]
    np.minimum(change, 80, out=change)  # e^80 is the end of float32
    np.expm1(change, out=change)
    values: NDArray[np.float64] = np.log1p(np.einsum("ij,ij->i", share, change).astype(np.float64))
    return values
