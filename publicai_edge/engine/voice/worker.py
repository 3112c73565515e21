"""The process that speaks: a text in, a WAV file out (see :mod:`..ondemand`); a voice is loaded when it is asked."""

from functools import partial
from pathlib import Path
from typing import Any

from publicai_edge.engine.ondemand import server
from publicai_edge.engine.voice.talker import Talker


def _load(settings: dict[str, Any]) -> server.Answer:
    folders = {language: Path(folder) for language, folder in settings["folders"].items()}
    return partial(_answer, folders, settings["threads"], {})


def _answer(
    folders: dict[str, Path], threads: int, held: dict[str, Talker], request: dict[str, Any], data: bytearray
) -> tuple[dict[str, Any], bytearray]:
    language = request["language"]
    if language not in held:
        held.clear()  # one voice at a time: each takes the memory of its files several times over
        held[language] = Talker(folders[language], threads)
    return {}, held[language].speak(data.decode())


if __name__ == "__main__":
    server.main(_load)
