"""Open a bundle folder for use: read its manifest and see that its files are there, whole by their size.

A copy that was cut short is found here, at once, where it would otherwise be found by a patron. Changed bytes are not:
reading them all is ``verify``'s work.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path

from publicai_edge import digest
from publicai_edge.bundle import bag, contents
from publicai_edge.bundle import manifest as bundle_manifest
from publicai_edge.bundle.manifest import Manifest, ModelInfo
from publicai_edge.engine.config import EngineConfig
from publicai_edge.engine.passages.settings import PassageSettings
from publicai_edge.engine.warm import SharedPrompt
from publicai_edge.errors import BundleError

_SHOWN = 5


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: its folder and its manifest."""

    root: Path
    manifest: Manifest

    @property
    def model_path(self) -> Path:
        """The language model's file, the first of them where it is split; the folder of a model in ONNX."""
        file = self.root / self.manifest.model.file
        return file.parent if self.manifest.engine.name == "onnx" else file

    @property
    def embedding_path(self) -> Path | None:
        """The embedding model's folder, where there is one."""
        return self.root / self.manifest.embedding.folder if self.manifest.embedding else None

    @property
    def dictation_path(self) -> Path | None:
        """The speech model's folder, where there is one."""
        return self.root / self.manifest.dictation.folder if self.manifest.dictation else None

    @property
    def voice_paths(self) -> dict[str, Path]:
        """The voices' folders, by the language they speak."""
        return {voice.language: self.root / voice.folder for voice in self.manifest.voices}

    @property
    def knowledge_path(self) -> Path | None:
        """The documents' index, where there is one."""
        return self.root / self.manifest.knowledge.file if self.manifest.knowledge else None

    @property
    def zim_paths(self) -> tuple[Path, ...]:
        """The ZIM files, in the manifest's order."""
        return tuple(self.root / item.file for item in self.manifest.knowledge.zim) if self.manifest.knowledge else ()

    def engine_config(self, *, threads: int | None = None, passages: Path | None = None) -> EngineConfig:
        """Return what the engine is started with: the model and the stored state of every service's prompt.

        Args:
            threads: None lets the engine choose.
            passages: where what was computed of passages is kept, if it is.
        """
        manifest = self.manifest
        states = {
            (item.service, item.language): (str(self.root / item.file), digest.check(item.sha256))
            for item in manifest.engine.warm
        }
        prompts = [
            SharedPrompt(service.id, language, system, *states.get((service.id, language), (None, None)))
            for service in manifest.services
            for language, system in sorted(service.prompt.items())
        ]
        return EngineConfig(
            model=self.model_path,
            model_sha256=model_digest(manifest.model),
            kind=manifest.engine.name,
            context=manifest.engine.context,
            slots=manifest.engine.slots,
            prompts=tuple(prompts),
            fingerprint=manifest.engine.warm_fingerprint,
            threads=threads,
            tuning=manifest.engine.tuning,
            passages=passage_settings(self, passages),
        )


def model_digest(model: ModelInfo) -> str:
    """Return the digest that names the model: its file's, or one of all files of a model that has several."""
    if not model.parts:
        return digest.check(model.sha256)
    return digest.of_json({path: digest.check(sha256) for path, sha256 in model.parts.items()})


def passage_settings(bundle: Bundle, folder: Path | None) -> PassageSettings:
    """Return how passages are read.

    Args:
        bundle: the bundle.
        folder: where what was computed of them is kept; without one, they are read for every question.
    """
    knowledge = bundle.manifest.knowledge
    if knowledge is None or folder is None:
        return PassageSettings()
    reading = knowledge.reading
    return PassageSettings(
        reading.composition,
        reading.recomputed_tokens,
        str(folder),
        reading.disk_mb * 1_000_000,
        str(bundle.root / reading.states) if reading.states else None,
    )


def open_bundle(root: Path) -> Bundle:
    """Open the bundle at ``root``; checks that its files are there with all their bytes, not that they are unchanged.

    Raises:
        BundleError: it is not a bundle, lacks a file, or has one that was cut.
    """
    place = root / bundle_manifest.FILE_NAME
    try:
        data = place.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        what = "There is no folder" if not root.exists() else "There is no bundle.json in"
        raise BundleError(
            f"{what} {root}: not a bundle.",
            hint=contents.what_to_give(root),
        ) from error
    except OSError as error:
        raise BundleError(f"Cannot read {place}: {error.strerror}.") from error
    bundle = Bundle(root, bundle_manifest.parse(data, str(place)))
    _require(bundle)
    return bundle


def _require(bundle: Bundle) -> None:
    listed = bag.parse_manifest(_list(bundle, bag.PAYLOAD_MANIFEST), bag.PAYLOAD_MANIFEST)
    wanted = bag.payload_bytes(_list(bundle, bag.INFO))
    sizes = {path: _size(bundle.root / path) for path in listed}
    model = bundle.manifest.model
    needed = [bundle.root / path for path in (model.file, *model.parts)]
    others = (bundle.embedding_path, bundle.dictation_path, bundle.knowledge_path)
    needed += [path for path in (*others, *bundle.voice_paths.values(), *bundle.zim_paths) if path]
    missing = {path.relative_to(bundle.root).as_posix() for path in needed if not path.exists()}
    missing |= {path for path, size in sizes.items() if size is None}
    if missing:
        raise _lacks(bundle, sorted(missing))
    if (size := (bundle.root / model.file).stat().st_size) != model.size:
        raise BundleError(
            f"{model.file} in {bundle.root} has {size:,} bytes; bundle.json says {model.size:,}.",
            hint="The copy was cut short, or the file was changed: copy the bundle again.",
        )
    if (total := sum(size or 0 for size in sizes.values())) != wanted:
        raise BundleError(
            f"The files below {bundle.root / bag.PAYLOAD} have {total:,} bytes; {bag.INFO} says {wanted:,}.",
            hint=f"The copy was cut short, or a file was changed: `{_verify(bundle)}` names it. "
            "Copy the bundle again from where it came.",
        )


def _list(bundle: Bundle, name: str) -> bytes:
    try:
        return (bundle.root / name).read_bytes()
    except FileNotFoundError as error:
        raise _lacks(bundle, [name]) from error
    except OSError as error:
        raise BundleError(f"Cannot read {bundle.root / name}: {error.strerror}.") from error


def _size(place: Path) -> int | None:
    """Return a file's size in bytes, or None where there is no such file."""
    try:
        return place.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BundleError(f"Cannot read {place}: {error.strerror}.") from error


def _verify(bundle: Bundle) -> str:
    return shlex.join(["publicai-edge", "verify", str(bundle.root)])


def _lacks(bundle: Bundle, missing: list[str]) -> BundleError:
    shown = ", ".join(missing[:_SHOWN])
    if (more := len(missing) - _SHOWN) > 0:
        shown += f" and {more} more"
    return BundleError(
        f"The bundle {bundle.root} lacks {shown}.",
        hint=f"Copy it again from where it came; `{_verify(bundle)}` lists everything that is missing.",
        missing=missing,
    )
