"""The target device's budget: will the bundle fit its memory and disk?"""

from collections.abc import Mapping
from typing import Any

from publicai_edge.artifact import Blob
from publicai_edge.engine import warm
from publicai_edge.errors import RecipeError
from publicai_edge.recipe import Recipe

# What the engine, the web process and the search model took on x86-64 beside the weights and the KV cache, measured
# with the demo bundle; and what a desktop with one browser page takes.
_PROGRAM_BYTES = 450 << 20
_SYSTEM_BYTES = 1 << 30


def check(
    recipe: Recipe, model: Mapping[str, Any], payload: Mapping[str, Blob], warm_tokens: Mapping[str, int]
) -> dict[str, int]:
    """Return the bundle's disk and expected memory in bytes.

    Raises:
        RecipeError: either is over the recipe's ``[target]``, or the context is over the model's.
    """
    trained = model["context_trained"]
    if trained and recipe.target.context > trained:
        raise RecipeError(
            f"target.context is {recipe.target.context}; the model was trained for {trained} tokens.",
            hint=f"Set target.context to {trained} or less.",
        )
    disk = sum(blob.size for blob in payload.values())
    weights = max(blob.size for blob in payload.values())
    cells = warm.cells(recipe.target.context, list(warm_tokens.values()))
    cache = cells * int(model["kv_bytes_per_token"])
    memory = weights + cache + _PROGRAM_BYTES + _SYSTEM_BYTES
    _refuse("disk_gb", recipe.target.disk_gb, disk, "the bundle takes", "a smaller quantize.type")
    _refuse(
        "ram_gb",
        recipe.target.ram_gb,
        memory,
        f"weights {weights / 1e9:.2f} GB, KV cache {cache / 1e9:.2f} GB, program and system "
        f"{(_PROGRAM_BYTES + _SYSTEM_BYTES) / 1e9:.2f} GB make",
        "a smaller quantize.type, target.context or model",
    )
    return {"disk_bytes": disk, "memory_bytes": memory, "kv_cache_bytes": cache}


def _refuse(key: str, allowed_gb: float, needed: int, what: str, instead: str) -> None:
    if needed > allowed_gb * 1e9:
        raise RecipeError(
            f"The bundle does not fit the device: {what} {needed / 1e9:.2f} GB, and target.{key} is {allowed_gb:g}.",
            hint=f"Choose {instead}, or raise target.{key} if the device has more.",
            needed=needed,
        )
