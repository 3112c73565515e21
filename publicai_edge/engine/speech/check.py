"""See that a speech model can be used before it is packed: a child process loads it, and runs it on some silence."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from publicai_edge import child
from publicai_edge.errors import EngineError, ModelError
from publicai_edge.progress import Progress

MOST_MEMORY = 8 << 30
_SECONDS = 300.0
_HINT = "Name another conversion of the model, or the same again from its publisher."


@dataclass(frozen=True)
class SpeechFacts:
    """What the check found: those of the languages that the model knows, and the memory it took."""

    languages: tuple[str, ...]
    peak_rss_bytes: int


def check(path: Path, name: str, languages: Sequence[str], progress: Progress) -> SpeechFacts:
    """Return what the model in the folder ``path``, called ``name`` in messages, can do for these languages.

    Raises:
        ModelError: it cannot be loaded, does not run, or knows none of the languages.
    """
    payload = {"path": str(path.resolve()), "name": name, "languages": list(languages)}
    try:
        result = child.run(
            f"{__name__}:_check", payload, what=f"check {name}", progress=progress, limit_seconds=4 * _SECONDS
        )
    except EngineError as error:
        raise ModelError(f"{name} does not run: {error.message}", hint=_HINT) from error
    return SpeechFacts(tuple(result.value["languages"]), result.peak_rss_bytes)


def _check(payload: dict[str, Any], progress: Progress) -> dict[str, Any]:
    import numpy as np

    from publicai_edge.engine.speech import SAMPLE_RATE
    from publicai_edge.engine.speech.whisper import Whisper

    child.limit_this_process(_SECONDS, MOST_MEMORY)
    name = payload["name"]
    with progress.task(f"Checking {name}"):
        model = Whisper.open(Path(payload["path"]))
        known = model.folder.known(payload["languages"])
        if not known:
            raise ModelError(
                f"{name} knows none of the bundle's languages: {', '.join(payload['languages'])}.",
                hint="Leave [dictation] out of the recipe.",
            )
        model.hear(np.zeros(SAMPLE_RATE, np.float32), known[0])
    return {"languages": list(known)}
