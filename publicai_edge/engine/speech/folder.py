"""The folder of a Whisper model in ONNX, laid out as transformers.js's conversions are: which files, and what they say.

It holds ``onnx/encoder_model_quantized.onnx`` and ``onnx/decoder_model_merged_quantized.onnx`` (a decoder that runs
with and without what it has read before), ``config.json``, ``generation_config.json``, ``preprocessor_config.json`` and
``tokenizer.json``. They come from strangers: sizes are bounded, and every number is checked before it is used.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from publicai_edge.engine import settings_file
from publicai_edge.engine.speech import MOST_SECONDS, SAMPLE_RATE
from publicai_edge.engine.speech.mel import HOP, WINDOW
from publicai_edge.errors import ModelError

ENCODER_FILE = "onnx/encoder_model_quantized.onnx"
DECODER_FILE = "onnx/decoder_model_merged_quantized.onnx"
TOKENIZER_FILE = "tokenizer.json"
_CONFIG, _GENERATION, _PREPROCESSOR = "config.json", "generation_config.json", "preprocessor_config.json"
FILES = (ENCODER_FILE, DECODER_FILE, TOKENIZER_FILE, _CONFIG, _GENERATION, _PREPROCESSOR)

_MAX_BYTES = 16 << 20
_HINT = "Name the folder of a Whisper model in transformers.js's layout, such as hf:onnx-community/whisper-tiny/."
_SOUND = {"sampling_rate": SAMPLE_RATE, "n_fft": WINDOW, "hop_length": HOP, "chunk_length": MOST_SECONDS}
_BANDS = (80, 128)
_OTHERWISE = {"nb": "no", "jv": "jw", "fil": "tl", "iw": "he", "in": "id", "cmn": "zh"}
"""What Whisper calls languages that have another tag as well (BCP 47)."""


@dataclass(frozen=True)
class SpeechFolder:
    """A model's folder, with its small files read.

    Attributes:
        path: where it lies.
        bands: of pitch that the encoder reads.
        most_tokens: that the decoder can write, its prompt among them.
        end: the token that ends a text.
        start: the token that begins one.
        languages: token by language, as Whisper calls it.
        transcribe: the token that asks for words in the language spoken.
        no_times: the token that asks for no times between the words.
        never: tokens that are never written.
        not_first: tokens that no text begins with.
    """

    path: Path
    bands: int
    most_tokens: int
    end: int
    start: int
    languages: dict[str, int]
    transcribe: int
    no_times: int
    never: tuple[int, ...]
    not_first: tuple[int, ...]

    @staticmethod
    def open(path: Path) -> "SpeechFolder":
        """Read the folder at ``path``.

        Raises:
            ModelError: it lacks a file, or is no Whisper model that knows languages.
        """
        for name in FILES:
            if not (path / name).is_file():
                raise ModelError(f"The speech model in {path} lacks {name}.", hint=_HINT, path=str(path))
        config, generation = _read(path / _CONFIG), _read(path / _GENERATION)
        if config.get("model_type") != "whisper":
            raise ModelError(f"{path} holds {config.get('model_type')!r}, not a Whisper model.", hint=_HINT)
        sound = _read(path / _PREPROCESSOR)
        if wrong := [name for name, value in _SOUND.items() if sound.get(name) != value]:
            raise ModelError(f"{path} reads sound in another way: {_PREPROCESSOR} has {', '.join(wrong)}.", hint=_HINT)
        try:
            return _described(path, config, generation)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(
                f"{path} is not a Whisper model that knows several languages: {type(error).__name__}, {error}.",
                hint=_HINT,
            ) from error

    def language(self, tag: str) -> str | None:
        """Return what Whisper calls the language of a BCP 47 tag, or None where it does not know it."""
        base = tag.lower().partition("-")[0]
        return next((name for name in (base, _OTHERWISE.get(base, "")) if name in self.languages), None)

    def known(self, tags: Iterable[str]) -> tuple[str, ...]:
        """Return those of the tags whose language it knows."""
        return tuple(tag for tag in tags if self.language(tag))


def _described(path: Path, config: dict[str, Any], generation: dict[str, Any]) -> SpeechFolder:
    bands = config["num_mel_bins"]
    if bands not in _BANDS:
        raise ValueError(f"num_mel_bins is {bands!r}")
    count = _number(config["vocab_size"], 1 << 20)
    tokens = {str(name).strip("<|>"): _number(token, count) for name, token in generation["lang_to_id"].items()}
    return SpeechFolder(
        path=path,
        bands=bands,
        most_tokens=_number(config["max_target_positions"], 1 << 16),
        end=_number(generation["eos_token_id"], count),
        start=_number(generation["decoder_start_token_id"], count),
        languages=tokens,
        transcribe=_number(generation["task_to_id"]["transcribe"], count),
        no_times=_number(generation["no_timestamps_token_id"], count),
        never=tuple(_number(token, count) for token in generation.get("suppress_tokens") or ()),
        not_first=tuple(_number(token, count) for token in generation.get("begin_suppress_tokens") or ()),
    )


def _number(value: Any, below: int) -> int:
    if type(value) is not int or not 0 <= value < below:
        raise ValueError(f"{value!r} is no number from 0 to {below - 1}")
    return value


def _read(path: Path) -> dict[str, Any]:
    return settings_file.read(path, _MAX_BYTES, _HINT)
