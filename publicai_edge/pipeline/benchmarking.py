"""From what a person names to a benchmark: a GGUF file, a folder with a model in ONNX, or a bundle."""

from dataclasses import dataclass, replace
from pathlib import Path

from publicai_edge import digest, gguf
from publicai_edge.bench import run as bench
from publicai_edge.bench import turns
from publicai_edge.bench.result import Planned, Run, Subject, Work
from publicai_edge.bench.roofline import work_of
from publicai_edge.bench.service import SYSTEM
from publicai_edge.bench.settings import Effort, Settings, Target
from publicai_edge.bundle.manifest import FILE_NAME
from publicai_edge.bundle.open import Bundle, open_bundle
from publicai_edge.engine.config import EngineConfig
from publicai_edge.engine.onnx.folder import MODEL_FILE, ChatFolder
from publicai_edge.engine.warm import SharedPrompt
from publicai_edge.errors import ModelError, RecipeError
from publicai_edge.plan.cost import cost_of
from publicai_edge.plan.device import Profile, Range
from publicai_edge.progress import Progress

_LEAST_CONTEXT = 1024
_ROOM = 512  # for a service's prompt, a question and its answer


@dataclass(frozen=True)
class Chosen:
    """What is measured, and how it is asked."""

    target: Target
    config: EngineConfig | None
    system: str


def choose(path: Path, settings: Settings) -> Chosen:
    """Return what a path names.

    Raises:
        ModelError: it is a file, but not a model that can be measured.
        RecipeError: it is nothing that can be measured.
        BundleError: it is a bundle that lacks something.
    """
    if (path / FILE_NAME).is_file():
        return _bundle(open_bundle(path), settings)
    if (path / MODEL_FILE).is_file():
        return _alone(_onnx(path), settings)
    if path.is_dir():
        raise RecipeError(
            f"{path} is neither a bundle nor a model: it has no {FILE_NAME} and no {MODEL_FILE}.",
            hint="Give a GGUF file, the folder of a model in ONNX, or a bundle.",
        )
    if not path.is_file():
        raise RecipeError(
            f"There is no file or folder {path}.", hint="Give a GGUF file, a model's folder, or a bundle."
        )
    return _alone(_gguf(path), settings)


def measure(
    chosen: Chosen,
    settings: Settings,
    effort: Effort,
    output: Path,
    progress: Progress,
    planned: Planned | None = None,
) -> Run:
    """Measure it, and write the result to ``output``; see :func:`publicai_edge.bench.run.run`.

    Raises:
        RecipeError: a prompt is longer than the model's context.
        PublicAIError: it cannot be loaded, or does not run.
    """
    _check_lengths(chosen.target, settings)
    return bench.run(
        chosen.target,
        settings,
        effort,
        output,
        progress,
        config=replace(chosen.config, gpu_layers=settings.gpu_layers) if chosen.config else None,
        system=chosen.system,
        planned=planned,
    )


def predict(target: Target, settings: Settings, profile: Profile) -> Planned:
    """Return what a device's profile predicts of the speeds that will be measured.

    Raises:
        RecipeError: the model is in ONNX, or nothing is known of the device's speed.
    """
    speed = profile.speed
    if target.engine != "llama" or speed is None:
        why = "its speed is not known" if speed is None else f"{target.subject.name} is in ONNX"
        raise RecipeError(
            f"Nothing can be predicted with the device {profile.name}: {why}.", hint="Leave --device out."
        )
    cost, behind = cost_of(gguf.read(target.path)), settings.tokens // 2
    rates = {"decode@0": 1 / speed.token_seconds(cost, behind)}
    for length in settings.lengths:
        rates[f"prefill@{length}"] = length / speed.prompt_seconds(cost, length)
        rates[f"decode@{length}"] = 1 / speed.token_seconds(cost, length + behind)
    found = {name: Range.around(rate, speed.spread) for name, rate in rates.items()}
    return Planned(profile.name, {name: (each.low, each.middle, each.high) for name, each in found.items()})


def in_turns(
    paths: tuple[Path, Path],
    pythons: tuple[Path, Path],
    settings: Settings,
    effort: Effort,
    folder: Path,
    progress: Progress,
) -> tuple[Run, Run]:
    """Measure two models, or one with two interpreters, in turns; see :func:`publicai_edge.bench.turns.run`.

    Raises:
        RecipeError: a path names no model, or a prompt is longer than a model's context.
        PublicAIError: one of the two does not run.
    """
    sides = []
    for path, python in zip(paths, pythons, strict=True):
        target = choose(path, settings).target
        _check_lengths(target, settings)
        sides.append(turns.Side(target, settings, python))
    return turns.run(sides[0], sides[1], effort, folder, progress)


def _check_lengths(target: Target, settings: Settings) -> None:
    longest, trained = max(settings.lengths, default=0), target.context_trained
    if trained and longest + settings.tokens > trained:
        raise RecipeError(
            f"A prompt of {longest:,} tokens and {settings.tokens} behind it do not fit {target.subject.name}, "
            f"which was made for {trained:,}.",
            hint="Give shorter prompts with --length.",
        )


def _alone(target: Target, settings: Settings) -> Chosen:
    if not target.speaks:
        return Chosen(target, None, "")
    config = EngineConfig(
        model=target.path,
        model_sha256=target.subject.sha256,
        context=max(_LEAST_CONTEXT, _ROOM + settings.answer_tokens),
        kind=target.engine,
        prompts=(SharedPrompt("bench", "en", SYSTEM),),
        threads=settings.threads,
    )
    return Chosen(target, config, SYSTEM)


def _bundle(bundle: Bundle, settings: Settings) -> Chosen:
    manifest = bundle.manifest
    config = bundle.engine_config(threads=settings.threads)
    found = _onnx(bundle.model_path) if config.kind == "onnx" else _gguf(bundle.model_path)
    whole = bundle.knowledge_path and bundle.embedding_path
    subject = Subject(
        kind="bundle",
        name=f"{manifest.name} {manifest.version}",
        sha256=config.model_sha256,
        size=found.subject.size,
        format=found.subject.format,
        type=found.subject.type,
        architecture=found.subject.architecture,
        parameters=found.subject.parameters,
    )
    target = Target(
        subject=subject,
        path=found.path,
        engine=found.engine,
        work=found.work,
        context_trained=found.context_trained,
        bundle=bundle.root if whole else None,
    )
    return Chosen(target, config, next(iter(manifest.services[0].prompt.values())))


def _gguf(path: Path) -> Target:
    header = gguf.read(path)
    if not header.number("block_count"):
        raise ModelError(
            f"{path} is a GGUF file without the layers of a language model.",
            hint="Give a language model; an adapter or a vocabulary cannot be measured.",
            path=str(path),
        )
    subject = Subject(
        kind="model",
        name=path.name,
        sha256=_sha256(header),
        size=header.size,
        format="GGUF",
        type=header.quantization,
        architecture=header.architecture,
        parameters=sum(tensor.weights for tensor in header.tensors),
    )
    trained = header.number("context_length")
    return Target(subject, path, "llama", work_of(header), trained, speaks=header.chat_template is not None)


def _sha256(header: gguf.Header) -> str:
    """Return a model file's digest; of a model in several files, that of their digests."""
    if len(header.files) == 1:
        return digest.of_file(header.path)
    return digest.of_json({item.name: digest.of_file(item) for item in header.files})


def _onnx(path: Path) -> Target:
    folder = ChatFolder.open(path)
    files = sorted(item for item in path.iterdir() if item.is_file())
    subject = Subject(
        kind="model",
        name=path.resolve().name,
        sha256=digest.of_json({item.name: digest.of_file(item) for item in files}),
        size=sum(item.stat().st_size for item in files),
        format="ONNX",
        architecture=folder.architecture,
    )
    trained = folder.context_trained
    return Target(subject, path, "onnx", Work(), trained, speaks=folder.template is not None)
