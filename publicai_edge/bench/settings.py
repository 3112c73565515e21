"""How a benchmark is done, and what it is done to."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from publicai_edge.bench.result import Subject, Work

Part = Literal["speed", "service", "documents"]
PARTS: tuple[Part, ...] = ("speed", "service", "documents")


@dataclass(frozen=True)
class Settings:
    """How it is measured; every value changes the figures, and two runs with different ones are not compared.

    Attributes:
        threads: of every evaluation.
        lengths: tokens of the prompts that are read; answers are also written behind each of them.
        tokens: how many are written for a figure of decoding.
        patrons: how many at once the service is measured with.
        answer_tokens: the longest answer of a patron.
        gpu_layers: layers on graphics processors; None puts there what fits.
        parts: which parts are measured.
    """

    threads: int
    lengths: tuple[int, ...] = (128, 512, 1024)
    tokens: int = 64
    patrons: tuple[int, ...] = (1, 2, 4, 8)
    answer_tokens: int = 48
    gpu_layers: int | None = None
    parts: tuple[Part, ...] = PARTS

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Effort:
    """How long it may go on; more of it makes figures surer and nothing else, so it is no setting.

    Attributes:
        rounds: the fewest rounds, each of which measures every figure once.
        within: how well each median is to be known, as a share of it, with 95 % confidence.
        seconds: when to end although it is not.
    """

    rounds: int = 8
    within: float = 0.03
    seconds: float = 300.0


@dataclass(frozen=True)
class Target:
    """What is measured.

    Attributes:
        subject: as the result names it.
        path: the GGUF file, or the folder of a model in ONNX.
        engine: what runs it.
        work: what a token costs.
        context_trained: the most tokens that it was made for; None where it is not known.
        bundle: the bundle's folder, where it is one.
        speaks: whether it has a chat template, so that it can be asked.
    """

    subject: Subject
    path: Path
    engine: Literal["llama", "onnx"]
    work: Work
    context_trained: int | None = None
    bundle: Path | None = None
    speaks: bool = True
