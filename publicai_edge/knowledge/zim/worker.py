"""The process that reads one ZIM file for the kiosk: requests and answers are JSON lines over its pipes.

It ends when its stdin does, so with the kiosk. Its address space is limited, and each request is timed: its alarm ends
the process, in native code too. It writes no file and leaves no core file: requests hold what a patron asked. What they
leave in its memory is overwritten when the kiosk says that nobody waits (see :mod:`publicai_edge.scrub`).
"""

import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from publicai_edge.child import claim_stdout, confine_this_process, time_this_process, write_whole
from publicai_edge.knowledge.zim.archive import ZimFile
from publicai_edge.scrub import overwrite_what_is_freed, scrub


@dataclass(frozen=True)
class Settings:
    """What is read, how it is cut, and what a request may cost."""

    path: str
    passage_words: int
    seconds: int
    memory_bytes: int


def _serve(settings: Settings) -> None:
    channel = claim_stdout()
    confine_this_process(settings.memory_bytes)

    def send(answer: dict[str, Any]) -> None:
        write_whole(channel.fileno(), json.dumps(answer).encode() + b"\n")

    def serve(line: str) -> None:
        time_this_process(settings.seconds)
        answer = _answer(opened, json.loads(line), settings)
        time_this_process(0)
        send(answer)

    time_this_process(settings.seconds)
    try:
        opened = ZimFile(Path(settings.path))
        opened.forget()  # what libzim makes at its first search, and keeps, would be put where words had been
    except (RuntimeError, OSError, MemoryError):
        send({"error": "libzim does not open it"})
        return
    overwrite_what_is_freed()
    send({"ready": True})
    while line := sys.stdin.readline():
        serve(line)


def _answer(opened: ZimFile, request: dict[str, Any], settings: Settings) -> dict[str, Any]:
    try:
        match request:
            case {"words": words, "most": most}:
                weights, paths = opened.search(words, most)
                return {"weights": weights, "paths": paths}
            case {"rest": padding}:
                scrub()
                opened.forget()
                scrub()
                return {"rested": padding}
            case {"article": path}:
                found = opened.article(path, settings.passage_words)
                if found is None:
                    return {"passages": []}
                place, title, drafts = found
                return {"path": place, "title": title, "passages": [[draft.heading, draft.text] for draft in drafts]}
    except Exception as error:  # noqa: BLE001 - libzim and lxml raise whatever a damaged article leads them to
        return {"error": f"it is damaged ({type(error).__name__})"}  # their own words may quote the question
    return {"error": "it was asked for what it does not do"}


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the kiosk decides, and closes the pipe
    _serve(Settings(**json.loads(sys.argv[1])))
    os._exit(0)
