"""llama-cpp-python's low-level module, without the high-level half of its package.

The package's ``__init__`` imports chat formats, jinja2, numpy and a disk cache: 0.14 of the 0.17 seconds its import
takes, in every process made for native work. Only ``llama_cpp.llama_cpp``, the functions as C has them, is used here.

Invariant: ``llama_cpp`` itself stays importable, whole, for whoever asks for it later in the same process.
"""

import importlib
import importlib.machinery
import importlib.util
import os
import sys
import types
from typing import Any

from publicai_edge.errors import EngineError

_PACKAGE = "llama_cpp"
# OpenMP threads wait by spinning, by default for as long as it takes. With another program on the same cores that
# turns into a collapse: SmolLM2-135M on two cores, one kept busy, 13, 9 and 67 tokens a second in three runs, and 42,
# 46 and 46 when threads spin for 500 turns and sleep then. But 500 are too few where one thread has more to do than
# the other, as in attention: on a quiet machine, writing behind 512 tokens, 93 a second with 500 turns, 113 with 3,000,
# 125 with 30,000, 127 with 100,000 and 124 with a million; reading a prompt of 512, 674 and 748. Cores that others keep
# busy are left to them anyway (:mod:`.threads`), and between evaluations all sleep soon enough: about a millisecond.
_SPIN = ("GOMP_SPINCOUNT", "100000")


def load(name: str = _PACKAGE) -> Any:
    """Return a module of the package, by default ``llama_cpp.llama_cpp``.

    Raises:
        EngineError: llama-cpp-python is not installed.
    """
    os.environ.setdefault(*_SPIN)  # read once, when the library is loaded
    whole = f"{_PACKAGE}.{name}"
    if whole in sys.modules:
        return sys.modules[whole]
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


def version() -> str:
    """Return the version of llama-cpp-python."""
    from importlib import metadata

    return metadata.version("llama-cpp-python")
