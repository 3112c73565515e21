"""The process of a model that is loaded on demand: a request in, an answer out, until its stdin closes.

It ends with the kiosk, so. It gives way to whatever else the processor has to do, its address space is limited, and
each request is timed: its alarm ends it, in native code too. It writes no file and leaves no core file. What a request
and its answer were made of is overwritten as soon as the answer is sent, and what else was let go when the kiosk says
that nobody waits (see :mod:`publicai_edge.scrub`).
"""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import IO, Any

from publicai_edge.child import claim_stdout, confine_this_process, time_this_process, write_whole
from publicai_edge.engine.ondemand import END, read_bytes, read_line
from publicai_edge.errors import PublicAIError
from publicai_edge.scrub import overwrite_what_is_freed, scrub

_PATIENT = 10  # niceness: the answers that others wait for come first

Answer = Callable[[dict[str, Any], bytearray], tuple[dict[str, Any], bytearray]]
"""Takes a request and the bytes that came with it; returns an answer and the bytes that go with it."""


def main(load: Callable[[dict[str, Any]], Answer]) -> None:
    """Serve this process's stdin until it closes, and end the process.

    Args:
        load: loads the model by the settings that the kiosk gives.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the kiosk decides, and closes the pipe
    with contextlib.suppress(BrokenPipeError):
        _serve(json.loads(sys.argv[1]), load)
    os._exit(0)


def _serve(settings: dict[str, Any], load: Callable[[dict[str, Any]], Answer]) -> None:
    stream: IO[bytes] = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115
    channel = claim_stdout()
    confine_this_process(settings["memory_bytes"])
    if sys.platform != "win32":
        os.nice(_PATIENT)

    def send(answer: dict[str, Any], data: bytes | bytearray = b"") -> None:
        write_whole(channel.fileno(), json.dumps({**answer, "bytes": len(data)}).encode() + b"\n")
        write_whole(channel.fileno(), bytes(data))
        write_whole(channel.fileno(), END)

    def serve(line: bytes) -> None:  # of its own, so that nothing of a request is held while the next one is awaited
        request = json.loads(line)
        data, made = read_bytes(stream, request["bytes"]), bytearray()
        time_this_process(settings["seconds"])
        try:
            if "rest" in request:
                scrub()
                send({}, bytes(len(data)))  # fills what lies between the two processes, too
            else:
                answer, made = answered(request, data)
                send(answer, made)
        except PublicAIError as error:
            send({"error": error.message})
        finally:
            time_this_process(0)
            data[:], made[:] = bytes(len(data)), bytes(len(made))

    time_this_process(settings["seconds"])
    try:
        answered = load(settings["load"])
    except PublicAIError as error:
        send({"error": error.message})
        return
    time_this_process(0)
    overwrite_what_is_freed()
    send({"ready": True})
    while line := read_line(stream):
        serve(line)
