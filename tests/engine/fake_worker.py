"""A worker that speaks the protocol without a model: what it does to a request stands in the request.

``python fake_worker.py '{"slots": 2, ...}'``: the options below. A request's last message is JSON:
``words`` to say, ``pause`` seconds before each, and what to do ``before`` it has started or ``after`` its first word:
``die``, ``hang`` (the whole loop stops), ``compute`` (so it does, computing, for three seconds), ``spin`` (for ever),
``error`` or ``nonsense``.
"""

import json
import os
import queue
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Options:
    slots: int | None = 4
    ping: bool = False
    starts: str | None = None  # a file that gets a line at each start
    die_at_start: int = 0  # the first so many starts end before they are ready
    fail: bool = False  # says that the model cannot be loaded
    load_seconds: float = 0.0
    busy_seconds: float = 0.0  # a step in which nothing is answered, when the first request comes
    deaf: bool = False  # reads nothing after its configuration
    dawdle: float = 0.0  # seconds until a cancelled request is let go
    log: str | None = None  # a file that gets each line received


@dataclass
class Answer:
    plan: dict[str, Any]
    said: int = 0
    due: float = field(default_factory=time.monotonic)
    cancelled: float | None = None
    begun: bool = False


def say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def misbehave(what: str | None, number: int) -> bool:
    """Do what the plan says; return whether the request is over."""
    match what:
        case "die":
            os._exit(9)
        case "hang":
            time.sleep(1000)
        case "compute":
            end = time.monotonic() + 3
            while time.monotonic() < end:
                pass
        case "spin":
            while True:
                pass
        case "error":
            facts = {"prompt_tokens": 9999, "context": 512}
            error = {"kind": "ContextOverflowError", "message": "too long", "hint": None, "facts": facts}
            say({"id": number, "event": "error", "error": error})
            return True
        case "nonsense":
            sys.stdout.write("what a patron typed\n")
            sys.stdout.flush()
    return False


def step(number: int, answer: Answer, options: Options) -> bool:
    """Go one step on; return whether the request is over."""
    now, plan = time.monotonic(), answer.plan
    if answer.cancelled is not None:
        return now >= answer.cancelled + options.dawdle and finish(number, answer, "cancelled")
    if now < answer.due:
        return False
    answer.due = now + plan.get("pause", 0.0)
    if not answer.begun:
        if misbehave(plan.get("before"), number):
            return True
        answer.begun = True
        say({"id": number, "event": "started", "prompt_tokens": 10, "reused_tokens": 4})
        return False
    if answer.said >= plan.get("words", 1):
        return finish(number, answer, "stop")
    answer.said += 1
    say({"id": number, "event": "delta", "text": f"{plan.get('name', 'w')}{answer.said} "})
    return misbehave(plan.get("after"), number)


def finish(number: int, answer: Answer, reason: str) -> bool:
    figures = {"completion_tokens": answer.said, "prefill_seconds": 0.25, "decode_seconds": 0.5}
    say({"id": number, "event": "finished", "reason": reason, **figures})
    return True


def main() -> None:
    options = Options(**json.loads(sys.argv[1]))
    starts = 0
    if options.starts:
        place = Path(options.starts)
        starts = len(place.read_text().split()) if place.exists() else 0
        with place.open("a") as file:
            file.write(f"{os.getpid()}\n")
    config = json.loads(sys.stdin.readline())["config"]
    if starts < options.die_at_start:
        os._exit(9)
    time.sleep(options.load_seconds)
    if options.fail:
        error = {"kind": "ModelError", "message": f"cannot load {config['model']}", "hint": None, "facts": {}}
        say({"event": "failed", "error": error})
        return
    facts = {"ping": options.ping, "states": sum(prompt["file"] is not None for prompt in config["prompts"])}
    say({"event": "ready", "facts": facts | ({"slots": options.slots} if options.slots else {})})
    if options.deaf:
        time.sleep(1000)
    inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=read, args=(inbox, options.log), daemon=True).start()
    answers: dict[int, Answer] = {}
    while True:
        while not inbox.empty() or not answers:
            message = inbox.get()
            if message["op"] == "chat":
                time.sleep(options.busy_seconds)
                if len(answers) >= (options.slots or 1) and options.slots:
                    os._exit(3)  # the client sent more than there are slots
                answers[message["id"]] = Answer(json.loads(message["request"]["messages"][-1]["content"]))
            elif message["op"] == "cancel" and message["id"] in answers:
                answers[message["id"]].cancelled = time.monotonic()
            elif message["op"] == "ping":
                say({"event": "pong", "n": message["n"]})
        for number in [number for number, answer in list(answers.items()) if step(number, answer, options)]:
            del answers[number]
        time.sleep(0.001)


def read(inbox: "queue.SimpleQueue[dict[str, Any]]", log: str | None) -> None:
    for line in sys.stdin:
        if log:
            with Path(log).open("a") as file:
                file.write(line)
        inbox.put(json.loads(line))
    os._exit(0)


if __name__ == "__main__":
    main()
