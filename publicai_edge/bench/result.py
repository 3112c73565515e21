"""What a benchmark found: plain frozen values, the same in memory and in the JSON file that ``bench`` writes.

Invariant: a file says everything that a comparison needs to know: what was measured, with which settings, on which
machine, and every single sample in the order in which they were taken.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from publicai_edge.bench import statistics
from publicai_edge.bench.statistics import Estimate
from publicai_edge.errors import PublicAIError, RecipeError

FORM = 1  # raised when a figure of the same name is measured another way: such files are not compared

Unit = Literal["tokens/s", "s", "bytes", "J/token", "texts/s", "GB/s", "GFLOP/s"]
_LOWER_IS_BETTER: frozenset[str] = frozenset({"s", "bytes", "J/token"})


@dataclass(frozen=True)
class Figure:
    """One thing that was measured, several times.

    Attributes:
        name: like ``prefill@512``: what, and at which length, depth or number of patrons.
        unit: of the samples.
        samples: one a round, in the order of the rounds.
        disturbed: how many of them were taken while other programs used the processor.
    """

    name: str
    unit: Unit
    samples: tuple[float, ...]
    disturbed: int = 0

    @property
    def higher_is_better(self) -> bool:
        """Whether more of it is better."""
        return self.unit not in _LOWER_IS_BETTER

    @property
    def median(self) -> Estimate:
        """The median, with its 95 % interval."""
        return statistics.middle(self.samples)


@dataclass(frozen=True)
class Subject:
    """What was measured.

    Attributes:
        kind: a model, or a bundle with one.
        name: as a person calls it.
        sha256: names the model's bytes; of all its files where it has several.
        size: of the model, in bytes.
        format: "GGUF" or "ONNX".
        type: what most weights are stored in, such as "Q4_0"; "" where it is not known.
        architecture: such as "llama"; "" where it is not known.
        parameters: how many weights there are; 0 where it is not known.
    """

    kind: Literal["model", "bundle"]
    name: str
    sha256: str
    size: int
    format: Literal["GGUF", "ONNX"]
    type: str = ""
    architecture: str = ""
    parameters: int = 0


@dataclass(frozen=True)
class Work:
    """What a token costs, for the roofline; 0 where the file does not tell.

    Attributes:
        bytes_per_token: weights that one evaluation reads, in bytes.
        cache_bytes_per_position: of the KV cache, read for each position that a token looks back on.
        operations_per_token: multiplications and additions of the weights, to read one token of a prompt.
        operations_per_position: those of attention, for each position that a token looks back on.
    """

    bytes_per_token: int = 0
    cache_bytes_per_position: int = 0
    operations_per_token: int = 0
    operations_per_position: int = 0


@dataclass(frozen=True)
class Planned:
    """What was predicted of a run before it was made.

    Attributes:
        device: the profile that it was predicted from.
        ranges: of each figure, the least, the expected and the most; in the figure's unit.
    """

    device: str
    ranges: Mapping[str, tuple[float, float, float]]


@dataclass(frozen=True)
class Turns:
    """What a run knows of the other one that it took turns with.

    Attributes:
        id: the same in both, and in no other.
        place: 0 for the one that came first in the comparison, 1 for the other.
        ratios: of each figure, the second over the first, one for each pair of processes.
    """

    id: str
    place: int
    ratios: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Run:
    """One benchmark.

    Attributes:
        subject: what was measured.
        settings: how; every one changes the figures.
        machine: see :mod:`publicai_edge.bench.machine`.
        engine: the engine's version, build and processor features.
        work: what a token costs.
        figures: what came of it.
        notes: sentences that a reader must know: what could not be measured, and why; what disturbed it.
        started: when, in UTC, ISO 8601.
        seconds: how long it took.
        planned: what was predicted of it, where that was asked for.
        turns: where it was measured in turns with another: what :mod:`publicai_edge.bench.turns` says of that.
    """

    subject: Subject
    settings: Mapping[str, Any]
    machine: Mapping[str, Any]
    engine: Mapping[str, Any]
    work: Work
    figures: tuple[Figure, ...]
    notes: tuple[str, ...] = ()
    started: str = ""
    seconds: float = 0.0
    form: int = field(default=FORM)
    planned: Planned | None = None
    turns: Turns | None = None

    def figure(self, name: str) -> Figure | None:
        """Return a figure by its name."""
        return next((figure for figure in self.figures if figure.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "Run":
        """Read what :meth:`to_json` wrote; raises KeyError, TypeError or ValueError for anything else."""
        figures = tuple(
            Figure(item["name"], item["unit"], tuple(map(float, item["samples"])), int(item["disturbed"]))
            for item in data["figures"]
        )
        if any(not figure.samples or not all(0 < value < math.inf for value in figure.samples) for figure in figures):
            raise ValueError("a figure without samples, or with one that is not above 0")
        return Run(
            subject=Subject(**data["subject"]),
            settings=dict(data["settings"]),
            machine=dict(data["machine"]),
            engine=dict(data["engine"]),
            work=Work(**data["work"]),
            figures=figures,
            notes=tuple(data["notes"]),
            started=str(data["started"]),
            seconds=float(data["seconds"]),
            form=int(data["form"]),
            planned=_planned(data.get("planned")),
            turns=_turns(data.get("turns")),
        )


def _planned(data: Mapping[str, Any] | None) -> Planned | None:
    if data is None:
        return None
    ranges = {}
    for name, (low, expected, high) in data["ranges"].items():
        ranges[str(name)] = (float(low), float(expected), float(high))
    return Planned(str(data["device"]), ranges)


def _turns(data: Mapping[str, Any] | None) -> Turns | None:
    if data is None:
        return None
    ratios = {str(name): tuple(map(float, values)) for name, values in data["ratios"].items()}
    if not all(0 < value < math.inf for values in ratios.values() for value in values):
        raise ValueError("a ratio that is not above 0")
    return Turns(str(data["id"]), int(data["place"]), ratios)


def read(path: Path) -> Run:
    """Read a file that ``bench`` wrote.

    Raises:
        RecipeError: it is not there, is not such a file, or was written by a newer program that measures otherwise.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
        _check_form(path, int(data["form"]))
        return Run.from_json(data)
    except RecipeError:
        raise
    except OSError as error:
        raise RecipeError(
            f"Cannot read {path}: {error.strerror}.", hint="`publicai-edge bench MODEL --output FILE` makes one."
        ) from error
    except json.JSONDecodeError as error:
        raise RecipeError(
            f"{path} is no JSON, or was cut short: {error}.",
            hint="Give the JSON file that `publicai-edge bench` wrote.",
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, PublicAIError) as error:
        raise RecipeError(
            f"{path} is not a result of `publicai-edge bench`.", hint="Give the JSON file that it wrote."
        ) from error


def _check_form(path: Path, form: int) -> None:
    if form > FORM:
        raise RecipeError(
            f"{path} was measured in a newer way (form {form}) than this publicai-edge knows (form {FORM}).",
            hint="Read it with the publicai-edge that wrote it, or a newer one; or measure again with this one.",
            path=str(path),
            form=form,
        )
