"""PyInstaller's one-folder program, made in a Debian folder of the platform, and slimmed.

Invariants: the folder holds plain files only (a FAT stick knows no links), no two of them differ by case alone, and no
code that a kiosk does not run: no compiler's headers, no tests, no laptop stage.
"""

import base64
import json
import os
import re
import shutil
import sys
from pathlib import Path

from publicai_edge import atomic
from publicai_edge.errors import HostError
from publicai_edge.progress import Progress
from publicai_edge.runtime import elf, samples, work
from publicai_edge.runtime.platforms import PROGRAM, Platform

INNER = "_internal"
KIOSK = (
    "publicai_edge.kiosk",
    "publicai_edge.engine",
    "publicai_edge.search",
    "publicai_edge.bundle",
    "publicai_edge.knowledge",
)
"""Packages that are taken whole; the rest of this project is taken as far as they and the verbs import it."""
_HIDDEN = (
    "publicai_edge.child",
    "uvicorn.lifespan.off",
    "uvicorn.lifespan.on",
    "uvicorn.logging",
    "uvicorn.loops.asyncio",
    "uvicorn.protocols.http.h11_impl",
    "uvicorn.protocols.http.httptools_impl",
    "llama_cpp.llama_cpp",
    "llama_cpp.llama_grammar",
    "apsw",
)
_EXCLUDED = (
    # of the laptop
    "babel", "huggingface_hub", "torch", "transformers", "optimum",
    # of packages that a kiosk uses, for what it does not do
    "numpy.distutils", "numpy.f2py", "numpy.fft", "numpy.polynomial", "numpy.testing", "numpy._core.tests",
    "numpy._core._multiarray_tests", "onnx", "onnxruntime.backend",
    "onnxruntime.datasets", "onnxruntime.quantization", "onnxruntime.tools", "onnxruntime.training",
    "onnxruntime.transformers", "PIL", "lxml.builder", "lxml.isoschematron", "lxml.objectify", "lxml.sax",
    "lxml.html._difflib", "lxml.html.builder", "lxml.html.diff", "markdown_it.cli", "pydantic.mypy", "pydantic.v1",
    "pygments", "sympy", "yaml", "watchfiles", "websockets", "uvloop",
    # what guesses languages: ADR 0054
    "py3langid",
    # what recognises scanned pages, larger than all the rest: ADR 0049
    "cv2", "omegaconf", "pyclipper", "pypdfium2", "pypdfium2_raw", "rapidocr", "shapely",
    # of Python; what takes the place of OpenSSL: ADR 0048
    "_hashlib", "_ssl", "curses", "doctest", "ensurepip", "idlelib", "lib2to3", "pdb", "pkg_resources", "pydoc",
    "readline", "setuptools", "sqlite3", "test", "tkinter", "turtle", "unittest", "venv", "xmlrpc",
)  # fmt: skip
_ZIM = ("libzim", "importlib.abc", "traceback", "uuid", "warnings")
"""What reads ZIM files, in a runtime that is to have it; PyInstaller does not see what compiled code imports."""
_OLDER = ("libstdc++.so.*", "libgcc_s.so.*", "libexpat.so.*")
"""Libraries that the folder llama.cpp is linked against has as well, and that ask for an older glibc there."""
_UNUSED_FILES = ("libonnxruntime.so.*", "*.pyi", "py.typed", "*.h", "*.a", "*.pxd")
"""ONNX Runtime's Python module holds all that ``libonnxruntime`` does."""
_UNUSED_FOLDERS = ("docx/templates/default-docx-template",)
"""What python-docx packed its own empty document from."""
_AS_FILES = {"docx.parts": "pyz+py"}
"""Packages whose folder has to be there: python-docx finds its templates by way of ``parts/../templates``."""
_LICENCE = re.compile(r"(?i)(?:licen[cs]e|copying|notice)")
_DEBIANS = (
    "gcc-12-base",
    "libbz2",
    "libexpat",
    "libffi",
    "liblzma",
    "libpython3.11",
    "libsqlite3",
    "libssl",
    "libuuid",
    "zlib1g",
)
"""Debian packages whose libraries PyInstaller takes; their texts lie where Debian keeps them."""
_SPEC = """\
from PyInstaller.utils.hooks import collect_data_files, collect_submodules, copy_metadata
hidden = list({hidden!r})
for package in {kiosk!r}:
    hidden += collect_submodules(package)
datas = collect_data_files("publicai_edge.kiosk") + collect_data_files("publicai_edge.pages")
datas += copy_metadata("llama-cpp-python")
excluded = list({excluded!r})
analysis = Analysis(
    ["entry.py"], hiddenimports=hidden, datas=datas, excludes=excluded, optimize=2, module_collection_mode={as_files!r}
)
program = EXE(PYZ(analysis.pure), analysis.scripts, [], exclude_binaries=True, name={name!r}, upx=False, console=True)
COLLECT(program, analysis.binaries, analysis.datas, upx=False, name={name!r})
"""
_NUMPY = """
import numpy
ramp = numpy.arange(12, dtype=numpy.float32).reshape(3, 4)
assert numpy.allclose(ramp @ ramp.T, (ramp[:, None, :] * ramp[None, :, :]).sum(2))
assert abs(numpy.linalg.norm(ramp) - 506**0.5) < 1e-4
"""
# A child of this project ends when its stdin does, so the pipe is held open; it says its result in one line. What it is
# given fits into a pipe's 64 KiB.
_TRY = """
set -eu
mkfifo /tmp/try.$$ && exec 3<>/tmp/try.$$ && rm /tmp/try.$$
echo "$2" >&3
said=$("$1" -m publicai_edge.child publicai_edge.cli.standalone:check <&3) || true
echo "$said"
case "$said" in *'"result"'*) ;; *) exit 1 ;; esac
"""
_ENTRY = "from publicai_edge.cli.standalone import main\n\nmain()\n"


def freeze(platform: Platform, python: Path, folder: Path, progress: Progress, *, zim: bool = False) -> Path:
    """Freeze the program in ``folder``, which holds ``site``: all packages, this project's among them.

    Args:
        platform: for which one.
        python: the Debian folder with that platform's Python; it is run there, by an emulator if need be.
        folder: the work's folder.
        progress: where it is shown.
        zim: whether it is to read ZIM files.

    Returns:
        The program's folder.

    Raises:
        HostError: PyInstaller fails.
    """
    _write_spec(folder, zim=zim)
    command = ["python3.11", "-m", "PyInstaller", "--noconfirm", "--distpath", "/job/dist", "--workpath", "/job/made"]
    env = {"PYTHONPATH": "/job/site", "PYTHONDONTWRITEBYTECODE": "1", "SOURCE_DATE_EPOCH": "1", "PYTHONHASHSEED": "1"}
    inside = work.inside(python, folder, [*command, f"/job/{PROGRAM}.spec"], env)
    work.run(inside, f"Freezing the program for {platform.name}", folder.parent, progress)
    return folder / "dist" / PROGRAM


def freeze_here(name: str, folder: Path, progress: Progress, *, zim: bool = False) -> Path:
    """Freeze the program with this very Python, for a system that only a machine of its kind makes programs for.

    Raises:
        HostError: PyInstaller fails.
    """
    _write_spec(folder, zim=zim)
    places = ["--distpath", str(folder / "dist"), "--workpath", str(folder / "made")]
    command = [sys.executable, "-m", "PyInstaller", "--noconfirm", *places, str(folder / f"{PROGRAM}.spec")]
    work.run(command, f"Freezing the program for {name}", folder.parent, progress)
    return folder / "dist" / PROGRAM


def finish_here(program: Path, module: Path, backends: Path) -> None:
    """Put the libraries of the installed llama-cpp-python into a program that :func:`freeze_here` made.

    Args:
        program: the program's folder.
        module: the file of ``llama_cpp.llama_cpp``.
        backends: where its backends lie.
    """
    _drop_links(program)
    lib = program / INNER / module.parent.name / "lib"
    lib.mkdir(parents=True, exist_ok=True)
    for folder in (module.parent / "lib", backends):
        for place in sorted(folder.iterdir()):
            if place.is_file() and place.suffix in {".dll", ".dylib", ".so"}:
                shutil.copyfile(place, lib / place.name)
    _drop_empty(program)
    _check_names(program)


def _write_spec(folder: Path, *, zim: bool) -> None:
    hidden, excluded = ((*_HIDDEN, *_ZIM), _EXCLUDED) if zim else (_HIDDEN, (*_EXCLUDED, "libzim"))
    spec = _SPEC.format(hidden=hidden, kiosk=KIOSK, excluded=excluded, name=PROGRAM, as_files=_AS_FILES)
    (folder / "entry.py").write_text(_ENTRY, "utf-8")
    (folder / f"{PROGRAM}.spec").write_text(spec, "utf-8")


def check_numpy(platform: Platform, python: Path, folder: Path, progress: Progress) -> None:
    """See that numpy finds everything it asks for in what stands in for OpenBLAS, and that this computes.

    Raises:
        HostError: it does not.
    """
    env = {"PYTHONPATH": "/job/site", "PYTHONDONTWRITEBYTECODE": "1", "LD_BIND_NOW": "1"}
    inside = work.inside(python, folder, ["python3.11", "-c", _NUMPY], env)
    work.run(inside, f"Trying numpy for {platform.name}", folder.parent, progress)


def finish(program: Path, package: Path, libraries: Path, platform: Platform) -> None:
    """Put llama.cpp's libraries into a frozen program, and take out what it does not need.

    Args:
        program: the program's folder.
        package: the folder ``llama_cpp`` with ``lib``.
        libraries: the Debian folder that llama.cpp was linked against; see :data:`_OLDER`.
        platform: which one.
    """
    inner = program / INNER
    _drop_links(program)
    for pattern in _UNUSED_FILES:
        for place in inner.rglob(pattern):
            place.unlink()
    for name in _UNUSED_FOLDERS:
        shutil.rmtree(inner / name, ignore_errors=True)
    lib = inner / package.name / "lib"
    shutil.rmtree(lib, ignore_errors=True)
    shutil.copytree(package / "lib", lib)
    for place in (found for pattern in _OLDER for found in inner.glob(pattern)):
        older = (found for found in _places(libraries, platform, place.name) if found.exists())
        shutil.copyfile(next(older), place)
    _drop_empty(program)
    _check_names(program)


def _places(libraries: Path, platform: Platform, name: str) -> tuple[Path, ...]:
    return tuple(libraries / folder / platform.triple / name for folder in ("usr/lib", "lib"))


def strip(program: Path, workshop: Path, progress: Progress, logs: Path) -> None:
    """Take the names that only a debugger reads out of every library; code is not touched."""
    names = [
        f"/job/{place.relative_to(program)}"
        for place in sorted((program / INNER).rglob("*"))
        if place.is_file() and elf.is_elf(place)
    ]
    inside = work.inside(workshop, program, ["llvm-strip-19", "--strip-unneeded", *names])
    work.run(inside, "Stripping the program's libraries", logs, progress)


def add_licences(program: Path, site: Path, python: Path, llama: Path) -> None:
    """Put the licences of what is in a program beside it, a file for each package.

    Args:
        program: the program's folder.
        site: the Python packages; each brings its own texts.
        python: the Debian folder that Python and its libraries come from.
        llama: the licence of llama.cpp.
    """
    target = program / "licenses"
    target.mkdir()
    for info in sorted(site.glob("*.dist-info")):
        found = [place for place in sorted(info.rglob("*")) if place.is_file() and _LICENCE.match(place.name)]
        if found:
            text = b"\n\n".join(place.read_bytes() for place in found)
            (target / f"{info.name.partition('-')[0]}.txt").write_bytes(text)
    for place in sorted((python / "usr" / "share" / "doc").glob("*/copyright")):
        if place.parent.name.startswith(_DEBIANS):
            (target / f"debian-{place.parent.name}.txt").write_bytes(place.read_bytes())
    shutil.copyfile(llama, target / "llama.cpp.txt")


def try_program(platform: Platform, python: Path, program: Path, progress: Progress, logs: Path) -> None:
    """See that a finished program does all that its native parts are for, on its platform or under an emulator of it.

    Raises:
        HostError: it does not; its own words are quoted.
    """
    documents = {name: base64.b64encode(data).decode() for name, data in samples.documents().items()}
    payload = json.dumps({"documents": documents, "sentence": samples.SENTENCE})
    command = ["sh", "-c", _TRY, "sh", f"/job/{PROGRAM}", payload]
    work.run(work.inside(python, program, command, {"HOME": "/tmp"}), f"Trying {platform.name}", logs, progress)  # noqa: S108


def _drop_links(program: Path) -> None:
    """Remove PyInstaller's links: each library finds the others where they lie by its own search path."""
    for place in sorted(program.rglob("*")):
        if place.is_symlink():
            place.unlink()


def _drop_empty(program: Path) -> None:
    for folder, _, _ in os.walk(program, topdown=False):
        if not any(Path(folder).iterdir()):
            Path(folder).rmdir()


def _check_names(program: Path) -> None:
    """See that the folder survives a file system that knows no case.

    Raises:
        HostError: two names would be one there.
    """
    seen: dict[str, str] = {}
    for place in sorted(program.rglob("*")):
        name = place.relative_to(program).as_posix()
        if other := seen.get(name.casefold()):
            raise HostError(f"The runtime holds {other} and {name}, which are one name on a stick.")
        seen[name.casefold()] = name


def own_package(source: Path, site: Path) -> None:
    """Copy this project's code beside the packages; compiled files and caches stay behind."""
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    with atomic.host_errors("copy", source):
        shutil.copytree(source, site / source.name, ignore=ignored)


def link_tree(source: Path, target: Path) -> None:
    """Lay out ``source`` at ``target`` again, with hard links for files: for reading, in a folder of another name."""
    if not target.exists():
        with atomic.temporary_folder(target.parent) as scratch, atomic.host_errors("copy", source):
            shutil.copytree(source, scratch / "tree", symlinks=True, copy_function=os.link)
            (scratch / "tree").rename(target)
