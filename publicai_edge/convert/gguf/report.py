"""What a conversion to GGUF is asked for, and what it says of itself."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from publicai_edge.errors import RecipeError

TYPES = ("f16", "bf16", "q8_0", "f32")


@dataclass(frozen=True)
class GgufSettings:
    """How a model is converted.

    Attributes:
        type: one of :data:`TYPES`.
        name: the model's name in the file; by default one that its configuration gives.
        compare: whether logits or vectors are compared with the original's, which needs 4 bytes of memory a weight.
        force: warn where the result differs from the original, instead of refusing it.
    """

    type: str = "f16"
    name: str | None = None
    compare: bool = True
    force: bool = False


@dataclass(frozen=True)
class GgufReport:
    """What a conversion did.

    Attributes:
        file: the result's name.
        name: the model's name in it.
        architecture: what config.json calls it.
        type: the type asked for.
        parameters: weights.
        bytes_before: bytes of the folder's weights.
        bytes_after: bytes of the result.
        tokenizer: the comparison of the tokenizers (:func:`check_tokens.run`).
        loss: of a model that writes text: mean KL divergence and more (:class:`check_logits.Loss`); else None.
        vectors: of a model that gives vectors: cosines to the original's (:func:`check_vectors.run`); else None.
        not_compared: why both are None, or None.
        versions: what made it.
    """

    file: str
    name: str
    architecture: str
    type: str
    parameters: int
    bytes_before: int
    bytes_after: int
    tokenizer: dict[str, Any]
    loss: dict[str, Any] | None
    vectors: dict[str, Any] | None
    not_compared: str | None
    versions: dict[str, str]

    def to_bytes(self) -> bytes:
        """Return the content of the report beside the model."""
        return (json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def check_type(name: str) -> str:
    """Return the type's exact name.

    Raises:
        RecipeError: the converter writes no such type.
    """
    if name.lower() not in TYPES:
        raise RecipeError(
            f"There is no conversion to GGUF of type {name!r}.",
            hint=f"Known types: {', '.join(TYPES)}. Smaller ones are made from these with `publicai-edge quantize`.",
        )
    return name.lower()
