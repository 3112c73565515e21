"""How a model is evaluated on one device: what changes its speed and its memory, and hardly anything else.

The values are llama.cpp's own. A recipe may set them, ``tune`` finds them, and a bundle keeps them.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

KvType = Literal["f16", "q8_0"]
FlashAttention = Literal["auto", "on", "off"]

KV_TYPES: tuple[KvType, ...] = ("f16", "q8_0")
LEAST_BATCH, MOST_BATCH = 32, 4096


@dataclass(frozen=True)
class Tuning:
    """The settings of an engine.

    Attributes:
        threads: most threads of an evaluation; None for one on each core. Fewer are used while others are busy.
        batch: tokens of one evaluation.
        ubatch: tokens that llama.cpp computes at once within it; None for all of them.
        kv_type: type of the KV cache. "q8_0" takes about half the memory of "f16", and costs a little quality.
        flash_attention: whether attention goes over the cache in one pass. "auto" leaves it to llama.cpp.
        drafts: whether what is quoted is read ahead from the prompt, where that pays.
    """

    threads: int | None = None
    batch: int = 512
    ubatch: int | None = None
    kv_type: KvType = "f16"
    flash_attention: FlashAttention = "auto"
    drafts: bool = True

    def __post_init__(self) -> None:
        """Refuse what llama.cpp would refuse later, or end the process over."""
        if not LEAST_BATCH <= self.batch <= MOST_BATCH:
            raise ValueError(f"a batch has {LEAST_BATCH} to {MOST_BATCH} tokens, not {self.batch}")
        if self.ubatch is not None and not LEAST_BATCH <= self.ubatch <= self.batch:
            raise ValueError(f"a micro-batch has {LEAST_BATCH} tokens to those of the batch, not {self.ubatch}")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"{self.threads} threads evaluate nothing")
        if self.kv_type != "f16" and self.flash_attention == "off":
            raise ValueError(f"a KV cache of type {self.kv_type} needs flash attention")

    @property
    def state_form(self) -> str:
        """Return what a stored state depends on: a cache is laid out otherwise without flash attention."""
        laid_out = "" if self.flash_attention == "auto" else f", flash attention {self.flash_attention}"
        return f"{self.kv_type}{laid_out}"

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    def changes(self) -> dict[str, Any]:
        """Return what differs from the defaults."""
        usual = asdict(Tuning())
        return {name: value for name, value in asdict(self).items() if value != usual[name]}

    def __str__(self) -> str:
        ubatch = f"/{self.ubatch}" if self.ubatch not in {None, self.batch} else ""
        threads = f"{self.threads} thread{'s' if self.threads != 1 else ''}" if self.threads else "threads by the cores"
        words = [threads, f"batch {self.batch}{ubatch}", f"KV cache {self.kv_type}"]
        words.append(f"flash attention {self.flash_attention}")
        if not self.drafts:
            words.append("no drafts")
        return ", ".join(words)
