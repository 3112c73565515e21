"""Only the half of llama-cpp-python that is used gets loaded, and the whole package stays usable."""

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from publicai_edge.engine import lowlevel

CODE = """
import sys
from publicai_edge.engine import lowlevel
native = lowlevel.load()
assert lowlevel.load() is native
lowlevel.load("llama_grammar")
print(sorted({"numpy", "jinja2", "diskcache", "llama_cpp.llama"} & set(sys.modules)))
import llama_cpp
print(llama_cpp.llama_cpp is native, llama_cpp.Llama.__name__, llama_cpp.__version__ == lowlevel.version())
"""


def test_the_high_level_half_is_not_loaded_and_can_be_later() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "True Llama True"]


def test_a_whole_package_that_is_there_already_is_used() -> None:
    code = "import llama_cpp; from publicai_edge.engine import lowlevel; print(lowlevel.load() is llama_cpp.llama_cpp)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_threads_that_wait_stop_spinning_when_they_should() -> None:
    """Asked of the library itself: a name that it does not know would be passed over in silence."""
    environment = {name: value for name, value in os.environ.items() if name != lowlevel.SPIN[0]}
    code = "from publicai_edge.engine import lowlevel; lowlevel.load()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment | {"OMP_DISPLAY_ENV": "verbose"},
    )
    if "OPENMP DISPLAY ENVIRONMENT" not in done.stderr:
        pytest.skip("this llama.cpp was built without OpenMP")
    assert f"GOMP_SPINCOUNT = '{lowlevel.SPIN[1]}'" in done.stderr


def test_a_native_build_has_no_backends_to_choose_from() -> None:
    assert lowlevel.backends(Path(lowlevel.load().__file__)) is None


@pytest.mark.parametrize("place", ["llama_cpp/lib", "bin"])
def test_a_portable_builds_backends_are_found_where_either_way_of_building_puts_them(
    tmp_path: Path, place: str
) -> None:
    module = tmp_path / "llama_cpp" / "llama_cpp.py"
    (tmp_path / "llama_cpp" / "lib").mkdir(parents=True)
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / place / "libggml-cpu-haswell.so").touch()
    assert lowlevel.backends(module) == tmp_path / place


def test_backends_are_loaded_once_and_through_llamas_own_handle(tmp_path: Path) -> None:
    lib = tmp_path / "lib"
    lib.mkdir()
    (lib / "libggml-cpu-haswell.so").touch()
    asked = []

    def load_all(folder: bytes) -> None:
        asked.append(folder)

    llama = types.SimpleNamespace(
        __file__=str(tmp_path / "llama_cpp.py"), _lib=types.SimpleNamespace(ggml_backend_load_all_from_path=load_all)
    )
    lowlevel.choose_backend(llama)
    lowlevel.choose_backend(llama)
    assert asked == [str(lib).encode()]
