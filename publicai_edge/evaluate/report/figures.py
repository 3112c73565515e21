"""Numbers as people read them: two or three significant digits, thousands apart, never more than was measured.

A column of losses shares its decimals, so that right-aligned numbers line up. What is not a finite number reads
"not known".
"""

import math
from collections.abc import Iterable

UNKNOWN = "not known"
_FINE = 0.0095  # a column with losses below this needs the fourth decimal


def decimals(values: Iterable[float]) -> int:
    """Return how many decimals a column of losses needs: three, or four where one is under a hundredth."""
    return 4 if any(0 < value < _FINE for value in values) else 3


def loss(value: float, places: int | None = None) -> str:
    """Return a loss in nats per token, with a column's decimals or with its own two significant digits."""
    if not math.isfinite(value):
        return UNKNOWN
    if places is None:
        magnitude = math.floor(math.log10(value)) if value > 0 else -1
        places = min(4, max(2, 1 - magnitude))
    smallest = 10.0**-places
    if 0 < value < smallest / 2:
        return f"<{smallest:.{places}f}"
    return f"{value:.{places}f}"


def percent(share: float, places: int = 0) -> str:
    """Return a share from 0 to 1 as a percentage; nearly all is not all, and nearly none is not none."""
    if not math.isfinite(share):
        return UNKNOWN
    step = 10.0**-places
    if 1 - step / 200 <= share < 1:
        return f">{100 - step:.{places}f}%"
    if 0 < share < step / 200:
        return f"<{step:.{places}f}%"
    return f"{100 * share:.{places}f}%"


def of_hundred(share: float) -> str:
    """Return a share from 0 to 1 in words: "93 of 100"."""
    if not math.isfinite(share):
        return "an unknown number of 100"
    whole = round(100 * share)
    if whole == 100 and share < 1:  # noqa: PLR2004
        return "more than 99 of 100"
    if whole == 0 and share > 0:
        return "fewer than 1 of 100"
    return f"{whole} of 100"


def ratio(value: float) -> str:
    """Return a ratio with three decimals, as a perplexity ratio near one needs them; two from ten up."""
    if not math.isfinite(value):
        return UNKNOWN
    return f"{value:.3f}" if value < 10 else f"{value:,.1f}"  # noqa: PLR2004


def times(value: float) -> str:
    """Return how many times: "1.3 times", "12 times"."""
    return f"{value:.1f} times" if value < 10 else f"{value:,.0f} times"  # noqa: PLR2004


def size(count: int) -> str:
    """Return a size in decimal units, three significant digits: "98.4 MB", "1.12 GB"."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale * 0.9995:
            amount = count / scale
            return f"{amount:.{2 if amount < 9.995 else 1 if amount < 99.95 else 0}f} {unit}"  # noqa: PLR2004
    return f"{count} B"


def count(value: int) -> str:
    """Return a number of things, thousands apart."""
    return f"{value:,}"


def decimals_apart(values: Iterable[float], pairs: Iterable[tuple[float, float]]) -> int:
    """Return a column's decimals such that no two numbers of a pair that differ read the same (six at most)."""
    places, unequal = decimals(values), [(a, b) for a, b in pairs if a != b]
    while places < 6 and any(loss(a, places) == loss(b, places) for a, b in unequal):  # noqa: PLR2004
        places += 1
    return places
