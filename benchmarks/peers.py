"""llama.cpp's own command-line tools, built from the very sources that the installed llama-cpp-python was built from.

    python benchmarks/peers.py            builds them (about ten minutes on two cores) and prints where they are

They are kept in the user's cache (``PUBLICAI_EDGE_PEERS`` names another folder). A benchmark that finds none says so
in a row of its own. Needs cmake and a C++ compiler; ``pip install cmake`` will do.
"""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from platform import machine

import platformdirs

from publicai_edge.compiling import NO_AMX

TOOLS = ("llama-quantize", "llama-imatrix", "llama-perplexity", "llama-server", "llama-batched-bench", "llama-bench")


def folder() -> Path:
    """Where the tools are, or would be."""
    from importlib.metadata import version

    chosen = os.environ.get("PUBLICAI_EDGE_PEERS")
    if chosen:
        return Path(chosen)
    cache = Path(platformdirs.user_cache_dir("publicai-edge-benchmarks"))
    return cache / f"peers-{version('llama-cpp-python')}" / "build" / "bin"


def tool(name: str) -> Path | None:
    """Return a tool's path, or None when it has not been built."""
    place = folder() / name
    return place if place.is_file() else None


def build() -> Path:
    """Fetch the sources with pip, build the tools as llama-cpp-python builds its library, and return their folder."""
    from importlib.metadata import version

    target = folder()
    if all(tool(name) for name in TOOLS):
        return target
    root = target.parent.parent
    root.mkdir(parents=True, exist_ok=True)
    wanted = f"llama-cpp-python=={version('llama-cpp-python')}"
    if not (root / "llama.cpp" / "CMakeLists.txt").is_file():
        download = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "--dest", str(root)]
        subprocess.run([*download, wanted], check=True)
        (archive,) = root.glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            tar.extractall(root / "sdist", filter="data")
        shutil.move(next((root / "sdist").glob("*/vendor/llama.cpp")), root / "llama.cpp")
        shutil.rmtree(root / "sdist")
        archive.unlink()
    # What gcc 12 makes of llama.cpp's code for AMX ends in illegal instructions (docs/adr/0055).
    without = [f"-DCMAKE_{language}_FLAGS={NO_AMX}" for language in ("C", "CXX")] if machine() == "x86_64" else []
    off = [f"-DLLAMA_{what}=OFF" for what in ("CURL", "BUILD_TESTS", "BUILD_EXAMPLES")]
    configure = [
        "cmake",
        "-S",
        str(root / "llama.cpp"),
        "-B",
        str(root / "build"),
        "-DCMAKE_BUILD_TYPE=Release",
        *off,
        *without,
    ]
    subprocess.run(configure, check=True)
    jobs = str(os.cpu_count() or 1)
    subprocess.run(["cmake", "--build", str(root / "build"), "-j", jobs, "--target", *TOOLS], check=True)
    return target


if __name__ == "__main__":
    print(build())
