"""The names a recipe may give in [quantize]: types, mixtures of types, "auto"; and which ones "auto" tries."""

from publicai_edge.errors import RecipeError
from publicai_edge.quantize import KEEP, check_type
from publicai_edge.recipe import AUTO, Quantize

MIXED = "mixed:"
# From about 3.4 to 8.5 bits a weight. Q4_0 is left out: at nearly Q4_K_S's size it loses more, and a steward who wants
# it for its speed names it.
DEFAULT = ("Q3_K_S", "Q3_K_M", "IQ4_XS", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K", "Q8_0")


def base(name: str) -> str:
    """Return the stock type a name stands on: ``mixed:Q4_K_M`` takes as many bytes as Q4_K_M."""
    return name.removeprefix(MIXED)


def is_mixed(name: str) -> bool:
    """Say whether each tensor gets its own type."""
    return name.startswith(MIXED)


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
    named = (settings.candidates or DEFAULT) if settings.type == AUTO else (settings.type,)
    return tuple(dict.fromkeys(_exact(name, calibrated=calibrated) for name in named))


def _exact(name: str, *, calibrated: bool) -> str:
    mixed = name.lower().startswith(MIXED)
    if mixed and not calibrated:
        raise RecipeError(
            f"quantize.type {name!r} needs texts to calibrate with: each tensor gets its type by what it does there.",
            hint="Add a [quality] table with [[quality.texts]], and leave quantize.imatrix on.",
        )
    if name.lower() in {KEEP, AUTO}:
        raise RecipeError(f"{name!r} cannot be one of quantize.candidates.", hint="Name types, such as Q4_K_M.")
    exact = check_type(name[len(MIXED) :] if mixed else name, imatrix=calibrated)
    return MIXED + exact if mixed else exact
