"""A file on a server as a stream that can be sought: what is read of it is all that travels.

For headers, which lie at the start of a file of gigabytes or, of a zip archive, at its end. Pieces of a megabyte are
fetched by range requests and kept, so that reading field by field costs one request a megabyte.
"""

import io
import time
from collections.abc import Callable, Mapping

import httpx

from publicai_edge.errors import OfflineError, PublicAIError, SourceError
from publicai_edge.sources import http
from publicai_edge.sources.retry import RETRIED, Patience, retry_after

_PIECE = 1 << 20
_KEPT = 32  # pieces
_PARTIAL = 206

Explain = Callable[[int, Mapping[str, str], str], PublicAIError]


class RemoteFile(io.RawIOBase):
    """Reads a file at an address piece by piece.

    Args:
        client: what asks.
        url: the address.
        headers: sent with each request.
        auth: for the address's own host.
        explain: tells what a refusal means.
        patience: how often and how long to try again.

    Raises:
        OfflineError: the server cannot be reached.
        SourceError: it does not answer in ranges, or failed again and again, or the file changed meanwhile.
    """

    def __init__(
        self,
        client: httpx.Client,
        url: str,
        *,
        headers: Mapping[str, str],
        auth: httpx.Auth | None,
        explain: Explain,
        patience: Patience,
    ) -> None:
        super().__init__()
        self._client, self._url, self._auth = client, url, auth
        self._headers = dict(headers)
        self._explain = explain
        self._patience = patience
        self._pieces: dict[int, bytes] = {}
        self._at = 0
        self._version: str | None = None
        self.transferred = 0
        """Bytes that came over the network so far."""
        self.size = -1
        self._piece(0)

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def tell(self) -> int:
        """Return the position, in bytes."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position; nothing travels."""
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence])
        return self._at

    def readinto(self, buffer: object) -> int:
        """Read what is left of the piece at the position."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        if self._at >= self.size or not len(view):
            return 0
        index, start = divmod(self._at, _PIECE)
        found = self._piece(index)[start : start + len(view)]
        view[: len(found)] = found
        self._at += len(found)
        return len(found)

    def _piece(self, index: int) -> bytes:
        if index not in self._pieces:
            while len(self._pieces) >= _KEPT:
                del self._pieces[next(iter(self._pieces))]
            self._pieces[index] = self._fetched(index * _PIECE)
        return self._pieces[index]

    def _fetched(self, start: int) -> bytes:
        failures = 0
        while True:
            failures += 1
            try:
                return self._asked(start)
            except _BusyError as busy:
                pause = self._patience.wait(failures, busy.asked)
                if failures >= self._patience.tries or pause is None:
                    raise self._explain(busy.status, {}, self._url) from busy
            except httpx.TransportError as error:
                http.refuse_certificate(error, self._url)
                pause = self._patience.wait(failures, None)
                if failures >= self._patience.reach_tries or pause is None:
                    raise OfflineError(
                        f"{http.shown(self._url)} cannot be reached: {http.reason(error)}.",
                        hint="Connect to the network (HTTPS_PROXY names a proxy) and run the same command again.",
                    ) from error
            time.sleep(pause)

    def _asked(self, start: int) -> bytes:
        last = start + _PIECE - 1
        headers = {**self._headers, "Range": f"bytes={start}-{last}", "Accept-Encoding": "identity"}
        with http.stream(self._client, self._url, headers, self._auth) as response:
            status = response.status_code
            if status in RETRIED:
                raise _BusyError(status, retry_after(response.headers.get("Retry-After")))
            if status != _PARTIAL and not response.is_success:
                raise self._explain(status, response.headers, self._url)
            if status != _PARTIAL or http.start_of(response) != start:
                raise SourceError(
                    f"{http.shown(self._url)} cannot be read in part: the server sends whole files only.",
                    hint="Fetch it once with `publicai-edge pull RECIPE`; what is in the cache is read there.",
                )
            self._check_version(response)
            total = http.total_of(response)
            wanted = min(_PIECE, (total or 0) - start)
            data = bytearray()
            for part in response.iter_raw():  # a server may send more than it was asked for
                data += part
                self.transferred += len(part)
                if len(data) >= wanted:
                    break
        if total is None or len(data) < wanted:
            raise httpx.ReadError("cut short")
        self.size = total
        return bytes(data[:wanted])

    def _check_version(self, response: httpx.Response) -> None:
        version = http.validator_of(response)
        if self._version is not None and version != self._version:
            raise SourceError(f"{http.shown(self._url)} changed while it was read.", hint="Run the same command again.")
        self._version = version


class _BusyError(Exception):
    """The server asks for patience."""

    def __init__(self, status: int, asked: float | None) -> None:
        super().__init__(status)
        self.status = status
        self.asked = asked
