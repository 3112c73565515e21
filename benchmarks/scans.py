"""How many letters of scanned pages are read wrongly, in each language.

    python benchmarks/scans.py [--font LANGUAGE=FILE.ttf ...] [--pages N] [--json FILE]

The pages are the Universal Declaration of Human Rights, set in DejaVu Serif of 11 points at 200 dots an inch, turned by
0.7 degrees, with grain and JPEG's traces, as `tests/knowledge/scans.py` makes them; so they are cleaner than many a
scan, and the figures are what may be hoped for at best. DejaVu has no Chinese, Japanese or Devanagari: `--font` names a
font that has.

The character error rate counts letters to insert, delete or exchange for each letter of the text, spaces between lines
and words aside: how a line is broken is no error. Confidence is the mean of all lines, those dropped included.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks import material
from publicai_edge.knowledge.ocr.layout import arrange
from publicai_edge.knowledge.ocr.recognizer import LEAST_SCORE, Recognizer
from publicai_edge.knowledge.ocr.render import Drawn
from tests.knowledge import scans

LATIN = (
    "en", "es", "fr", "de", "pt", "it", "nl", "ca", "gl", "eu", "da", "sv", "nb", "fi", "is", "pl", "cs", "sk", "sl",
    "hr", "hu", "ro", "sq", "tr", "et", "lv", "lt", "ga", "cy", "mt", "sw", "id", "ms", "tl", "af", "zu", "ha", "yo",
    "vi", "qu",
)  # fmt: skip
OTHERS = ("ru", "uk", "el", "ar")
CHARACTERS = 1400


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--font", action="append", default=[], metavar="LANGUAGE=FILE", help="a font, and its language")
    parser.add_argument("--languages", nargs="*", default=[*LATIN, *OTHERS])
    parser.add_argument("--pages", type=int, default=2, help="pages of each language")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    chosen = parser.parse_args()
    fonts = dict(item.split("=", 1) for item in chosen.font)
    recognizer = Recognizer()
    rows = []
    print("| language | wrong letters | letters | lines dropped | confidence | seconds |\n|---|---|---|---|---|---|")
    for language in [*chosen.languages, *fonts]:
        row = _measure(
            recognizer,
            language,
            _texts(language, chosen.pages, CHARACTERS // 3 if language in fonts else CHARACTERS),
            fonts.get(language, "DejaVuSerif.ttf"),
        )
        rows.append(row)
        print(
            "| {language} | {error:.1%} | {letters} | {dropped:.0%} | {score:.2f} | {seconds:.1f} |".format(**row),
            flush=True,
        )
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    return 0


def _texts(language: str, pages: int, characters: int = CHARACTERS) -> list[str]:
    text = "\n\n".join(document.text for document in material.declaration([language]).documents)
    parts: list[str] = [""]
    for paragraph in text.split("\n"):
        if len(parts[-1]) > characters:
            parts.append("")
        parts[-1] += f"{paragraph[:characters]}\n"
    return parts[:pages]


def _measure(recognizer: Recognizer, language: str, texts: list[str], font: str) -> dict[str, object]:
    wrong = letters = 0.0
    scores: list[float] = []
    started = time.monotonic()
    for number, text in enumerate(texts):
        data = scans.pdf([scans.picture(text, font=font, seed=number, whole=True)])
        with Drawn(data, 1) as drawn:
            page = drawn.page(1)
        assert page is not None
        lines = recognizer._lines(page)
        scores += [line.score for line in lines]
        found = "".join(line.text for line in arrange([line for line in lines if line.score >= LEAST_SCORE]))
        wanted = "".join(text.split())
        wrong += scans.error_rate("".join(found.split()), wanted) * len(wanted)
        letters += len(wanted)
    kept = sum(score >= LEAST_SCORE for score in scores)
    return {
        "language": language,
        "error": wrong / letters,
        "letters": int(letters),
        "dropped": 1 - kept / max(1, len(scores)),
        "score": float(np.mean(scores)) if scores else 0.0,
        "seconds": (time.monotonic() - started) / len(texts),
    }


if __name__ == "__main__":
    raise SystemExit(main())
