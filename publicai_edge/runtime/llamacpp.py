"""llama.cpp for a platform: code for every kind of its processors, of which the best is chosen when it is loaded.

Compiled in the workshop against an old C library, from the source distribution of the installed
llama-cpp-python: the same version that quantizes and measures on the laptop.
"""

import re
import shutil
from pathlib import Path

from publicai_edge.errors import HostError
from publicai_edge.progress import Progress
from publicai_edge.runtime import compilers, work
from publicai_edge.runtime.platforms import Platform

SOURCE = "vendor/llama.cpp"
PACKAGE = "llama_cpp"
BLAS = "blas.so"
BLAS_SOURCE = Path(__file__).parent / "blas.c"
LICENCE = "llama.cpp.txt"
# Processors of servers and of workstations, which nobody puts into a kiosk, and one whose own instructions are used
# hardly at all; 9 MB. They run haswell's code, or icelake's, zen4's or ivybridge's.
LEFT_OUT = frozenset({"cannonlake", "cascadelake", "cooperlake", "piledriver", "sapphirerapids", "skylakex"})
_LIST = Path("ggml/src/CMakeLists.txt")
_ADD = re.compile(r"^\s*ggml_add_cpu_backend_variant\((\S+?)[\s)].*\n", re.MULTILINE)
_VARIANT = re.compile(r"(?:lib)?ggml-cpu-(.+)\.(?:so|dll|dylib)")
_LIBRARIES = re.compile(r"lib(?:llama|ggml|ggml-base)\.so\.\d+|libggml-cpu-.+\.so")
_OPTIONS = (
    "BUILD_SHARED_LIBS=ON",
    # Only what llama.cpp's own headers export is kept by name; what nobody can call then is left out.
    *(f"CMAKE_{language}_VISIBILITY_PRESET=hidden" for language in ("C", "CXX")),
    "CMAKE_VISIBILITY_INLINES_HIDDEN=ON",
    "GGML_NATIVE=OFF",
    "GGML_BACKEND_DL=ON",
    "GGML_CPU_ALL_VARIANTS=ON",
    "GGML_OPENMP=OFF",  # its own threads were as fast (ADR 0010), and there is one library less to bring
    "GGML_CCACHE=OFF",
    "LLAMA_BUILD_COMMON=OFF",
    "LLAMA_BUILD_TESTS=OFF",
    "LLAMA_BUILD_TOOLS=OFF",
    "LLAMA_BUILD_EXAMPLES=OFF",
    "LLAMA_BUILD_SERVER=OFF",
    "LLAMA_BUILD_APP=OFF",
    "LLAMA_CURL=OFF",
)


def leave_out(source: Path) -> None:
    """Take the processors of :data:`LEFT_OUT` out of the list of those that code is made for.

    Raises:
        HostError: the list is not as this version of the program knows it.
    """
    place = source / _LIST
    text = place.read_text("utf-8")
    known = set(_ADD.findall(text))
    if unknown := LEFT_OUT - known:
        raise HostError(
            f"llama.cpp's list of processors has no {', '.join(sorted(unknown))}: it is another version than the one "
            "that this program was tried with.",
            hint="Please report it.",
        )
    place.unlink()  # a link to the store's copy, which stays as it is
    place.write_text(_ADD.sub(lambda match: "" if match[1] in LEFT_OUT else match[0], text), "utf-8")


def settings(platform: Platform) -> list[str]:
    """Return cmake's arguments."""
    given = [
        "CMAKE_BUILD_TYPE=Release",
        "CMAKE_SYSTEM_NAME=Linux",
        f"CMAKE_SYSTEM_PROCESSOR={platform.machine}",
        *compilers.of(platform).settings(),
        f"CMAKE_FIND_ROOT_PATH={compilers.LIBRARIES}",
        "CMAKE_FIND_ROOT_PATH_MODE_PROGRAM=NEVER",
        "CMAKE_BUILD_WITH_INSTALL_RPATH=ON",
        "CMAKE_INSTALL_RPATH=$ORIGIN",
        *_OPTIONS,
    ]
    return [f"-D{item}" for item in given]


def compile_for(platform: Platform, workshop: Path, folder: Path, jobs: int, progress: Progress) -> None:
    """Compile in ``folder``, which holds ``source`` and ``libraries``; what is compiled already is kept.

    Raises:
        HostError: it does not compile.
    """
    configure = ["cmake", "-G", "Ninja", "-S", f"/job/source/{SOURCE}", "-B", "/job/build", *settings(platform)]
    label = f"llama.cpp for {platform.name}"
    if not (folder / "build" / "build.ninja").exists():
        work.run(work.inside(workshop, folder, configure), f"Configuring {label}", folder.parent, progress)
    command = ["ninja", "-C", "/job/build", f"-j{jobs}", "llama", "ggml"]
    work.run(work.inside(workshop, folder, command), f"Compiling {label}", folder.parent, progress)


def collect(folder: Path, target: Path, workshop: Path, progress: Progress) -> None:
    """Lay out the package ``llama_cpp`` below ``target``: its Python files, and in ``lib`` the libraries, stripped.

    A library has one name here, the one that others ask for it by: links would not survive a FAT stick.
    """
    source, lib = folder / "source", target / PACKAGE / "lib"
    lib.mkdir(parents=True)
    for place in sorted((source / PACKAGE).glob("*.py")):
        shutil.copyfile(place, target / PACKAGE / place.name)
    shutil.copyfile(source / SOURCE / "LICENSE", target / LICENCE)
    for place in sorted((folder / "build" / "bin").iterdir()):
        if _LIBRARIES.fullmatch(place.name):
            shutil.copyfile(place, lib / place.name)
    # ctypes opens it by this name; what it needs itself it finds by theirs.
    (main,) = lib.glob("libllama.so.*")
    main.rename(lib / "libllama.so")
    names = [f"/job/{place.relative_to(target)}" for place in sorted(lib.iterdir())]
    command = ["llvm-strip-19", "--strip-unneeded", *names]
    work.run(work.inside(workshop, target, command), "Stripping llama.cpp", folder.parent, progress)


def compile_blas(platform: Platform, folder: Path, target: Path, workshop: Path, progress: Progress) -> None:
    """Compile what stands in for OpenBLAS (``blas.c``) to ``target``/:data:`BLAS`.

    Raises:
        HostError: it does not compile.
    """
    shutil.copyfile(BLAS_SOURCE, folder / "blas.c")
    flags = [
        f"--target={platform.triple}",
        f"--sysroot={compilers.LIBRARIES}",
        "-fuse-ld=lld-19",
        "-O2",
        "-fPIC",
        "-shared",
    ]
    command = ["clang-19", *flags, "-s", "-o", "/job/blas.so", "/job/blas.c"]
    work.run(work.inside(workshop, folder, command), "Compiling what numpy needs", folder.parent, progress)
    shutil.move(folder / "blas.so", target / BLAS)


def variants(lib: Path) -> tuple[str, ...]:
    """Return the processors that a folder of libraries has code for."""
    found = (_VARIANT.fullmatch(place.name) for place in lib.iterdir())
    return tuple(sorted(match[1] for match in found if match))
