"""From a recipe and what the stages found to ``bundle.json``."""

import json
from pathlib import Path, PurePosixPath
from typing import Any

from publicai_edge import digest
from publicai_edge.artifact import FileSet
from publicai_edge.bundle.manifest import (
    EmbeddingInfo,
    EngineInfo,
    KnowledgeInfo,
    LossInfo,
    Manifest,
    ModelInfo,
    ReadingInfo,
    ServiceInfo,
    StewardInfo,
    WarmInfo,
    ZimInfo,
)
from publicai_edge.bundle.open import model_digest
from publicai_edge.engine import warm
from publicai_edge.errors import RecipeError
from publicai_edge.pipeline import dictation, fetching, voices
from publicai_edge.pipeline.steps import StepResult
from publicai_edge.pipeline.tuned import EngineSettings
from publicai_edge.quantize import KEEP
from publicai_edge.recipe import Recipe, Zim
from publicai_edge.recipe.lock import Pin
from publicai_edge.tuning import Tuning

STATES_FOLDER = "data/passages"
WARM_FOLDER = "data/warm"
REPORT = "data/reports/quality.html"


def manifest(
    recipe: Recipe,
    pins: dict[str, Pin],
    facts: dict[str, Any],
    *,
    model: tuple[str, FileSet],
    states: FileSet,
    embedding_folder: str,
    knowledge_file: str,
    settings: EngineSettings,
    built_by: str,
) -> Manifest:
    """Return the manifest of the bundle that ``recipe`` makes."""
    info = _model(recipe, pins.get("model"), facts, *model)
    return Manifest(
        name=recipe.bundle.name,
        version=recipe.bundle.version,
        release=recipe.bundle.release,
        title=recipe.bundle.title,
        languages=tuple(recipe.bundle.languages),
        steward=StewardInfo(**recipe.steward.model_dump()),
        model=info,
        embedding=_embedding(recipe, pins.get("embedding"), facts["convert"], embedding_folder),
        knowledge=_knowledge(recipe, facts, pins, knowledge_file),
        services=tuple(ServiceInfo(**service.model_dump(exclude={"questions"})) for service in recipe.services),
        engine=_engine(recipe, facts["warm"]["tokens"], states, info, facts["model"]["engine"], settings),
        session_minutes=recipe.policy.session_minutes,
        recipe=f"sha256:{digest.of_json(recipe.model_dump(mode='json'))}",
        built_by=built_by,
        signatures_required=recipe.policy.signatures,
        valid_until=recipe.policy.valid_until,
        slips=recipe.policy.slips,
        dictation=dictation.describe(recipe, pins, facts["dictation"]),
        voices=voices.describe(recipe, pins),
    )


def _model(recipe: Recipe, pin: Pin | None, facts: dict[str, Any], file: str, files: FileSet) -> ModelInfo:
    chosen, model, quality = recipe.model, facts["model"], facts["quality"]
    blob = files.files[file]
    parts = {path: f"sha256:{item.sha256}" for path, item in files} if len(files) > 1 or chosen.engine == "onnx" else {}
    return ModelInfo(
        name=chosen.name,
        source=chosen.source if pin else "given by hand",
        revision=pin.revision if pin else None,
        license=chosen.license,
        license_url=chosen.license_url,
        quantization=model["before"] if model["type"] == KEEP else model["type"],
        file=file,
        sha256=f"sha256:{blob.sha256}",
        size=blob.size,
        parts=parts,
        loss=LossInfo(by_language=quality["loss"], allowed=quality["allowed"], report=REPORT) if quality else None,
    )


def _embedding(recipe: Recipe, pin: Pin | None, facts: dict[str, Any] | None, folder: str) -> EmbeddingInfo | None:
    chosen = recipe.embedding
    if chosen is None or facts is None:
        return None
    return EmbeddingInfo(
        name=chosen.name,
        source=chosen.source if pin else "given by hand",
        revision=pin.revision if pin else None,
        license=chosen.license,
        license_url=chosen.license_url,
        quantization=facts["quantization"],
        folder=folder,
        mean_cosine=facts["mean_cosine"],
        least_cosine=facts["least_cosine"],
    )


def _knowledge(recipe: Recipe, facts: dict[str, Any], pins: dict[str, Pin], file: str) -> KnowledgeInfo | None:
    chosen, indexed = recipe.knowledge, facts["index"]
    if chosen is None or indexed is None:
        return None
    return KnowledgeInfo(
        file=file,
        license=chosen.license,
        documents=indexed["documents"],
        passages=indexed["passages"],
        top=chosen.top,
        min_relevance=chosen.min_relevance,
        passage_words=chosen.passage_words,
        ocr=chosen.ocr,
        reading=ReadingInfo(
            composition=facts["reading"]["composition"],
            recomputed_tokens=chosen.reading.recomputed_tokens,
            disk_mb=chosen.reading.disk_mb,
            states=STATES_FOLDER if facts["passages"]["states"] else None,
        ),
        zim=tuple(
            _zim(item, pins[fetching.zim_role(number)], facts["zim"][number - 1], PurePosixPath(file).parent)
            for number, item in enumerate(chosen.zim, 1)
        ),
    )


def _zim(chosen: Zim, pin: Pin, facts: dict[str, Any], folder: PurePosixPath) -> ZimInfo:
    blob = pin.files.only()
    return ZimInfo(
        file=str(folder / chosen.file_name),
        name=chosen.name,
        source=chosen.source,
        revision=pin.revision,
        license=chosen.license,
        license_url=chosen.license_url,
        sha256=f"sha256:{blob.sha256}",
        size=blob.size,
        **{name: facts[name] for name in ("articles", "title", "language", "date")},
    )


def _engine(
    recipe: Recipe, tokens: dict[str, int], states: FileSet, model: ModelInfo, made_by: str, settings: EngineSettings
) -> EngineInfo:
    stored = []
    for service in recipe.services if settings.warm else ():
        for language in sorted(service.prompt):
            name = warm.SharedPrompt(service.id, language, "").file_name
            stored.append(
                WarmInfo(
                    service=service.id,
                    language=language,
                    file=f"{WARM_FOLDER}/{name}",
                    sha256=f"sha256:{states.files[name].sha256}",
                    tokens=tokens[name],
                )
            )
    return EngineInfo(
        name=recipe.model.engine,
        context=recipe.target.context,
        slots=recipe.target.patrons,
        warm=tuple(stored),
        tuning=settings.tuning,
        tuned_on=settings.tuned_on,
        warm_fingerprint=warm.fingerprint(model_digest(model), settings.tuning.state_form, made_by),
    )


def states_fingerprint(model: FileSet, tuning: Tuning) -> str:
    """Return the fingerprint of states for a GGUF model whose files lie in the bundle at these paths."""
    parts = {path: blob.sha256 for path, blob in model}
    name = next(iter(parts.values())) if len(parts) == 1 else digest.of_json(parts)
    return warm.fingerprint(name, tuning.state_form)


def given_embedding(folder: Path, files: FileSet) -> StepResult:
    """Return the conversion step's result for a folder that was converted by hand.

    Raises:
        RecipeError: the folder does not say what its conversion cost.
    """
    try:
        facts = json.loads((folder / "conversion.json").read_text("utf-8"))
        facts = {key: facts[key] for key in ("mean_cosine", "least_cosine", "quantization")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecipeError(
            f"{folder} has no readable conversion.json, so nobody knows what its conversion cost.",
            hint="Make the folder with `publicai-edge convert`.",
        ) from error
    return StepResult("convert", files, facts, {}, reused=True, seconds=0.0)
