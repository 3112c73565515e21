"""Results to tell in a report, as the pipeline makes them: judged and chosen by the gate; and how to read the page."""

import math
import random
from dataclasses import replace

import pytest
from lxml import etree

from publicai_edge.evaluate.gate import choose, judge
from publicai_edge.evaluate.reading import Answered, Reading
from publicai_edge.evaluate.result import (
    Answer,
    Bounds,
    Candidate,
    Interval,
    LanguageLoss,
    Measured,
    Method,
    Quality,
    TextUse,
)

BOUNDS = Bounds(max_loss=0.06)

HARD = {"en": 0.7, "es": 0.9, "fr": 0.95, "sw": 2.0, "ru": 1.2, "ar": 1.5, "hi": 1.7, "zh": 1.1}

MORE_LANGUAGES = {"uk": 1.3, "yo": 2.4, "qu": 2.2, "pt-BR": 0.92}

TYPES = {
    "IQ4_XS": (4.4, 0.041),
    "Q4_0": (4.6, 0.048),
    "Q4_K_M": (4.9, 0.024),
    "Q5_K_M": (5.7, 0.0085),
    "Q8_0": (8.5, 0.0012),
}

MORE_TYPES = {"Q2_K": (3.2, 0.34), "Q3_K_M": (3.9, 0.11), "Q6_K": (6.6, 0.004)}

ARABIC = Answer(
    "متى تفتح المكتبة؟",
    "ar",
    "ask",
    "من الساعة 10 حتى 4 مساءً.",
    "من الساعة 10.",
    ("10", "4 مساءً"),
    (True, True),
    (True, False),
)


def loss(tag: str, mean: float, margin: float = 0.12) -> LanguageLoss:
    def near(value: float) -> Interval:
        return Interval(value, value * (1 - margin), value * (1 + margin))

    agreement = 1 - min(0.6, 0.45 * math.sqrt(mean))
    ratio = Interval(1 + mean, 1 + mean * 0.9, 1 + mean * 1.1)
    top = Interval(agreement, agreement - 0.01, min(1.0, agreement + 0.01))
    return LanguageLoss(tag, 15, 6543, near(mean), near(mean / 3), near(mean * 14), top, ratio, 12.0, 12.0 * (1 + mean))


def quality(
    languages: dict[str, float] = HARD,
    types: dict[str, tuple[float, float]] = TYPES,
    bounds: Bounds = BOUNDS,
    answers: tuple[Answer, ...] = (ARABIC,),
    too_large: tuple[str, ...] = (),
    **changes: object,
) -> Quality:
    """A result as the pipeline makes one: judged and chosen by the gate, small to large."""
    candidates = []
    for name, (bits, mean) in sorted(types.items(), key=lambda item: item[1]):
        losses = tuple(loss(tag, mean * hard) for tag, hard in languages.items())
        measured = Measured(name, f"{hash_of(name):064x}", int(16_930_352 * bits), losses, answers)
        candidates.append(
            Candidate(measured, judge(measured, bounds), "too large for the device" if name in too_large else None)
        )
    chosen = choose(candidates)
    known = {
        "title": "Riverside Library",
        "reference": "SmolLM2-135M-Instruct",
        "reference_type": "F16",
        "reference_bytes": 270_885_632,
        "reference_is_quantized": False,
        "candidates": tuple(candidates),
        "chosen": chosen.measured.name if chosen else None,
        "reason": "It is the smallest that passes." if chosen else "None passes.",
        "bounds": bounds,
        "texts": (TextUse("Declaration", "CC0-1.0", "https://example.org/licence", tuple(languages), 14, 16),),
        "method": Method("llama.cpp b1234", 512, 20_000, 1000, imatrix=False),
    }
    return Quality(**{**known, **changes})  # type: ignore[arg-type]


def hash_of(name: str) -> int:
    return random.Random(name).getrandbits(256)


def tree(page: bytes) -> etree._Element:
    """The page as XML: unbalanced or unescaped markup raises here."""
    return etree.fromstring(page.replace(b"<!DOCTYPE html>", b"", 1), etree.XMLParser(resolve_entities=False))


def words(element: etree._Element) -> str:
    return " ".join("".join(element.itertext()).split())


READING = tuple(
    Reading(
        name,
        fresh,
        tuple(Answered(f"Question {number}?", "en", kl * number, 1.0, "Ten.", (True,), read) for number in (1, 2, 3)),
    )
    for name, fresh, kl, read in (("exact", 0, 0.0, 700), ("shifted", 0, 0.02, 40), ("recomputed", 16, 0.004, 70))
)

SPANISH = tuple(
    replace(item, answers=(*item.answers, Answered("¿Cuándo?", "es", kl, 1.0, text, (text == "A las diez.",), 9)))
    for item, kl, text in zip(READING, (0.0, 0.5, 0.1), ("A las diez.", "A las dos.", "A las diez."), strict=True)
)
KEPT = quality(
    candidates=(),
    chosen=None,
    bounds=Bounds(),
    texts=(),
    reason="The model is packed as it was published.",
    reading=SPANISH,
    reading_reason='The recipe names "exact".',
    reference_is_quantized=True,
)

CASES = {
    "chosen": quality(),
    "kept, read once": KEPT,
    "read once": quality(reading=READING, reading_reason="It is within what the recipe allows."),
    "refused": quality(bounds=Bounds(max_loss=0.0001)),
    "too large": quality(bounds=Bounds(max_loss=0.03), too_large=("Q5_K_M", "Q8_0")),
    "own bounds": quality(bounds=Bounds(by_language={"sw": 0.1, "hi": 0.02})),
    "facts": quality(bounds=Bounds(max_facts_lost=0)),
    "no bounds": quality(bounds=Bounds(), chosen=None, reason=""),
    "smallest": quality({"en": 0.7}, {"Q4_0": (4.6, 0.048)}, answers=(), texts=()),
    "largest": quality({**HARD, **MORE_LANGUAGES}, {**TYPES, **MORE_TYPES}),
    "nothing measured": quality({}, {"Q4_0": (4.6, 0.048)}, too_large=("Q4_0",), chosen=None, answers=()),
}

each_case = pytest.mark.parametrize("case", CASES.values(), ids=[name.replace(" ", "-") for name in CASES])
