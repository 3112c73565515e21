"""The lock file beside a recipe: what every source resolved to, so that a build can be repeated.

``demo.toml`` has ``demo.lock.json``. An entry is found by its source, revision and wanted digest; when the
recipe changes one of these, the entry no longer matches and the source is resolved anew.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from publicai_edge import atomic
from publicai_edge.artifact import FileSet
from publicai_edge.errors import RecipeError

FORMAT = 1


@dataclass(frozen=True)
class Pin:
    """What one source resolved to.

    ``revision`` is the resolved commit or version; ``archive`` the SHA-256 of the package a file came from,
    where there is one; ``files`` every file with size and digest; ``asked`` the revision the recipe named, so
    that a change of branch or tag there is noticed.
    """

    source: str
    revision: str | None
    archive: str | None
    files: FileSet
    asked: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the pin as plain data."""
        return {
            "source": self.source,
            "revision": self.revision,
            "archive": self.archive,
            "files": self.files.to_json(),
            "asked": self.asked,
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> "Pin":
        """Read what :meth:`to_json` wrote."""
        files = FileSet.from_json(data["files"])
        return Pin(data["source"], data["revision"], data["archive"], files, data.get("asked"))


def lock_path(recipe: Path) -> Path:
    """Return where a recipe's lock file lies."""
    return recipe.with_name(f"{recipe.stem}.lock.json")


def read(path: Path) -> dict[str, Pin]:
    """Return the pins of a lock file by role (``model``, ``embedding``); empty when there is none.

    Raises:
        RecipeError: the file is damaged.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']}, expected {FORMAT}")  # noqa: TRY301 - one message for all
        return {role: Pin.from_json(item) for role, item in data["pins"].items()}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RecipeError(
            f"The lock file {path} is damaged: {error}.",
            hint="Restore it from version control, or delete it and run `publicai-edge pull` to pin anew.",
        ) from error


def write(path: Path, pins: dict[str, Pin]) -> bool:
    """Write the pins if they differ from what the file holds; return whether it was written."""
    value = {"format": FORMAT, "pins": {role: pin.to_json() for role, pin in sorted(pins.items())}}
    data = (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
    if path.exists() and path.read_bytes() == data:
        return False
    atomic.write_bytes(path, data)
    return True
