"""The hint to compile llama.cpp anew names what is installed, and leaves AMX alone where it is asked to."""

import shlex
from importlib.metadata import PackageNotFoundError, version

import pytest

from publicai_edge import compiling


def test_it_compiles_the_version_that_is_installed() -> None:
    words = shlex.split(compiling.compile_command())
    assert words[:2] == ["pip", "install"]
    assert words[-1] == f"llama-cpp-python=={version('llama-cpp-python')}"


def test_it_gives_the_flags_to_both_compilers() -> None:
    words = shlex.split(compiling.compile_command(without_amx=True))
    assert words[:2] == [f"CFLAGS={compiling.NO_AMX}", f"CXXFLAGS={compiling.NO_AMX}"]


def test_it_names_no_version_where_nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(compiling, "version", missing)
    assert shlex.split(compiling.compile_command())[-1] == "llama-cpp-python"
