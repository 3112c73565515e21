"""The names a recipe may give in [quantize]: types, mixtures of types, "auto"; and which ones "auto" tries."""

from publicai_edge.errors import ModelError, RecipeError
from publicai_edge.quantize import KEEP, check_type, types
from publicai_edge.quantize.types import is_type, unknown_type
from publicai_edge.recipe import AUTO, Quantize

MIXED, FAST = "mixed:", "fast:"
_MIXES = (MIXED, FAST)
# From about 3.4 to 8.5 bits a weight. Q4_0 is left out: at nearly Q4_K_S's size it loses more, and a steward who wants
# it for its speed names it.
DEFAULT = ("Q3_K_S", "Q3_K_M", "IQ4_XS", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K", "Q8_0")

# What tuning tries: types that llama.cpp computes quickly on processors, and the usual ones to hold them against.
QUICK = ("Q4_0", "IQ4_NL", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q6_K", "Q8_0")
QUICK_MIXES = ("mixed:Q4_0", "fast:Q4_K_S", "fast:Q4_K_M")


def base(name: str) -> str:
    """Return the stock type a name stands on: ``mixed:Q4_K_M`` takes as many bytes as Q4_K_M."""
    return name[len(_prefix(name)) :]


def is_mixed(name: str) -> bool:
    """Say whether each tensor gets its own type."""
    return name.startswith(_MIXES)


def is_fast(name: str) -> bool:
    """Say whether only types that processors compute quickly take part in a mix."""
    return name.startswith(FAST)


def check(settings: Quantize, *, calibrated: bool) -> tuple[str, ...]:
    """Return the exact names of the types to try, in the recipe's order; ("keep",) to change nothing.

    Args:
        settings: the recipe's.
        calibrated: whether there will be an importance matrix.

    Raises:
        RecipeError: a type is unknown, or needs an importance matrix that there will not be.
    """
    if settings.type == KEEP:
        return (KEEP,)
    if settings.type != AUTO:
        return (_exact(settings.type, (KEEP, AUTO), calibrated=calibrated),)
    return tuple(dict.fromkeys(_exact(name, (), calibrated=calibrated) for name in settings.candidates or DEFAULT))


def check_source(settings: Quantize, quantization: str, is_quantized: bool, name: str) -> None:
    """Refuse to quantize what is quantized already, unless the recipe says so; before anything is collected for it.

    Args:
        settings: the recipe's.
        quantization: the source's, such as "Q4_1".
        is_quantized: whether that is less than 16 bits.
        name: the source, as the recipe names it.

    Raises:
        ModelError: it is quantized, and that is not allowed.
    """
    if settings.type == KEEP or settings.allow_requantize or not is_quantized:
        return
    raise ModelError(
        f"{name} is already quantized ({quantization}); quantizing it again (quantize.type = {settings.type!r}) adds "
        "the second loss to the first.",
        hint='Name the F16 or BF16 original in model.source, say quantize.type = "keep", or '
        "quantize.allow_requantize = true.",
        found=quantization,
    )


def _prefix(name: str) -> str:
    return next((prefix for prefix in _MIXES if name.lower().startswith(prefix)), "")


def _exact(name: str, words: tuple[str, ...], *, calibrated: bool) -> str:
    """Return a type's exact name; ``words`` are those that may stand in a type's place here."""
    prefix = _prefix(name)
    if prefix and not calibrated:
        raise RecipeError(
            f"quantize.type {name!r} needs texts to calibrate with: each tensor gets its type by what it does there.",
            hint="Add a [quality] table with [[quality.texts]], and leave quantize.imatrix on; for `evaluate`, leave "
            "out --no-imatrix.",
        )
    if name.lower() in {KEEP, AUTO} and not words:
        raise RecipeError(f"{name!r} cannot be one of quantize.candidates.", hint="Name types, such as Q4_K_M.")
    bare = name[len(prefix) :]
    if not is_type(bare):
        offered = types(imatrix=calibrated)
        mixes = [prefix + item for prefix in _MIXES for item in offered]
        raise unknown_type(name, [*words, f"{MIXED}TYPE", f"{FAST}TYPE", *offered], more=mixes)
    exact = check_type(bare, imatrix=calibrated)
    return prefix + exact
