"""The entry of the standalone program: the operator's verbs, on a machine that has no Python.

Invariant: the program starts its own child processes as ``PROGRAM -m MODULE``, as any Python would, and only
:data:`CHILDREN` can be started so: a bundle's program is no interpreter for whoever finds it.
"""

import base64
import hashlib
import importlib
import io
import sys
import tempfile
from pathlib import Path
from typing import Any

import typer

from publicai_edge.cli import operator, options
from publicai_edge.cli.failure import Group

CHILDREN = frozenset(
    {
        "publicai_edge.child",
        "publicai_edge.engine.worker",
        "publicai_edge.engine.onnx.worker",
        "publicai_edge.engine.speech.worker",
        "publicai_edge.engine.voice.worker",
        "publicai_edge.knowledge.extractor",
        "publicai_edge.knowledge.zim.worker",
    }
)
"""Modules that run in a process of their own: the two workers, what writes down what is said, what reads aloud, those
that read documents and ZIM files, what :mod:`.child` starts."""

_TRIED = (
    "publicai_edge.kiosk.server",
    "publicai_edge.search.base",
    "publicai_edge.engine.worker",
    "publicai_edge.engine.onnx.worker",
    "publicai_edge.engine.speech.worker",
    "publicai_edge.engine.voice.worker",
    "publicai_edge.knowledge.added.rebuild",
    "cryptography.hazmat.primitives.asymmetric.ec",
    "platformdirs",
    "polib",
    "psutil",
    "rich.console",
    "rich.progress",
    "rich.table",
)

app = typer.Typer(
    name="publicai-edge",
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: typer's other kind brings pygments along, 5 MB
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Run a bundle on this machine, with the network unplugged.\n\nExample:  ./start",
)


@app.callback()
def _root(version: options.Version = False) -> None:
    pass


operator.add_to(app)


def check(payload: dict[str, Any], _progress: Any) -> dict[str, Any]:
    """Use every native part once: what a runtime is tried with when it is made; run by :mod:`publicai_edge.child`.

    Args:
        payload: ``documents``, of every format in base64 by file name, which all say ``sentence``.

    Raises:
        DocumentError: one is not read as it should be.
        HostError: a hash comes out wrong.
    """
    import apsw
    import numpy as np
    import onnxruntime
    import tokenizers

    from publicai_edge.engine import llama
    from publicai_edge.knowledge import zim

    for name in _TRIED:
        importlib.import_module(name)
    if zim.is_installed():
        for name in ("libzim.reader", "libzim.search", "publicai_edge.knowledge.zim.worker"):
            importlib.import_module(name)
    return {
        "documents": _read(payload["documents"], payload["sentence"]),
        "drawn": float(np.random.default_rng(1).random()),
        "hashes": _hash(),
        "llama": llama.system_info(),
        "norm": float(np.linalg.norm(np.ones(4, np.float32))),
        "onnxruntime": onnxruntime.get_available_providers(),
        "sqlite": apsw.sqlite_lib_version(),
        "tokenizers": tokenizers.__version__,
        "zim": zim.is_installed(),
    }


def _read(documents: dict[str, str], sentence: str) -> list[str]:
    """Read documents as those that staff add are read, in a process of their own; return their names."""
    from publicai_edge.errors import DocumentError
    from publicai_edge.knowledge.extractor import Extractor, Limits

    with tempfile.TemporaryDirectory() as folder, Extractor(Limits()) as extractor:
        for name, data in documents.items():
            place = Path(folder) / name
            place.write_bytes(base64.b64decode(data))
            text = " ".join(block.text for block in extractor.extract(place, name).blocks)
            if sentence not in text:
                raise DocumentError(f"{name} does not say {sentence!r}; it was read as {text!r}.")
    return sorted(documents)


def _hash() -> str:
    """Hash a staff code and a file's bytes with what stands in for Python's own OpenSSL; return the file's digest."""
    from publicai_edge import digest
    from publicai_edge.errors import HostError
    from publicai_edge.kiosk.staff_code import CodeHash, draw

    code = draw()
    found = digest.of_stream(io.BytesIO(b"abc"))
    if found != hashlib.sha256(b"abc").hexdigest() or not CodeHash.of(code).fits(code):
        raise HostError("A hash comes out wrong.", hint="Please report it.")
    return found


def main() -> None:
    """Run a verb, or be one of the program's own child processes."""
    if sys.argv[1:2] == ["-m"] and sys.argv[2:3] and sys.argv[2] in CHILDREN:
        import runpy

        sys.argv = sys.argv[2:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        return
    app()


if __name__ == "__main__":
    main()
