"""From a recipe to a forecast, before any weights move: headers are read where they lie, and nothing else."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from publicai_edge import gguf, host
from publicai_edge.bench import machine
from publicai_edge.engine.speech import process_bytes
from publicai_edge.engine.speech.folder import FILES as SPEECH_FILES
from publicai_edge.engine.voice import process_bytes as voice_bytes
from publicai_edge.errors import ModelError, RecipeError, WholeOnlyError
from publicai_edge.pipeline import candidates
from publicai_edge.pipeline.fetching import EMBEDDING_FILES, MODEL_FILES, voice_parts, zim_role
from publicai_edge.pipeline.options import Options
from publicai_edge.plan import device
from publicai_edge.plan.cost import cost_of
from publicai_edge.plan.forecast import Forecast, Model, Use, Wanted, forecast, remedies, shared_tokens
from publicai_edge.plan.probe import probe
from publicai_edge.quantize import predict
from publicai_edge.recipe import AUTO, Recipe, lock

if TYPE_CHECKING:
    from publicai_edge.sources import Fetcher, Request
    from publicai_edge.sources.peek import Entry, Peek

ALTERNATIVES = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "Q3_K_M")
"""What a plan tries, the largest first, where the source has 16 bits a weight."""

_PATRONS = (1, 2, 4, 8)
_KEEP = "keep"
_WORDS_PER_PASSAGE, _TOKENS_PER_WORD, _QUESTION_TOKENS = 120, 1.5, 60
_PAGE_BYTES = 2 << 20  # the page, the licences, the manifest
_INDEX_FACTOR = 3  # a document's passages, their vectors and the word index, by its own size
_CLONE = 1 << 16
_PRONUNCIATION_BYTES = 20 << 20  # a language's lexicon: of seven, 2 to 18 MB in a bundle, 5 to 31 to fetch
_SDIST = "sdist:"
_ONNX = ".onnx"
_SAFETENSORS = ".safetensors"


@dataclass(frozen=True)
class MemoryAt:
    """What another context and another number of patrons would take of memory.

    Attributes:
        context: tokens of a conversation.
        patrons: answered at the same time.
        expected: bytes.
        fits: whether the device has as much as is asked for.
    """

    context: int
    patrons: int
    expected: float
    fits: bool


@dataclass(frozen=True)
class Plan:
    """What a recipe would make of a device.

    Attributes:
        device: the profile.
        download: bytes that `pull` would fetch.
        transferred: bytes that planning moved.
        forecasts: one for the recipe's type; for ``auto`` one for each candidate, the largest first.
        instead: what would fit, in words, where the recipe does not.
        memory: by context and patrons, of the first forecast that fits, or else of the smallest.
    """

    device: device.Profile
    download: int
    transferred: int
    forecasts: tuple[Forecast, ...]
    instead: tuple[tuple[str, Forecast], ...]
    memory: tuple[MemoryAt, ...]

    @property
    def fits(self) -> bool:
        """Whether the recipe, or one of its candidates, fits."""
        return any(each.fits for each in self.forecasts)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "device": self.device.name,
            "fits": self.fits,
            "download_bytes": self.download,
            "transferred_bytes": self.transferred,
            "forecasts": [each.to_json() for each in self.forecasts],
            "instead": [{"change": words, **each.to_json()} for words, each in self.instead],
            "memory_by_use": [asdict(each) for each in self.memory],
        }


def plan(recipe: Recipe, recipe_path: Path, profile: device.Profile, options: Options) -> Plan:
    """Return what the recipe would make of the device.

    Raises:
        RecipeError: it is for an engine that cannot be planned yet.
        SourceError: a source cannot be looked at.
        ModelError: its header is damaged.
    """
    if recipe.model.engine != "llama":
        raise RecipeError(
            'A plan needs a GGUF model; [model] engine is "onnx".',
            hint="Build it, and measure it with `publicai-edge bench`.",
        )
    from publicai_edge.sources import Fetcher, Request

    known = lock.read(lock.lock_path(recipe_path))
    fetcher = Fetcher(options.store, options.progress, offline=options.offline)
    base, source = recipe_path.parent, recipe.model
    request = Request(source.source, source.revision, source.sha256, base, MODEL_FILES)
    with options.store.scratch() as folder:
        with fetcher.peek(request, known.get("model")) as found:
            path = _outline(found, folder, source.source, options)
            download, transferred = found.download, found.transferred
        models = _models(path, recipe, options)
        other = _PAGE_BYTES + _documents(recipe, base)
        if wanted := recipe.embedding:
            request = Request(wanted.source, wanted.revision, wanted.sha256, base, EMBEDDING_FILES)
            with fetcher.peek(request, known.get("embedding")) as found:
                size = sum(entry.size for entry in found.files.values())
                other += size // 4 if wanted.quantize == "int8" else size
                download, transferred = download + found.download, transferred + found.transferred
        speech = 0
        if spoken := recipe.dictation:
            request = Request(spoken.source, spoken.revision, spoken.sha256, base, SPEECH_FILES)
            with _looked_at(fetcher, request, known.get("dictation"), options) as found:
                size = sum(entry.size for entry in found.files.values())
                other, speech = other + size, process_bytes(size) if size else 0
                download, transferred = download + found.download, transferred + found.transferred
        voices = _voices(recipe, base, known, fetcher, options)
        other, speech = other + voices.disk, speech + voices.memory
        download, transferred = download + voices.download, transferred + voices.transferred
        for number, item in enumerate(recipe.knowledge.zim if recipe.knowledge else (), 1):
            request = Request(item.source, item.revision, item.sha256, base)
            with fetcher.peek(request, known.get(zim_role(number))) as found:
                other += sum(entry.size for entry in found.files.values())
                download, transferred = download + found.download, transferred + found.transferred
        return _judged(recipe, profile, models, _use(recipe, other, speech), download, transferred)


@contextmanager
def _looked_at(fetcher: "Fetcher", request: "Request", pin: lock.Pin | None, options: Options) -> Iterator["Peek"]:
    """Yield an optional part; one whose size nobody can tell before it is here is left out, and that is said."""
    from publicai_edge.sources.peek import Peek

    with ExitStack() as stack:
        try:
            found = stack.enter_context(fetcher.peek(request, pin))
        except WholeOnlyError as error:
            options.progress.warn(f"Not counted in this plan: {error.message} {error.hint}")
            found = Peek({}, 0)
        yield found


@dataclass(frozen=True)
class _Voices:
    disk: int = 0
    memory: int = 0
    download: int = 0
    transferred: int = 0


def _voices(recipe: Recipe, base: Path, known: Mapping[str, lock.Pin], fetcher: "Fetcher", options: Options) -> _Voices:
    """Return what the voices and their pronunciations take; of a source distribution nothing can be read before."""
    from publicai_edge.sources import Request

    disk = largest = download = transferred = 0
    for part in voice_parts(recipe):
        if part.source.startswith(_SDIST):
            pin = known.get(part.role)
            disk += _PRONUNCIATION_BYTES
            download += 0 if pin and options.store.has_all(pin.files) else _PRONUNCIATION_BYTES
            continue
        request = Request(part.source, part.revision, part.sha256, base, part.only)
        with _looked_at(fetcher, request, known.get(part.role), options) as found:
            graph = sum(entry.size for name, entry in found.files.items() if name.endswith(_ONNX))
            disk += graph or (_PRONUNCIATION_BYTES if found.files else 0)
            largest = max(largest, graph)
            download, transferred = download + found.download, transferred + found.transferred
    return _Voices(disk, voice_bytes(largest) if largest else 0, download, transferred)


def _judged(
    recipe: Recipe, profile: device.Profile, models: Sequence[Model], use: Use, download: int, transferred: int
) -> Plan:
    target = Wanted(recipe.target.tokens_per_second, recipe.target.first_token_seconds)

    def tried(model: Model, use: Use) -> Forecast:
        return forecast(model, use, profile, target)

    chosen = _chosen(recipe, models)
    forecasts = tuple(tried(model, use) for model in chosen)
    instead: list[tuple[str, Forecast]] = []
    if not any(each.fits for each in forecasts):
        instead = remedies(models, use, tried, chosen[-1].type)
    shown = next((model for model, each in zip(chosen, forecasts, strict=True) if each.fits), chosen[-1])
    memory = tuple(_memory(shown, use, tried))
    return Plan(profile, download, transferred, forecasts, tuple(instead), memory)


def _memory(model: Model, use: Use, tried: Callable[[Model, Use], Forecast]) -> Iterator[MemoryAt]:
    trained = model.header.number("context_length") or use.context
    contexts = {context for context in (use.context // 2, use.context, use.context * 2) if context <= trained}
    for context in sorted(contexts | {use.context}):
        for patrons in sorted({*_PATRONS, use.patrons}):
            found = tried(model, replace(use, context=context, patrons=patrons))
            yield MemoryAt(context, patrons, found.memory.middle, found.asked <= found.free)


def _outline(found: "Peek", folder: Path, source: str, options: Options) -> Path:
    """Return a GGUF file with the model's header and a hole where its weights would be."""
    path = folder / "outline.gguf"
    if name := next((name for name in found.files if name.endswith(".gguf")), None):
        entry = found.files[name]
        with entry.open() as stream:
            end = gguf.read_stream(stream, entry.size, name).data_start
        _copy(entry, path, end)
        return path
    if not any(name.endswith(_SAFETENSORS) for name in found.files):
        raise ModelError(
            f"{source} has neither a GGUF file nor safetensors: {', '.join(sorted(found.files)[:4]) or 'no files'}.",
            hint="Name a GGUF file, or a repository with safetensors.",
        )
    from publicai_edge.convert import gguf as to_gguf
    from publicai_edge.convert import source_folder
    from publicai_edge.pipeline.converter import converter_folder

    model = folder / (source.rstrip("/").rpartition("/")[2] or "model")
    for name, entry in found.files.items():
        target = model / name
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(entry, target, _header_end(entry, name) if name.endswith(_SAFETENSORS) else entry.size)
    kind = source_folder.sixteen_bits(source_folder.read_config(model))
    with converter_folder(options.store, options.progress, offline=options.offline) as converter:
        to_gguf.outline(model, path, kind, converter, options.progress)
    return path


def _copy(entry: "Entry", path: Path, end: int) -> None:
    """Copy the beginning of a file, and make a hole of the rest."""
    with entry.open() as stream, path.open("wb") as target:
        while end > 0 and (piece := stream.read(min(end, _CLONE))):
            target.write(piece)
            end -= len(piece)
        target.truncate(entry.size)


def _header_end(entry: "Entry", name: str) -> int:
    with entry.open() as stream:
        start = stream.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > entry.size - 8:  # noqa: PLR2004 - safetensors begin with the length in eight bytes
        raise ModelError(f"{name} is not a safetensors file.", hint="Choose another revision of the model.")
    return 8 + length


def _models(path: Path, recipe: Recipe, options: Options) -> list[Model]:
    """Return the model in every type that it may get, the largest first."""
    header = gguf.read(path)
    if not header.number("block_count"):
        raise ModelError(
            f"{recipe.model.source} is a GGUF file without the layers of a language model.",
            hint="Name a language model.",
        )
    kept = Model(header.quantization, path.stat().st_size, header, cost_of(header))
    wanted = recipe.quantize
    if wanted.type == _KEEP and header.is_quantized:
        return [kept]
    names = list(ALTERNATIVES)
    if wanted.type == AUTO:
        names = list(wanted.candidates or ALTERNATIVES)
    elif wanted.type != _KEEP:
        names = [candidates.base(wanted.type), *names]
    found = predict.plan(
        path, list(dict.fromkeys(names)), imatrix=recipe.quality is not None, progress=options.progress
    )
    models = [Model(name, each.bytes, header, cost_of(header, each.tensor_types)) for name, each in found.items()]
    return sorted([*models, *([kept] if wanted.type == _KEEP else [])], key=lambda model: -model.size)


def _chosen(recipe: Recipe, models: Sequence[Model]) -> list[Model]:
    """Return those of the models that the recipe names."""
    wanted = recipe.quantize
    if wanted.type == _KEEP:
        return [models[0]] if len(models) == 1 else [max(models, key=lambda model: model.size)]
    if wanted.type == AUTO:
        return list(models)
    return [model for model in models if model.type == candidates.base(wanted.type).upper()]


def _use(recipe: Recipe, other_disk: int, speech: int) -> Use:
    prompts = {
        f"{service.id} {language}": text for service in recipe.services for language, text in service.prompt.items()
    }
    shared, longest = shared_tokens(prompts)
    question = float(_QUESTION_TOKENS)
    reading = recipe.knowledge.reading if recipe.knowledge and recipe.knowledge.composes else None
    if recipe.knowledge and any(service.search for service in recipe.services):
        question += recipe.knowledge.top * recipe.knowledge.passage_words * _TOKENS_PER_WORD
    return Use(
        recipe.target.context,
        recipe.target.patrons,
        shared,
        longest,
        int(question),
        other_disk + (reading.bundle_mb * 1_000_000 if reading else 0),
        recipe.embedding is not None,
        len(recipe.knowledge.zim) if recipe.knowledge else 0,
        recipe.knowledge.composes if recipe.knowledge else 0,
        speech,
        reading.disk_mb * 1_000_000 if reading else 0,
    )


def _documents(recipe: Recipe, base: Path) -> int:
    if recipe.knowledge is None:
        return 0
    paths = {path for pattern in recipe.knowledge.documents for path in base.glob(pattern) if path.is_file()}
    return _INDEX_FACTOR * sum(path.stat().st_size for path in paths)


def this_machine(name: str, threads: int, folder: Path, options: Options) -> device.Profile:
    """Probe this machine and return its profile.

    Raises:
        EngineError: the engine does not run here.
    """
    facts = machine.facts()
    total, available = host.memory_bytes()
    with options.store.scratch() as scratch:
        measured = probe(scratch, threads, options.progress)
    return device.Profile(
        name=name,
        title=f"{facts['cpu']}, {total / 1e9:.0f} GB",
        cpu=str(facts["cpu"]),
        cores=int(facts["physical_cores"]),
        ram_gb=round(total / 1e9, 2),
        system_gb=round(max(0, total - available) / 1e9, 2),
        disk_gb=round(shutil.disk_usage(folder).free / 1e9, 1),
        sources=["measured on the machine itself by publicai-edge device probe"],
        measured=device.Measured.model_validate(measured),
    )


def given(ram_gb: float, disk_gb: float, cpu: str | None) -> device.Profile:
    """Return a device of which memory and disk are known; with ``cpu``, as fast as that profile's."""
    if cpu is None:
        return device.Profile(
            name="given", title="the device as given", cpu="unknown", cores=1, ram_gb=ram_gb, system_gb=1.0,
            disk_gb=disk_gb,
        )  # fmt: skip
    known = device.load(cpu)
    return known.model_copy(update={"ram_gb": ram_gb, "disk_gb": disk_gb, "title": f"{known.cpu}, as given"})
