"""Builds: byte for byte the same, from the cache where nothing changed, and unharmed by what interrupts them."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from publicai_edge.bundle.verify import verify
from publicai_edge.errors import ModelError, PublicAIError, RecipeError
from publicai_edge.pipeline.build import Built, build
from publicai_edge.pipeline.documents import find_documents
from publicai_edge.pipeline.options import Options
from publicai_edge.progress import Recorder, Silent
from publicai_edge.store import Store
from tests.conftest import RECIPE, Seed


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def reused(built: Built) -> dict[str, bool]:
    return {step.name: step.reused for step in built.steps}


def test_build_from_scratch_in_another_folder_is_byte_identical(demo: Built, seed: Seed, tmp_path: Path) -> None:
    folder = tmp_path / "somewhere" / "else"
    shutil.copytree(RECIPE.parent, folder)
    again = build(folder / RECIPE.name, Options(tmp_path / "out", seed(tmp_path / "cache"), Silent(), offline=True))
    assert not any(value for name, value in reused(again).items() if name != "quantize")
    assert tree(again.folder) == tree(demo.folder)


def test_second_build_reuses_every_stage_and_writes_nothing(demo: Built, warm_store: Store, tmp_path: Path) -> None:
    first = build(RECIPE, Options(tmp_path / "out", warm_store, Silent(), offline=True))
    before = {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")}
    second = build(RECIPE, Options(tmp_path / "out", warm_store, Silent(), offline=True))
    assert all(reused(second).values())
    assert (first.written, second.written) == (True, False)
    assert {path: path.stat().st_mtime_ns for path in second.folder.rglob("*")} == before
    assert tree(first.folder) == tree(demo.folder)


def test_one_changed_document_rebuilds_only_the_index(recipe: Path, warm_store: Store, tmp_path: Path) -> None:
    document = next((recipe.parent / "documents" / "demo").glob("*.md"))
    document.write_text(document.read_text("utf-8") + "\n\nThe reading room has a new green lamp.\n", "utf-8")
    built = build(recipe, Options(tmp_path / "out", warm_store, Silent(), offline=True))
    assert {name for name, value in reused(built).items() if not value} == {"index"}
    assert built.written


def test_broken_document_is_reported_by_name_and_the_rest_is_indexed(
    recipe: Path, warm_store: Store, tmp_path: Path
) -> None:
    (recipe.parent / "documents" / "demo" / "broken.pdf").write_bytes(b"%PDF-1.7 and then nothing of use")
    said = Recorder()
    built = build(recipe, Options(tmp_path / "out", warm_store, said, offline=True))
    assert any("broken.pdf" in warning for warning in said.warnings)
    assert [item["name"] for item in built.report["index"]["skipped"]] == ["documents/demo/broken.pdf"]
    assert "broken.pdf" in (built.folder / "START-HERE.html").read_text("utf-8")
    verify(built.folder, Silent())


def test_damaged_object_in_the_cache_is_made_anew(demo: Built, warm_store: Store, tmp_path: Path) -> None:
    index = next(step for step in demo.steps if step.name == "index").files.only()
    warm_store.path(index).unlink()
    built = build(RECIPE, Options(tmp_path / "out", warm_store, Silent(), offline=True))
    assert {name for name, value in reused(built).items() if not value} == {"index"}
    assert tree(built.folder) == tree(demo.folder)


def changed(recipe: Path, old: str, new: str) -> None:
    text = recipe.read_text("utf-8")
    assert old in text
    recipe.write_text(text.replace(old, new, 1), "utf-8")


def refused(recipe: Path, store: Store, tmp_path: Path, **more: Any) -> PublicAIError:
    with pytest.raises(PublicAIError) as caught:
        build(recipe, Options(tmp_path / "out", store, Silent(), offline=True, **more))
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    return caught.value


def test_bundle_over_the_devices_memory_is_refused_with_the_numbers(
    recipe: Path, warm_store: Store, tmp_path: Path
) -> None:
    changed(recipe, "ram_gb = 4", "ram_gb = 1")
    error = refused(recipe, warm_store, tmp_path)
    assert isinstance(error, RecipeError)
    assert "KV cache" in error.message
    assert "target.ram_gb is 1" in error.message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"this is not a model", "not a GGUF file"),
        (None, "cut short"),
    ],
)
def test_bad_model_is_refused_before_anything_else_is_done(
    recipe: Path, warm_store: Store, tmp_path: Path, model: Path, content: bytes | None, words: str
) -> None:
    place = tmp_path / "bad.gguf"
    place.write_bytes(content if content is not None else model.read_bytes()[:2_000_000])
    error = refused(recipe, warm_store, tmp_path, model=place)
    assert isinstance(error, ModelError)
    assert words in error.message
    assert error.hint


def test_model_of_unknown_architecture_is_named(recipe: Path, warm_store: Store, tmp_path: Path, model: Path) -> None:
    place = tmp_path / "odd.gguf"
    data = model.read_bytes()
    at = data.index(b"general.architecture") + len(b"general.architecture") + 12
    assert data[at : at + 5] == b"llama"
    place.write_bytes(data[:at] + b"xxama" + data[at + 5 :])
    error = refused(recipe, warm_store, tmp_path, model=place)
    assert isinstance(error, ModelError)
    assert "architecture 'xxama', which this llama.cpp does not know" in error.message


def test_documents_that_are_not_there_are_named(tmp_path: Path) -> None:
    for pattern, words in {
        "none/*.md": "finds no document",
        "../x.txt": "climbs out",
        "odd.exe": "of kind '.exe'",
    }.items():
        (tmp_path / "odd.exe").write_bytes(b"MZ")
        with pytest.raises(RecipeError, match=words):
            find_documents([pattern], tmp_path)


def test_file_of_an_unknown_kind_is_told_and_in_the_report(recipe: Path, warm_store: Store, tmp_path: Path) -> None:
    (recipe.parent / "documents" / "demo" / "minutes.odt").write_bytes(b"PK")
    said = Recorder()
    built = build(recipe, Options(tmp_path / "out", warm_store, said, offline=True))
    assert any("minutes.odt" in warning for warning in said.warnings)
    assert [item["name"] for item in built.report["index"]["skipped"]] == ["documents/demo/minutes.odt"]


def test_context_over_the_models_is_refused(recipe: Path, warm_store: Store, tmp_path: Path) -> None:
    changed(recipe, "context = 2048", "context = 16384")
    assert "was trained for 8192 tokens" in refused(recipe, warm_store, tmp_path).message


def test_bundle_damaged_without_a_change_of_size_is_written_anew(
    demo: Built, warm_store: Store, tmp_path: Path
) -> None:
    first = build(RECIPE, Options(tmp_path / "out", warm_store, Silent(), offline=True))
    with (first.folder / "data" / "model" / "model.gguf").open("r+b") as stream:
        stream.write(b"X")
    second = build(RECIPE, Options(tmp_path / "out", warm_store, Silent(), offline=True))
    assert second.written
    assert tree(second.folder) == tree(demo.folder)


def test_link_out_of_the_recipes_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("not for the kiosk")
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "a.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(RecipeError, match="outside the recipe's folder"):
        find_documents(["*.txt"], tmp_path / "recipe")
