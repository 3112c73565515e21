"""See that the files a recipe names on this machine are there and of the right kind, without copying or hashing them.

What lies elsewhere is not looked at. A file that is gone but pinned, and in the store, is as good as there.
"""

from collections.abc import Mapping
from pathlib import Path

from publicai_edge import gguf
from publicai_edge.convert.pronunciation.convert import SOURCE_FILES as PRONUNCIATION_FILES
from publicai_edge.engine.speech.folder import SpeechFolder
from publicai_edge.errors import ModelError, NotFoundError, RecipeError
from publicai_edge.knowledge.zim.check import require_magic
from publicai_edge.pipeline import candidates, voices
from publicai_edge.pipeline.fetching import said_role, texts_role, voice_role, zim_role
from publicai_edge.pipeline.stages import CONFIG_FILE, named
from publicai_edge.recipe import Recipe, lock
from publicai_edge.recipe.lock import Pin
from publicai_edge.store import Store

_SCHEME = "file:"


def check(recipe: Recipe, recipe_path: Path, store: Store) -> None:
    """Look at every ``file:`` source of a recipe.

    Raises:
        NotFoundError: it is not there; the message names the key.
        ModelError: the model is no GGUF file, or quantized already where the recipe would quantize it.
        RecipeError: a folder is no model, or holds no texts.
        DocumentError: what should be a ZIM file is none.
    """
    pins = lock.read(lock.lock_path(recipe_path))
    base = recipe_path.parent
    if place := _place("model", recipe.model.source, base, pins, store):
        _check_model(recipe, place)
    if recipe.embedding and (place := _place("embedding", recipe.embedding.source, base, pins, store)):
        _check_folder("embedding", recipe.embedding.source, place)
    if recipe.dictation and (place := _place("dictation", recipe.dictation.source, base, pins, store)):
        SpeechFolder.open(place)
    for index, voice in enumerate(recipe.voices):
        if place := _place(voice_role(voice.language), voice.source, base, pins, store, f"voices[{index}].source"):
            voices.check_folder(index, voice, place)
        said, key = voice.pronunciation.source, f"voices[{index}].pronunciation.source"
        if place := _place(said_role(voice.language), said, base, pins, store, key):
            _check_pronunciation(key, said, place)
    for number, item in enumerate(recipe.knowledge.zim if recipe.knowledge else (), 1):
        if place := _place(zim_role(number), item.source, base, pins, store):
            require_magic(place, f"knowledge.zim: {item.source}")
    for number, texts in enumerate(recipe.quality.texts if recipe.quality else (), 1):
        if place := _place(texts_role(number), texts.source, base, pins, store):
            _check_texts(texts.source, place)


def _place(role: str, source: str, base: Path, pins: Mapping[str, Pin], store: Store, key: str = "") -> Path | None:
    """Return where a ``file:`` source is; None for another one, or where the store has it."""
    from publicai_edge.sources import local

    if not source.startswith(_SCHEME):
        return None
    found = local.parse(source, base)
    pin = pins.get(role)
    if not found.path.exists() and pin and pin.source == source and store.has_all(pin.files):
        return None
    try:
        local.check(found)
    except NotFoundError as error:
        lists = {"texts": "quality.texts", "zim": "knowledge.zim"}
        key = key or lists.get(role.partition("-")[0], f"{role}.source")
        raise NotFoundError(f"{key}: {error.message}", hint=error.hint, **error.facts) from error
    return found.path


def _check_model(recipe: Recipe, place: Path) -> None:
    source = recipe.model.source
    if place.is_dir():
        files = [path for path in place.rglob("*") if path.is_file()]
        if len(files) != 1:
            _check_folder("model", source, place)
            return
        place = files[0]
    with named(place, f"model.source: {source}"):
        header = gguf.read(place)
    candidates.check_source(recipe.quantize, header.quantization, header.is_quantized, source)


def _check_folder(key: str, source: str, place: Path) -> None:
    if not (place / CONFIG_FILE).is_file():
        raise ModelError(
            f"{key}.source: {source} is not a folder in Hugging Face layout: it has no {CONFIG_FILE}.",
            hint="Name a folder with config.json, a tokenizer and *.safetensors"
            + (", or a .gguf file." if key == "model" else "."),
        )


def _check_pronunciation(key: str, source: str, place: Path) -> None:
    if missing := [name for name in PRONUNCIATION_FILES if not (place / name).is_file()]:
        raise ModelError(
            f"{key}: {source} lacks {' and '.join(missing)}.",
            hint="Name the folder espeak/ of one of gruut's language packages.",
        )


def _check_texts(source: str, place: Path) -> None:
    from publicai_edge.corpus.files import SUFFIXES

    found = place.rglob("*") if place.is_dir() else [place]
    if not any(path.suffix.lower() in SUFFIXES and path.is_file() for path in found):
        raise RecipeError(
            f"quality.texts: {source} holds no texts.", hint=f"Kinds that can be read: {', '.join(sorted(SUFFIXES))}."
        )
