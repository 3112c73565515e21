"""That a patron finds passages in the language of the page before others that answer as well.

With a search model of many languages, a rule and its translation are equally near to a question. The one in the
patron's language gets :data:`PREFERENCE` more, which decides between equals and little else: how much of a difference
is that much, `benchmarks/retrieval.py` measures (docs/adr/0054). What counts as an answer at all does not depend on it,
so a passage in another language is still found where there is no other.
"""

PREFERENCE = 0.1
"""Of a score, which is at most 1 without it."""


def is_same(one: str, other: str) -> bool:
    """Say whether two language tags are of one language, whatever their script or region; unknown ones are not."""
    return bool(one) and primary(one) == primary(other)


def primary(tag: str) -> str:
    """Return the language of a tag, without script and region: "pt" of "pt-BR"."""
    return tag.replace("_", "-").partition("-")[0].lower()
