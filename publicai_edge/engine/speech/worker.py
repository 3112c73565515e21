"""The process that writes down what patrons say: a line of JSON in, the recording behind it; a line of JSON out.

It ends when its stdin does, so with the kiosk. It gives way to whatever else the processor has to do, its address space
is limited, and each request is timed: its alarm ends it, in native code too. It writes no file and leaves no core file.
A recording is overwritten as soon as it has been written down, and what else was let go when the kiosk says that nobody
waits (see :mod:`publicai_edge.scrub`).
"""

import contextlib
import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from publicai_edge.child import claim_stdout, confine_this_process, time_this_process, write_whole
from publicai_edge.engine.speech import MOST_SECONDS, SAMPLE_BYTES, SAMPLE_RATE
from publicai_edge.engine.speech.whisper import Whisper
from publicai_edge.errors import PublicAIError
from publicai_edge.scrub import overwrite_what_is_freed, scrub

_MOST_LINE, _MOST_BYTES = 1 << 10, MOST_SECONDS * SAMPLE_RATE * SAMPLE_BYTES
_PATIENT = 10  # niceness: the answers that others wait for come first


@dataclass(frozen=True)
class Settings:
    """What is loaded, and what a request may cost."""

    folder: str
    threads: int
    seconds: int
    memory_bytes: int


def _serve(settings: Settings, stream: BinaryIO) -> None:
    channel = claim_stdout()
    confine_this_process(settings.memory_bytes)
    if sys.platform != "win32":
        os.nice(_PATIENT)

    def send(answer: dict[str, Any]) -> None:
        write_whole(channel.fileno(), json.dumps(answer).encode() + b"\n")

    def serve(line: bytes) -> None:  # of its own, so that nothing of a request is held while the next one is awaited
        request = json.loads(line)
        data = _read(stream, min(request["bytes"], _MOST_BYTES))
        time_this_process(settings.seconds)
        answer = _answer(model, request, data)
        time_this_process(0)
        send(answer)

    time_this_process(settings.seconds)
    try:
        model = Whisper.open(Path(settings.folder), settings.threads)
    except PublicAIError as error:
        send({"error": error.message})
        return
    time_this_process(0)
    overwrite_what_is_freed()
    send({"ready": True})
    while line := stream.readline(_MOST_LINE):
        serve(line)


def _answer(model: Whisper, request: dict[str, Any], data: bytearray) -> dict[str, Any]:
    if "language" not in request:
        scrub()
        return {"rested": "." * len(data)}  # fills what lies between the two processes, too
    sound = np.frombuffer(data, "<i2").astype(np.float32)
    try:
        sound /= 1 << 15
        return {"text": model.write_down(sound, request["language"])}
    except PublicAIError as error:
        return {"error": error.message}
    finally:
        sound.fill(0)
        data[:] = bytes(len(data))


def _read(stream: BinaryIO, count: int) -> bytearray:
    """Return so many bytes, read without a buffer that would keep them; fewer where the kiosk has gone."""
    data = bytearray(count)
    view, at = memoryview(data), 0
    while at < count and (got := stream.readinto(view[at:])):  # type: ignore[attr-defined]
        at += got
    view.release()
    return data


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the kiosk decides, and closes the pipe
    with contextlib.suppress(BrokenPipeError):
        _serve(Settings(**json.loads(sys.argv[1])), open(0, "rb", buffering=0, closefd=False))  # noqa: SIM115
    os._exit(0)
