"""The compiler that llama.cpp is given to for a platform, kept to the libraries of an older Debian.

gcc for x86_64: what clang makes of the same source writes a twentieth slower there. clang for aarch64, whose newest
processors gcc 12 does not know (docs/adr/0052).
"""

from dataclasses import dataclass

from publicai_edge.runtime.platforms import Platform

LIBRARIES = "/job/libraries"
"""Where the Debian folder that is linked against lies, seen from the workshop."""

_SECTIONS = "-ffunction-sections -fdata-sections"
_SMALL = "-Wl,--gc-sections -Wl,--icf=safe"  # what nobody can call, or is there twice, is left out
_GCC, _THEIR_GCC = 12, 10  # the workshop's, and that of the C++ library which is linked against
_LLVM_FOLDER = "/usr/lib/llvm-19/bin"


@dataclass(frozen=True)
class Compiler:
    """Programs of the workshop, and what they are told.

    Attributes:
        c, cxx: their names.
        flags: to compile.
        cxx_flags: besides, to compile C++.
        linker: to link.
    """

    c: str
    cxx: str
    flags: str
    cxx_flags: str
    linker: str

    def settings(self) -> list[str]:
        """Return them as cmake's variables, in the form NAME=VALUE."""
        return [
            f"CMAKE_C_COMPILER={self.c}",
            f"CMAKE_CXX_COMPILER={self.cxx}",
            *(f"CMAKE_{language}_FLAGS={self.flags}" for language in ("C", "ASM")),
            f"CMAKE_CXX_FLAGS={self.flags} {self.cxx_flags}".rstrip(),
            *(f"CMAKE_{kind}_LINKER_FLAGS={self.linker}" for kind in ("SHARED", "MODULE", "EXE")),
        ]


def packages(workshop: str) -> tuple[str, ...]:
    """Return the Debian packages with the compilers, for a workshop of an architecture such as "amd64"."""
    own = workshop == "amd64"
    return ("clang-19", "lld-19", "llvm-19", f"g++-{_GCC}" if own else f"g++-{_GCC}-x86-64-linux-gnu")


def of(platform: Platform) -> Compiler:
    """Return the compiler for a platform."""
    return _gcc(platform.triple) if platform.machine == "x86_64" else _clang(platform.triple)


def _clang(triple: str) -> Compiler:
    """Clang finds the C++ library's headers, and what to link, by itself."""
    flags = f"--target={triple} --sysroot={LIBRARIES} {_SECTIONS}"
    return Compiler("clang-19", "clang++-19", flags, "", f"-fuse-ld=lld-19 {_SMALL}")


def _gcc(triple: str) -> Compiler:
    """Gcc looks beside itself first; so it is told the older places, but its own headers of processors stay."""
    own = f"{LIBRARIES}/usr/lib/gcc/{triple}/{_THEIR_GCC}"
    headers = (f"{LIBRARIES}/usr/include/c++/{_THEIR_GCC}", f"{LIBRARIES}/usr/include/{triple}/c++/{_THEIR_GCC}")
    places = (own, f"{LIBRARIES}/usr/lib/{triple}", f"{LIBRARIES}/lib/{triple}")
    return Compiler(
        f"{triple}-gcc-{_GCC}",
        f"{triple}-g++-{_GCC}",
        f"--sysroot={LIBRARIES} {_SECTIONS}",
        " ".join(["-nostdinc++", *(f"-isystem {place}" for place in headers)]),
        " ".join([f"-B{own} -B{_LLVM_FOLDER} -fuse-ld=lld", *(f"-L{place}" for place in places), _SMALL]),
    )
