"""Whisper on ONNX Runtime: a recording in, its words out. Needs onnxruntime, tokenizers and numpy.

The decoder is transformers.js's "merged" one: with ``use_cache_branch`` false it reads the whole prompt and what the
encoder heard, with true one token and what it returned before. What was computed of the encoder's output it returns the
first time only.

Nothing of a recording is kept: the arrays of a call are let go when it returns, and onnxruntime holds none in
reserve.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from publicai_edge.engine.ondemand.session import open_session
from publicai_edge.engine.speech import SAMPLE_RATE
from publicai_edge.engine.speech.decoding import Chooser, looped, most_tokens, probability
from publicai_edge.engine.speech.folder import DECODER_FILE, ENCODER_FILE, TOKENIZER_FILE, SpeechFolder
from publicai_edge.engine.speech.mel import log_mel
from publicai_edge.errors import EngineError, ModelError

Array = npt.NDArray[Any]

_HINT = "Copy the bundle again, or build it with another conversion of the model."
_PAST = re.compile(r"past_key_values\.\d+\.(decoder|encoder)\.(key|value)")
_FEATURES, _HIDDEN, _LOGITS = "input_features", "encoder_hidden_states", "logits"
_SILENCE, _SURE = 0.6, -1.0
"""From openai/whisper's ``transcribe.py``: a recording likelier than this to hold no speech has none, unless the model
is surer of its words (mean logarithm of their probabilities)."""
_QUIET, _PIECE = 0.002, SAMPLE_RATE // 20
"""A recording of which no twentieth of a second is louder (root of the mean square, -54 dB) holds no speech."""


@dataclass(frozen=True)
class Heard:
    """What was written down, and how likely the model holds it that nobody spoke."""

    text: str
    silence: float
    sureness: float

    @property
    def words(self) -> str:
        """The text, or "" where nobody spoke."""
        return "" if self.silence > _SILENCE and self.sureness < _SURE else self.text


class Whisper:
    """An opened model."""

    def __init__(self, folder: SpeechFolder, encoder: Any, decoder: Any, tokenizer: Any) -> None:
        self.folder = folder
        self._encoder = encoder
        self._decoder = decoder
        self._tokenizer = tokenizer
        self._chooser = Chooser(folder)
        self._past = {item.name: item for item in decoder.get_inputs() if _PAST.fullmatch(item.name)}
        self._outputs = [_LOGITS, *(_present(name) for name in self._past)]

    @staticmethod
    def open(path: Path, threads: int = 1) -> "Whisper":
        """Load the model in the folder ``path``.

        Raises:
            ModelError: a file is missing, or none of a model that is known here.
        """
        folder = SpeechFolder.open(path)
        encoder, decoder = (open_session(path / name, threads, _HINT) for name in (ENCODER_FILE, DECODER_FILE))
        _check(path, encoder, decoder)
        return Whisper(folder, encoder, decoder, _tokenizer(path / TOKENIZER_FILE))

    def write_down(self, sound: npt.NDArray[np.float32], language: str) -> str:
        """Return what is said in a recording, or "" where nobody speaks.

        Args:
            sound: samples from -1 to 1 at 16 kHz, at most 30 seconds.
            language: a BCP 47 tag.

        Raises:
            EngineError: the model does not know the language, or does not run.
        """
        return self.hear(sound, language).words if is_loud(sound) else ""

    def hear(self, sound: npt.NDArray[np.float32], language: str) -> Heard:
        """Return what the model makes of a recording, however quiet; the arguments are :meth:`write_down`'s."""
        name = self.folder.language(language)
        if name is None:
            raise EngineError(f"The speech model does not know the language {language!r}.", hint=_HINT)
        prompt = [self.folder.start, self.folder.languages[name], self.folder.transcribe, self.folder.no_times]
        try:
            features = log_mel(sound, self.folder.bands)[None]
            (hidden,) = self._encoder.run(["last_hidden_state"], {_FEATURES: features})
            return self._decode(hidden, prompt, most_tokens(len(sound) / SAMPLE_RATE, self.folder, len(prompt)))
        except Exception as error:  # onnxruntime's errors share no base class; none of them quotes what was said
            raise EngineError(f"The speech model failed ({type(error).__name__}).", hint=_HINT) from error

    def _decode(self, hidden: Array, prompt: list[int], most: int) -> Heard:
        past = {name: np.zeros((1, item.shape[1], 0, item.shape[3]), np.float32) for name, item in self._past.items()}
        logits, past = self._step(prompt, hidden, past, reads_all=True)
        silence = probability(logits[0], self.folder.no_times - 1)  # the token for "nobody speaks" stands before it
        written: list[int] = []
        sureness = 0.0
        while len(written) < most:
            chosen = self._chooser.choose(logits[-1], first=not written)
            sureness += chosen.log_probability
            if chosen.token == self.folder.end:
                break
            written.append(chosen.token)
            if again := looped(written):
                del written[-again:]
                break
            logits, past = self._step([chosen.token], hidden, past, reads_all=False)
        text = self._tokenizer.decode(written, skip_special_tokens=True).strip()
        return Heard(text, silence, sureness / (len(written) + 1))

    def _step(
        self, tokens: list[int], hidden: Array, past: dict[str, Array], *, reads_all: bool
    ) -> tuple[Array, dict[str, Array]]:
        feeds = {"input_ids": np.array([tokens], np.int64), _HIDDEN: hidden, **past}
        feeds["use_cache_branch"] = np.array([not reads_all])
        logits, *present = self._decoder.run(self._outputs, feeds)
        grown = {
            name: new if reads_all or ".decoder." in name else past[name]
            for name, new in zip(self._past, present, strict=True)
        }
        return logits[0], grown


def is_loud(sound: npt.NDArray[np.float32]) -> bool:
    """Say whether anything in a recording may be speech."""
    whole = sound[: len(sound) // _PIECE * _PIECE].reshape(-1, _PIECE)
    return bool(len(whole)) and float(np.sqrt((whole**2).mean(1)).max()) > _QUIET


def _present(name: str) -> str:
    return name.replace("past_key_values", "present")


def _check(path: Path, encoder: Any, decoder: Any) -> None:
    asked = {item.name for item in decoder.get_inputs()}
    given = {item.name for item in decoder.get_outputs()}
    past = {name for name in asked if _PAST.fullmatch(name)}
    plain = {"input_ids", _HIDDEN, "use_cache_branch"}
    if (
        [item.name for item in encoder.get_inputs()] != [_FEATURES]
        or asked - past != plain
        or not past
        or not {_LOGITS, *map(_present, past)} <= given
    ):
        raise ModelError(f"{path} holds graphs of another kind than transformers.js's merged ones.", hint=_HINT)


def _tokenizer(path: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises plain Exception
        raise ModelError(f"{path} is not a tokenizer: {str(error)[:200]}.", hint=_HINT, path=str(path)) from error
