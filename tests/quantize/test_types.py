"""Names of types: those llama.cpp has, without loading it."""

import subprocess
import sys

from publicai_edge.quantize import types


def test_types_are_those_the_engine_declares() -> None:
    import llama_cpp

    declared = {
        name.removeprefix(prefix): getattr(llama_cpp, name)
        for name in dir(llama_cpp)
        for prefix in ("LLAMA_FTYPE_MOSTLY_", "LLAMA_FTYPE_ALL_")
        if name.startswith(prefix)
    }
    offered = types(imatrix=True)
    assert offered == {name: declared[name] for name in offered}
    assert declared.keys() - offered.keys() == {"MXFP4_MOE", "NVFP4", "Q1_0", "Q2_0"}


def test_checking_a_type_does_not_load_the_engine() -> None:
    check = "from publicai_edge.quantize import check_type; check_type('q4_0')"
    code = f"import sys; {check}; print('llama_cpp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
