"""The documentation says what the code says: generated pages, links, commands, options, keys."""

import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from pydantic import BaseModel

from publicai_edge.bundle.manifest import Manifest
from publicai_edge.recipe.model import json_schema
from scripts import make_docs

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
VERBS = make_docs.verb_options()
KEYS = make_docs.recipe_keys()
LINK = re.compile(r"\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SUFFIXES = {"gguf", "json", "onnx", "safetensors", "sqlite"}  # `model.gguf` looks like a table's key, and is none

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for path in make_docs.pages():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, tmp_path / path)
    return tmp_path


def test_generated_pages_are_what_the_code_says() -> None:
    assert make_docs.main(["--check"]) == 0


@pytest.mark.parametrize("changed", make_docs.pages())
def test_a_changed_or_missing_page_fails_the_check_and_is_named(
    copy: Path, changed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with (copy / changed).open("a") as page:
        page.write("\n")
    assert make_docs.main(["--check", "--root", str(copy)]) == 1
    told = capsys.readouterr().err
    assert changed in told
    assert "make docs" in told
    (copy / changed).unlink()
    assert make_docs.stale(copy) == [changed]
    assert make_docs.main(["--root", str(copy)]) == 0
    assert make_docs.stale(copy) == []


def test_the_pages_do_not_depend_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    before = make_docs.pages()
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert make_docs.pages() == before


def test_the_cli_page_has_every_verb_and_option() -> None:
    text = make_docs.cli_page()
    for verb, options in VERBS.items():
        part = text.partition(f"### {verb}\n")[2].partition("\n### ")[0] if verb else text
        for option in options - {"--help", "-h"}:
            assert f"`{option}`" in part or f"{option}`" in text.partition("## ")[0], (verb, option)


@each_page
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in LINK.findall(without_blocks(page)):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, heading = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page}: {link}"
        assert target.is_relative_to(ROOT), f"{page}: {link}"
        if heading:
            assert heading in anchors(target), f"{page}: {link}"


def without_blocks(page: Path) -> str:
    return BLOCK.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@each_page
def test_every_command_in_the_docs_exists_with_its_options(page: Path) -> None:
    for words in commands(page.read_text("utf-8")):
        verb = " ".join(words[:2]) if " ".join(words[:2]) in VERBS else words[0] if words else ""
        verb = "" if verb.startswith("-") else verb
        verb = f"{verb} run" if verb == "bench" else verb  # which it stands for
        assert verb in VERBS, f"{page}: publicai-edge {' '.join(words)}"
        for option in (word.partition("=")[0] for word in words if word.startswith("-") and word != "-"):
            assert option in VERBS[verb], f"{page}: publicai-edge {' '.join(words)}"


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words after ``publicai-edge`` of each command in a code block or a code span."""
    lines = [line for language, block in BLOCK.findall(text) if language in {"sh", ""} for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))
    for line in lines:
        found = re.match(r"(?:\S*/)?publicai-edge\s+(.*)", line.strip())
        if found:
            words = shlex.split(found[1], comments=True)
            yield words[: words.index("&&")] if "&&" in words else words


@each_page
def test_every_recipe_key_in_the_docs_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    for table, key in re.findall(r"`\[?(\w+)\]?\.(\w+)(?: = [^`]*)?`", text):
        if table in KEYS and key not in SUFFIXES:
            assert key in KEYS[table], f"{page}: {table}.{key}"
    for table in re.findall(r"`\[\[?([a-z]\w*)\]\]?`", text):
        assert table in KEYS, f"{page}: [{table}]"
    for language, block in BLOCK.findall(text):
        if language == "toml":
            for table, content in tomllib.loads(block).items():
                for each in content if isinstance(content, list) else [content]:
                    assert each.keys() <= KEYS[table], f"{page}: [{table}]"


@pytest.mark.parametrize("recipe", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda path: path.name)
def test_the_recipes_hold_to_the_published_schema(recipe: Path) -> None:
    schema = json.loads((ROOT / "recipes" / "recipe.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(tomllib.loads(recipe.read_text("utf-8")))


def test_the_schema_refuses_an_unknown_key() -> None:
    data: dict[str, Any] = tomllib.loads((ROOT / "recipes" / "demo.toml").read_text("utf-8"))
    data["model"]["colour"] = "green"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(json_schema()).validate(data)


def test_the_bundle_page_names_every_key_of_bundle_json() -> None:
    text = (ROOT / "docs" / "reference" / "bundle.md").read_text("utf-8")
    named = set(re.findall(r"`(\w+)`", text.partition("## bundle.json")[2].partition("\n## ")[0]))
    assert keys_of(Manifest) <= named


def keys_of(model: type[BaseModel]) -> set[str]:
    found = set(model.model_fields)
    for field in model.model_fields.values():
        for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(part, type) and issubclass(part, BaseModel):
                found |= keys_of(part)
    return found


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    names = {re.split(r"[\[<>=~ ]", name)[0] for name in wanted} - {project["name"]}
    text = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    reasons = {name.strip() for row in re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE) for name in row.split(",")}
    assert names <= reasons, names - reasons
    assert reasons - names <= {"package"}, reasons - names


def test_every_decision_is_listed() -> None:
    index = (ROOT / "docs" / "adr" / "README.md").read_text("utf-8")
    pages = sorted(path.name for path in (ROOT / "docs" / "adr").glob("0*.md"))
    assert [name for name in pages if f"({name})" not in index] == []
    assert [int(name[:4]) for name in pages] == list(range(1, len(pages) + 1))
