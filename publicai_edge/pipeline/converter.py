"""llama.cpp's own converter from Hugging Face folders to GGUF, and its source, as llama-cpp-python carries them.

The wheel does not hold them; the source distribution of the installed version does. It is fetched once, checked against
the digest below, and used from the store afterwards, with no network.
"""

import importlib.metadata
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from publicai_edge.artifact import FileSet
from publicai_edge.pipeline.fetching import EMBEDDING_FILES, MODEL_FILES
from publicai_edge.progress import Progress
from publicai_edge.store import Store

_PACKAGE = "llama-cpp-python"
# SHA-256 of the source distribution on PyPI, by version. For others the index's own word is taken, and said.
_SDISTS = {"0.3.36": "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"}
_SCHEME = re.compile(r"(?:hf|pypi|npm|https|file):")
_FOLDER = "vendor/llama.cpp/"
# What it takes to compile the libraries: nothing for graphics processors, no tools, no tests.
_SOURCE = (
    "PKG-INFO",
    "llama_cpp/*.py",
    *(
        f"{_FOLDER}{name}"
        for name in (
            "CMakeLists.txt",
            "LICENSE",
            "cmake/*",
            "licenses/*",
            "include/*",
            "src/*",
            "src/models/*",
            "vendor/CMakeLists.txt",
            "vendor/*/*",
            "vendor/*/*/*",
            "ggml/CMakeLists.txt",
            "ggml/cmake/*",
            "ggml/include/*",
            "ggml/src/*",
            "ggml/src/ggml-cpu/*",
            "ggml/src/ggml-cpu/*/*",
            "ggml/src/ggml-cpu/*/*/*",
        )
    ),
)
_FILES = ("convert_hf_to_gguf.py", "LICENSE", "conversion/*.py", "gguf-py/LICENSE", "gguf-py/gguf/*.py")


def converter_files(store: Store, progress: Progress, *, offline: bool = False) -> FileSet:
    """Return the converter's files, fetched into the store where they are not there yet.

    :func:`converter_folder` lays them out as the folder that :func:`publicai_edge.convert.gguf.convert` takes.

    Raises:
        SourceError: the source distribution cannot be fetched, or is not the expected one.
    """
    return _files(_FOLDER, _FILES, store, progress, offline)


def llama_source(store: Store, progress: Progress, *, offline: bool = False) -> FileSet:
    """Return llama.cpp's source and llama-cpp-python's Python files, fetched into the store where they are not there.

    Raises:
        SourceError: as :func:`converter_files`.
    """
    return _files("", _SOURCE, store, progress, offline)


def _files(folder: str, only: tuple[str, ...], store: Store, progress: Progress, offline: bool) -> FileSet:
    from publicai_edge.sources import Fetcher, Request

    version = importlib.metadata.version(_PACKAGE)
    known = _SDISTS.get(version)
    source = f"sdist:{_PACKAGE}=={version}/{folder}" + (f"#sha256={known}" if known else "")
    request = Request(source, None, None, Path.cwd(), only)
    return Fetcher(store, progress, offline=offline).fetch(request).files


@contextmanager
def converter_folder(store: Store, progress: Progress, *, offline: bool = False) -> Iterator[Path]:
    """Yield a folder that holds the converter, on the store's file system; it goes when the caller is done.

    Raises:
        SourceError: as :func:`converter_files`.
    """
    files = converter_files(store, progress, offline=offline)
    with store.scratch() as folder:
        store.checkout(files, folder / "converter")
        yield folder / "converter"


@contextmanager
def model_folder(
    source: str, store: Store, progress: Progress, *, revision: str | None = None, offline: bool = False
) -> Iterator[tuple[Path, str | None]]:
    """Yield a model's folder and its name: a folder of this machine as it is, another source fetched and laid out.

    The name is the repository's or package's; a folder of this machine has none: it may be called anything.

    Raises:
        SourceError: the source cannot be fetched.
    """
    if Path(source).exists() or not _SCHEME.match(source):
        yield Path(source), None
        return
    from publicai_edge.sources import Fetcher, Request

    asked = source if source.endswith("/") or source.startswith("file:") else f"{source}/"
    only = tuple(dict.fromkeys((*MODEL_FILES, *EMBEDDING_FILES)))
    request = Request(asked, revision, None, Path.cwd(), only)
    files = Fetcher(store, progress, offline=offline).fetch(request).files
    with store.scratch() as folder:
        store.checkout(files, folder / "model")
        yield folder / "model", asked.rstrip("/").rsplit("/", 1)[-1]
