"""Only the half of llama-cpp-python that is used gets loaded, and the whole package stays usable."""

import subprocess
import sys

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
