"""Running the user's own package client, pip or npm, and reading its refusals."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from publicai_edge.errors import AccessError, NotFoundError, OfflineError, PublicAIError, SourceError

_TIMEOUT = 1800.0  # seconds; a client that fetches a package itself may be at it for long
_AWAY = re.compile(
    r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ERR_SOCKET_TIMEOUT"  # npm
    r"|NewConnectionError|ConnectTimeout|ReadTimeout|ProxyError|ConnectionResetError|Max retries exceeded"  # pip
    r"|Failed to establish a new connection|Name or service not known|[Cc]onnection (refused|timed out|error)"
    r"|[Tt]emporary failure in name resolution|Network is unreachable|Remote end closed"
)
_REFUSED = re.compile(r"\b(E401|E403|ENEEDAUTH|401|403)\b(?= |:|$)|Unauthorized|Forbidden", re.MULTILINE)
_ABSENT = re.compile(r"E404|ETARGET|No matching distribution found|Could not find a version|404 Client Error")
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True)
class Answer:
    """What a client printed, and how it ended."""

    out: str
    err: str
    code: int


def run(command: Sequence[str], extra: Mapping[str, str] | None = None) -> Answer:
    """Run a client without a terminal to ask questions on.

    Raises:
        SourceError: it does not end.
    """
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_TIMEOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, **(extra or {})},
        )
    except subprocess.TimeoutExpired as error:
        raise SourceError(f"{command[0]} did not end within {_TIMEOUT / 60:.0f} minutes.") from error
    return Answer(done.stdout, done.stderr, done.returncode)


def refusal(client: str, what: str, answer: Answer, settings: str) -> PublicAIError:
    """Return the error that a client's failure means.

    Args:
        client: ``pip`` or ``npm``.
        what: the package, as the client calls it.
        answer: how it ended.
        settings: the command that shows its settings.
    """
    last = _last_words(answer.err)
    # Unreachable comes first: pip says "no matching distribution" after an index that did not answer.
    if _AWAY.search(answer.err):
        return OfflineError(
            f"{what} is not in the cache, and {client} cannot reach its index: {last}",
            hint=f"Connect to the network, or check the index and proxy in {settings}, and run the same command again.",
        )
    if _ABSENT.search(answer.err):
        return NotFoundError(
            f"{client} finds no {what}: {last}", hint=f"Check name and version, and the index in {settings}."
        )
    if _REFUSED.search(answer.err):
        return AccessError(f"{client} is refused {what}: {last}", hint=f"Check the login in {settings}.")
    return SourceError(f"{client} could not resolve {what}: {last}", hint=f"Check {settings}.")


def _last_words(err: str) -> str:
    lines = [line.strip() for line in err.splitlines() if line.strip()]
    telling = [line for line in lines if re.match(r"ERROR|npm (error|ERR!)", line) and "complete log" not in line]
    chosen = (telling or lines)[:3] or ["it said nothing"]
    return _CREDENTIALS.sub("", "; ".join(chosen))[:600]
