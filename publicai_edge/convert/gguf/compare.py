"""A converted model against its original: first the tokens, then logits or vectors. What strays is refused.

Each side is held by a child process of its own, so the two are never in memory together.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from publicai_edge import child, gguf
from publicai_edge.convert import source_folder
from publicai_edge.convert.gguf import check_vectors
from publicai_edge.convert.gguf.check_logits import MAX_KL
from publicai_edge.convert.gguf.report import GgufSettings
from publicai_edge.errors import ModelError
from publicai_edge.host import memory_bytes
from publicai_edge.progress import Progress

_HERE = "publicai_edge.convert.gguf"
_NOT = "The converted model was not compared with its original:"


@dataclass(frozen=True)
class Pair:
    """What is compared: the model as the person knows it, as the converter saw it, and the result."""

    source: Path
    staged: Path
    made: Path
    config: dict[str, Any]
    weights: int

    @property
    def causal(self) -> bool:
        """Whether the model writes text; else it gives vectors."""
        return source_folder.is_causal(self.config)

    @property
    def what(self) -> str:
        """The work in words."""
        return f"compare {self.made.name} with {self.source}"


@dataclass(frozen=True)
class Compared:
    """What the comparisons gave; ``why_not`` says why there is neither loss nor vectors."""

    tokenizer: dict[str, Any]
    loss: dict[str, Any] | None = None
    vectors: dict[str, Any] | None = None
    why_not: str | None = None


def run(pair: Pair, settings: GgufSettings, progress: Progress) -> Compared:
    """Compare the two models.

    Raises:
        ModelError: they differ by more than the type explains, and ``settings.force`` is not set.
    """
    payload = {"folder": str(pair.staged), "gguf": str(pair.made)}
    tokenizer = child.run(f"{_HERE}.check_tokens:run", payload, what=pair.what, progress=progress).value
    if tokenizer["difference"]:
        _refuse_tokenizer(pair, tokenizer, settings, progress)
    if why_not := _why_not(pair, settings):
        progress.say(why_not)
        return Compared(tokenizer, why_not=why_not)
    if pair.causal:
        return Compared(tokenizer, loss=_loss(pair, settings, progress))
    return Compared(tokenizer, vectors=_vectors(pair, settings, progress))


def _refuse_tokenizer(pair: Pair, found: dict[str, Any], settings: GgufSettings, progress: Progress) -> None:
    kinds = ", ".join(f"{kind} ({count})" for kind, count in found["differing_kinds"].items())
    english, differing = found["english_texts"], found["english_differing"]
    equal = ""
    if found["equal_scripts"]:
        equal = f" In these texts, what is written in {_and(found['equal_scripts'])} letters is read alike."
    _refuse(
        f"The converted tokenizer is not that of {pair.source}: {found['differing']} of {found['texts']} texts differ, "
        f"in {kinds}; of {english} texts in English {differing or 'none'} "
        f"{'differ' if differing > 1 else 'differs'}.{equal} {found['difference']}",
        "llama.cpp reads this model's text otherwise than the model learned it: use another revision of the model, or "
        "--force to keep the result all the same, where its readers write nothing of the kinds that differ (scripts "
        "not named were not tried).",
        settings,
        progress,
    )


def _and(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _refuse(message: str, hint: str, settings: GgufSettings, progress: Progress) -> None:
    if not settings.force:
        raise ModelError(message, hint=hint)
    progress.warn(message)


def _why_not(pair: Pair, settings: GgufSettings) -> str | None:
    """Say why neither logits nor vectors are compared, or None where they are."""
    if not settings.compare:
        return f"{_NOT} not asked for."
    if not pair.causal and check_vectors.pooling(pair.source) is None:
        return f"{_NOT} it gives vectors, and its 1_Pooling/config.json asks for neither mean nor cls pooling."
    needed, (_, available) = int(pair.weights * 4.6), memory_bytes()
    if available and needed > available:
        return f"{_NOT} that needs {needed / 1e9:.1f} GB of memory, and {available / 1e9:.1f} GB are free."
    return None


def _loss(pair: Pair, settings: GgufSettings, progress: Progress) -> dict[str, Any]:
    reference = pair.made.with_name("reference")
    payload: dict[str, Any] = {"source": str(pair.staged), "reference": str(reference), "export": None}
    child.run("publicai_edge.convert.causal_lm_export:run", payload, what=pair.what, progress=progress)
    payload = {"gguf": str(pair.made), "reference": str(reference)}
    loss: dict[str, Any] = child.run(f"{_HERE}.check_logits:run", payload, what=pair.what, progress=progress).value
    if not loss["mean_kl"] <= MAX_KL[settings.type]:
        _refuse(
            f"The converted model strays from {pair.source}: mean KL divergence {loss['mean_kl']:.5f} nats per token, "
            f"and at most {MAX_KL[settings.type]} is expected of {settings.type}; most on {loss['worst_text']!r} "
            f"({loss['worst_text_kl']:.5f}).",
            "Try another --type; if all stray, llama.cpp and transformers read this model differently. --force keeps "
            "the result all the same.",
            settings,
            progress,
        )
    return loss


def _vectors(pair: Pair, settings: GgufSettings, progress: Progress) -> dict[str, Any]:
    reference = pair.made.with_name("reference")
    header = gguf.read(pair.made)
    payload: dict[str, Any] = {
        "folder": str(pair.staged),
        "reference": str(reference),
        "pooling": check_vectors.pooling(pair.source),
        "context": header.metadata[f"{header.architecture}.context_length"],
    }
    child.run(f"{_HERE}.check_vectors:write_original", payload, what=pair.what, progress=progress)
    payload = {"gguf": str(pair.made), "reference": str(reference), "pooling": payload["pooling"]}
    found: dict[str, Any] = child.run(f"{_HERE}.check_vectors:run", payload, what=pair.what, progress=progress).value
    least, bound = found["equal_tokens"]["least_cosine"], check_vectors.MIN_COSINE[settings.type]
    if least is None or not least >= bound:
        _refuse(
            f"The converted model strays from {pair.source}: "
            + (
                f"the least cosine of its vectors to the original's is {least:.4f} on texts with equal tokens, and at "
                f"least {bound} is expected of {settings.type}; on {found['worst_text']!r}."
                if least is not None
                else "no text has the same tokens in both, so their vectors cannot be compared."
            ),
            "Try another --type; if all stray, llama.cpp and transformers read this model differently. --force keeps "
            "the result all the same.",
            settings,
            progress,
        )
    return found
