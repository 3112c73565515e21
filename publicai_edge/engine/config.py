"""What the engine is started with."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from publicai_edge.engine.warm import SharedPrompt


@dataclass(frozen=True)
class EngineConfig:
    """One model and the prompts its patrons share.

    ``context`` is the tokens one conversation may have; ``fingerprint`` names the engine that made the state files of
    ``prompts``; ``threads`` None means the machine's physical cores; ``queue`` bounds the requests that may wait.
    """

    model: Path
    model_sha256: str
    context: int
    kv_type: str = "f16"
    prompts: tuple[SharedPrompt, ...] = ()
    fingerprint: str | None = None
    threads: int | None = None
    queue: int = 16

    def without_states(self) -> "EngineConfig":
        """Return the same settings with every prompt's state to be computed anew."""
        bare = tuple(replace(prompt, file=None, sha256=None) for prompt in self.prompts)
        return replace(self, prompts=bare)

    def to_json(self) -> dict[str, Any]:
        """Return plain data for the worker."""
        return {**asdict(self), "model": str(self.model)}
