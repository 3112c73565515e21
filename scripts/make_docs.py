"""Write the reference from the code: the command line, the recipe's keys, the errors, and the recipe's JSON Schema.

Invariant: the same code gives the same bytes, whatever the terminal's width and colours: everything is read from the
declarations themselves, never from rendered help. ``--check`` compares instead of writing.
"""

import argparse
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo, OptionInfo

from publicai_edge import errors
from publicai_edge.cli import failure
from publicai_edge.cli.main import _root, app
from publicai_edge.recipe.model import Recipe, json_schema

ROOT = Path(__file__).parent.parent
PROGRAM = "publicai-edge"
_NOTE = "<!-- Generated from the code by `make docs`. Edit the code, not this page. -->\n"
_TYPES = {
    "array": "list of texts",
    "boolean": "`true` or `false`",
    "integer": "whole number",
    "number": "number",
    "object": "table: language to text",
    "string": "text",
}
_KINDS = {"Path": "path", "str": "text", "int": "whole number", "float": "number"}


def pages() -> dict[str, str]:
    """Return every generated file: path relative to the repository, and its text."""
    return {
        "docs/reference/cli.md": cli_page(),
        "docs/reference/recipe.md": recipe_page(),
        "docs/reference/errors.md": errors_page(),
        # The very bytes that `publicai-edge recipe schema` prints.
        "recipes/recipe.schema.json": json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n",
    }


# --- the command line ---------------------------------------------------------------------------------------------


def cli_page() -> str:
    """Return the page about the verbs."""
    out = [
        "# Command line\n",
        _NOTE,
        "Results go to stdout, everything else to stderr. `--json` makes the result JSON; an error then is JSON too, "
        "see [errors and exit codes](errors.md). Errors are told in one paragraph; `--debug` adds the traceback.\n",
        "`publicai-edge --version` prints the version, `publicai-edge --install-completion` sets up the shell's "
        "completion, and `publicai-edge --show-completion` prints it. Every verb takes `--help`.\n",
    ]
    panel = None
    for name, callback, group in _verbs():
        if group != panel:
            panel = group
            out.append(f"## {group}\n")
        out.append(_verb(name, callback))
    return "\n".join(out)


def _verbs() -> Iterator[tuple[str, Callable[..., Any], str]]:
    """Yield every verb with its function and the heading it stands under; nested ones after their heading's own."""
    commands = [("", command, command.rich_help_panel) for command in app.registered_commands]
    for group in app.registered_groups:
        inner = group.typer_instance
        nested = inner.registered_commands if inner else []
        commands += [(f"{group.name} ", command, group.rich_help_panel) for command in nested]
    found = [
        (before + str(command.name or command.callback.__name__), command.callback, str(panel))
        for before, command, panel in commands
        if command.callback
    ]
    order = list(dict.fromkeys(panel for _, _, panel in found))
    yield from sorted(found, key=lambda verb: order.index(verb[2]))


def verb_options() -> dict[str, set[str]]:
    """Return every verb, nested ones as "recipe check", with the options it takes; "" is the program itself."""
    verbs = {name: _options_of(callback) for name, callback, _ in _verbs()}
    verbs |= {name.split()[0]: {"--help"} for name in list(verbs) if " " in name}
    return {"": _options_of(_root) | {"--install-completion", "--show-completion"}, **verbs}


def _options_of(callback: Callable[..., Any]) -> set[str]:
    return {word for _, _, info, _ in _parameters(callback) for word in _words(info)} | {"--help", "-h"}


def _words(info: ArgumentInfo | OptionInfo) -> list[str]:
    """Return an option's names; typer keeps the first one given in the place of a default."""
    given = (info.default, *(info.param_decls or ()))
    return [word for word in given if isinstance(word, str) and word.startswith("-")]


def _parameters(callback: Callable[..., Any]) -> Iterator[tuple[str, Any, ArgumentInfo | OptionInfo, Any]]:
    """Yield name, type, declaration and default of every argument and option."""
    hints = get_type_hints(callback, include_extras=True)
    for name, parameter in inspect.signature(callback).parameters.items():
        kind, info = get_args(hints[name])[:2]
        yield name, kind, info, parameter.default


def _verb(name: str, callback: Callable[..., Any]) -> str:
    rows: dict[bool, list[str]] = {True: [], False: []}
    words = [PROGRAM, name, "[OPTIONS]"]
    for key, kind, info, default in _parameters(callback):
        is_argument = isinstance(info, ArgumentInfo)
        if is_argument:
            words.append(key.upper())
        shown = f"`{key.upper()}`" if is_argument else ", ".join(f"`{word}`" for word in _words(info))
        rows[is_argument].append(f"| {shown} | {_kind(kind, info)} | {_default(default, info)} | {info.help} |")
    table = rows[True] + rows[False]
    head = ["| | | default | |", "|---|---|---|---|"] if table else []
    text = _prose(inspect.getdoc(callback) or "")
    return "\n".join([f"### {name}\n", f"`{' '.join(words)}`\n", text, *head, *table, ""])


def _prose(doc: str) -> str:
    """Return a docstring as Markdown: a line that starts with "Example:" becomes a block of code."""
    out = []
    for paragraph in doc.split("\n\n"):
        joined = " ".join(line.strip() for line in paragraph.splitlines())
        example = joined.removeprefix("Example:")
        out.append(f"```sh\n{example.strip()}\n```\n" if example != joined else f"{joined}\n")
    return "\n".join(out)


def _kind(kind: Any, info: ArgumentInfo | OptionInfo) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(kind))
    inner = next((item for item in get_args(kind) if item is not type(None)), kind)
    if inner is bool:
        return "flag"
    if get_origin(inner) is list:
        return f"{_KINDS[get_args(inner)[0].__name__]}, may be repeated"
    return _KINDS[inner.__name__] + _range(info.min, info.max)


def _range(least: float | None, most: float | None) -> str:
    if least is None:
        return ""
    return f", {least} or more" if most is None else f", {least} to {most}"


def _default(default: Any, info: ArgumentInfo | OptionInfo) -> str:
    if default is inspect.Parameter.empty:
        return "required"
    if default is None or default is False or not info.show_default:
        return ""
    return f"`{default}`" if str(default) else "empty"


# --- the recipe ---------------------------------------------------------------------------------------------------


def recipe_page() -> str:
    """Return the page about the recipe's tables and keys."""
    schema = json_schema()
    out = [
        "# Recipe\n",
        _NOTE,
        "A recipe is a TOML file. A key that is not listed here is an error; so is a missing one whose default says "
        "*required*. Paths are relative to the recipe's folder. For an editor: "
        "[recipe.schema.json](../../recipes/recipe.schema.json).\n",
        "Rules that join several keys: every table of words has each language of `bundle.languages`; the licences of "
        "`[model]`, `[embedding]`, `[dictation]` and `[[voices]]` are in `policy.licenses`; no two services share "
        "an `id`; where a service searches, there is a `[knowledge]` and an `[embedding]` table.\n",
    ]
    for name, item in schema["properties"].items():
        many = item.get("type") == "array"
        required = name in schema["required"]
        needed = _needed(item, required=required) if many else "Required." if required else "Optional."
        out.append(_table(name, item, schema, needed))
    return "\n".join(out)


def _table(name: str, item: dict[str, Any], schema: dict[str, Any], needed: str) -> str:
    many = item.get("type") == "array"
    inner = _resolved(item["items"] if many else item, schema)
    head = f"[[{name}]]" if many else f"[{name}]"
    required = set(inner.get("required", ()))
    rows = [
        f"| `{key}` | {_type(field)} | {_value(key, field, required)} | {field['description']} |"
        for key, field in inner["properties"].items()
    ]
    lines = [f"## {head}\n", f"{inner['description']} {needed}\n", "| key | value | default | |", "|---|---|---|---|"]
    nested = [
        _table(f"{name}.{key}", field, schema, _needed(field, required=key in required))
        for key, field in inner["properties"].items()
        if _holds_tables(field) or _is_table(field)
    ]
    return "\n".join([*lines, *rows, "", *nested])


def _holds_tables(field: dict[str, Any]) -> bool:
    return field.get("type") == "array" and "$ref" in field["items"]


def _is_table(field: dict[str, Any]) -> bool:
    return "$ref" in field


def _needed(field: dict[str, Any], *, required: bool) -> str:
    if _is_table(field):
        return "Required." if required else "Optional."
    return "One or more." if required else "Any number."


def _resolved(item: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference, also one that stands beside null or a default."""
    for option in (item, *item.get("anyOf", ()), *item.get("allOf", ())):
        if "$ref" in option:
            found: dict[str, Any] = schema["$defs"][option["$ref"].rsplit("/", 1)[-1]]
            return found
    return item


def _type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type(option) for option in field["anyOf"] if option.get("type") != "null")
    if "enum" in field:
        return " or ".join(f'`"{choice}"`' for choice in field["enum"])
    if _holds_tables(field):
        return "list of tables, below"
    if _is_table(field):
        return "table, below"
    return _TYPES[field["type"]] + _bounds(field)


def _bounds(field: dict[str, Any]) -> str:
    if "exclusiveMinimum" in field:
        return f", above {field['exclusiveMinimum']:g}"
    if "minimum" not in field:
        return ""
    most = field.get("maximum")
    return f", {field['minimum']:g} or more" if most is None else f", {field['minimum']:g} to {most:,g}"


def _value(key: str, field: dict[str, Any], required: set[str]) -> str:
    if key in required:
        return "*required*"
    default = field.get("default")
    return "" if default is None or _is_table(field) else f"`{json.dumps(default, ensure_ascii=False)}`"


def recipe_keys() -> dict[str, set[str]]:
    """Return the recipe's tables and the keys of each."""
    schema = json_schema()
    tables = {}
    for name, item in schema["properties"].items():
        inner = _resolved(item["items"] if item.get("type") == "array" else item, schema)
        tables[name] = set(inner["properties"])
    assert set(tables) == set(Recipe.model_fields)
    return tables


# --- errors -------------------------------------------------------------------------------------------------------


def errors_page() -> str:
    """Return the page about error classes and exit codes."""
    rows = [
        "| 0 | done |",
        "| 1 | An error of no class below. |",
        *(f"| {cls.exit_code} | {_sentence(cls)} |" for depth, cls in _tree(errors.PublicAIError) if depth == 1),
        f"| {failure.BUG} | A bug in {PROGRAM}: please report what `--debug` prints. |",
        f"| {failure.INTERRUPTED} | Interrupted with Ctrl-C; what is done is kept. |",
    ]
    classes = [
        f"| {'&emsp;' * depth}`{cls.__name__}` | {cls.exit_code} | {_sentence(cls)} |"
        for depth, cls in _tree(errors.PublicAIError)
    ]
    return "\n".join(
        [
            "# Errors and exit codes\n",
            _NOTE,
            "An error says what is wrong, with which object, and what to do next.\n",
            "## Exit codes\n",
            "| code | meaning |\n|---|---|",
            *rows,
            "\nA wrong option or a missing argument also ends with 2.\n",
            "## Classes\n",
            "From Python, every deliberate error is a `publicai_edge.errors.PublicAIError`:\n",
            "| class | exit code | |\n|---|---|---|",
            *classes,
            "\n## With `--json`\n",
            "An error is printed on stdout as well:\n",
            '```json\n{"error": {"kind": "RecipeError", "message": "…", "hint": "…", "facts": {}}}\n```\n',
            "`kind` is the class, `hint` may be null, `facts` holds what a program may want: paths, digests, sizes.\n",
        ]
    )


def _tree(cls: type[errors.PublicAIError], depth: int = 0) -> Iterator[tuple[int, type[errors.PublicAIError]]]:
    """Yield the classes of ``errors.py`` alone: others may or may not be imported already."""
    yield depth, cls
    for sub in cls.__subclasses__():
        if sub.__module__ == errors.__name__:
            yield from _tree(sub, depth + 1)


def _sentence(cls: type) -> str:
    first = (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " ")
    return re.sub(r"``([^`]*)``", r"`\1`", first)


# --- writing and checking -----------------------------------------------------------------------------------------


def stale(root: Path) -> list[str]:
    """Return the generated files that are missing or differ from what the code says."""
    return [path for path, text in pages().items() if _read(root / path) != text]


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def main(arguments: list[str] | None = None) -> int:
    """Write or check; return the exit code."""
    parser = argparse.ArgumentParser(description="Generate the reference from the code.")
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 when a file is stale")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    old = stale(chosen.root)
    if chosen.check:
        for path in old:
            print(f"{path} is not what the code says; run `make docs`.", file=sys.stderr)
        return 1 if old else 0
    for path in old:
        target = chosen.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(pages()[path], "utf-8")
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
