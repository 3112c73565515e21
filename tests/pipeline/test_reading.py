"""How a bundle's kiosk reads passages: decided by the recipe's questions, measured on the model that is packed."""

import asyncio
import json
import re
from contextlib import aclosing
from pathlib import Path

import pytest

from publicai_edge.bundle.open import open_bundle
from publicai_edge.bundle.verify import verify
from publicai_edge.engine.client import WorkerEngine
from publicai_edge.engine.embedder import Embedder
from publicai_edge.engine.passages.store import files
from publicai_edge.engine.protocol import Started
from publicai_edge.errors import ModelError, RecipeError
from publicai_edge.evaluate.questions import Question as Prepared
from publicai_edge.kiosk.answering import Inquiry, compose, passage_text, source_of
from publicai_edge.pipeline.build import Built, build
from publicai_edge.pipeline.evaluation import evaluate_recipe
from publicai_edge.pipeline.options import Options
from publicai_edge.pipeline.reading import decide, questions_of
from publicai_edge.pipeline.steps import Runner
from publicai_edge.progress import Recorder, Silent
from publicai_edge.recipe import load
from publicai_edge.recipe.reading import Reading
from publicai_edge.search import KnowledgeBase
from publicai_edge.store import Store
from publicai_edge.tuning import Tuning
from tests.conftest import RECIPE

ASKED = 3
_QUESTION = re.compile(r"^\[\[services\.questions\]\]\n(?:(?!\[).*\n)*", re.MULTILINE)


def with_reading(recipe: Path, text: str) -> Path:
    """Let a recipe say how passages are read, and ask few questions: each is answered six times."""
    old = "min_relevance = 0.3\n"
    whole = recipe.read_text("utf-8")
    assert old in whole
    for question in _QUESTION.findall(whole)[ASKED:]:
        whole = whole.replace(question, "", 1)
    recipe.write_text(whole.replace(old, f"{old}\n[knowledge.reading]\n{text}\n", 1), "utf-8")
    return recipe


def steps(built: Built) -> dict[str, bool]:
    return {step.name: step.reused for step in built.steps}


def test_the_questions_are_those_of_services_that_search_and_have_facts() -> None:
    asked = questions_of(load(RECIPE))
    assert len(asked) == 13
    assert {item.service for item in asked} == {"ask"}
    assert {item.language for item in asked} == {"en", "es"}


def test_a_recipe_that_says_nothing_measures_nothing(demo: Built) -> None:
    assert "reading" not in steps(demo)
    assert demo.report["reading"]["composition"] == "exact"
    assert not (demo.folder / "data/passages").exists()


def test_auto_packs_what_the_questions_allow_and_measures_once(recipe: Path, warm_store: Store, tmp_path: Path) -> None:
    said = Recorder()
    with_reading(recipe, 'composition = "auto"\nmax_loss = 0.000001')
    built = build(recipe, Options(tmp_path / "out", warm_store, said, offline=True))
    found = built.report["reading"]
    assert found["composition"] == "exact"
    assert "Every passage is read for every question" in found["reason"]
    assert [item["composition"] for item in found["measured"]] == ["exact", "shifted", "recomputed"]
    assert len(found["measured"][0]["answers"]) == ASKED
    assert all(item["mean_kl"]["value"] > 0 for item in found["measured"][1:])

    text = recipe.read_text("utf-8")
    recipe.write_text(text.replace("max_loss = 0.000001", "max_loss = 50"), "utf-8")
    again = build(recipe, Options(tmp_path / "out", warm_store, Silent(), offline=True))
    assert steps(again)["reading"], "another bound measures nothing anew"
    exact, shifted = (item["facts"] for item in again.report["reading"]["measured"][:2])
    assert again.report["reading"]["composition"] == ("shifted" if shifted >= exact else "recomputed") or (
        again.report["reading"]["measured"][2]["facts"] < exact
    )


def test_a_bundle_carries_passages_and_its_kiosk_begins_with_them(
    recipe: Path, warm_store: Store, tmp_path: Path
) -> None:
    with_reading(recipe, 'composition = "shifted"\nbundle_mb = 60')
    built = build(recipe, Options(tmp_path / "out", warm_store, Silent(), offline=True))
    assert built.report["passages"]["states"] > ASKED
    verify(built.folder, Silent())
    bundle = open_bundle(built.folder)
    assert bundle.manifest.knowledge
    assert bundle.manifest.knowledge.reading.composition == "shifted"
    carried = list(files(built.folder / "data/passages"))
    assert sum(file.stat().st_size for file in carried) <= 60_000_000

    assert bundle.knowledge_path
    assert bundle.embedding_path
    base = KnowledgeBase.open(bundle.knowledge_path, Embedder.open(bundle.embedding_path))
    hits = base.search("When does the library open on Saturday?", top=2, min_relevance=0.3)
    passages = [passage_text(source_of(number, hit)) for number, hit in enumerate(hits, 1)]
    service = next(service for service in bundle.manifest.services if service.search)
    from publicai_edge.kiosk import words

    request = compose(Inquiry(service, "en", "Open on Saturday?", labels=words.load("en")), passages)
    left = asyncio.run(tokens_left(WorkerEngine(bundle.engine_config(threads=2, passages=tmp_path / "own")), request))
    assert left < 50
    assert not (tmp_path / "own").exists()
    read = json.loads((built.folder / "data/reports/build.json").read_text("utf-8"))["reading"]
    assert read["composition"] == "shifted"


def test_a_recipe_is_evaluated_without_a_bundle_in_every_way(recipe: Path, warm_store: Store, tmp_path: Path) -> None:
    with_reading(recipe, 'composition = "exact"')
    out = tmp_path / "report"
    report = evaluate_recipe(recipe, Options(out, warm_store, Silent(), offline=True))
    assert [item.composition for item in report.reading] == ["exact", "shifted", "recomputed"]
    assert [len(item.answers) for item in report.reading] == [ASKED] * 3
    assert report.reading_reason.startswith('The recipe names "exact"; "auto" would take "')
    assert report.candidates == ()
    assert not out.exists()

    text = recipe.read_text("utf-8")
    for question in _QUESTION.findall(text):
        text = text.replace(question, "", 1)
    recipe.write_text(text, "utf-8")
    with pytest.raises(RecipeError, match="nothing to measure"):
        evaluate_recipe(recipe, Options(out, warm_store, Silent(), offline=True))


def test_a_kept_model_has_a_report_on_how_its_passages_are_read(
    recipe: Path, warm_store: Store, tmp_path: Path
) -> None:
    with_reading(recipe, 'composition = "auto"\nmax_loss = 50\nbundle_mb = 0')
    built = build(recipe, Options(tmp_path / "out", warm_store, Silent(), offline=True))
    record = json.loads((built.folder / "data/reports/quality.json").read_text("utf-8"))
    assert record["decision"]["headline"] == "Only the reading of passages was measured"
    assert record["reading_reason"] == built.report["reading"]["reason"]
    assert {row["language"] for row in record["passages"]} == {None}
    page = (built.folder / "data/reports/quality.html").read_text("utf-8")
    assert "Passages read once" in page
    verify(built.folder, Silent())


def test_a_model_that_cannot_shift_is_read_whole_with_auto_and_refused_by_name(
    recipe: Path, warm_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ModelError("Passages of m cannot be put together: its memory is recurrent.", cannot_compose="recurrent")

    monkeypatch.setattr("publicai_edge.evaluate.reading.child.run", refuse)
    known, said = load(recipe), Recorder()
    runner = Runner(warm_store, said)
    question = Prepared("?", "en", "ask", "", "unlike any other", (("a",),), ((0, 3),))
    model = warm_store.add_bytes(b"not measured before")
    wanted = Reading(composition="auto")
    decided = decide(runner, known, wanted, model, [question], Tuning())
    assert decided.composition == "exact"
    assert "its memory is recurrent" in decided.reason
    assert any("its memory is recurrent" in line for line in said.warnings)
    with pytest.raises(ModelError, match="recurrent"):
        decide(runner, known, Reading(composition="shifted"), model, [question], Tuning())


async def tokens_left(engine: WorkerEngine, request: object) -> int:
    """Return how many tokens of a prompt had to be read."""
    await engine.start()
    try:
        await engine.ready()
        async with aclosing(engine.chat(request)) as events:  # type: ignore[arg-type]
            async for event in events:
                if isinstance(event, Started):
                    return event.prompt_tokens - event.reused_tokens
    finally:
        await engine.close()
    raise AssertionError("it did not begin")
