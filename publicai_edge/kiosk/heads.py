"""uvicorn's reader of requests, with a bound on all that is no body: addresses, headers, and what frames a body.

httptools keeps what it has of them until they are whole, however long they get; uvicorn bounds them with h11 only.

Invariant: of a request, no more than :data:`MOST_BYTES` beside its body are held, and one piece that was read.
"""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_BYTES = 1 << 16  # as with h11


class BoundedHeads(HttpToolsProtocol):
    """Ends a connection whose request has more than :data:`MOST_BYTES` beside its body."""

    _held = 0

    def data_received(self, data: bytes) -> None:
        """Take what arrived."""
        self._held += len(data)
        super().data_received(data)
        if self._held <= MOST_BYTES or self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            self.send_400_response("The request's head is too long.")
        else:
            self.transport.close()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._held = 0
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        """A piece of a body arrived; how long one may be is the application's to say."""
        self._held -= len(body)
        super().on_body(body)
