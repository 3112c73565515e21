"""ZIM files in a recipe: named, fetched, checked once, packed as they are."""

import re
from pathlib import Path

import pytest

from publicai_edge.bundle.open import open_bundle
from publicai_edge.bundle.verify import verify
from publicai_edge.cli import parts
from publicai_edge.errors import BundleError, DocumentError, NotFoundError, RecipeError
from publicai_edge.knowledge.zim import READER_BYTES
from publicai_edge.pipeline import budget, local_sources, runtimes, stages
from publicai_edge.pipeline.build import build
from publicai_edge.pipeline.documents import find_documents
from publicai_edge.pipeline.options import Options
from publicai_edge.pipeline.planning import plan
from publicai_edge.pipeline.steps import Runner
from publicai_edge.progress import Silent
from publicai_edge.recipe import load, lock
from publicai_edge.runtime.manifest import FileInfo, RuntimeManifest
from publicai_edge.store import Store
from tests.conftest import downloads
from tests.knowledge import zims
from tests.plan import cases

TABLE = """
[[knowledge.zim]]
source = "file:library/small.zim"
name = "Small Encyclopedia"
license = "CC-BY-SA-4.0"
license_url = "https://example.org/license"
"""


def with_zim(recipe: Path, table: str = TABLE, **changes: str) -> Path:
    text = recipe.read_text("utf-8").replace("[target]", f"{table}\n[target]", 1)
    for old, new in changes.items():
        text = re.sub(rf"(?m)^{old} = .*$", f"{old} = {new}", text, count=1)
    recipe.write_text(text, "utf-8")
    (recipe.parent / "library").mkdir(exist_ok=True)
    if not (recipe.parent / "library" / "small.zim").exists():
        zims.write(recipe.parent / "library" / "small.zim")
    return recipe


def test_a_recipe_names_a_zim_file_with_its_terms(recipe: Path) -> None:
    (found,) = load(with_zim(recipe)).knowledge.zim  # type: ignore[union-attr]
    assert (found.file_name, found.license) == ("small.zim", "CC-BY-SA-4.0")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("file:library/small.zim", "file:library/small.zip", r"ends in NAME\.zim"),
        ("file:library/small.zim", "file:library/", r"ends in NAME\.zim"),
        ("file:library/small.zim", "https://example.org/a%2Fb.zim", r"ends in NAME\.zim"),
        ('license = "CC-BY-SA-4.0"\n', "", "license"),
    ],
)
def test_a_source_of_another_kind_and_a_missing_licence_are_told(
    recipe: Path,
    old: str,
    new: str,
    words: str,
) -> None:
    with pytest.raises(RecipeError, match=words):
        load(with_zim(recipe, TABLE.replace(old, new)))


def test_two_files_of_one_name_are_refused(recipe: Path) -> None:
    other = TABLE.replace("file:library/small.zim", "hf:datasets/example/zims/Small.zim")
    with pytest.raises(RecipeError, match=r"two files .* are called 'small\.zim'"):
        load(with_zim(recipe, TABLE + other))


def test_the_memory_of_each_reader_is_in_the_devices_budget(recipe: Path) -> None:
    model = {"context_trained": 8192, "kv_bytes_per_token": 1000}
    bare = budget.check(load(recipe), model, {}, {}, "model")["memory_bytes"]
    other = TABLE.replace("library/small.zim", "library/other.zim")
    both = with_zim(recipe, TABLE + other)
    assert budget.check(load(both), model, {}, {}, "model")["memory_bytes"] == bare + 2 * READER_BYTES
    with_zim(recipe, "", ram_gb=str((bare + READER_BYTES) / 1e9))
    with pytest.raises(RecipeError, match="does not fit the device"):
        budget.check(load(both), model, {}, {}, "model")


def test_a_zim_file_among_the_documents_is_told_where_it_belongs(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# A\n\ntext")
    (tmp_path / "docs" / "small.zim").write_bytes(b"ZIM\x04")
    for pattern in ("docs", "docs/*", "docs/small.zim"):
        with pytest.raises(RecipeError, match=r"docs/small\.zim, a ZIM file") as caught:
            find_documents([pattern], tmp_path)
        assert "[[knowledge.zim]]" in (caught.value.hint or "")


def test_a_local_file_that_is_missing_or_something_else_is_told_early(recipe: Path, tmp_path: Path) -> None:
    loaded = load(with_zim(recipe))
    place = recipe.parent / "library" / "small.zim"
    place.write_bytes(b"PK\x03\x04")
    with pytest.raises(DocumentError, match=r"knowledge\.zim: file:library/small\.zim is not a ZIM file"):
        local_sources.check(loaded, recipe, Store(tmp_path / "s"))
    place.unlink()
    with pytest.raises(NotFoundError, match=r"knowledge\.zim: "):
        local_sources.check(loaded, recipe, Store(tmp_path / "s"))


def test_a_file_is_checked_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    blob = store.add_copy(zims.write(tmp_path / "small.zim"))
    first = stages.check_zim(Runner(store, Silent()), blob, "small.zim")
    again = stages.check_zim(Runner(store, Silent()), blob, "small.zim")
    assert (first.reused, again.reused) == (False, True)
    assert first.facts == again.facts
    assert first.facts["title"] == "Small Encyclopedia"


def test_a_runtime_that_does_not_read_zim_files_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    blob = store.add_bytes(b"a program")
    made = RuntimeManifest(
        platform="linux-x86_64",
        version=runtimes.__version__,
        source="0" * 64,
        libraries={"numpy": "2.0"},
        variants=(),
        glibc="2.35",
        glibc_because=None,
        size=blob.size,
        files={"publicai-edge": FileInfo(sha256=blob.sha256, size=blob.size)},
    )
    runtimes.keep(made, store)
    assert runtimes.payload(("linux-x86_64",), store, Silent())
    with pytest.raises(BundleError, match="does not read ZIM files") as caught:
        runtimes.payload(("linux-x86_64",), store, Silent(), zim=True)
    assert "runtime build linux-x86_64 --zim" in (caught.value.hint or "")
    runtimes.keep(made.model_copy(update={"libraries": {"libzim": "3.13.1"}}), store)
    assert runtimes.payload(("linux-x86_64",), store, Silent(), zim=True)


def test_a_plan_counts_the_file(recipe: Path, tmp_path: Path) -> None:
    options = Options(tmp_path, downloads(), Silent(), offline=True)
    (before,) = plan(load(recipe), recipe, cases.device(), options).forecasts
    (after,) = plan(load(with_zim(recipe)), recipe, cases.device(), options).forecasts
    assert after.disk - before.disk == (recipe.parent / "library" / "small.zim").stat().st_size


def test_a_bundle_holds_the_file_as_it_is_and_finds_its_articles(
    recipe: Path,
    warm_store: Store,
    tmp_path: Path,
) -> None:
    built = build(with_zim(recipe), Options(tmp_path / "out", warm_store, Silent(), offline=True))
    verify(built.folder, Silent())
    source = (recipe.parent / "library" / "small.zim").read_bytes()
    assert (built.folder / "data" / "knowledge" / "small.zim").read_bytes() == source
    assert {step.name for step in built.steps if not step.reused} == {"zim"}
    assert "zim-1" in lock.read(lock.lock_path(recipe))
    assert "Small Encyclopedia" in (built.folder / "START-HERE.html").read_text("utf-8")
    opener = parts.documents(open_bundle(built.folder))
    assert opener is not None
    documents = opener()
    try:
        found = documents.search("How do I mend a flat tyre of a bicycle?", top=3, min_relevance=0.3)
        assert found[0].passage.document == "Bicycle (Small Encyclopedia)"
        found = documents.search("When is the library open on Saturday?", top=3, min_relevance=0.3)
        assert not found[0].passage.source.startswith("small.zim")
    finally:
        documents.close()  # type: ignore[attr-defined]


def test_a_zim_file_alone_is_documents_enough(
    recipe: Path,
    warm_store: Store,
    tmp_path: Path,
) -> None:
    text = with_zim(recipe, documents="[]").read_text("utf-8")
    # The demo's questions expect passages of its documents.
    recipe.write_text(re.sub(r"(?m)^\[\[services\.questions\]\]\n(?:\w+ = .*\n)+", "", text), "utf-8")
    built = build(recipe, Options(tmp_path / "out", warm_store, Silent(), offline=True))
    opener = parts.documents(open_bundle(built.folder))
    assert opener is not None
    documents = opener()
    try:
        found = documents.search("¿Con qué se hacen las tortillas de maíz?", top=3, min_relevance=0.3)
        assert found[0].passage.document == "Maíz (Small Encyclopedia)"
    finally:
        documents.close()  # type: ignore[attr-defined]


def test_a_damaged_file_stops_the_build_and_leaves_nothing(
    recipe: Path,
    warm_store: Store,
    tmp_path: Path,
) -> None:
    place = recipe.parent / "library" / "small.zim"
    with_zim(recipe)
    data = bytearray(place.read_bytes())
    data[len(data) // 2] ^= 0xFF
    place.write_bytes(data)
    with pytest.raises(DocumentError, match=r"small\.zim is damaged"):
        build(recipe, Options(tmp_path / "out", warm_store, Silent(), offline=True))
    assert not list((tmp_path / "out").glob("*"))
    assert "zim-1" not in lock.read(lock.lock_path(recipe))
