"""A request's head is bounded, whoever sends it: it must not fill the kiosk's memory."""

import contextlib
import socket

import pytest

from tests.kiosk.conftest import PATIENCE, Running

ENDLESS = {
    "an address": "GET /",
    "a header": "GET /health HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Much: ",
    "a trailer": "POST /api/ask HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    "Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\nX-Much: ",
}


@pytest.mark.promise("R9")
@pytest.mark.parametrize("what", ENDLESS)
def test_a_head_without_end_is_cut_off(kiosk: Running, what: str) -> None:
    with socket.create_connection(("127.0.0.1", kiosk.port), timeout=PATIENCE) as connection:
        connection.sendall(ENDLESS[what].format(port=kiosk.port).encode())
        with contextlib.suppress(ConnectionError):
            for _ in range(256):
                connection.sendall(b"x" * (1 << 16))
        with contextlib.suppress(ConnectionError):  # but not the end of patience
            while connection.recv(1 << 16):
                pass
    assert kiosk.client().get("/health").status_code == 200


def test_a_long_body_is_answered(kiosk: Running) -> None:
    answer = kiosk.client().post("/api/ask", content=b" " * 100_000, headers={"content-type": "application/json"})
    assert 400 <= answer.status_code < 500
