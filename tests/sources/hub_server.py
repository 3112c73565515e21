"""A local HTTP server of the Hugging Face hub's shape, that can fail in every way a test asks for.

Repositories answer ``/api/models/…`` and ``/…/resolve/…`` with the hub's headers, and data sets, whose names begin
with ``datasets/``, ``/api/datasets/…`` and ``/datasets/…/resolve/…``; files in LFS redirect to another host name
(``localhost`` for ``127.0.0.1``), as the hub redirects to its CDN. ``static`` serves plain files, for the schemes that
are not the hub's. Every request is kept in ``log``. Faults and questions name requests by a part of their path, or by
its end (``.whl$``).
"""

# ruff: noqa: PLR0911, RET503 - each refusal ends the answer, and a handler returns nothing

import contextlib
import hashlib
import json
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit


@dataclass
class Seen:
    """One request, and how many bytes of body it was answered with."""

    method: str
    path: str
    headers: dict[str, str]
    status: int = 0
    sent: int = 0

    @property
    def range(self) -> str | None:
        return self.headers.get("range")


@dataclass
class Repository:
    """A repository at one commit; files named in ``lfs`` are stored apart."""

    files: dict[str, bytes]
    lfs: set[str]
    commit: str
    refs: set[str] = field(default_factory=lambda: {"main"})
    gated: bool = False
    private: bool = False
    renamed_to: str | None = None


@dataclass
class _Fault:
    part: str
    times: int
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    hold_after: int | None = None


class HubServer:
    """Start with ``with HubServer() as hub``; ``hub.url`` is what HF_ENDPOINT would be."""

    def __init__(self, certificate: tuple[Path, Path] | None = None) -> None:
        self.repositories: dict[str, Repository] = {}
        self.static: dict[str, bytes] = {}
        self.log: list[Seen] = []
        self.corrupt: set[str] = set()
        self.ranges = True
        self.etags = True
        self.token: str | None = None
        self.basic: str | None = None
        self.redirects: dict[str, str] = {}
        self.held = threading.Event()
        self.release = threading.Event()
        self._faults: list[_Fault] = []
        self._lock = threading.Lock()
        self._server = _Quiet(("127.0.0.1", 0), _handler(self))
        scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            scheme = "https"
        self.port = self._server.server_address[1]
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self.cdn = f"{scheme}://localhost:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop answering: from now on the connection is refused."""
        self.release.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._server.server_close()
            self._server.hang_up()
            self._thread.join()

    def add(self, name: str, files: dict[str, bytes], lfs: set[str] | None = None) -> Repository:
        """Publish a repository; what ends in .gguf, .safetensors, .bin or .onnx is in LFS unless ``lfs`` says."""
        stored = {path for path in files if path.endswith((".gguf", ".safetensors", ".bin", ".onnx"))}
        digests = [f"{path}{hashlib.sha256(data).hexdigest()}" for path, data in sorted(files.items())]
        commit = hashlib.sha1((name + "".join(digests)).encode()).hexdigest()
        repository = Repository(files, stored if lfs is None else lfs, commit)
        self.repositories[name] = repository
        return repository

    def answer(self, part: str, status: int, *, times: int = 1, headers: dict[str, str] | None = None) -> None:
        """Answer the next requests whose path contains ``part`` with ``status``."""
        self._faults.append(_Fault(part, times, status, headers or {}))

    def cut(self, part: str, after: int, *, times: int = 1) -> None:
        """Cut the connection of the next downloads of ``part`` after so many bytes of body."""
        self._faults.append(_Fault(part, times, cut_after=after))

    def hold(self, part: str, after: int) -> None:
        """Stop sending the next download of ``part`` after so many bytes, until ``release`` is set."""
        self._faults.append(_Fault(part, 1, hold_after=after))

    def downloads(self, part: str) -> list[Seen]:
        """Return the GET requests for content whose path contains ``part``."""
        found = [seen for seen in self.log if seen.method == "GET" and _meets(seen.path, part)]
        return [seen for seen in found if seen.status in {200, 206}]

    def take_fault(self, path: str, kind: Callable[[_Fault], bool]) -> _Fault | None:
        with self._lock:
            for fault in self._faults:
                if _meets(path, fault.part) and fault.times > 0 and kind(fault):
                    fault.times -= 1
                    return fault
        return None


def _meets(path: str, part: str) -> bool:
    return path.endswith(part[:-1]) if part.endswith("$") else part in path


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._open: set[Any] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Cut the connections that clients keep open for a next request."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet: cut connections are what this server is for."""


def _handler(hub: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve(body=True)

        def do_HEAD(self) -> None:
            self._serve(body=False)

        def log_message(self, *_: Any) -> None:
            pass

        def _serve(self, *, body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            self.seen = Seen(self.command, path, {key.lower(): value for key, value in self.headers.items()})
            hub.log.append(self.seen)
            if fault := hub.take_fault(path, lambda fault: fault.status is not None):
                return self._status(fault.status or 500, fault.headers)
            if hub.basic and self.headers.get("Authorization") != f"Basic {hub.basic}":
                return self._status(401, {"WWW-Authenticate": 'Basic realm="test"'})
            if path in hub.redirects:
                return self._status(302, {"Location": hub.redirects[path]})
            if path in hub.static:
                data = hub.static[path]
                kind = {"Content-Type": "text/html" if path.endswith("/") else "application/octet-stream"}
                return self._content(path, data, f'"{hashlib.sha256(data).hexdigest()}"', kind, body=body)
            if path.startswith("/cdn/"):
                return self._cdn(path, body=body)
            if path.startswith("/api/datasets/"):
                return self._api(path.removeprefix("/api/"))
            if path.startswith("/api/models/"):
                return self._api(path.removeprefix("/api/models/"))
            return self._resolve(path, body=body)

        def _refused(self, name: str, repository: Repository | None) -> bool:
            known = hub.token is not None and self.headers.get("Authorization") == f"Bearer {hub.token}"
            if repository is None or (repository.private and not known):
                # What the hub does: 401 for strangers, whether it is private or missing.
                self._status(404 if known else 401, {"X-Error-Code": "RepoNotFound"})
                return True
            if repository.gated and not known:
                message = f"Access to {name} is restricted."
                self._status(403, {"X-Error-Code": "GatedRepo", "X-Error-Message": message})
                return True
            return False

        def _api(self, rest: str) -> None:
            name, _, revision = rest.partition("/revision/")
            repository = hub.repositories.get(name)
            private = repository is not None and repository.private
            if (repository is None or private) and self._refused(name, repository):
                return None
            assert repository is not None
            if revision and revision not in {*repository.refs, repository.commit}:
                return self._status(404, {"X-Error-Code": "RevisionNotFound"})
            name = name.removeprefix("datasets/")
            data = {"id": name, "modelId": name, "sha": repository.commit, "private": False, "tags": []}
            siblings = [self._sibling(repository, path) for path in sorted(repository.files)]
            self._json({**data, "siblings": siblings})

        def _sibling(self, repository: Repository, path: str) -> dict[str, Any]:
            data = repository.files[path]
            entry: dict[str, Any] = {"rfilename": path, "size": len(data), "blobId": _git_id(data)}
            if path in repository.lfs:
                entry["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            return entry

        def _resolve(self, path: str, *, body: bool) -> None:
            name, _, rest = path.strip("/").partition("/resolve/")
            revision, _, file = rest.partition("/")
            repository = hub.repositories.get(name)
            if self._refused(name, repository):
                return None
            assert repository is not None
            if repository.renamed_to:
                return self._status(307, {"Location": f"/{repository.renamed_to}/resolve/{rest}"})
            if revision not in {*repository.refs, repository.commit}:
                return self._status(404, {"X-Error-Code": "RevisionNotFound"})
            if file not in repository.files:
                return self._status(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": repository.commit})
            data, commit = repository.files[file], {"X-Repo-Commit": repository.commit}
            if file not in repository.lfs:
                return self._content(path, data, f'"{_git_id(data)}"', commit, body=body)
            sha256 = hashlib.sha256(data).hexdigest()
            linked = {"X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(len(data))}
            location = f"{hub.cdn}/cdn/{name}/{file}"
            self._status(302, {**commit, **linked, "Location": location})

        def _cdn(self, path: str, *, body: bool) -> None:
            name = next(name for name in hub.repositories if path.startswith(f"/cdn/{name}/"))
            data = hub.repositories[name].files[path.removeprefix(f"/cdn/{name}/")]
            self._content(path, data, f'"{hashlib.sha256(data).hexdigest()}"', {}, body=body)

        def _content(self, path: str, data: bytes, etag: str, extra: dict[str, str], *, body: bool) -> None:
            if any(part in path for part in hub.corrupt):
                data = bytes([data[0] ^ 1]) + data[1:]
            start, status = 0, 200
            wanted, condition = self.headers.get("Range"), self.headers.get("If-Range")
            if wanted and hub.ranges and (condition is None or condition == etag):
                start, status = int(wanted.removeprefix("bytes=").partition("-")[0]), 206
                if start >= len(data):
                    return self._status(416, {"Content-Range": f"bytes */{len(data)}"})
                extra = {**extra, "Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
            self.seen.status = status
            self.send_response(status)
            for key, value in extra.items():
                self.send_header(key, value)
            if hub.etags:
                self.send_header("ETag", etag)
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            if body:
                self._body(path, data[start:])

        def _body(self, path: str, data: bytes) -> None:
            fault = hub.take_fault(path, lambda fault: fault.status is None)
            if fault is None:
                return self._send(data)
            self._send(data[: fault.cut_after if fault.cut_after is not None else fault.hold_after])
            if fault.hold_after is not None:
                hub.held.set()
                hub.release.wait(300)
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def _send(self, data: bytes) -> None:
            self.seen.sent += len(data)  # before, as whoever has received it may look at once
            self.wfile.write(data)

        def _json(self, value: Any) -> None:
            self.seen.status = 200
            data = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _status(self, status: int, headers: dict[str, str]) -> None:
            self.seen.status = status
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

    return Handler


def _git_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
