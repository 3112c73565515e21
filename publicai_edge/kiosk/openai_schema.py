"""The JSON schemas that answers may be bound to: what is taken, and how large.

llama.cpp turns a schema into a grammar and puts every token of its vocabulary through it. That work is native, cannot
be interrupted, and stands in the way of everybody's answers; so what it costs is bounded before the engine sees a
schema. The cost of a token grows with the ways in which the text so far can be read: a string is one way (9 ms for
SmolLM2's 49,152 tokens), and alternatives inside alternatives multiply. They are counted here, and at most
:data:`MOST_WAYS` are taken, 0.3 s in the worst case.

Invariant: a keyword that the engine would not keep to is refused by name, never ignored.
"""

import json
from collections.abc import Mapping
from typing import Any

MAX_BYTES = 16 << 10
MAX_DEPTH = 16
MAX_PARTS = 512
MOST_WAYS = 32.0
MOST_ITEMS = 64
MOST_LETTERS = 256

_ENUM_WAY = 1 / 4  # values differ after a few letters: 128 of them took 233 ms, 64 strings would take 600
_OPTIONAL_WAY = 1 / 4  # 120 optional properties with long names took 198 ms
_NOTES = {"title", "description", "default", "examples", "$comment", "deprecated", "readOnly", "writeOnly", "$schema"}
_DEFINITIONS = {"$defs", "definitions"}
_FORMATS = {"date", "time", "date-time", "uuid"}
_OF_TYPE: dict[str, set[str]] = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "minItems", "maxItems"},
    "string": {"minLength", "maxLength", "format"},
    "integer": set(),
    "number": set(),
    "boolean": set(),
    "null": set(),
}
_INSTEAD = ("$ref", "anyOf", "oneOf", "enum", "const")  # these stand alone: the engine reads nothing beside them
_REFUSED = {
    "$anchor", "$id", "allOf", "contains", "contentEncoding", "dependentRequired", "dependentSchemas", "else",
    "exclusiveMaximum", "exclusiveMinimum", "if", "maxProperties", "maximum", "minProperties", "minimum", "multipleOf",
    "not", "nullable", "pattern", "patternProperties", "prefixItems", "propertyNames", "then", "unevaluatedItems",
    "unevaluatedProperties", "uniqueItems",
}  # fmt: skip


class RefusedSchemaError(Exception):
    """A schema is not taken; the message says why, and quotes nothing but JSON Schema's own words."""


def check_schema(schema: Mapping[str, Any]) -> str:
    """Return a schema as the engine takes it: JSON text.

    Raises:
        RefusedSchemaError: it is too large, or asks for what the engine does not keep to.
    """
    try:
        text = json.dumps(schema)
    except RecursionError:
        raise RefusedSchemaError(f"the schema is deeper than {MAX_DEPTH}") from None
    if len(text) > MAX_BYTES:
        raise RefusedSchemaError(f"the schema is larger than {MAX_BYTES >> 10} KiB")
    definitions = {f"#/{place}/{name}": part for place in _DEFINITIONS for name, part in _definitions(schema, place)}
    _check_references(schema, definitions)
    ways = _Walk(definitions).ways(schema, 1)
    if ways > MOST_WAYS:
        raise RefusedSchemaError(
            "the schema has too many alternatives inside one another, or too many values to choose"
        )
    return text


def _check_references(schema: Any, definitions: Mapping[str, Any]) -> None:
    """Refuse a "$ref" that is none, wherever it stands: the engine follows them in values and names as well."""
    left = [schema]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            if "$ref" in value and (not isinstance(value["$ref"], str) or value["$ref"] not in definitions):
                raise RefusedSchemaError("'$ref' must name a part of '$defs'")
            left += value.values()
        elif isinstance(value, list):
            left += value


def _definitions(schema: Mapping[str, Any], place: str) -> list[tuple[str, Any]]:
    found = schema.get(place, {})
    return list(found.items()) if isinstance(found, dict) else []


class _Walk:
    """Looks at every part of a schema, those referred to as often as they are."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions
        self._parts = 0

    def ways(self, part: Any, depth: int) -> float:
        """Return in how many ways a text that fits this part can be read; refuse what is not taken."""
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise RefusedSchemaError(f"the schema has more than {MAX_PARTS} parts, references followed")
        if depth > MAX_DEPTH:
            raise RefusedSchemaError(f"the schema is deeper than {MAX_DEPTH}, or refers to itself")
        if not isinstance(part, dict):
            raise RefusedSchemaError("each part of the schema must be an object")
        keys = part.keys() - _NOTES - (_DEFINITIONS if depth == 1 else set())
        for key in _INSTEAD:
            if key in keys:
                if keys - {key, "type"} or (key == "$ref" and "type" in keys):
                    raise RefusedSchemaError(f"'{key}' must stand alone")
                if "type" in keys and (not isinstance(part["type"], str) or part["type"] not in _OF_TYPE):
                    # the engine would read a list of types, and not the values beside it
                    raise RefusedSchemaError(f"beside '{key}' there can be one type only")
                return self._instead(key, part[key], depth)
        return self._typed(part, keys, depth)

    def _instead(self, key: str, value: Any, depth: int) -> float:
        match key:
            case "$ref":
                if not isinstance(value, str) or value not in self._definitions:
                    raise RefusedSchemaError("'$ref' must name a part of '$defs'")
                return self.ways(self._definitions[value], depth + 1)
            case "enum":
                return max(1.0, len(_filled(key, value)) * _ENUM_WAY)
            case "const":
                return 1.0
        return sum(self.ways(choice, depth + 1) for choice in _filled(key, value))

    def _typed(self, part: dict[str, Any], keys: set[str], depth: int) -> float:
        kind = part.get("type")
        if isinstance(kind, list):
            if keys != {"type"} or not kind or any(not isinstance(one, str) or one not in _OF_TYPE for one in kind):
                raise RefusedSchemaError("a list of types must stand alone, and name types")
            return float(len(kind))
        if kind is not None and (not isinstance(kind, str) or kind not in _OF_TYPE):
            raise RefusedSchemaError(f"'type' must be one of {', '.join(_OF_TYPE)}")
        if kind is None:
            raise RefusedSchemaError("each part of the schema must say its 'type', or be a choice or a reference")
        for key in sorted(keys - {"type"} - _OF_TYPE[kind]):
            known = key in _REFUSED or any(key in allowed for allowed in _OF_TYPE.values())
            raise RefusedSchemaError(f"'{key}' is not supported here" if known else "it has a keyword not known here")
        if kind == "object":
            return self._object(part, depth)
        if kind == "array":
            return self._array(part, depth)
        if kind == "string":
            _check_string(part)
        return 1.0

    def _object(self, part: dict[str, Any], depth: int) -> float:
        properties, required = part.get("properties", {}), part.get("required", [])
        if not isinstance(properties, dict) or not isinstance(required, list):
            raise RefusedSchemaError("'properties' must be an object, and 'required' a list")
        if "" in properties:
            raise RefusedSchemaError("each of 'properties' must have a name")
        if any(not isinstance(name, str) or name not in properties for name in required):
            raise RefusedSchemaError("'required' names what is not in 'properties'")
        inner = [self.ways(value, depth + 1) for value in properties.values()]
        more = part.get("additionalProperties", False)
        if not isinstance(more, bool):
            inner.append(self.ways(more, depth + 1))
        return max(inner, default=1.0) + _OPTIONAL_WAY * (len(properties) - len(set(required)))

    def _array(self, part: dict[str, Any], depth: int) -> float:
        least, most = _bounds(part, "minItems", "maxItems", MOST_ITEMS)
        if "items" in part:
            return self.ways(part["items"], depth + 1)
        if (least, most) != (0, None):
            raise RefusedSchemaError("'minItems' and 'maxItems' need 'items'")
        return 1.0


def _check_string(part: dict[str, Any]) -> None:
    bounds = _bounds(part, "minLength", "maxLength", MOST_LETTERS)
    if "format" in part and (part["format"] not in _FORMATS or bounds != (0, None)):
        raise RefusedSchemaError("'format' must be date, time, date-time or uuid, without a length")


def _bounds(part: dict[str, Any], low: str, high: str, limit: int) -> tuple[int, int | None]:
    least, most = part.get(low, 0), part.get(high)
    for value in (least, most if high in part else 0):
        if type(value) is not int or not 0 <= value <= limit:
            raise RefusedSchemaError(f"'{low}' and '{high}' must be numbers from 0 to {limit}")
    if most is not None and most < max(least, 1):
        raise RefusedSchemaError(f"'{high}' must be at least 1, and not below '{low}'")
    return least, most


def _filled(key: str, value: Any) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise RefusedSchemaError(f"'{key}' must be a list that is not empty")
    return value
