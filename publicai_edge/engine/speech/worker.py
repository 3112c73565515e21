"""The process that writes down what patrons say: a recording in, its words out (see :mod:`..ondemand`)."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from publicai_edge.engine.ondemand import server
from publicai_edge.engine.speech.whisper import Whisper


def _load(settings: dict[str, Any]) -> server.Answer:
    return partial(_answer, Whisper.open(Path(settings["folder"]), settings["threads"]))


def _answer(model: Whisper, request: dict[str, Any], data: bytearray) -> tuple[dict[str, Any], bytearray]:
    sound = np.frombuffer(data, "<i2").astype(np.float32)
    try:
        sound /= 1 << 15
        return {"text": model.write_down(sound, request["language"])}, bytearray()
    finally:
        sound.fill(0)


if __name__ == "__main__":
    server.main(_load)
