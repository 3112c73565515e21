"""A JSON schema as a grammar of llama.cpp's (GBNF).

llama-cpp-python's converter does it, but for what it gets wrong in strings, as of 0.3.36: it lets control characters
into them, which JSON does not; and of the values and names that a schema gives it escapes neither the backslash nor
what lies beyond 16 bits, so that the answer is another text, or none.
"""

import json
from functools import cache
from typing import Any

from publicai_edge.engine import lowlevel

_LETTER = r'[^"\\] |'
_JSON_LETTER = r'[^"\\\x00-\x1F] |'
_LETTER_RULE = "char ::= "


def grammar_of(schema: str) -> str:
    """Return the grammar of the JSON texts that a schema allows.

    Raises:
        Exception: the schema cannot be converted; the converter raises what it likes.
    """
    converter = _converter()(prop_order={}, allow_fetch=False, dotall=False, raw_pattern=False)
    converter.visit(converter.resolve_refs(json.loads(schema), "stdin"), "")
    rules = str(converter.format_grammar()).split("\n")
    return "\n".join(_strict(rule) for rule in rules)


@cache
def _converter() -> Any:
    base: Any = lowlevel.load("llama_grammar").SchemaConverter

    class Converter(base):  # type: ignore[misc]
        def _format_literal(self, literal: str) -> str:
            """Return a piece of JSON text as a literal of the grammar."""
            text = json.dumps(json.loads(literal), ensure_ascii=False)
            if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
                text = json.dumps(json.loads(literal))  # half of a pair has no UTF-8; as JSON's escape it can be said
            return '"' + text.replace("\\", r"\\").replace('"', r"\"") + '"'

    return Converter


def _strict(rule: str) -> str:
    if not rule.startswith(_LETTER_RULE):
        return rule
    if _LETTER not in rule:
        raise ValueError("the converter's rule for letters is another one")
    return rule.replace(_LETTER, _JSON_LETTER)
