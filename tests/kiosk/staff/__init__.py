"""A kiosk with a small bundle of real documents, whose staff page has a code."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from publicai_edge.bundle.manifest import Manifest
from publicai_edge.bundle.open import Bundle, open_bundle
from publicai_edge.kiosk import staff_code
from publicai_edge.kiosk.staff_desk import Desk
from publicai_edge.kiosk.staff_routes import HEADER
from publicai_edge.knowledge import IndexSettings, build_index
from publicai_edge.progress import Silent
from tests.bundle.synthetic import list_payload
from tests.kiosk.conftest import Running, manifest, running, write_bundle
from tests.kiosk.fakes import FakeEngine
from tests.kiosk.test_embeddings import write_model

CODE = "1234-5678-9012"
OWN = {
    "hours.md": "# Opening hours\n\nThe library opens at nine on weekdays and at ten on Saturday.",
    "rules.md": "# Borrowing rules\n\nBooks may be kept for three weeks and films for one week.",
}


def write_library(root: Path, content: Manifest | None = None) -> Bundle:
    """Write a bundle with a search model of a few words and two documents."""
    bundle = write_bundle(root, content or manifest())
    assert bundle.embedding_path
    assert bundle.knowledge_path
    write_model(bundle.embedding_path)
    texts = root.parent / "texts"
    texts.mkdir(exist_ok=True)
    for name, text in OWN.items():
        (texts / name).write_text(text)
    bundle.knowledge_path.unlink()
    documents = {name: texts / name for name in OWN}
    build_index(documents, bundle.embedding_path, bundle.knowledge_path, IndexSettings(120), Silent())
    list_payload(root)
    return open_bundle(root)


@dataclass
class Staffed:
    """A running kiosk and its desk."""

    running: Running
    desk: Desk

    def signed_in(self) -> "Staff":
        client = self.running.client()
        answer = client.post("/api/staff/session", json={"code": CODE})
        assert answer.status_code == 200, answer.text
        return Staff(client, {HEADER: answer.json()["token"]})


@dataclass
class Staff:
    """A browser that is signed in."""

    client: httpx.Client
    headers: Mapping[str, str]

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get("/api/staff").json()
        return found

    def documents(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.client.get("/api/staff/documents").json()
        return found

    def upload(self, name: str, data: bytes) -> httpx.Response:
        """Send a document as the page does; return the answer that ended it."""
        begun = self.client.post("/api/staff/uploads", json={"name": name, "size": len(data)}, headers=self.headers)
        if begun.status_code != 200:
            return begun
        place = f"/api/staff/uploads/{begun.json()['upload']}"
        for at in range(0, len(data), 60 << 10):
            piece = data[at : at + (60 << 10)]
            taken = self.client.put(place, params={"at": at}, content=piece, headers=self.headers)
            assert taken.json() == {"received": at + len(piece)}
        return self.client.post(f"{place}/end", headers=self.headers)

    def change(self, kind: str, subject: str = "") -> httpx.Response:
        return self.client.post("/api/staff/changes", json={"kind": kind, "subject": subject}, headers=self.headers)

    def titles(self, *, hidden: bool = False) -> list[str]:
        return [item["title"] for item in self.documents() if item["hidden"] == hidden]

    def found(self, question: str) -> list[str]:
        """Return the sources that a patron's question finds."""
        body = {"service": "ask", "language": "en", "question": question}
        with self.client.stream("POST", "/api/ask", json=body) as answer:
            for line in answer.iter_lines():
                event = httpx.Response(200, text=line).json()
                if event["type"] == "passages":
                    return [source["source"] for source in event["sources"]]
                if event["type"] in {"nothing_found", "error"}:
                    return []
        return []


@contextlib.contextmanager
def staffed(bundle: Bundle, place: Path, *, code: str | None = CODE, **options: Any) -> Iterator[Staffed]:
    """Run a kiosk whose staff's folder is ``place``."""
    if code:
        staff_code.store(place, code)
    desk = Desk(place, bundle, **options)
    with running(bundle, FakeEngine(), None, open_documents=desk.open, staff=desk) as held:  # type: ignore[arg-type]
        yield Staffed(held, desk)
