"""What the engine is started with."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from publicai_edge.engine.passages.settings import PassageSettings
from publicai_edge.engine.warm import SharedPrompt
from publicai_edge.tuning import Tuning


@dataclass(frozen=True)
class EngineConfig:
    """One model and the prompts its patrons share.

    Attributes:
        model: the GGUF file, or the folder of an ONNX model.
        model_sha256: its digest, which the stored states are tied to.
        context: tokens one conversation may have.
        kind: which engine runs it.
        prompts: what patrons share, with the stored states there are.
        fingerprint: the engine that made those states.
        threads: None lets the engine choose, by the cores there are and what else is busy on them.
        slots: conversations answered at the same time.
        queue: requests that may wait for a slot.
        gpu_layers: layers on a GPU; None puts there what fits.
        tuning: how it is evaluated; ``threads`` goes before its own.
        passages: whether passages are read for every question, or what was computed of them is used again.
    """

    model: Path
    model_sha256: str
    context: int
    kind: Literal["llama", "onnx"] = "llama"
    prompts: tuple[SharedPrompt, ...] = ()
    fingerprint: str | None = None
    threads: int | None = None
    slots: int = 4
    queue: int = 16
    gpu_layers: int | None = None
    tuning: Tuning = Tuning()  # noqa: RUF009 - frozen
    passages: PassageSettings = PassageSettings()  # noqa: RUF009 - frozen

    def without_states(self) -> "EngineConfig":
        """Return the same settings with every prompt's state to be computed anew."""
        bare = tuple(replace(prompt, file=None, sha256=None) for prompt in self.prompts)
        return replace(self, prompts=bare)

    def to_json(self) -> dict[str, Any]:
        """Return plain data for the worker."""
        return {**asdict(self), "model": str(self.model)}
