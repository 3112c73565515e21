"""The logits of a GGUF against those of the model it was made from.

The original's were written to files by the process that held it (``causal_lm_export``), so the two models are never in
memory together. Runs in a child process.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from publicai_edge.convert.causal_lm_check import IDS_FILE, logits_file
from publicai_edge.errors import ModelError
from publicai_edge.host import physical_cores
from publicai_edge.progress import Progress

# Most mean KL divergence from the original, nats per token: chosen, not derived. SmolLM2-135M, the one model it was
# measured on (788 tokens), gave 0.0000023 (f32), 0.0000105 (f16), 0.0003 (bf16) and 0.0100 (q8_0).
MAX_KL = {"f32": 1e-3, "f16": 1e-3, "bf16": 5e-3, "q8_0": 2e-2}


@dataclass(frozen=True)
class Loss:
    """How far a converted model is from its original.

    Attributes:
        texts: texts read.
        tokens: positions compared.
        mean_kl: mean KL divergence, nats per token.
        worst_text_kl: mean KL divergence of the text that lost most.
        worst_text: how that text begins.
        top_agreement: share of positions where both think the same token likeliest.
        max_logit_difference: largest absolute difference of a logit.
    """

    texts: int
    tokens: int
    mean_kl: float
    worst_text_kl: float
    worst_text: str
    top_agreement: float
    max_logit_difference: float


def run(payload: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Measure ``payload["gguf"]`` against ``payload["reference"]``; return a :class:`Loss` as plain data."""
    import numpy as np

    from publicai_edge.engine.llama import LlamaModel
    from publicai_edge.engine.scoring import Scorer, Window

    reference = Path(payload["reference"])
    texts = json.loads((reference / IDS_FILE).read_text("utf-8"))
    model = LlamaModel(Path(payload["gguf"]))
    scorer = Scorer(model, context=max(len(ids) for _, ids in texts) + 1, threads=physical_cores())
    kl, agree, largest = [], [], 0.0
    with progress.task("Comparing the models", total=len(texts)) as task:
        for index, (_, ids) in enumerate(texts):
            original = np.load(logits_file(reference, index), mmap_mode="r")
            window = Window(index, np.array([*ids, 0], np.int32), 1)  # the last one only asks for the row before it
            start = 0
            kls = []
            for rows in scorer.rows([window]):
                wanted = np.asarray(original[start : start + len(rows.logits)])
                found = rows.logits[:, : wanted.shape[1]]
                start += len(found)
                largest = max(largest, float(np.abs(found - wanted).max()))
                agree.append(found.argmax(axis=1) == wanted.argmax(axis=1))
                kls.append(_kl(wanted, found))
            kl.append(np.concatenate(kls))
            task.advance(1)
    scorer.close()
    model.close()
    every = np.concatenate(kl)
    means = [float(part.mean()) for part in kl]
    worst = int(np.argmax(means))
    if not np.isfinite(every).all():
        raise ModelError(
            f"The converted model gives values that are not numbers, on {texts[worst][0]!r}.",
            hint="Its weights may not fit 16 bits: convert with --type bf16 or f32; else fetch the model again.",
        )
    return {
        "texts": len(texts),
        "tokens": len(every),
        "mean_kl": float(every.mean()),
        "worst_text_kl": means[worst],
        "worst_text": texts[worst][0],
        "top_agreement": float(np.concatenate(agree).mean()),
        "max_logit_difference": largest,
    }


def _kl(original: Any, converted: Any) -> Any:
    """Return the KL divergence of every row, nats."""
    import numpy as np

    a, b = _log_softmax(original), _log_softmax(converted)
    return (np.exp(a) * (a - b)).sum(axis=1)


def _log_softmax(logits: Any) -> Any:
    import numpy as np

    wide = np.asarray(logits, np.float64)
    wide = wide - wide.max(axis=1, keepdims=True)
    return wide - np.log(np.exp(wide).sum(axis=1, keepdims=True))
