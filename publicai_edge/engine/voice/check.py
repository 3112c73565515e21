"""See that a voice can be used before it is packed: a child process speaks a sentence of the bundle with it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from publicai_edge import child
from publicai_edge.errors import EngineError, ModelError
from publicai_edge.progress import Progress

_SECONDS, _MEMORY = 300.0, 8 << 30
_PER_SIGN = (0.02, 0.15)  # seconds of sound for each sign of what is said; 0.05 is usual
_QUIETEST = 0.01  # root of the mean square of what was made as loud as can be
_HINT = "Choose another voice, or the same again from its publisher."


@dataclass(frozen=True)
class VoiceFacts:
    """What the check found: seconds that the sentence took to say, and the memory that speaking took."""

    seconds: float
    peak_rss_bytes: int


def check(folder: Path, name: str, sentence: str, progress: Progress) -> VoiceFacts:
    """Speak a sentence with the voice in ``folder``, called ``name`` in messages.

    Raises:
        ModelError: it cannot be loaded, does not run, or what it says is no speech.
    """
    payload = {"folder": str(folder.resolve()), "name": name, "sentence": sentence}
    try:
        result = child.run(
            f"{__name__}:_check", payload, what=f"check {name}", progress=progress, limit_seconds=4 * _SECONDS
        )
    except EngineError as error:
        raise ModelError(f"{name} does not run: {error.message}", hint=_HINT) from error
    return VoiceFacts(result.value["seconds"], result.peak_rss_bytes)


def _check(payload: dict[str, Any], progress: Progress) -> dict[str, Any]:
    import numpy as np

    from publicai_edge.engine.voice.talker import Talker

    child.limit_this_process(_SECONDS, _MEMORY)
    name = payload["name"]
    with progress.task(f"Checking {name}"):
        talker = Talker(Path(payload["folder"]))
        phonemes = talker.phonemes(payload["sentence"])
        sound = talker.voice.speak(phonemes)
        seconds = len(sound) / talker.voice.folder.rate
        least, most = (each * len(phonemes) for each in _PER_SIGN)
        if not np.isfinite(sound).all() or not least <= seconds <= most:
            raise ModelError(f"{name} takes {seconds:.2f} s for a sentence of {len(phonemes)} phonemes.", hint=_HINT)
        if (loudness := float(np.sqrt((sound**2).mean()))) < _QUIETEST:
            raise ModelError(f"{name} is not heard: its loudness is {loudness:.4f}.", hint=_HINT)
    return {"seconds": round(seconds, 3)}
