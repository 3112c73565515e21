"""The command that compiles llama.cpp anew on this machine, for the hints that name it."""

from importlib.metadata import PackageNotFoundError, version

_PACKAGE = "llama-cpp-python"
#: What keeps a compiler from using Intel's AMX, which gcc 12 gets wrong in llama.cpp (docs/adr/0055).
NO_AMX = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"


def compile_command(*, without_amx: bool = False) -> str:
    """Return a shell command that compiles the installed version of llama-cpp-python for this processor.

    Args:
        without_amx: whether the compiler must leave Intel's AMX alone.
    """
    try:
        wanted = f"{_PACKAGE}=={version(_PACKAGE)}"
    except PackageNotFoundError:
        wanted = _PACKAGE
    flags = f"CFLAGS='{NO_AMX}' CXXFLAGS='{NO_AMX}' " if without_amx else ""
    return f"{flags}pip install --force-reinstall --no-cache-dir --no-deps --no-binary {_PACKAGE} {wanted}"
