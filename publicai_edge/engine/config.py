"""What the engine is started with."""

from dataclasses import asdict, dataclass
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

    def to_json(self) -> dict[str, Any]:
        """Return plain data for the worker."""
        return {**asdict(self), "model": str(self.model)}
