"""What every test may use: real weights fetched once, and the demo bundle built once from them.

Downloads are kept between runs in ``PUBLICAI_EDGE_TEST_CACHE`` (default: the user's cache folder); everything made from
them is made anew in each run, so that no test passes on yesterday's work.
"""

import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from publicai_edge.artifact import FileSet
from publicai_edge.pipeline.build import Built, build
from publicai_edge.pipeline.fetching import EMBEDDING_FILES
from publicai_edge.pipeline.options import Options
from publicai_edge.progress import Silent
from publicai_edge.quantize import quantize
from publicai_edge.recipe import load, lock
from publicai_edge.recipe.lock import Pin
from publicai_edge.sources import Fetcher, Request
from publicai_edge.store import Store
from tests.convert import minilm

ROOT = Path(__file__).parent.parent
pytest_plugins = ["tests.promises"]

# A shell starts what it puts in the background with Ctrl-C ignored, and children inherit that: the tests that
# interrupt a build would wait for an answer that cannot come.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run, so that a failure belongs to the change it appears with; and no clock: how long an
# example takes, or drawing it, says how busy the machine is.
settings.register_profile("suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")
RECIPE = ROOT / "recipes" / "demo.toml"
ALONE = [
    ROOT / "tests" / place
    for place in (
        "bench",
        "engine/test_client_cancelling.py",
        "engine/test_client_restarts.py",
        "engine/test_threads.py",
        "pipeline/test_tune_bundle.py",
        "pipeline/test_tune_recipe.py",
        "service",
        "tune",
    )
]
"""Where tests measure time or watch the whole machine."""


def pytest_itemcollected(item: pytest.Item) -> None:
    if any(item.path.is_relative_to(place) for place in ALONE):
        item.add_marker("alone")


def downloads() -> Store:
    """The store that keeps downloads between runs; nothing is built in it."""
    import platformdirs

    chosen = os.environ.get("PUBLICAI_EDGE_TEST_CACHE")
    return Store(Path(chosen) if chosen else Path(platformdirs.user_cache_dir("publicai-edge-tests")))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the user's own cache, the keys the user trusts, nor what staff added to a bundle."""
    monkeypatch.setenv("PUBLICAI_EDGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PUBLICAI_EDGE_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("PUBLICAI_EDGE_DOCUMENTS", str(tmp_path / "documents"))
    monkeypatch.delenv("PUBLICAI_EDGE_DEBUG", raising=False)


@pytest.fixture(scope="session")
def pins() -> dict[str, Pin]:
    """The demo's model and embedding model, fetched and checked against the lock file in the repository."""
    recipe = load(RECIPE)
    assert recipe.embedding is not None
    known = lock.read(lock.lock_path(RECIPE))
    fetcher = Fetcher(downloads(), Silent())
    parts = {"model": recipe.model, "embedding": recipe.embedding}
    only = {"model": (), "embedding": EMBEDDING_FILES}
    return {
        role: fetcher.fetch(Request(part.source, part.revision, part.sha256, RECIPE.parent, only[role]), known[role])
        for role, part in parts.items()
    }


@pytest.fixture(scope="session")
def model(pins: dict[str, Pin]) -> Path:
    """SmolLM2-135M-Instruct, Q4_1; read only."""
    return downloads().path(pins["model"].files.only())


@pytest.fixture(scope="session")
def f16(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2 written out in 16 bits, as no registry carries it; read only. Its weights lie on Q4_1's grid."""
    target = tmp_path_factory.mktemp("f16") / "smollm2.f16.gguf"
    quantize(model, target, "F16", allow_requantize=True, progress=Silent())
    return target


@pytest.fixture(scope="session")
def embedder_folder() -> Path:
    """all-MiniLM-L6-v2, converted; read only."""
    return minilm.converted_model()


@pytest.fixture(scope="session")
def demo_documents() -> dict[str, Path]:
    """The demo's documents by name."""
    return {path.name: path for path in sorted((RECIPE.parent / "documents" / "demo").glob("*.*"))}


@pytest.fixture(scope="session")
def seed(pins: dict[str, Pin]) -> "Seed":
    """Fills a new store with the downloads, so that a build in it touches no network."""
    files: dict[str, object] = {}
    for pin in pins.values():
        files.update(pin.files.files)
    return Seed(FileSet(dict(files)))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Seed:
    """Downloads that a store can be given."""

    files: FileSet

    def __call__(self, root: Path) -> Store:
        store, source = Store(root), downloads()
        for _, blob in self.files:
            target = store.path(blob)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source.path(blob), target)
            except OSError:
                shutil.copy2(source.path(blob), target)
        return store


@pytest.fixture(scope="session")
def demo(seed: Seed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """The demo bundle, built once in this run; tests that change it copy it first."""
    work = tmp_path_factory.mktemp("demo")
    built = build(RECIPE, Options(work / "dist", seed(work / "cache"), Silent(), offline=True))
    yield built
    shutil.rmtree(work, ignore_errors=True)


@pytest.fixture(scope="session")
def demo_store(demo: Built) -> Store:
    """The store the demo bundle was built in: every stage's result is in it."""
    return Store(demo.folder.parent.parent / "cache")


@pytest.fixture
def bundle_copy(demo: Built, tmp_path: Path) -> Path:
    """A copy of the demo bundle that a test may damage."""
    target = tmp_path / demo.folder.name
    shutil.copytree(demo.folder, target)
    return target
