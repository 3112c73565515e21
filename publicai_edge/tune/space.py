"""What may be set, and to which values: the points that a search chooses from.

A point is a type of weights and the engine's settings. What a short prompt does not tell apart (how large a batch may
be) is left out of the coarse points; each of them stands for several fine ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from publicai_edge import host
from publicai_edge.tuning import Tuning

_BATCHES = ((512, 512), (512, 256), (512, 128), (256, 256), (128, 128))
_LARGE_BATCHES = ((1024, 512), (1024, 1024))
_LARGE_PROMPT = 512  # shorter ones are read in one evaluation of the usual size
# A KV cache that is quantized needs flash attention, so there is no fourth.
_CACHES: tuple[dict[str, Any], ...] = (
    {"kv_type": "f16", "flash_attention": "auto"},
    {"kv_type": "f16", "flash_attention": "off"},
    {"kv_type": "q8_0", "flash_attention": "auto"},
)


@dataclass(frozen=True)
class Point:
    """One way to run the model.

    Attributes:
        type: of its weights, as [quantize] names it; "" where there is only one file.
        tuning: the engine's settings.
    """

    type: str
    tuning: Tuning

    @property
    def model(self) -> "tuple[str, str]":
        """What its answers depend on: the weights' type and the KV cache's."""
        return self.type, self.tuning.kv_type

    @property
    def coarse(self) -> "Point":
        """The point that stands for it before batches are told apart."""
        return replace(self, tuning=replace(self.tuning, batch=Tuning.batch, ubatch=None))

    def __str__(self) -> str:
        return f"{self.type}, {self.tuning}" if self.type else str(self.tuning)


@dataclass(frozen=True)
class Space:
    """All points.

    Attributes:
        types: of weights.
        threads: most threads of an evaluation.
        caches: type of the KV cache and flash attention, as keywords of a tuning.
        batches: batch and micro-batch.
    """

    types: tuple[str, ...]
    threads: tuple[int, ...]
    caches: tuple[Mapping[str, Any], ...]
    batches: tuple[tuple[int, int], ...]

    @staticmethod
    def of(
        types: Sequence[str],
        *,
        fixed: Mapping[str, Any],
        prompt: int,
        kv_types: Sequence[str] = ("f16", "q8_0"),
        cores: tuple[int, int] | None = None,
    ) -> "Space":
        """Return the points worth trying.

        Args:
            types: of weights.
            fixed: settings that somebody decided already, by their names.
            prompt: tokens of the prompts that are read.
            kv_types: types the KV cache may have.
            cores: physical cores and processors; by default this machine's.
        """
        physical, processors = cores or (host.physical_cores(), host.usable_cores())
        counts = {physical, physical - 1, -(-physical // 2), processors} - {0}
        batches = _BATCHES + (_LARGE_BATCHES if prompt > _LARGE_PROMPT else ())
        cache_keys = {name: fixed[name] for name in ("kv_type", "flash_attention") if name in fixed}
        caches = [cache for cache in _CACHES if cache["kv_type"] in kv_types and cache_keys.items() <= cache.items()]
        given = (fixed.get("batch"), fixed.get("ubatch"))
        return Space(
            tuple(types),
            (fixed["threads"],) if "threads" in fixed else tuple(sorted(counts, reverse=True)),
            tuple(caches) or ({"kv_type": "f16", "flash_attention": "auto", **cache_keys},),
            tuple(pair for pair in batches if _agrees(pair, given)) or (_completed(given),),
        )

    def coarse(self) -> list[Point]:
        """Return the points without their batches."""
        return [
            Point(type_, Tuning(threads=threads, **cache)) for type_ in self.types for threads in self.threads
            for cache in self.caches
        ]  # fmt: skip

    def finer(self, coarse: Sequence[Point]) -> list[Point]:
        """Return what each of these points stands for: first all with one batch, then all with the next."""
        return [
            replace(point, tuning=replace(point.tuning, batch=batch, ubatch=None if ubatch == batch else ubatch))
            for batch, ubatch in self.batches
            for point in coarse
        ]

    def __contains__(self, point: Point) -> bool:
        return point in self.all()

    def all(self) -> list[Point]:
        """Return every point."""
        return self.finer(self.coarse())


def _agrees(pair: tuple[int, int], given: tuple[int | None, int | None]) -> bool:
    return all(wanted is None or wanted == value for value, wanted in zip(pair, given, strict=True))


def _completed(given: tuple[int | None, int | None]) -> tuple[int, int]:
    batch = given[0] or max(Tuning.batch, given[1] or 0)
    return batch, given[1] or batch
