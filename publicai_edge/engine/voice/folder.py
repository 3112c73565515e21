"""The folder of a Piper voice: its graph, ``NAME.onnx``, and what ``NAME.onnx.json`` says of it.

It comes from strangers: sizes are bounded, and every number is checked before it is used.
"""

import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from publicai_edge.engine import settings_file
from publicai_edge.errors import ModelError

GRAPH_FILE, CONFIG_FILE = "voice.onnx", "voice.onnx.json"
"""What the two are called in a bundle."""
SOURCE_FILES = ("*.onnx", "*.onnx.json")
_MAX_BYTES = 1 << 20
_START, _END, _PAD = "^", "$", "_"
_RATES, _MOST_IDS, _LONGEST_KEY, _MOST_PER_KEY = range(8000, 48_001), 1 << 16, 8, 8
_SLOWEST, _MOST_SPEAKERS = 4.0, 1 << 16
_OTHERWISE = {"cmn": "zh", "nb": "no"}
"""What espeak-ng calls languages that have another tag as well."""
_HINT = "Name the folder of one Piper voice, such as hf:rhasspy/piper-voices/en/en_US/joe/medium/."


@dataclass(frozen=True)
class VoiceFolder:
    """A voice's folder, with its configuration read.

    Attributes:
        graph: the file that ONNX Runtime loads.
        rate: samples a second.
        language: that it speaks, as espeak-ng calls it.
        slowness: how long everything is said; 1 is usual.
        ids: the numbers of a sign of what is said.
    """

    graph: Path
    rate: int
    language: str
    slowness: float
    ids: dict[str, tuple[int, ...]]

    @staticmethod
    def open(path: Path) -> "VoiceFolder":
        """Read the folder at ``path``.

        Raises:
            ModelError: it holds no voice, or several, or one that reads other signs than espeak-ng's phonemes.
        """
        graph, config = _files(path)
        values = _read(config)
        if (kind := values.get("phoneme_type", "espeak")) != "espeak":
            raise ModelError(
                f"{config} reads {str(kind)[:40]!r}, not phonemes of espeak-ng, and nothing here makes those.",
                hint='Choose a voice whose .onnx.json says "phoneme_type": "espeak".',
            )
        try:
            return _described(graph, values)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ModelError(
                f"{config} is not the configuration of a Piper voice: {type(error).__name__}, {error}.", hint=_HINT
            ) from error

    def speaks(self, tag: str) -> bool:
        """Say whether it speaks the language of a BCP 47 tag."""
        return tag.lower().partition("-")[0] == self.language

    def numbers(self, phonemes: str) -> list[int]:
        """Return what the graph reads; a sign that the voice was not made for is left out."""
        pad = self.ids[_PAD]
        found = [*self.ids[_START], *pad]
        for sign in unicodedata.normalize("NFD", phonemes):
            if sign in self.ids and sign not in {_START, _END, _PAD}:
                found += [*self.ids[sign], *pad]
        return [*found, *self.ids[_END]]


def _files(path: Path) -> tuple[Path, Path]:
    graphs = sorted(path.glob("*.onnx"))
    if len(graphs) != 1:
        names = ", ".join(graph.name for graph in graphs) or "none"
        raise ModelError(f"{path} should hold one .onnx file; it holds {names}.", hint=_HINT, path=str(path))
    config = path / f"{graphs[0].name}.json"
    if not config.is_file():
        raise ModelError(f"{path} lacks {config.name}.", hint=_HINT, path=str(path))
    return graphs[0], config


def _described(graph: Path, values: dict[str, Any]) -> VoiceFolder:
    rate, speakers = values["audio"]["sample_rate"], values.get("num_speakers", 1)
    slowness = float(values.get("inference", {}).get("length_scale", 1))
    if rate not in _RATES or not 0 < slowness <= _SLOWEST or not 0 <= speakers <= _MOST_SPEAKERS:
        raise ValueError(f"sample_rate {rate!r}, length_scale {slowness!r}, num_speakers {speakers!r}")
    ids = {str(sign): tuple(map(_number, numbers)) for sign, numbers in values["phoneme_id_map"].items()}
    if any(len(sign) > _LONGEST_KEY or len(numbers) > _MOST_PER_KEY for sign, numbers in ids.items()):
        raise ValueError("phoneme_id_map is another one")
    if missing := [sign for sign in (_START, _END, _PAD, " ") if not ids.get(sign)]:
        raise ValueError(f"phoneme_id_map lacks {missing}")
    spoken = str(values["espeak"]["voice"]).partition("-")[0]
    return VoiceFolder(graph, rate, _OTHERWISE.get(spoken, spoken), slowness, ids)


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < _MOST_IDS:
        raise ValueError(f"{value!r} is no number of a sign")
    return value


def _read(path: Path) -> dict[str, Any]:
    return settings_file.read(path, _MAX_BYTES, _HINT)
