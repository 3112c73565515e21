"""The report as one HTML page: what a library board reads, a steward defends and an engineer checks.

Invariants: one file that needs nothing else, with no script, and a content security policy that would stop any; valid
as XML as well as HTML; whatever a model, a recipe or a text wrote is escaped. The layout is in ``page.html``
beside this file and in :mod:`publicai_edge.pages`; here are the values they show.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from publicai_edge import pages
from publicai_edge.evaluate.report import figures
from publicai_edge.evaluate.report.decision import (
    Decision,
    decide,
    failing_languages,
    has_bounds,
    original,
    stated_facts,
    verdict,
)
from publicai_edge.evaluate.report.languages import language, names
from publicai_edge.evaluate.report.notes import notes
from publicai_edge.evaluate.report.passages import places, side_by_side
from publicai_edge.evaluate.report.passages import rows as reading_rows
from publicai_edge.evaluate.report.plot import order, plot, shape
from publicai_edge.evaluate.result import Answer, Candidate, Quality

_HERE = Path(__file__).parent
_GENERATOR = "publicai-edge quality report"
_BITS = {"F32": 32.0, "F16": 16.0, "BF16": 16.0}


@dataclass(frozen=True)
class LanguageRow:
    """One language in the table of the type in focus; every number already as text."""

    tag: str
    loss: str
    low: str
    high: str
    bound: str
    allowed: str | None
    passes: bool | None
    agreement: str
    median: str
    p99: str
    ratio: str
    documents: str
    tokens: str


@dataclass(frozen=True)
class TypeRow:
    """One type in the table of types; every number already as text."""

    name: str
    chosen: bool
    size: str
    share: str
    bits: str | None
    loss: str | None
    worst: str | None
    worst_loss: str | None
    facts: str | None
    verdict: str
    passes: bool


def render_html(quality: Quality) -> bytes:
    """Return the report as a page in UTF-8; the same bytes for the same ``quality``."""
    return pages.environment(_HERE).get_template("page.html").render(_context(quality)).encode()


def is_report_html(data: bytes) -> bool:
    """Say whether a page is one of :func:`render_html`'s."""
    return _GENERATOR.encode() in data.partition(b"<style>")[0]


def _context(quality: Quality) -> dict[str, Any]:
    decision = decide(quality)
    focus = decision.focus
    rows = _language_rows(quality, focus) if focus else ()
    return {
        "generator": _GENERATOR,
        "quality": quality,
        "decision": decision,
        "focus": focus,
        "original": original(quality),
        "bounded": has_bounds(quality),
        "loss_bounded": any(row.passes is not None for row in rows),
        "plot": plot(quality, focus) if focus else None,
        "shape": shape,
        "language": language,
        "names": names,
        "figures": figures,
        "rows": rows,
        "types": _type_rows(quality, decision),
        "answers": _answers(focus) if focus else (),
        "stated": stated_facts(focus) if focus else 0,
        "lost": focus.measured.facts_lost if focus else 0,
        "readings": reading_rows(quality),
        "reading_places": places(reading_rows(quality)),
        "answered": tuple(side_by_side(quality)),
        "reference_bits": _bits(quality, quality.reference_bytes),
        "notes": notes(quality),
    }


def _language_rows(quality: Quality, focus: Candidate) -> tuple[LanguageRow, ...]:
    by_tag = {item.language: item for item in focus.measured.languages}
    failed = failing_languages(focus)
    losses = [by_tag[tag] for tag in order(quality, focus) if tag in by_tag]
    pairs = [(item.mean_kl.high, bound) for item in losses if (bound := quality.bounds.of(item.language)) is not None]
    places = figures.decimals_apart((item.mean_kl.value for item in losses), pairs)
    middle = figures.decimals(item.median_kl.value for item in losses)
    rows = []
    for item in losses:
        bound = quality.bounds.of(item.language)
        rows.append(
            LanguageRow(
                tag=item.language,
                loss=figures.loss(item.mean_kl.value, places),
                low=figures.loss(item.mean_kl.low, places),
                high=figures.loss(item.mean_kl.high, places),
                bound="none" if bound is None else figures.loss(bound, places),
                allowed=None if bound is None else figures.loss(bound),
                passes=None if bound is None else item.language not in failed,
                agreement=figures.percent(item.top_agreement.value, 1),
                median=figures.loss(item.median_kl.value, middle),
                p99=figures.loss(item.p99_kl.value, 2),
                ratio=figures.ratio(item.perplexity_ratio.value),
                documents=figures.count(item.documents),
                tokens=figures.count(item.tokens),
            )
        )
    return tuple(rows)


def _type_rows(quality: Quality, decision: Decision) -> tuple[TypeRow, ...]:
    measured = [item.measured for item in quality.candidates if item.measured.languages]
    places = figures.decimals([item.mean_kl for item in measured])
    rows = []
    for candidate in quality.candidates:
        one = candidate.measured
        worst = one.worst if one.languages else None
        stated = stated_facts(candidate)
        rows.append(
            TypeRow(
                name=one.name,
                chosen=one.name == quality.chosen,
                size=figures.size(one.bytes),
                share=figures.percent(one.bytes / quality.reference_bytes) if quality.reference_bytes else "",
                bits=_bits(quality, one.bytes),
                loss=figures.loss(one.mean_kl, places) if worst else None,
                worst=language(worst.language).name if worst else None,
                worst_loss=figures.loss(worst.mean_kl.value, places) if worst else None,
                facts=f"{stated - one.facts_lost} of {stated}" if one.answers else None,
                verdict=verdict(quality, candidate),
                passes=candidate.verdict.passes and candidate.refused is None,
            )
        )
    return tuple(rows)


def _answers(focus: Candidate) -> tuple[Answer, ...]:
    """Return the answers, those that lost most facts first."""
    return tuple(sorted(focus.measured.answers, key=lambda answer: -len(answer.lost)))


def _bits(quality: Quality, size: int) -> str | None:
    """Return about how many bits a weight takes; known where the reference's own number is."""
    bits = _BITS.get(quality.reference_type.upper())
    return f"{bits * size / quality.reference_bytes:.1f}" if bits and quality.reference_bytes else None
