"""A finished runtime is plain files that survive a stick, with the licences of all that is in it."""

import re
import tomllib
from pathlib import Path

import pytest

from publicai_edge.cli import standalone
from publicai_edge.errors import HostError
from publicai_edge.runtime import freeze, packages, platforms
from tests.conftest import ROOT

LINUX = platforms.LINUX["linux-x86_64"]


def write(place: Path, text: str = "") -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return place


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """What PyInstaller leaves: links, a C++ library of the wrong age, files that nobody needs."""
    inner = tmp_path / "program" / freeze.INNER
    write(inner.parent / "publicai-edge")
    write(inner / "libstdc++.so.6", "new")
    write(inner / "numpy.libs/libopenblas.so")
    (inner / "libopenblas.so").symlink_to("numpy.libs/libopenblas.so")
    write(inner / "onnxruntime/capi/libonnxruntime.so.1.32.0")
    write(inner / "numpy/core/include/x.h")
    write(inner / "llama_cpp/lib/old.so")
    return inner.parent


@pytest.fixture
def around(tmp_path: Path) -> tuple[Path, Path]:
    """The package with llama.cpp's libraries, and the Debian folder they were linked against."""
    write(tmp_path / "llama_cpp/lib/libllama.so", "portable")
    write(tmp_path / "debian/usr/lib/x86_64-linux-gnu/libstdc++.so.6", "old")
    return tmp_path / "llama_cpp", tmp_path / "debian"


def test_what_is_left_are_plain_files_that_a_kiosk_needs(program: Path, around: tuple[Path, Path]) -> None:
    freeze.finish(program, *around, LINUX)
    left = {place.relative_to(program).as_posix(): place for place in program.rglob("*")}
    assert not any(place.is_symlink() for place in left.values())
    assert {name for name, place in left.items() if place.is_file()} == {
        "publicai-edge",
        "_internal/libstdc++.so.6",
        "_internal/numpy.libs/libopenblas.so",
        "_internal/llama_cpp/lib/libllama.so",
    }
    assert (program / "_internal/libstdc++.so.6").read_text() == "old", "it asks for an older glibc"
    assert "_internal/onnxruntime" not in left


def test_names_that_are_one_on_a_stick_are_refused(program: Path, around: tuple[Path, Path]) -> None:
    write(program / "_internal/Data.txt")
    write(program / "_internal/data.txt")
    with pytest.raises(HostError, match=r"Data\.txt and _internal/data\.txt"):
        freeze.finish(program, *around, LINUX)


def test_each_packages_licence_comes_along(program: Path, tmp_path: Path) -> None:
    write(tmp_path / "site/numpy-2.4.6.dist-info/licenses/LICENSE.txt", "BSD")
    write(tmp_path / "site/numpy-2.4.6.dist-info/METADATA", "Name: numpy")
    write(tmp_path / "python/usr/share/doc/libssl3/copyright", "Apache")
    write(tmp_path / "python/usr/share/doc/bash/copyright", "GPL")
    freeze.add_licences(program, tmp_path / "site", tmp_path / "python", write(tmp_path / "LICENSE", "MIT"))
    found = {place.name: place.read_text() for place in (program / "licenses").iterdir()}
    assert found == {"numpy.txt": "BSD", "debian-libssl3.txt": "Apache", "llama.cpp.txt": "MIT"}


def test_the_packages_of_a_runtime_are_this_laptops_and_none_of_a_laptops_stages() -> None:
    found = packages.versions()
    assert {"numpy", "onnxruntime", "fastapi", "starlette", "pydantic-core", "tokenizers", "polib"} <= set(found)
    assert {"pypdf", "python-docx", "lxml", "markdown-it-py"} <= set(found), "what reads added documents"
    assert not {"torch", "transformers", "huggingface-hub", "babel"} & set(found)
    assert all(re.fullmatch(r"[0-9][0-9A-Za-z.+]*", version) for version in found.values())


def test_no_package_of_the_kiosks_extra_is_forgotten() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extra = settings["project"]["optional-dependencies"]["kiosk"]
    assert {re.split(r"[^a-z0-9-]", line)[0] for line in extra} <= set(packages.ROOTS)


def test_children_that_the_program_may_start_are_modules_that_are_there() -> None:
    import importlib.util

    assert all(importlib.util.find_spec(name) for name in standalone.CHILDREN)
    assert "publicai_edge.child" in freeze._HIDDEN
