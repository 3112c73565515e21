"""Whom the kiosk answers: shown with raw sockets, since no client library sends a wrong Host."""

import json
import socket
from collections.abc import Iterator

import pytest

from publicai_edge.kiosk.guard import MAX_BODY, own_names
from tests.kiosk.conftest import PATIENCE, Running, manifest, running, write_bundle
from tests.kiosk.fakes import FakeDocuments, FakeEngine


@pytest.fixture(scope="module")
def kiosk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One kiosk for all of this module: nothing here changes it."""
    bundle = write_bundle(tmp_path_factory.mktemp("guard") / "bundle", manifest())
    with running(bundle, FakeEngine(), FakeDocuments()) as held:
        yield held


ROUTES = [
    ("GET", "/"),
    ("GET", "/static/app.js"),
    ("GET", "/static/missing.js"),
    ("GET", "/api/kiosk"),
    ("GET", "/api/status"),
    ("GET", "/api/documents/hours.md"),
    ("POST", "/api/ask"),
    ("POST", "/api/session/end"),
    ("POST", "/api/slip"),
    ("POST", "/api/dictation"),
    ("POST", "/api/speech"),
    ("GET", "/staff"),
    ("GET", "/api/staff"),
    ("POST", "/api/staff/session"),
    ("GET", "/status"),
    ("GET", "/api/operator-status"),
    ("GET", "/api/operator-words"),
    ("GET", "/health"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/v1/models"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/completions"),
    ("POST", "/v1/embeddings"),
    ("GET", "/staff"),
    ("GET", "/api/staff"),
    ("GET", "/api/staff/documents"),
    ("POST", "/api/staff/session"),
    ("POST", "/api/staff/session/end"),
    ("POST", "/api/staff/session/stay"),
    ("POST", "/api/staff/uploads"),
    ("PUT", "/api/staff/uploads/x?at=0"),
    ("POST", "/api/staff/changes"),
    ("GET", "/nowhere"),
    ("OPTIONS", "/api/ask"),
]


def send(port: int, data: bytes) -> tuple[int, dict[str, str], bytes]:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(data)
        answer = b""
        while b"\r\n\r\n" not in answer:
            piece = connection.recv(65536)
            if not piece:
                break
            answer += piece
        head, _, body = answer.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        while len(body) < int(headers.get("content-length", 0)):
            piece = connection.recv(65536)
            assert piece, "the answer was cut short"
            body += piece
        return int(lines[0].split()[1]), headers, body


def request(port: int, method: str, path: str, *headers: str, body: bytes = b"{}") -> tuple[int, dict[str, str], bytes]:
    lines = [f"{method} {path} HTTP/1.1", *headers, "Content-Type: application/json"]
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
    return send(port, head.encode() + body)


def test_every_route_of_the_application_is_in_the_list_above(kiosk: Running) -> None:
    known = set(kiosk.client().get("/openapi.json").json()["paths"])
    listed = {path for _, path in ROUTES}
    for path in known:
        base = path.split("{")[0].rstrip("/")
        assert any(one.startswith(base) for one in listed), path


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_foreign_host_or_origin_is_refused_on_every_route(kiosk: Running, method: str, path: str) -> None:
    own = f"Host: 127.0.0.1:{kiosk.port}"
    for host in ("Host: evil.example", f"Host: evil.example:{kiosk.port}", "Host: 127.0.0.1", "Host: 127.0.0.1:1"):
        assert request(kiosk.port, method, path, host)[0] == 421
    for header in (
        "Origin: http://evil.example",
        "Origin: null",
        "Origin: http://localhost:1",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
    ):
        status, headers, body = request(kiosk.port, method, path, own, header)
        assert status == 403
        assert "access-control-allow-origin" not in headers
        assert json.loads(body)["error"]["code"] == "foreign_origin"
    assert kiosk.engine.requests == []


def test_two_hosts_or_none_are_refused(kiosk: Running) -> None:
    own = f"Host: 127.0.0.1:{kiosk.port}"
    assert request(kiosk.port, "GET", "/", own, "Host: evil.example")[0] in {400, 421}
    assert send(kiosk.port, b"GET / HTTP/1.0\r\n\r\n")[0] == 421


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_the_kiosks_own_names_and_origins_are_answered(kiosk: Running, name: str) -> None:
    host = f"{name}:{kiosk.port}"
    assert request(kiosk.port, "GET", "/", f"Host: {host}")[0] == 200
    assert request(kiosk.port, "GET", "/", f"Host: {host}", f"Origin: http://{host}")[0] == 200
    assert request(kiosk.port, "GET", "/api/kiosk", f"Host: {host}", "Sec-Fetch-Site: same-origin")[0] == 200


def test_a_link_from_elsewhere_may_open_the_page_and_nothing_else(kiosk: Running) -> None:
    own = f"Host: 127.0.0.1:{kiosk.port}"
    link = ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
    framed = (*link[:2], "Sec-Fetch-Dest: iframe")
    assert request(kiosk.port, "GET", "/", own, *link)[0] == 200
    assert request(kiosk.port, "GET", "/", own, *framed)[0] == 403
    assert request(kiosk.port, "GET", "/api/kiosk", own, *link)[0] == 403


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_answer_carries_the_security_headers(kiosk: Running, method: str, path: str) -> None:
    for host in (f"127.0.0.1:{kiosk.port}", "evil.example"):
        _, headers, _ = request(kiosk.port, method, path, f"Host: {host}")
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "permissions-policy" in headers
        assert "server" not in headers


def test_a_body_over_the_limit_is_refused_said_or_unsaid(kiosk: Running) -> None:
    own = f"Host: 127.0.0.1:{kiosk.port}"
    head = f"POST /api/ask HTTP/1.1\r\n{own}\r\nContent-Type: application/json\r\n"
    declared = send(kiosk.port, f"{head}Content-Length: {MAX_BODY + 1}\r\n\r\n".encode())
    assert declared[0] == 413
    piece = b"%x\r\n" % (MAX_BODY + 1) + b"x" * (MAX_BODY + 1) + b"\r\n"
    chunked = send(kiosk.port, f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + piece)
    assert chunked[0] == 413
    assert request(kiosk.port, "POST", "/api/ask", own, body=b'{"a":"' + b"x" * 60000 + b'"}')[0] == 400


@pytest.mark.parametrize(("host", "code"), [("evil.example", "wrong_host"), ("", "too_large")])
def test_what_is_refused_under_v1_is_told_in_openais_form(kiosk: Running, host: str, code: str) -> None:
    head = f"POST /v1/completions HTTP/1.1\r\nHost: {host or f'127.0.0.1:{kiosk.port}'}\r\n"
    _, _, body = send(kiosk.port, f"{head}Content-Length: {MAX_BODY + 1}\r\n\r\n".encode())
    error = json.loads(body)["error"]
    assert error.pop("message")
    assert error == {"type": "invalid_request_error", "param": None, "code": code}


def test_no_websocket_is_opened(kiosk: Running) -> None:
    own = f"Host: 127.0.0.1:{kiosk.port}"
    upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAA")
    assert request(kiosk.port, "GET", "/", own, *upgrade)[0] != 101


def test_names_follow_the_address_and_the_port() -> None:
    assert "127.0.0.1:8017" in own_names("127.0.0.1", 8017)
    assert "127.0.0.1" not in own_names("127.0.0.1", 8017)
    assert "localhost" in own_names("127.0.0.1", 80)
    assert "library.example:8017" in own_names("0.0.0.0", 8017, ["Library.example"])
    assert not any(name.startswith("0.0.0.0") for name in own_names("0.0.0.0", 8017))
