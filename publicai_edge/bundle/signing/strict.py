"""JSON from strangers: read within bounds, and refused where two readers could understand it differently.

Python's own reader accepts names given twice, NaN, and as much nesting and as many values as memory holds.
"""

import json
import re
from typing import Any, NoReturn

# A whole string, or one mark of structure, or a quote that no string starts with. The quantifiers are possessive: no
# text makes the expression try again what it has read.
_PART = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},:"]', re.DOTALL)


_OPENING, _CLOSING = frozenset("[{"), frozenset("]}")


def read(data: bytes, *, depth: int, marks: int) -> Any:
    """Return the value in ``data``.

    Args:
        data: JSON in UTF-8.
        depth: the deepest nesting that is allowed.
        marks: the most strings, brackets, commas and colons, which bounds the number of values.

    Raises:
        ValueError: it is not JSON, exceeds a bound, names a member twice, or holds NaN or an infinity.
    """
    text = data.decode("utf-8")
    _bound(text, depth, marks)
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)


def _bound(text: str, depth: int, marks: int) -> None:
    level = 0
    for count, match in enumerate(_PART.finditer(text)):
        part = match[0]
        if part == '"':
            raise ValueError("a string that does not end")
        level += (part in _OPENING) - (part in _CLOSING)
        if level > depth or count >= marks:
            raise ValueError(f"more than {depth} levels or {marks} marks")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name that is given twice")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
