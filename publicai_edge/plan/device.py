"""What is known of a machine: its memory and disk, and how fast it evaluates models.

A profile is a TOML file. One that was probed (:mod:`.probe`) has measured rates. One that was written by hand has
figures that others published for that machine, each with its address; the rates follow from them, and how far the
figures lie apart says how much they are worth.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from statistics import median
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from publicai_edge.errors import RecipeError
from publicai_edge.plan.cost import FAMILIES, Cost

_PROBED_SPREAD = 0.25
_PUBLISHED_SPREAD = 0.4  # other builds, other systems, other memory modules under the same name
_STAND_IN_SPREAD = 1.0  # another machine altogether
_FOLDER = "profiles"
_FAULTS_TOLD = 4
_TABLES = ("read", "work", "vector_seconds")
_POSITIVE = Field(gt=0)


@dataclass(frozen=True)
class Range:
    """A predicted number, and between which two it is expected."""

    low: float
    middle: float
    high: float

    @staticmethod
    def around(value: float, spread: float) -> "Range":
        """Return a value that may be wrong by a share of it, as a factor in either direction."""
        return Range(value / (1 + spread), value, value * (1 + spread))

    def to_json(self) -> dict[str, float]:
        """Return plain data."""
        return {"low": self.low, "expected": self.middle, "high": self.high}


@dataclass(frozen=True)
class Speed:
    """How fast a machine evaluates models.

    Attributes:
        read: bytes of weights that it reads a second while it writes a token, by family.
        work: operations a second on weights while it reads a prompt, by family.
        layer_seconds: what a layer of an evaluation takes beside that.
        vector_seconds: what a token of a prompt takes beside that, for each layer and each number of its vector, by the
            family of the weights.
        look_back_writing: operations a second of attention while it writes.
        look_back_reading: the same while it reads a prompt.
        spread: by which factor, less one, a prediction may be wrong.
    """

    read: Mapping[str, float]
    work: Mapping[str, float]
    layer_seconds: float
    vector_seconds: Mapping[str, float]
    look_back_writing: float
    look_back_reading: float
    spread: float

    def token_seconds(self, cost: Cost, depth: int) -> float:
        """Return the seconds that writing a token takes behind ``depth`` others."""
        weights = sum(size / self.read[family] for family, size in cost.bytes_read.items())
        return weights + cost.layers * self.layer_seconds + cost.look_back * depth / self.look_back_writing

    def prompt_seconds(self, cost: Cost, tokens: int, depth: int = 0) -> float:
        """Return the seconds that reading a prompt takes behind ``depth`` tokens that are there already."""
        weights = sum(2 * count / self.work[family] for family, count in cost.weights_used.items())
        whole = sum(cost.weights_used.values()) or 1.0
        mean = sum(count / whole * self.vector_seconds[family] for family, count in cost.weights_used.items())
        vectors = cost.layers * cost.width * mean
        behind = cost.look_back * (depth + tokens / 2) / self.look_back_reading
        return tokens * (weights + vectors + behind)


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Published(_Table):
    """A figure that somebody published: how fast llama.cpp ran a model on such a machine.

    Attributes:
        model: and its quantization type.
        gigabytes: of the file, 10^9 bytes.
        billions: of its weights, 10^9.
        decode: tokens written a second.
        prefill: tokens of a prompt read a second.
        machine: where it was measured, if that was another one that stands in for this one.
        source: where it was published.
    """

    model: str
    gigabytes: Annotated[float, _POSITIVE]
    billions: Annotated[float, _POSITIVE]
    decode: Annotated[float, _POSITIVE] | None = None
    prefill: Annotated[float, _POSITIVE] | None = None
    machine: str | None = None
    source: str


class Measured(_Table):
    """Rates that were measured; units as in :class:`Speed`."""

    read: dict[str, Annotated[float, _POSITIVE]]
    work: dict[str, Annotated[float, _POSITIVE]]
    layer_seconds: Annotated[float, Field(ge=0)]
    vector_seconds: dict[str, Annotated[float, Field(ge=0)]]
    look_back_writing: Annotated[float, _POSITIVE]
    look_back_reading: Annotated[float, _POSITIVE]
    threads: int
    engine: str


class Profile(_Table):
    """A machine."""

    name: str
    title: str
    cpu: str
    cores: Annotated[int, _POSITIVE]
    ram_gb: Annotated[float, _POSITIVE]
    system_gb: Annotated[float, Field(ge=0)]
    disk_gb: Annotated[float, _POSITIVE]
    memory_gb_s: Annotated[float, _POSITIVE] | None = None
    sources: list[str] = []
    measured: Measured | None = None
    published: list[Published] = []

    @property
    def speed(self) -> Speed | None:
        """How fast it is; None where nothing is known of it."""
        if self.measured:
            known = self.measured
            return Speed(
                known.read,
                known.work,
                known.layer_seconds,
                known.vector_seconds,
                known.look_back_writing,
                known.look_back_reading,
                _PROBED_SPREAD,
            )
        return _from_published(self.published)


def _from_published(figures: Sequence[Published]) -> Speed | None:
    """Return the rates that published figures imply: a token reads the whole file; a prompt uses each weight once."""
    read = [figure.decode * figure.gigabytes * 1e9 for figure in figures if figure.decode]
    work = [figure.prefill * figure.billions * 2e9 for figure in figures if figure.prefill]
    if not read or not work:
        return None
    apart = [max(max(rates) / median(rates), median(rates) / min(rates)) - 1 for rates in (read, work)]
    own = [figure for figure in figures if figure.machine is None]
    stands_in = not any(figure.decode for figure in own) or not any(figure.prefill for figure in own)
    spread = max(_STAND_IN_SPREAD if stands_in else _PUBLISHED_SPREAD, *apart)
    rate, operations = median(read), median(work)
    return Speed(
        dict.fromkeys(FAMILIES, rate),
        dict.fromkeys(FAMILIES, operations),
        layer_seconds=0.0,
        vector_seconds=dict.fromkeys(FAMILIES, 0.0),
        look_back_writing=operations / 4,
        look_back_reading=operations / 2,
        spread=spread,
    )


def names() -> list[str]:
    """Return the names of the profiles that come with the program."""
    return sorted(item.name.removesuffix(".toml") for item in _folder() if item.name.endswith(".toml"))


def load(name: str) -> Profile:
    """Return a profile by its name, or from a file.

    Raises:
        RecipeError: there is none, or it is damaged.
    """
    if name in names():
        text = resources.files(__package__).joinpath(_FOLDER, f"{name}.toml").read_text("utf-8")
        return parse(text, name)
    path = Path(name)
    if not path.is_file():
        raise RecipeError(
            f"There is no device {name!r}: neither a profile of that name nor such a file.",
            hint=f"Known: {', '.join(names())}. `publicai-edge device probe FILE` makes one of this machine.",
        )
    try:
        return parse(path.read_text("utf-8"), name)
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"The device profile {name} cannot be read: {error}.", hint="Probe it again.") from error


def parse(text: str, name: str) -> Profile:
    """Read a profile.

    Raises:
        RecipeError: it is damaged.
    """
    try:
        found = Profile.model_validate(tomllib.loads(text))
    except (ValueError, RecursionError) as error:  # also a number of 5,000 digits, or a list in 5,000 lists
        raise RecipeError(
            f"The device profile {name} is damaged: {_told(error)}.",
            hint="Write it anew with `publicai-edge device probe`.",
        ) from error
    tables = [getattr(found.measured, table) for table in _TABLES] if found.measured else []
    if missing := [family for family in FAMILIES if any(family not in table for table in tables)]:
        raise RecipeError(
            f"The device profile {name} has no rates for {', '.join(missing)}.",
            hint="Write it anew with `publicai-edge device probe`.",
        )
    return found


def _told(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()[:_FAULTS_TOLD])


def to_toml(profile: Profile) -> str:
    """Return the text of a profile, as :func:`parse` reads it."""
    lines = [
        f"{key} = {_value(value)}" for key, value in profile.model_dump(exclude_none=True).items() if _plain(value)
    ]
    if profile.measured:
        known = profile.measured.model_dump()
        lines += ["", "[measured]", *(f"{key} = {_value(value)}" for key, value in known.items() if _plain(value))]
        for table in _TABLES:
            lines += ["", f"[measured.{table}]", *(f"{key} = {_value(value)}" for key, value in known[table].items())]
    return "\n".join(lines) + "\n"


def _plain(value: Any) -> bool:
    return isinstance(value, str | int | float) or (isinstance(value, list) and all(isinstance(v, str) for v in value))


def _value(value: Any) -> str:
    # JSON's strings, numbers and lists of strings are TOML's too.
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def _folder() -> list[Path]:
    with resources.as_file(resources.files(__package__).joinpath(_FOLDER)) as folder:
        return list(folder.iterdir())
