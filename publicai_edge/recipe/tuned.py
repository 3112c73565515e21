"""The tuned file beside a recipe: what ``tune`` found to be fastest on a device.

``demo.toml`` has ``demo.tuned.json``. ``build`` takes it up, unless the recipe says otherwise; to do without it, delete
it.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from publicai_edge import atomic
from publicai_edge.errors import RecipeError

FORMAT = 1


@dataclass(frozen=True)
class Tuned:
    """What was found.

    Attributes:
        source: the recipe's ``model.source`` then; it is of no use for another.
        device: the machine it was measured on, in words.
        engine: settings, by the names of the recipe's [engine].
        type: the type to quantize to; None where the recipe names one.
        busy: cores that another program kept busy meanwhile.
        figures: what was measured, for people.
    """

    source: str
    device: str
    engine: dict[str, Any]
    type: str | None
    busy: int
    figures: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {"format": FORMAT, **asdict(self)}


def tuned_path(recipe: Path) -> Path:
    """Return where a recipe's tuned file lies."""
    return recipe.with_name(f"{recipe.stem}.tuned.json")


def read(path: Path) -> Tuned | None:
    """Return what a tuned file says; None when there is none.

    Raises:
        RecipeError: the file is damaged, or of another version.
    """
    try:
        data = json.loads(path.read_bytes())
        if data.pop("format") == FORMAT:
            return Tuned(**data)
        problem = "it is of another version"
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        problem = str(error)[:200]
    raise RecipeError(
        f"{path} cannot be read: {problem}.",
        hint="Run `publicai-edge tune` again, or delete the file to build with the usual settings.",
    )


def write(path: Path, found: Tuned) -> None:
    """Write it; an older one is replaced.

    Raises:
        HostError: no room or no permission.
    """
    with atomic.host_errors("write", path):
        atomic.write_bytes(path, (json.dumps(found.to_json(), indent=1, sort_keys=True) + "\n").encode())
