"""Languages that the recognition model reads, as ``benchmarks/scans.py`` measured; it claims more than is told here."""

from collections.abc import Sequence

MOST_WRONG = 0.02
"""Share of wrong letters, on a clean page, up to which a language counts as read."""
READ = frozenset(
    {
        *("af", "ca", "cs", "cy", "da", "de", "en", "es", "et", "eu", "fi", "fr", "ga", "gl", "ha", "hr", "hu", "id"),
        *("is", "it", "ja", "lt", "lv", "ms", "mt", "nb", "nl", "pl", "pt", "qu", "ro", "sl", "sq", "sv", "sw", "tl"),
        *("tr", "zh", "zu"),
    }
)
"""ISO 639 codes; not Slovak (2.5 %), Yoruba (22 %), Vietnamese (37 %), nor any script but Latin, Chinese, Japanese."""


def not_read(languages: Sequence[str]) -> list[str]:
    """Return those of ``languages`` (BCP 47 tags) that were not measured, or failed; regions do not count."""
    return [tag for tag in languages if tag.partition("-")[0] not in READ]
