"""The target device's budget: will the bundle fit its memory and disk?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from publicai_edge import gguf
from publicai_edge.artifact import Blob
from publicai_edge.engine import warm
from publicai_edge.errors import RecipeError
from publicai_edge.knowledge import zim
from publicai_edge.recipe import Recipe, Target
from publicai_edge.tuning import Tuning

# What the engine, the web process and the search model took on x86-64 beside the weights and the KV cache, measured
# with the demo bundle; and what a desktop with one browser page takes.
_PROGRAM_BYTES = 450 << 20
_SYSTEM_BYTES = 1 << 30
_F16_BYTES = 2  # what the model's bytes per token are told in


@dataclass(frozen=True)
class Need:
    """What a bundle takes of a device, in bytes.

    ``others``: the processes that read its ZIM files, that write down what is said, and that read aloud.
    """

    disk: int
    weights: int
    cache: int
    others: int = 0

    @property
    def memory(self) -> int:
        """Weights, KV cache, the programs, and the system under them."""
        return self.weights + self.cache + self.programs

    @property
    def programs(self) -> int:
        """The programs, and the system under them."""
        return _PROGRAM_BYTES + self.others + _SYSTEM_BYTES


def check(
    recipe: Recipe,
    model: Mapping[str, Any],
    payload: Mapping[str, Blob],
    warm_tokens: Mapping[str, int],
    model_folder: str,
    speech: int = 0,
) -> dict[str, int]:
    """Return the bundle's disk and expected memory in bytes.

    ``speech``: memory of the processes that write down what is said and that read aloud.

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
    weights = sum(blob.size for path, blob in payload.items() if path.startswith(f"{model_folder}/"))
    need = Need(disk, weights, _cache(recipe, model, warm_tokens), _readers(recipe) + speech)
    for problem, instead in _problems(recipe.target, need):
        raise RecipeError(
            f"The bundle does not fit the device: {problem}.",
            hint=f"Choose {instead}, or raise it in the recipe if the device has more.",
        )
    return {"disk_bytes": need.disk, "memory_bytes": need.memory, "kv_cache_bytes": need.cache}


def too_large(
    recipe: Recipe, model: Mapping[str, Any], model_bytes: int, other_bytes: int, speech: int = 0
) -> str | None:
    """Return why a model of this size does not fit the device beside the bundle's other files, or None."""
    need = Need(model_bytes + other_bytes, model_bytes, _cache(recipe, model, {}), _readers(recipe) + speech)
    return next((problem for problem, _ in _problems(recipe.target, need)), None)


def _readers(recipe: Recipe) -> int:
    return zim.READER_BYTES * len(recipe.knowledge.zim) if recipe.knowledge else 0


def _cache(recipe: Recipe, model: Mapping[str, Any], warm_tokens: Mapping[str, int]) -> int:
    slots = recipe.target.patrons + (recipe.knowledge.composes if recipe.knowledge else 0)
    cells = warm.cells(recipe.target.context, slots) + sum(warm_tokens.values())
    block, size = next((b, s) for name, b, s in gguf.TENSOR_TYPES.values() if name == _kv_type(recipe))
    return cells * int(model["kv_bytes_per_token"]) * size // (block * _F16_BYTES)


def _kv_type(recipe: Recipe) -> str:
    return (recipe.engine.kv_type or Tuning.kv_type).upper()


def _problems(target: Target, need: Need) -> Iterator[tuple[str, str]]:
    """Yield what does not fit, and what else to choose."""
    if need.disk > target.disk_gb * 1e9:
        yield (
            f"the bundle takes {need.disk / 1e9:.2f} GB, and target.disk_gb is {target.disk_gb:g}",
            "a smaller quantize.type",
        )
    if need.memory > target.ram_gb * 1e9:
        yield (
            f"weights {need.weights / 1e9:.2f} GB, KV cache {need.cache / 1e9:.2f} GB, program and system "
            f"{need.programs / 1e9:.2f} GB make {need.memory / 1e9:.2f} GB, and target.ram_gb is "
            f"{target.ram_gb:g}",
            "a smaller quantize.type, target.context or model",
        )
