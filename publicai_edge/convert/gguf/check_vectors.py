"""The vectors of an encoder in GGUF against those of the model it was made from, on the same texts.

The two are never in memory together: one child process writes the original's vectors to a folder, another reads them.
Texts that the two tokenizers read alike show what conversion did to the weights; the others are told apart, for their
cosines show what llama.cpp's tokenizer costs.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from publicai_edge.convert.check_texts import CHECK_TEXTS, ENGLISH_TEXTS
from publicai_edge.host import physical_cores
from publicai_edge.progress import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Least cosine to the original of any text with equal tokens: chosen, not derived.
MIN_COSINE = {"f32": 0.999, "f16": 0.999, "bf16": 0.999, "q8_0": 0.99}
_MAX_TOKENS = 512  # what publicai_edge.engine.vectors reads of a text
_VECTORS, _TOKENS = "vectors.npy", "tokens.json"
_MODES = {
    "mean": ("pooling_mode_mean_tokens", "mean"),
    "cls": ("pooling_mode_cls_token", "cls"),
}


def pooling(folder: Path) -> str | None:
    """Return how the folder's ``1_Pooling`` makes one vector of a token's many: mean or cls; None for another way."""
    path = folder / "1_Pooling" / "config.json"
    try:
        stated = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(stated, dict):
        return None
    for mode, (key, name) in _MODES.items():
        if stated.get(key) is True or stated.get("pooling_mode") == name:
            return mode
    return None


def write_original(payload: dict[str, Any], _progress: Progress) -> None:
    """Write the vectors and tokens that ``payload["folder"]`` gives the check texts to ``payload["reference"]``.

    ``payload["context"]`` is the most tokens that the converted model reads: the original is given no more.
    """
    from publicai_edge.convert.transformers_child import stay_offline

    stay_offline()
    import numpy as np

    from publicai_edge.convert.embedding import EmbeddingSettings
    from publicai_edge.convert.onnx_export import _encode_original, _load

    folder, reference = Path(payload["folder"]), Path(payload["reference"])
    model, tokenizer = _load(folder)
    longest = min(_MAX_TOKENS, int(payload["context"]))
    settings = EmbeddingSettings(payload["pooling"], longest, "", "", "none", 0)
    reference.mkdir()
    np.save(reference / _VECTORS, _encode_original(model, tokenizer, settings))
    tokens = [tokenizer(text)["input_ids"] for text in CHECK_TEXTS]
    (reference / _TOKENS).write_text(json.dumps(tokens))


def run(payload: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Compare the vectors of ``payload["gguf"]`` with those in ``payload["reference"]``.

    Returns:
        ``pooling``; and for ``all`` texts, the ``english`` ones, those of ``equal_tokens`` and of ``other_tokens``:
        ``texts``, ``mean_cosine`` and ``least_cosine`` (None without texts). ``worst_text`` is the beginning of the
        text with the least cosine among those with equal tokens.
    """
    import numpy as np

    from publicai_edge.engine.vectors import Vectors

    reference = Path(payload["reference"])
    original = np.load(reference / _VECTORS)
    tokens = json.loads((reference / _TOKENS).read_text("utf-8"))
    model = Vectors(Path(payload["gguf"]), threads=physical_cores())
    found = []
    with progress.task("Comparing the models", total=len(CHECK_TEXTS)) as task:
        for vector in model.embed(CHECK_TEXTS):
            found.append(vector)
            task.advance(1)
    ours = [model.model.tokenize(text, special=False, begin=True) for text in CHECK_TEXTS]
    equal = np.array([pair[0] == pair[1] for pair in zip(ours, tokens, strict=True)])
    model.close()
    cosines = (np.stack(found).astype(np.float64) * original).sum(axis=1)
    english = np.array([text in ENGLISH_TEXTS for text in CHECK_TEXTS])
    ranked = np.where(equal, cosines, np.inf)
    return {
        "pooling": payload["pooling"],
        "all": _summary(cosines),
        "english": _summary(cosines[english]),
        "equal_tokens": _summary(cosines[equal]),
        "other_tokens": _summary(cosines[~equal]),
        "worst_text": CHECK_TEXTS[int(ranked.argmin())][:80] if equal.any() else None,
    }


def _summary(cosines: "NDArray[Any]") -> dict[str, Any]:
    if not len(cosines):
        return {"texts": 0, "mean_cosine": None, "least_cosine": None}
    mean, least = float(cosines.mean()), float(cosines.min())
    return {"texts": len(cosines), "mean_cosine": round(mean, 6), "least_cosine": round(least, 6)}
