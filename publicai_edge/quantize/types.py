"""The names of quantization types: which there are, which need an importance matrix, which weights may have which.

A *type* names a mixture for a whole model ("Q4_K_M"); a *tensor type* is the form of one weight ("Q4_K").
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from publicai_edge import gguf
from publicai_edge.errors import HostError, RecipeError

KEEP = "keep"
_DECLARATION = re.compile(r"^LLAMA_FTYPE_(?:MOSTLY|ALL)_(\w+) *= *(\d+)", re.MULTILINE)
# Mixtures that give some weights IQ1, IQ2, IQ3_XXS or a bare Q2_K, where llama.cpp wants an importance matrix.
NEED_IMATRIX = frozenset({"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ3_XXS", "IQ3_XS", "Q2_K_S"})
_TENSOR_TYPES_NEED_IMATRIX = frozenset({"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS"})
_SPECIAL_KERNELS = frozenset({"MXFP4_MOE", "NVFP4", "Q1_0", "Q2_0"})
_NOT_FOR_WEIGHTS = frozenset({"I8", "I16", "I32", "I64", "F64", "Q8_1", "Q8_K", "MXFP4"})
_NEVER_IMATRIX = frozenset({"token_embd.weight", "output.weight"})  # llama.cpp asks for none there


def types(*, imatrix: bool = False) -> dict[str, int]:
    """Return the offered type names and llama.cpp's number for each; with an importance matrix there are more."""
    found = _declared()
    hidden = _SPECIAL_KERNELS if imatrix else _SPECIAL_KERNELS | NEED_IMATRIX
    return {name: code for name, code in sorted(found.items()) if name not in hidden}


@cache
def _declared() -> dict[str, int]:
    """Return every type that llama-cpp-python declares, read from its source: importing it takes longer than the rest.

    Raises:
        HostError: llama-cpp-python is not installed.
    """
    spec = find_spec("llama_cpp")
    if spec is None or spec.origin is None:
        raise HostError("llama-cpp-python is not installed.", hint="Install publicai-edge again, with pip.")
    declarations = Path(spec.origin).with_name("llama_cpp.py").read_text("utf-8")
    return {name: int(code) for name, code in _DECLARATION.findall(declarations)}


def check_type(name: str, *, imatrix: bool = False) -> str:
    """Return the type's exact name.

    Args:
        name: in any case.
        imatrix: whether there will be an importance matrix.

    Raises:
        RecipeError: llama.cpp has no such type, it needs an importance matrix, or kernels few machines have.
    """
    wanted, offered = name.upper(), types(imatrix=imatrix)
    if wanted in offered:
        return wanted
    if wanted in NEED_IMATRIX:
        raise RecipeError(
            f"Quantization type {wanted} needs an importance matrix, and none was given.",
            hint="Make one with `publicai-edge imatrix MODEL OUT --texts PATH` and give it with --imatrix OUT; or "
            "choose a larger type, such as Q3_K_M or Q4_K_M.",
        )
    if wanted in _SPECIAL_KERNELS:
        raise RecipeError(
            f"Quantization type {wanted} is not offered: it needs special kernels.",
            hint="Choose another type, such as Q4_0 or Q4_K_M.",
        )
    raise unknown_type(name, list(offered))


def is_type(name: str) -> bool:
    """Say whether llama.cpp has a type of this name, in any case; it may still need an importance matrix."""
    return name.upper() in _declared()


def unknown_type(name: str, known: Sequence[str], *, more: Sequence[str] = ()) -> RecipeError:
    """Return the error for a type that is not there, with the nearest that is.

    Args:
        name: as it was written.
        known: types that may be named here.
        more: further names that may be meant, too many to list.
    """
    names = {item.upper(): item for item in (*known, *more)}
    near = difflib.get_close_matches(name.upper(), names, n=1, cutoff=0.4)
    return RecipeError(
        f"There is no quantization type {name!r}" + (f"; did you mean {names[near[0]]!r}?" if near else "."),
        hint=f"Known types: {', '.join(known)}.",
    )


def check_tensor_types(header: gguf.Header, wanted: Mapping[str, str], *, imatrix: bool) -> dict[str, str]:
    """Return the wanted types of single weights, their names exact.

    Args:
        header: of the model to quantize.
        wanted: weight → tensor type.
        imatrix: whether there is an importance matrix.

    Raises:
        RecipeError: the model has no such weight, there is no such type, or the weight's rows do not fit it.
    """
    blocks = {name: block for name, block, _ in gguf.TENSOR_TYPES.values() if name not in _NOT_FOR_WEIGHTS}
    tensors = {tensor.name: tensor for tensor in header.tensors}
    checked = {}
    for weight, name in wanted.items():
        tensor, kind = tensors.get(weight), name.upper()
        if tensor is None:
            near = difflib.get_close_matches(weight, tensors, n=1, cutoff=0.4)
            raise RecipeError(
                f"{header.path} has no weight {weight!r}" + (f"; did you mean {near[0]!r}?" if near else "."),
                hint="Name weights as the model does, such as 'blk.0.attn_v.weight'.",
            )
        if kind not in blocks:
            near = difflib.get_close_matches(kind, blocks, n=1, cutoff=0.4)
            raise RecipeError(
                f"There is no tensor type {name!r} (for {weight})" + (f"; did you mean {near[0]!r}?" if near else "."),
                hint=f"Known tensor types: {', '.join(sorted(blocks))}.",
            )
        if tensor.dimensions[0] % blocks[kind]:
            raise RecipeError(
                f"{weight} has rows of {tensor.dimensions[0]:,} weights, and {kind} packs {blocks[kind]} at a time.",
                hint="Choose a type that packs 32 at a time, such as Q4_0, Q5_0, IQ4_NL or Q8_0.",
            )
        if kind in _TENSOR_TYPES_NEED_IMATRIX and not imatrix and weight not in _NEVER_IMATRIX:
            raise RecipeError(
                f"Tensor type {kind} (for {weight}) needs an importance matrix, and none was given.",
                hint="Make one with `publicai-edge imatrix MODEL OUT --texts PATH` and give it with --imatrix OUT.",
            )
        checked[weight] = kind
    return checked
