"""Which languages the recognition model reads, as measured; it claims more than is told here."""

from collections.abc import Sequence

READ: frozenset[str] = frozenset({"en", "es", "fr", "de"})
"""Languages whose printed pages were read with at most 2 % of wrong letters, see docs/how-to/recognise-scans.md."""


def not_read(languages: Sequence[str]) -> list[str]:
    """Return those of ``languages`` (BCP 47 tags) that were not measured, or failed; regions do not count."""
    return [tag for tag in languages if tag.partition("-")[0] not in READ]
