"""A small bundle, and a kiosk that serves it on a real port."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn

from publicai_edge.bundle.manifest import Manifest
from publicai_edge.bundle.open import Bundle, open_bundle
from publicai_edge.kiosk.app import create_app
from publicai_edge.kiosk.guard import own_names
from publicai_edge.kiosk.server import bind, server_config
from publicai_edge.kiosk.state import Kiosk
from tests.bundle.synthetic import list_payload
from tests.kiosk.fakes import FakeDocuments, FakeEngine

if TYPE_CHECKING:
    from playwright.sync_api import Browser

DIGEST = "sha256:" + "ab" * 32
MODEL = b"not a model, and never loaded here"
PATIENCE = 60.0
"""Seconds that a test waits for something; far beyond what it takes, so that a busy machine fails nothing."""


def manifest(**changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "name": "town-library",
        "version": "1.0.0",
        "release": 1,
        "title": {"en": "Ask the Town Library", "es": "Pregunte a la Biblioteca Municipal"},
        "languages": ["en", "es"],
        "steward": {
            "name": "Harbour Town Public Library",
            "contact": "desk@library.example",
            "ask_a_person": {
                "en": "The information desk on the ground floor is staffed whenever the library is open.",
                "es": "El mostrador de información de la planta baja atiende siempre que la biblioteca abre.",
            },
        },
        "model": {
            "name": "SmolLM2-135M-Instruct",
            "source": "pypi:example",
            "revision": None,
            "license": "Apache-2.0",
            "license_url": "https://example.org/license",
            "quantization": "Q4_0",
            "file": "data/model/model.gguf",
            "sha256": DIGEST,
            "size": len(MODEL),
        },
        "embedding": {
            "name": "all-MiniLM-L6-v2",
            "source": "pypi:example",
            "revision": None,
            "license": "Apache-2.0",
            "license_url": "https://example.org/license",
            "quantization": "int8",
            "folder": "data/embedding",
            "mean_cosine": 0.99,
            "least_cosine": 0.98,
        },
        "knowledge": {
            "file": "data/knowledge/index.sqlite",
            "license": "CC0-1.0",
            "documents": 2,
            "passages": 4,
            "top": 3,
            "min_relevance": 0.1,
        },
        "services": [
            {
                "id": "ask",
                "title": {"en": "Ask about the library", "es": "Preguntar sobre la biblioteca"},
                "description": {
                    "en": "Opening hours, cards, loans and rooms, from the library's own documents.",
                    "es": "Horarios, carnés, préstamos y salas, según los documentos de la biblioteca.",
                },
                "prompt": {
                    "en": "You help patrons of a town library. Answer from the passages, in one to three sentences.",
                    "es": "Ayudas a los usuarios de una biblioteca. Responde con los pasajes, en una a tres frases.",
                },
                "search": True,
                "max_tokens": 200,
                "temperature": 0.0,
                "repeat_penalty": 1.1,
            },
            {
                "id": "plain-words",
                "title": {"en": "Say it in plain words", "es": "Dígalo con palabras sencillas"},
                "description": {
                    "en": "Type a difficult sentence; it is put more simply.",
                    "es": "Escriba una frase difícil; se dice de forma más sencilla.",
                },
                "prompt": {"en": "Put the text in plain words.", "es": "Di el texto con palabras sencillas."},
                "search": False,
                "max_tokens": 200,
                "temperature": 0.0,
                "repeat_penalty": 1.1,
            },
        ],
        "engine": {"context": 2048},
        "session_minutes": 10,
        "recipe": DIGEST,
        "built_by": "publicai-edge 0.1.0",
    }
    return Manifest.model_validate(values | changes)


def write_bundle(root: Path, content: Manifest) -> Bundle:
    for path in (root / content.model.file, root / "data/knowledge/index.sqlite"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(MODEL)
    (root / "data/embedding").mkdir(exist_ok=True)
    (root / "bundle.json").write_bytes(content.to_bytes())
    list_payload(root)
    return open_bundle(root)


@dataclass
class Running:
    """A kiosk on a port, its parts at hand."""

    port: int
    engine: FakeEngine
    documents: FakeDocuments
    kiosk: Kiosk
    loop: asyncio.AbstractEventLoop
    clients: list[httpx.Client] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> httpx.Client:
        client = httpx.Client(base_url=self.url, timeout=PATIENCE)
        self.clients.append(client)
        return client

    def open_gate(self) -> None:
        assert self.engine.gate
        self.loop.call_soon_threadsafe(self.engine.gate.set)


@contextlib.contextmanager
def running(bundle: Bundle, engine: FakeEngine, documents: FakeDocuments, **options: Any) -> Iterator[Running]:
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    opener = options.pop("open_documents", lambda: documents)
    app = create_app(bundle, engine, opener, allowed_hosts=own_names("127.0.0.1", port), **options)
    server = uvicorn.Server(server_config(app))
    ready: Future[asyncio.AbstractEventLoop] = Future()

    async def main() -> None:
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started and not task.done():
            await asyncio.sleep(0.005)
        ready.set_result(asyncio.get_running_loop())
        await task

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    held = Running(port, engine, documents, app.state.kiosk, ready.result(PATIENCE))
    try:
        yield held
    finally:
        for client in held.clients:
            client.close()
        held.loop.call_soon_threadsafe(held.kiosk.end_streams)
        server.should_exit = True
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """The system's Chromium, with no window. Not for modules that run an event loop of their own."""
    from playwright.sync_api import sync_playwright

    from tests.browser import ARGUMENTS, CHROMIUM

    with sync_playwright() as playwright:
        held = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield held
        held.close()


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "bundle", manifest())


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def documents() -> FakeDocuments:
    return FakeDocuments()


@pytest.fixture
def kiosk(bundle: Bundle, engine: FakeEngine, documents: FakeDocuments) -> Iterator[Running]:
    with running(bundle, engine, documents) as held:
        yield held


@pytest.fixture(scope="session")
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Wait until something holds that another thread brings about."""
    import time

    def wait(holds: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < end, "it did not come about"
            time.sleep(0.01)

    return wait
