"""llama-cpp-python's low-level module, without the high-level half of its package.

The package's ``__init__`` imports chat formats, jinja2, numpy and a disk cache: 0.14 of the 0.17 seconds its import
takes, in every process made for native work. Only ``llama_cpp.llama_cpp``, the functions as C has them, is used here.

Invariant: ``llama_cpp`` itself stays importable, whole, for whoever asks for it later in the same process.
"""

import ctypes
import importlib
import importlib.machinery
import importlib.util
import os
import sys
import types
from pathlib import Path
from typing import Any

from publicai_edge.errors import EngineError

_PACKAGE = "llama_cpp"
_CHOSEN = "_publicai_edge_backend_chosen"
# OpenMP threads wait by spinning, by default for as long as it takes. With another program on the same cores that
# turns into a collapse: SmolLM2-135M on two cores, one kept busy, 13, 9 and 67 tokens a second in three runs, and 42,
# 46 and 46 when threads spin for 500 turns and sleep then. But 500 are too few where one thread has more to do than
# the other, as in attention: on a quiet machine, writing behind 512 tokens, 93 a second with 500 turns, 113 with 3,000,
# 125 with 30,000, 127 with 100,000 and 124 with a million; reading a prompt of 512, 674 and 748. Cores that others keep
# busy are left to them anyway (:mod:`.threads`), and between evaluations all sleep soon enough: about a millisecond.
SPIN = ("GOMP_SPINCOUNT", "100000")
# When an assertion fails, ggml starts a debugger, where there is one, that prints the stack: seconds, and words in it.
_NO_DEBUGGER = ("GGML_NO_BACKTRACE", "1")


def load(name: str = _PACKAGE) -> Any:
    """Return a module of the package, by default ``llama_cpp.llama_cpp``.

    Raises:
        EngineError: llama-cpp-python is not installed.
    """
    os.environ.setdefault(*SPIN)  # read once, when the library is loaded
    os.environ.setdefault(*_NO_DEBUGGER)
    whole = f"{_PACKAGE}.{name}"
    module = sys.modules.get(whole) or _import(whole)
    if name == _PACKAGE:
        choose_backend(module)
    return module


def _import(whole: str) -> Any:
    if _PACKAGE in sys.modules:
        return importlib.import_module(whole)
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EngineError("llama-cpp-python is not installed.", hint="Run: pip install llama-cpp-python")
    bare = types.ModuleType(_PACKAGE)
    bare.__path__ = list(spec.submodule_search_locations)
    bare.__spec__ = importlib.machinery.ModuleSpec(_PACKAGE, None, is_package=True)
    sys.modules[_PACKAGE] = bare
    try:
        return importlib.import_module(whole)
    finally:
        del sys.modules[_PACKAGE]


def choose_backend(llama: Any) -> None:
    """Let a portable build of llama.cpp load the best of its backends for this processor, once."""
    folder = backends(Path(llama.__file__ or ""))
    if folder is None or getattr(llama, _CHOSEN, False):
        return
    # From llama's own handle: opening libggml by its path would map a second copy, with backends of its own.
    load_all = llama._lib.ggml_backend_load_all_from_path
    load_all.argtypes, load_all.restype = [ctypes.c_char_p], None
    load_all(os.fsencode(folder))
    setattr(llama, _CHOSEN, True)


def backends(module: Path) -> Path | None:
    """Return the folder that holds a portable build's backends, one for each kind of processor; None for a native one.

    Args:
        module: the file of ``llama_cpp.llama_cpp``. Its libraries lie in ``lib`` beside it; a build by
            llama-cpp-python's own scripts puts backends into ``bin`` beside the package.
    """
    places = (module.parent / "lib", module.parent.parent / "bin")
    return next((place for place in places if any(place.glob("*ggml-cpu-*"))), None)


def version() -> str:
    """Return the version of llama-cpp-python."""
    from importlib import metadata

    return metadata.version("llama-cpp-python")
