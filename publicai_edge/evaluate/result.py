"""What an evaluation found, as values: measured losses, the bounds they are held to, and the verdict.

Units: KL divergence in nats per token, agreement and intervals of shares from 0 to 1, sizes in bytes. Every value is
frozen and goes to JSON and back unchanged, so that a cached measurement can be judged by a new bound.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from publicai_edge.evaluate.reading import Reading


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % bootstrap interval over documents."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class LanguageLoss:
    """What quantization cost in one language.

    Attributes:
        language: BCP 47 tag.
        documents: documents measured.
        tokens: tokens scored.
        mean_kl: mean KL divergence to the reference, nats per token.
        median_kl: its median over tokens.
        p99_kl: its 99th percentile over tokens.
        top_agreement: share of tokens where both models think the same token likeliest.
        perplexity_ratio: perplexity over the reference's.
        reference_perplexity: the reference's own.
        perplexity: the quantized model's.
    """

    language: str
    documents: int
    tokens: int
    mean_kl: Interval
    median_kl: Interval
    p99_kl: Interval
    top_agreement: Interval
    perplexity_ratio: Interval
    reference_perplexity: float
    perplexity: float


@dataclass(frozen=True)
class Answer:
    """One of the recipe's questions, answered by both models; which of the expected facts each answer states."""

    question: str
    language: str
    service: str
    reference_text: str
    text: str
    facts: tuple[str, ...]
    reference_found: tuple[bool, ...]
    found: tuple[bool, ...]

    @property
    def lost(self) -> tuple[str, ...]:
        """Facts the reference stated and this model did not."""
        pairs = zip(self.facts, self.reference_found, self.found, strict=True)
        return tuple(fact for fact, before, after in pairs if before and not after)


@dataclass(frozen=True)
class Measured:
    """One quantized model against the reference. ``name`` is its type, as a person would name it."""

    name: str
    sha256: str
    bytes: int
    languages: tuple[LanguageLoss, ...]
    answers: tuple[Answer, ...] = ()

    @property
    def worst(self) -> LanguageLoss:
        """The language with the highest mean KL divergence."""
        return max(self.languages, key=lambda loss: loss.mean_kl.value)

    @property
    def mean_kl(self) -> float:
        """Mean over the languages, each counted once, nats per token."""
        return sum(loss.mean_kl.value for loss in self.languages) / len(self.languages)

    @property
    def facts_lost(self) -> int:
        """Facts that the reference stated and this model did not."""
        return sum(len(answer.lost) for answer in self.answers)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Rebuild it from :meth:`to_json`'s value."""
        return cls(
            name=value["name"],
            sha256=value["sha256"],
            bytes=value["bytes"],
            languages=tuple(loss_from_json(item) for item in value["languages"]),
            answers=tuple(_answer(item) for item in value["answers"]),
        )


@dataclass(frozen=True)
class Bounds:
    """The loss a recipe allows: mean KL divergence in nats per token, overall and for single languages.

    ``max_facts_lost`` is how many of the facts that the unquantized model states may be missing; None asks nothing.
    """

    max_loss: float | None = None
    by_language: Mapping[str, float] = field(default_factory=dict)
    max_facts_lost: int | None = None

    def of(self, language: str) -> float | None:
        """Return the bound on a language, or None."""
        return self.by_language.get(language, self.max_loss)


@dataclass(frozen=True)
class Failure:
    """One bound that does not hold. ``figure`` is ``"mean_kl"`` or ``"facts_lost"``; ``high`` is what is judged."""

    language: str
    figure: str
    value: float
    high: float
    bound: float


@dataclass(frozen=True)
class Verdict:
    """Whether a model passes in every language; failures worst first, by how far they are over their bound."""

    passes: bool
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """A measured model and the verdict on it; ``refused`` says why it was no choice whatever its loss (too large)."""

    measured: Measured
    verdict: Verdict
    refused: str | None = None


@dataclass(frozen=True)
class TextUse:
    """Texts that were used: where they are from, on what terms, and how many documents served which purpose.

    ``calibration_documents`` counts those that the importance matrix was collected on, not those set aside for it.
    """

    name: str
    license: str
    license_url: str | None
    languages: tuple[str, ...]
    calibration_documents: int
    evaluation_documents: int


@dataclass(frozen=True)
class Method:
    """How it was measured: enough to do it again."""

    engine: str
    context: int
    tokens_per_language: int | None
    resamples: int
    imatrix: bool


@dataclass(frozen=True)
class Quality:
    """The whole of what a report tells.

    Attributes:
        title: what was measured, as a heading: the bundle's or the model's name.
        reference: the unquantized model's name, type and size in bytes.
        reference_is_quantized: the reference itself was once quantized, so the original is not known.
        candidates: in the order they were tried, small to large.
        chosen: name of the chosen one, or None.
        reason: one sentence on why.
        bounds: what was asked.
        texts: what was read.
        method: how.
        untested: types larger than any that was measured, smallest first, where none that was measured may be used.
        notes: what a reader should know beside.
        reading: what putting passages together costs, "exact" first; empty where it was not measured.
        reading_reason: one sentence on how the kiosk reads them.
    """

    title: str
    reference: str
    reference_type: str
    reference_bytes: int
    reference_is_quantized: bool
    candidates: tuple[Candidate, ...]
    chosen: str | None
    reason: str
    bounds: Bounds
    texts: tuple[TextUse, ...]
    method: Method
    untested: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    reading: tuple["Reading", ...] = ()
    reading_reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        value = asdict(self)
        value["bounds"]["by_language"] = dict(self.bounds.by_language)
        return value


def _interval(value: Mapping[str, Any]) -> Interval:
    return Interval(value["value"], value["low"], value["high"])


def loss_from_json(value: Mapping[str, Any]) -> LanguageLoss:
    """Rebuild a language's figures from their ``asdict``."""
    intervals = ("mean_kl", "median_kl", "p99_kl", "top_agreement", "perplexity_ratio")
    return LanguageLoss(**{**value, **{name: _interval(value[name]) for name in intervals}})


def _answer(value: Mapping[str, Any]) -> Answer:
    tuples = ("facts", "reference_found", "found")
    return Answer(**{**value, **{name: tuple(value[name]) for name in tuples}})
