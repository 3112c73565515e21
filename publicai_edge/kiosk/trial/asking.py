"""Asking a kiosk over HTTP as its page does, and taking the time.

Seconds count from the moment the question is sent until a passage, the first word, or the end has arrived here. Each
question has a session of its own, which is ended after it.
"""

import contextlib
import http.client
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from publicai_edge.bundle.questions import Question
from publicai_edge.errors import EngineError, HostError, OverloadedError

_PATIENCE = 600.0
"""Seconds without a sign of life after which a kiosk is given up."""
_LOOK = 0.25
_MOST_RETRIES = 5
_LONGEST_PAUSE = 60.0
_OK = 200


@dataclass(frozen=True)
class Found:
    """A passage that the kiosk showed."""

    document: str
    source: str
    page: int | None
    text: str


@dataclass
class Heard:
    """What came back for one question.

    Attributes:
        passages: in the order they were shown.
        nothing_found: the kiosk said that the documents do not answer this.
        answer: the whole text.
        sentences: how many the answer has, and ``cited`` how many of them name a passage.
        ended: why the answer ended ("stop", "length", "cancelled"), or None where there was none.
        trouble: the code of an error that came in an answer's place.
        to_passages, to_first_word, to_end: seconds; None for what did not come.
    """

    passages: tuple[Found, ...] = ()
    nothing_found: bool = False
    answer: str = ""
    sentences: int = 0
    cited: int = 0
    ended: str | None = None
    trouble: str | None = None
    to_passages: float | None = None
    to_first_word: float | None = None
    to_end: float | None = None
    retry_after: float = field(default=0.0, repr=False)

    def take(self, event: dict[str, Any], seconds: float) -> None:
        """Take note of an event of the stream that arrived after so many seconds."""
        match event.get("type"):
            case "passages":
                self.passages = tuple(_found(source) for source in event["sources"])
                self.to_passages = seconds
            case "nothing_found":
                self.nothing_found = True
                self.to_end = seconds
            case "text":
                self.to_first_word = seconds if self.to_first_word is None else self.to_first_word
                self.answer += event["text"]
            case "sentence":
                self.sentences += 1
                self.cited += bool(event["sources"])
            case "done":
                self.ended, self.to_end = event["reason"], seconds
            case "error":
                self.trouble, self.retry_after = str(event["code"]), float(event.get("retry_after") or 0)


def _found(source: dict[str, Any]) -> Found:
    heading = f"{source['heading']}\n" if source["heading"] else ""
    return Found(
        source["document"], source["source"], source["page"], f"{source['document']}\n{heading}{source['text']}"
    )


class Asker:
    """A kiosk at an address.

    Args:
        url: such as ``http://127.0.0.1:8017``.

    Raises:
        HostError: it is no such address.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        with contextlib.suppress(ValueError):
            if parts.scheme == "http" and parts.hostname and parts.path in {"", "/"} and not parts.query:
                self.url = f"http://{parts.netloc}"
                self._place = (parts.hostname, parts.port or http.client.HTTP_PORT)
                return
        raise HostError(
            f"{url!r} is not the address of a kiosk; expected one like http://127.0.0.1:8017.",
            hint="Give what `publicai-edge serve` printed.",
        )

    def about(self) -> dict[str, Any]:
        """Return what the kiosk says of itself.

        Raises:
            HostError: no kiosk answers there.
        """
        return self._read("/api/kiosk")

    def wait_ready(self) -> None:
        """Wait until the model answers and the documents are open.

        Raises:
            HostError: no kiosk answers there any more.
            EngineError: the model or the documents cannot be used, or it takes too long.
        """
        give_up = time.monotonic() + _PATIENCE
        while time.monotonic() < give_up:
            status = self._read("/api/status")
            for part, what in (("engine", "model"), ("documents", "documents")):
                if status.get(part) == "failed":
                    raise EngineError(
                        f"The {what} of the kiosk at {self.url} cannot be used.",
                        hint="The terminal of `serve` says why; `publicai-edge verify` finds a damaged file.",
                    )
            if status.get("engine") == "ready" and status.get("documents") in {"ready", "none"}:
                return
            time.sleep(_LOOK)
        raise EngineError(f"The kiosk at {self.url} was not ready after {_PATIENCE:.0f} s.")

    def ask(self, question: Question) -> Heard:
        """Ask; where too many others do, wait as long as the kiosk says and ask again.

        Raises:
            HostError: the kiosk does not answer any more.
            OverloadedError: it has had no room for this question, several times.
        """
        for _ in range(_MOST_RETRIES):
            heard = self._ask(question)
            if heard.trouble != "overloaded":
                return heard
            time.sleep(min(max(1.0, heard.retry_after), _LONGEST_PAUSE))
        raise OverloadedError(
            f"The kiosk at {self.url} had no room for a question, {_MOST_RETRIES} times.",
            hint="Try it while fewer people use it.",
        )

    def _ask(self, question: Question) -> Heard:
        body = {"service": question.service, "language": question.language, "question": question.question}
        heard, cookie, started = Heard(), "", time.perf_counter()
        with self._sent("POST", "/api/ask", body) as answer:
            cookie = (answer.headers.get("set-cookie") or "").partition(";")[0]
            if answer.status != _OK:
                heard.trouble = _code(answer.read())
            else:
                self._listen(answer, heard, started)
        with self._sent("POST", "/api/session/end", {}, {"Cookie": cookie}):
            pass
        return heard

    def _listen(self, answer: http.client.HTTPResponse, heard: Heard, started: float) -> None:
        try:
            while line := answer.readline():
                heard.take(json.loads(line), time.perf_counter() - started)
        except (ValueError, KeyError, TypeError) as error:
            raise HostError(
                f"The kiosk at {self.url} answers in a form that this version does not know.",
                hint="Try it with the version of publicai-edge that serves it.",
            ) from error
        if heard.to_end is None and heard.trouble is None:
            heard.trouble = "broken_off"

    def _read(self, path: str) -> dict[str, Any]:
        with self._sent("GET", path) as answer:
            data = answer.read() if answer.status == _OK else b""
        with contextlib.suppress(ValueError):
            value = json.loads(data)
            if isinstance(value, dict):
                return value
        raise HostError(
            f"What answers at {self.url} is not a kiosk: {path} has status {answer.status}.",
            hint="Give the address that `publicai-edge serve` printed; by another name it needs `serve --name`.",
        )

    @contextlib.contextmanager
    def _sent(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(*self._place, timeout=_PATIENCE)
        data = None if body is None else json.dumps(body)
        try:
            connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
            yield connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise HostError(
                f"No kiosk answers at {self.url}: {reason}.",
                hint="Start it with `publicai-edge serve BUNDLE`, or leave --url out: then it is started for the test.",
                url=self.url,
            ) from error
        finally:
            connection.close()


def _code(data: bytes) -> str:
    try:
        return str(json.loads(data)["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return "failed"
