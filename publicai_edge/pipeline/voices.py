"""The voices of a recipe: pronunciation converted, each voice checked by speaking, and both packed together."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from publicai_edge.artifact import FileSet
from publicai_edge.bundle.manifest import PronunciationInfo, VoiceInfo
from publicai_edge.convert.pronunciation import number_words
from publicai_edge.engine.voice import process_bytes
from publicai_edge.engine.voice.folder import CONFIG_FILE, GRAPH_FILE, VoiceFolder
from publicai_edge.errors import RecipeError
from publicai_edge.pipeline.fetching import said_role, voice_role
from publicai_edge.pipeline.stages import named
from publicai_edge.pipeline.steps import Runner, Step, StepResult
from publicai_edge.recipe import Recipe, Voice
from publicai_edge.recipe.lock import Pin

FOLDER = "data/voices"

_CONVERT_CODE = ("publicai_edge.convert.pronunciation", "publicai_edge.engine.voice")
_CHECK_CODE = (
    "publicai_edge.engine.voice",
    "publicai_edge.engine.ondemand.session",
    "publicai_edge.engine.settings_file",
)
_CHECK_LIBRARIES = ("numpy", "onnxruntime")


@dataclass(frozen=True)
class Spoken:
    """The voices: their files by language, as a bundle holds them, and the steps that checked them."""

    languages: tuple[tuple[str, FileSet, StepResult], ...] = ()

    @property
    def files(self) -> FileSet:
        """All files, in folders by language."""
        return FileSet({path: blob for tag, files, _ in self.languages for path, blob in files.prefixed(tag)})

    @property
    def memory(self) -> int:
        """Bytes that the process takes that reads aloud: one voice at a time, so those of the largest."""
        sizes = [files.files[GRAPH_FILE].size for _, files, _ in self.languages]
        return process_bytes(max(sizes)) if sizes else 0

    @property
    def facts(self) -> dict[str, Any]:
        """What the build's report says, by language."""
        return {tag: step.facts for tag, _, step in self.languages}


def make(runner: Runner, recipe: Recipe, pins: dict[str, Pin]) -> Spoken:
    """Convert each voice's pronunciation and see that the voice speaks.

    Raises:
        ModelError: one is damaged, or does not speak.
        RecipeError: one speaks another language than the recipe says.
    """
    laid_out = [(index, voice, _voice(runner, index, voice, pins)) for index, voice in enumerate(recipe.voices)]
    return Spoken(tuple(_made(runner, recipe, index, voice, files, pins) for index, voice, files in laid_out))


def check_folder(index: int, voice: Voice, folder: Path) -> VoiceFolder:
    """Return what a voice's folder holds.

    Raises:
        ModelError: it is no Piper voice that reads phonemes of espeak-ng.
        RecipeError: it speaks another language.
    """
    with named(folder, f"voices[{index}].source: {voice.source}"):
        found = VoiceFolder.open(folder)
    if not found.speaks(voice.language):
        raise RecipeError(
            f"voices[{index}] is for {voice.language!r}, and {voice.source} speaks {found.language!r}.",
            hint="Name a voice of that language, or the language of that voice.",
        )
    return found


def _voice(runner: Runner, index: int, voice: Voice, pins: dict[str, Pin]) -> FileSet:
    """Return a voice's two files under the names that a bundle has for them."""
    files = pins[voice_role(voice.language)].files
    with runner.store.scratch() as work:
        runner.store.checkout(files, work / "voice")
        graph = check_folder(index, voice, work / "voice").graph.name
    return FileSet({GRAPH_FILE: files.files[graph], CONFIG_FILE: files.files[f"{graph}.json"]})


def _made(
    runner: Runner, recipe: Recipe, index: int, voice: Voice, files: FileSet, pins: dict[str, Pin]
) -> tuple[str, FileSet, StepResult]:
    said = _pronunciation(runner, index, voice, pins[said_role(voice.language)].files)
    if not said.facts["numbers"]:
        runner.progress.warn(f"voices[{index}]: numbers in {voice.language} are read digit by digit, or not at all.")
    whole = FileSet({**files.files, **said.files.files})
    sentence = recipe.steward.ask_a_person[voice.language]

    def run(_folder: Path) -> dict[str, Any]:
        from publicai_edge.engine.voice.check import check

        with runner.store.scratch() as work:
            runner.store.checkout(whole, work / "voice")
            with named(work / "voice", voice.source):
                found = check(work / "voice", voice.source, sentence, runner.progress)
        return {"words": said.facts["words"], "measured": {"seconds": found.seconds, "rss": found.peak_rss_bytes}}

    inputs = {"files": whole.sha256, "sentence": sentence, "words": said.facts["words"]}
    step = runner.run(Step("voice", _CHECK_CODE, _CHECK_LIBRARIES, inputs, run))
    return voice.language, whole, step


def _pronunciation(runner: Runner, index: int, voice: Voice, files: FileSet) -> StepResult:
    name = f"voices[{index}].pronunciation: {voice.pronunciation.source}"

    def run(folder: Path) -> dict[str, Any]:
        from publicai_edge.convert.pronunciation.convert import convert

        with runner.store.scratch() as work:
            runner.store.checkout(files, work / "said")
            with named(work / "said", name):
                return convert(work / "said", folder, voice.language, voice.pronunciation.source, runner.progress)

    inputs = {"files": files.sha256, "language": voice.language}
    libraries = ("numpy", "apsw", *number_words.LIBRARIES)
    return runner.run(Step("pronunciation", _CONVERT_CODE, libraries, inputs, run))


def describe(recipe: Recipe, pins: dict[str, Pin]) -> tuple[VoiceInfo, ...]:
    """Return what ``bundle.json`` says of them."""
    return tuple(_described(recipe, pins))


def _described(recipe: Recipe, pins: dict[str, Pin]) -> Iterator[VoiceInfo]:
    for voice in recipe.voices:
        said = voice.pronunciation
        yield VoiceInfo(
            language=voice.language,
            name=voice.name,
            source=voice.source,
            revision=pins[voice_role(voice.language)].revision,
            license=voice.license,
            license_url=voice.license_url,
            folder=f"{FOLDER}/{voice.language}",
            pronunciation=PronunciationInfo(
                name=said.name,
                source=said.source,
                revision=pins[said_role(voice.language)].revision,
                license=said.license,
                license_url=said.license_url,
            ),
        )
