"""Read a recipe file; every problem is told with file, line, key, what was expected and the nearest key."""

import difflib
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from publicai_edge.errors import RecipeError
from publicai_edge.recipe.model import Recipe

_MAX_BYTES = 1 << 20
_IS_BACKSLASH = re.compile(r"hex value|Unescaped|escape", re.IGNORECASE)
_BACKSLASH = (
    "In \"…\" a backslash begins a special character. Write / in paths, on Windows as well, or take 'single quotes'."
)
_WANTED = {
    "int_type": "expected a whole number, without quotes",
    "int_parsing": "expected a whole number, without quotes",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number, without quotes",
    "float_parsing": "expected a number, without quotes",
    "bool_type": "expected true or false, without quotes",
    "bool_parsing": "expected true or false, without quotes",
    "string_type": "expected text, in quotes",
    "list_type": "expected a list, in [ ]",
    "dict_type": "expected a table",
    "model_type": "expected a table",
}
"""What a value should have been, by pydantic's name of the problem, in words of TOML."""

_HEADER = re.compile(r"\s*\[(\[)?\s*([^\[\]]+?)\s*\]?\]\s*(#.*)?$")
_KEY = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")


def load(path: Path) -> Recipe:
    """Read and check the recipe at ``path``.

    Raises:
        RecipeError: it is missing, not TOML, or says something the recipe does not have.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise RecipeError(f"{path} is larger than 1 MiB; a recipe is a short text file.")
        text = path.read_text("utf-8-sig")  # some editors put a mark before the first line
    except FileNotFoundError as error:
        raise RecipeError(
            f"There is no recipe at {path}.",
            hint="Write one with `publicai-edge recipe new my-library.toml`, or check the path.",
            file=str(path),
        ) from error
    except IsADirectoryError as error:
        raise RecipeError(f"{path} is a folder; a recipe is a .toml file.", file=str(path)) from error
    except PermissionError as error:
        raise RecipeError(f"No permission to read {path}.", file=str(path)) from error
    except UnicodeDecodeError as error:
        raise RecipeError(
            f"{path} is not UTF-8 text; a recipe is a TOML file.",
            hint="Save it anew in your editor, with the encoding UTF-8.",
            file=str(path),
        ) from error
    return parse(text, str(path))


def parse(text: str, name: str = "recipe") -> Recipe:
    """Check the recipe in ``text``; ``name`` is what messages call it.

    Raises:
        RecipeError: as :func:`load`.
    """
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of 5,000 digits, or a list in 5,000 lists
        hint = _BACKSLASH if _IS_BACKSLASH.search(str(error)) else "Mend that line."
        raise RecipeError(f"{name} is not valid TOML: {error}.", hint=hint, file=name) from error
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        problems = [problem for item in found for problem in _described(item, text)]
        raise RecipeError(
            "\n".join(f"{name}{problem}" for problem in problems),
            hint=f"Mend it and run `publicai-edge recipe check {name}`.",
            file=name,
            problems=problems,
        ) from error


def _described(item: Any, text: str) -> list[str]:
    """Return what is wrong, a line each: what concerns the recipe as a whole is found at once."""
    first, *others = _describe(item, text).split("\n")
    return [first, *(f": {other}" for other in others)]


def _describe(item: Any, text: str) -> str:
    place = tuple(item["loc"])
    # A wrong table key (a language tag) is reported with a marker of pydantic's own at the end.
    place = place[:-1] if place and place[-1] == "[key]" else place
    dotted = _dotted(place)
    line = _line_of(text, place)
    where = f":{line}" if line else ""
    message = str(item["msg"]).removeprefix("Value error, ")
    match item["type"]:
        case "extra_forbidden":
            near = difflib.get_close_matches(str(place[-1]), _known_keys(place[:-1]), n=1, cutoff=0.5)
            known = f"did you mean {near[0]!r}?" if near else "known here: " + ", ".join(_known_keys(place[:-1]))
            return f"{where}: unknown key {dotted!r}; {known}"
        case "missing":
            return f"{where}: key {dotted!r} is missing; expected {_expected(place)}"
        case "value_error":
            return f"{where}: {dotted}: {message}" if dotted else f": {message}"
        case _:
            wanted = _WANTED.get(item["type"], f"{message[:1].lower()}{message[1:]}")
            return f"{where}: key {dotted!r} is {_shown(item['input'])}; {wanted}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004 - one line of a terminal


def _dotted(place: Sequence[str | int]) -> str:
    out = ""
    for part in place:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else str(part)
    return out


def _model_at(place: Sequence[str | int]) -> type[BaseModel] | None:
    current: Any = Recipe
    for part in place:
        if isinstance(part, int):
            current = next(iter(get_args(current)), None)
        elif isinstance(current, type) and issubclass(current, BaseModel) and part in current.model_fields:
            current = current.model_fields[part].annotation
        else:
            return None
        if get_origin(current) not in {list, dict} and get_args(current):
            current = next((a for a in get_args(current) if isinstance(a, type)), None)
    if get_origin(current) is list:
        current = next(iter(get_args(current)), None)
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def _known_keys(place: Sequence[str | int]) -> list[str]:
    model = _model_at(place)
    return sorted(model.model_fields) if model else []


def _expected(place: Sequence[str | int]) -> str:
    model = _model_at(place[:-1])
    field = model.model_fields.get(str(place[-1])) if model else None
    if field is None:
        return "a value"
    inner = _model_at(place)
    if inner is not None:
        return f"a table with {', '.join(sorted(inner.model_fields))}"
    return (field.description or "a value").split("\n")[0].rstrip(".")


def _line_of(text: str, place: Sequence[str | int]) -> int | None:
    """Return the line where a key, or the nearest table around it, stands.

    tomllib gives no positions, so this reads headers and ``key =`` lines again; it is only ever used to point.
    """
    best: tuple[int, int] | None = None
    for line, path in _positions(text):
        shared = 0
        for wanted, found in zip(place, path, strict=False):
            if wanted != found:
                break
            shared += 1
        if shared == len(path) and shared > 0 and (best is None or shared > best[0]):
            best = (shared, line)
    return best[1] if best else None


def _positions(text: str) -> list[tuple[int, tuple[str | int, ...]]]:
    found: list[tuple[int, tuple[str | int, ...]]] = []
    counts: dict[str, int] = {}
    table: tuple[str | int, ...] = ()
    quote = ""
    for number, line in enumerate(text.splitlines(), 1):
        if quote:
            quote = "" if quote in line else quote
            continue
        if header := _HEADER.match(line):
            names = _split(header[2])
            if header[1]:
                name = ".".join(names)
                index = counts.get(name, -1) + 1
                # An array within a table of an array begins anew with that table.
                counts = {known: at for known, at in counts.items() if not known.startswith(f"{name}.")}
                counts[name] = index
                table = (*_with_indexes(names, counts), index)
            else:
                table = _with_indexes(names, counts)
            found.append((number, table))
        elif key := _KEY.match(line):
            found.append((number, (*table, *_split(key[1]))))
            rest = line[key.end() :].strip()
            for mark in ('"""', "'''"):
                if rest.startswith(mark) and mark not in rest[3:]:
                    quote = mark
    return found


def _split(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _with_indexes(names: tuple[str, ...], counts: dict[str, int]) -> tuple[str | int, ...]:
    """Insert the running index after the name of an array of tables: [services.title] → services, 0, title."""
    out: list[str | int] = []
    for position, name in enumerate(names):
        out.append(name)
        index = counts.get(".".join(names[: position + 1]))
        if index is not None and position + 1 < len(names):
            out.append(index)
    return tuple(out)
