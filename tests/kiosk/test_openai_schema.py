"""Which JSON schemas an answer may be bound to: what is taken is kept to and cheap, all else is refused by name."""

import json
import time
from enum import Enum
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from publicai_edge.engine.schema_grammar import grammar_of
from publicai_edge.kiosk.openai_schema import MAX_BYTES, RefusedSchemaError, check_schema

TEXT = {"type": "string"}


def nested(schema: Any, times: int, wrap: Any) -> Any:
    for _ in range(times):
        schema = wrap(schema)
    return schema


def an_object(inner: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": inner}, "required": ["a"]}


class Room(Enum):
    reading = "reading room"
    maker = "maker space"


class Author(BaseModel):
    name: str = Field(max_length=80)
    born: int | None = None


class Book(BaseModel):
    """A book, as a program asks for one."""

    title: str
    authors: list[Author] = Field(max_length=8)
    room: Room
    kind: Literal["novel", "poem"]
    lent: bool
    price: float


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        TEXT,
        {"type": ["string", "null"]},
        {"const": 5},
        {"enum": ["yes", "no", None, 3]},
        {"anyOf": [TEXT, {"type": "integer"}]},
        {"type": "array", "items": TEXT, "minItems": 1, "maxItems": 64},
        {"type": "string", "minLength": 2, "maxLength": 256},
        {"type": "string", "format": "date"},
        {"type": "object", "properties": {"a": TEXT}, "additionalProperties": TEXT},
        {"$ref": "#/$defs/a", "$defs": {"a": TEXT}},
        {"enum": [f"value {number}" for number in range(128)]},
        nested(TEXT, 15, an_object),
        Book.model_json_schema(),
    ],
)
def test_what_programs_ask_for_is_taken_as_it_is(schema: dict[str, Any]) -> None:
    assert json.loads(check_schema(schema)) == schema


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({}, "must say its 'type'"),
        ({"type": "file"}, "'type' must be one of object, "),
        ({"type": "object", "properties": {"": TEXT}}, "must have a name"),
        ({"type": []}, "list of types"),
        ({"type": "string", "pattern": "(a+)+$"}, "'pattern' is not supported"),
        ({"type": "integer", "minimum": 0}, "'minimum' is not supported"),
        ({"type": "array", "uniqueItems": True}, "'uniqueItems' is not supported"),
        ({"type": "string", "secret": 1}, "a keyword not known here"),
        ({"type": "string", "maxLength": 10**9}, "'maxLength' must be numbers"),
        ({"type": "string", "maxLength": True}, "'maxLength' must be numbers"),
        ({"type": "string", "minLength": 5, "maxLength": 4}, "not below 'minLength'"),
        ({"type": "array", "items": TEXT, "maxItems": 10**6}, "'maxItems' must be numbers"),
        ({"type": "array", "minItems": 3}, "need 'items'"),
        ({"type": "string", "format": "email"}, "'format' must be"),
        ({"$ref": "http://127.0.0.1/secret"}, "must name a part of"),
        ({"$ref": "#/$defs/b", "$defs": {"a": TEXT}}, "must name a part of"),
        ({"enum": [None], "$defs": {"$ref": False}}, "must name a part of"),
        ({"enum": [{"$ref": "https://127.0.0.1/secret"}]}, "must name a part of"),
        ({"type": "object", "properties": {"$ref": {"type": "string"}}}, "must name a part of"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, "refers to itself"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}}, "refers to itself"),
        ({"$ref": "#/$defs/a", "type": "string", "$defs": {"a": TEXT}}, "must stand alone"),
        ({"enum": [None], "type": [None]}, "one type only"),
        ({"enum": ["a", 1], "type": ["string", "integer"]}, "one type only"),
        ({"const": 1, "type": "file"}, "one type only"),
        ({"enum": []}, "not empty"),
        ({"anyOf": "x"}, "must be a list"),
        ({"anyOf": [True]}, "must be an object"),
        ({"anyOf": [TEXT], "properties": {"a": TEXT}}, "'anyOf' must stand alone"),
        ({"type": "object", "required": ["a"]}, "'required' names"),
        ({"type": "object", "properties": []}, "'properties' must be"),
        ({"enum": [f"value {number}" for number in range(129)]}, "too many alternatives"),
        ({"anyOf": [TEXT] * 33}, "too many alternatives"),
        (nested(TEXT, 6, lambda inner: {"anyOf": [inner, inner]}), "too many alternatives"),
        (nested(TEXT, 6, lambda inner: an_object({"anyOf": [inner, inner]})), "too many alternatives"),
        ({"type": "object", "properties": {f"p{number}": TEXT for number in range(125)}}, "too many alternatives"),
        (nested(TEXT, 16, an_object), "deeper than"),
        (nested(TEXT, 100, an_object), "deeper than"),
        ({"const": nested(0, 5000, lambda inner: [inner])}, "deeper than"),
        (
            {"type": "object", "properties": {f"{number}": {"type": "null"} for number in range(600)}},
            "more than 512 parts",
        ),
        ({"enum": ["x" * MAX_BYTES]}, "larger than"),
    ],
)
def test_what_is_not_kept_to_or_costs_too_much_is_refused(schema: dict[str, Any], words: str) -> None:
    with pytest.raises(RefusedSchemaError, match=words) as caught:
        check_schema(schema)
    assert "secret" not in str(caught.value)


def test_references_that_multiply_are_refused_at_once() -> None:
    """As a billion laughs: each definition is ten times the next."""
    parts = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 10} for n in range(6)}
    begun = time.process_time()
    with pytest.raises(RefusedSchemaError, match="more than 512 parts"):
        check_schema({"$ref": "#/$defs/d0", "$defs": {**parts, "d6": TEXT}})
    assert time.process_time() - begun < 1


words = st.sampled_from(
    ["type", "properties", "items", "anyOf", "enum", "$ref", "$defs", "required", "maxItems", "minLength", "format"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["string", "object", "array", "#/$defs/type"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(words, values, max_size=5))
def test_no_schema_raises_anything_else_and_what_is_taken_can_be_made_a_grammar(schema: dict[str, Any]) -> None:
    try:
        text = check_schema(schema)
    except RefusedSchemaError:
        return
    assert "root ::=" in grammar_of(text)
