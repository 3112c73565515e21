"""``bundle.json``: the bundle's identity and everything the kiosk needs to know to run it.

Invariant: it holds no time, no path and no name of the machine that built it; the same recipe and lock give the
same bytes. File paths are relative to the bundle's folder.
"""

import json
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from publicai_edge.artifact import check_relative
from publicai_edge.errors import BundleError
from publicai_edge.tuning import Tuning

FILE_NAME = "bundle.json"
FORMAT: Literal[1] = 1

Words = dict[str, str]
RelativePath = Annotated[str, AfterValidator(check_relative)]
Sha256 = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class StewardInfo(_Part):
    """Who answers for the bundle."""

    name: str
    contact: str
    ask_a_person: Words


class LossInfo(_Part):
    """What quantization cost, measured at build: mean KL divergence to the unquantized model, nats per token."""

    by_language: dict[str, float]
    allowed: dict[str, float]
    report: RelativePath


class ModelInfo(_Part):
    """The language model: where it came from, under which licence, and its file here.

    A model in ONNX is a folder: ``file`` is its graph, ``parts`` are all of its files, the graph among them. A GGUF
    model in several files is the same: ``file`` is the first. ``size`` is that of ``file``, in bytes.
    """

    name: str
    source: str
    revision: str | None
    license: str
    license_url: str
    quantization: str
    file: RelativePath
    sha256: Sha256
    size: int
    parts: dict[RelativePath, Sha256] = {}
    loss: LossInfo | None = None


class EmbeddingInfo(_Part):
    """The embedding model: its folder here, and what the conversion cost (cosine to the original)."""

    name: str
    source: str
    revision: str | None
    license: str
    license_url: str
    quantization: str
    folder: RelativePath
    mean_cosine: float
    least_cosine: float


class DictationInfo(_Part):
    """The model that writes down what patrons say: its folder here, the languages it knows, the longest recording."""

    name: str
    source: str
    revision: str | None
    license: str
    license_url: str
    folder: RelativePath
    languages: Annotated[tuple[str, ...], Field(min_length=1)]
    max_seconds: Annotated[int, Field(ge=1, le=30)]


class PronunciationInfo(_Part):
    """Where the pronunciation of a voice's language came from, and under which licence."""

    name: str
    source: str
    revision: str | None
    license: str
    license_url: str


class VoiceInfo(_Part):
    """A voice that reads aloud: the language it speaks, and its folder here, the pronunciation in it."""

    language: str
    name: str
    source: str
    revision: str | None
    license: str
    license_url: str
    folder: RelativePath
    pronunciation: PronunciationInfo


class ZimInfo(_Part):
    """A ZIM file: what patrons call it, where it came from, its terms, and what it says of itself."""

    file: RelativePath
    name: str
    source: str
    revision: str | None
    license: str
    license_url: str
    sha256: Sha256
    size: int
    articles: int
    title: str
    language: str
    date: str


class ReadingInfo(_Part):
    """Whether passages are read for every question, see :mod:`publicai_edge.engine.passages.settings`.

    ``states`` is the folder of those passages that were read at build time.
    """

    composition: Literal["exact", "shifted", "recomputed"] = "exact"
    recomputed_tokens: Annotated[int, Field(ge=1, le=128)] = 64
    disk_mb: Annotated[int, Field(ge=16)] = 512
    states: RelativePath | None = None


class KnowledgeInfo(_Part):
    """The indexed documents, and the ZIM files; ``passage_words`` is how their articles are cut.

    ``ocr`` says whether pages that hold only pictures were recognised; a kiosk does the same with what staff add.
    """

    file: RelativePath
    license: str
    documents: int
    passages: int
    top: int
    min_relevance: float
    passage_words: int = 120
    reading: ReadingInfo = ReadingInfo()
    zim: tuple[ZimInfo, ...] = ()
    ocr: bool = False


class ServiceInfo(_Part):
    """One thing the kiosk offers, with its words in every language."""

    id: str
    title: Words
    description: Words
    prompt: Annotated[Words, Field(min_length=1)]
    search: bool
    max_tokens: int
    temperature: float
    repeat_penalty: float


class WarmInfo(_Part):
    """A stored state of one service's prompt in one language."""

    service: str
    language: str
    file: RelativePath
    sha256: Sha256
    tokens: int


class EngineInfo(_Part):
    """Settings the engine is started with, and the machine they were found on, where they were.

    The fingerprint says which engine made the warm states.
    """

    name: Literal["llama", "onnx"] = "llama"
    context: int
    slots: int = 4
    tuning: Tuning = Tuning()
    tuned_on: str | None = None
    warm: tuple[WarmInfo, ...] = ()
    warm_fingerprint: str | None = None


class Manifest(_Part):
    """The whole of ``bundle.json``."""

    format: Literal[1] = FORMAT
    name: str
    version: str
    release: int
    title: Words
    languages: tuple[str, ...]
    steward: StewardInfo
    model: ModelInfo
    embedding: EmbeddingInfo | None
    knowledge: KnowledgeInfo | None
    services: Annotated[tuple[ServiceInfo, ...], Field(min_length=1)]
    engine: EngineInfo
    session_minutes: int
    recipe: Sha256
    built_by: str
    signatures_required: Annotated[int, Field(ge=0)] = 0
    valid_until: date | None = None
    slips: Literal["off", "reasons", "question", "words"] = "question"
    dictation: DictationInfo | None = None
    voices: tuple[VoiceInfo, ...] = ()

    def needed(self) -> list[str]:
        """Return the files and folders that a kiosk opens, by their paths."""
        found = [self.model.file, *self.model.parts, *(state.file for state in self.engine.warm)]
        found += [part.folder for part in (self.embedding, self.dictation, *self.voices) if part]
        if self.knowledge:
            found += [self.knowledge.file, *(item.file for item in self.knowledge.zim)]
            found += [self.knowledge.reading.states] if self.knowledge.reading.states else []
        return found

    @property
    def folder_name(self) -> str:
        """Name of the bundle's folder."""
        return f"{self.name}-{self.version}"

    def service(self, name: str) -> ServiceInfo | None:
        """Return the service called ``name``, or None."""
        return next((service for service in self.services if service.id == name), None)

    def to_bytes(self) -> bytes:
        """Return the file's content: indented, sorted, UTF-8."""
        text = json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False)
        return (text + "\n").encode()


def parse(data: bytes, where: str) -> Manifest:
    """Read the content of a ``bundle.json``.

    Raises:
        BundleError: it is not JSON, of a newer format, or lacks something.
    """
    try:
        raw: Any = json.loads(data)
        found = raw.get("format") if isinstance(raw, dict) else None
        if found != FORMAT:
            raise BundleError(
                f"{where} has bundle format {found!r}; this program reads format {FORMAT}.",
                hint="Update publicai-edge on this machine, or build the bundle again.",
            )
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        maker = raw.get("built_by", "another program") if isinstance(raw, dict) else "another program"
        raise BundleError(
            f"{where} was made by {maker}, whose bundles differ from what this version reads: {key}: {first['msg']}.",
            hint="Build the bundle again with this version, or install the one that made it.",
        ) from error
    except (ValueError, RecursionError) as error:
        words = str(error).replace("\n", " ")[:300]
        raise BundleError(
            f"{where} is not a valid bundle.json: {words}",
            hint="Copy the bundle again from where it came; `publicai-edge verify` tells what differs.",
        ) from error


def word(words: Words, language: str) -> str:
    """Return the words in ``language``, its base language, or else the first there are."""
    return words.get(language) or words.get(language.partition("-")[0]) or next(iter(words.values()))
