"""A model's repository that the tests of ``hf:`` publish on their hub."""

import hashlib

from tests.sources.hub_server import HubServer

MODEL = b"GGUF" + bytes(range(256)) * 4000
REPO = "library/town-model"
FILE = f"hf:{REPO}/town-Q4_K_M.gguf"
SHA256 = hashlib.sha256(MODEL).hexdigest()


def publish(hub: HubServer) -> None:
    """Put the repository on a hub."""
    files = {"town-Q4_K_M.gguf": MODEL, "README.md": b"# Town", "sub/config.json": b"{}"}
    hub.add(REPO, {**files, ".gitattributes": b"*"})
