"""The tables of a recipe that name a model beside the language model: for searching, listening and speaking."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from publicai_edge.recipe.fields import Language, PackageSource, Sha256, Source, Table, glob_path


class ModelFolder(Table):
    """A model beside the language model: where its folder comes from, and who made it."""

    source: Source
    """Where its folder is."""
    revision: str | None = None
    """For hf: a branch, tag or commit."""
    sha256: Sha256 | None = None
    """Digest of the downloaded file set; the lock file pins every file in any case."""
    name: Annotated[str, Field(min_length=1)]
    """The model's published name."""
    license: Annotated[str, Field(min_length=1)]
    """SPDX identifier of its licence."""
    license_url: str
    """Where the licence was stated."""
    license_file: Annotated[str, AfterValidator(glob_path)] | None = None
    """File with the licence's full text, relative to this recipe; not needed for Apache-2.0."""


class Embedding(ModelFolder):
    """The model that finds passages."""

    source: Source
    """Where its folder is (config.json, tokenizer.json, model.safetensors)."""
    quantize: Literal["int8", "none"] = "int8"
    """int8 is about a quarter of the size and of the memory, with vectors nearly the same."""
    pooling: Literal["mean", "cls"] = "mean"
    """How token vectors become one: as the model's card says."""
    max_tokens: Annotated[int, Field(ge=16, le=8192)] = 256
    """Tokens of a passage that the model reads."""
    query_prefix: str = ""
    """Text the model expects before a question (E5 models: "query: ")."""
    passage_prefix: str = ""
    """Text the model expects before a passage (E5 models: "passage: ")."""
    min_cosine: Annotated[float, Field(ge=0, le=1)] = 0.98
    """Build fails when the converted model's vectors fall below this mean cosine to the original's."""


class Dictation(ModelFolder):
    """The model that writes down what patrons say, where they may speak instead of typing."""

    source: Source
    """Where its folder is: Whisper in ONNX, laid out for transformers.js, such as hf:onnx-community/whisper-tiny/."""
    max_seconds: Annotated[int, Field(ge=5, le=30)] = 30
    """Longest recording, in seconds; it ends by itself then."""


class Pronunciation(ModelFolder):
    """How the words of a voice's language are said: the phonemes of espeak-ng, which the voice reads."""

    source: PackageSource
    """Where its folder is: espeak/ of one of gruut's language packages, such as \
sdist:gruut-lang-en==2.0.1/gruut_lang_en/espeak/ (a source distribution on PyPI)."""


class Voice(ModelFolder):
    """A voice that reads aloud on the kiosk, where a patron's browser has none for the language."""

    language: Language
    """Which of the bundle's languages it speaks."""
    source: Source
    """Where its folder is: one Piper voice, NAME.onnx and NAME.onnx.json, such as \
hf:rhasspy/piper-voices/en/en_US/joe/medium/."""
    pronunciation: Pronunciation
    """Where the pronunciation comes from."""
