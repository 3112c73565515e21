from pathlib import Path

import pytest

from publicai_edge import child
from publicai_edge.progress import Silent
from tests import minimind as package
from tests.conftest import downloads
from tests.convert import tiny_lm
from tests.kept import kept

TEMPLATE = "{% for m in messages %}<{{ m.role }}> {{ m.content }}\n{% endfor %}<assistant> "


@pytest.fixture(scope="session")
def minimind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MiniMind2-Small: its graph returns a longer cache; read only."""
    return package.folder(downloads(), tmp_path_factory.mktemp("minimind") / "model")


@pytest.fixture(scope="session")
def tiny() -> Path:
    """Two layers of random weights in int4: its graph writes its cache where it reads it; read only."""
    return kept("tiny-chat-genai", _make_tiny)


def _make_tiny(work: Path) -> Path:
    source, target = tiny_lm.write(work / "source"), work / "model"
    payload = {"source": str(source), "target": str(target), "scratch": str(work), "architecture": "llama"}
    child.run("publicai_edge.convert.genai:run", payload, what="build the tiny model", progress=Silent())
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (target / name).write_bytes((source / name).read_bytes())
    (target / "chat_template.jinja").write_text(TEMPLATE)
    return target
