"""The texts of a bundle that people read: START-HERE.html, start scripts, licences, the build report."""

import json
from pathlib import Path
from typing import Any

from publicai_edge.bundle.manifest import Manifest, word
from publicai_edge.errors import RecipeError
from publicai_edge.recipe.model import Licensed

_HERE = Path(__file__).parent
_CARRIED = {"Apache-2.0": _HERE / "licenses" / "Apache-2.0.txt"}


def start_here(manifest: Manifest, report: dict[str, Any]) -> bytes:
    """Return START-HERE.html: what an operator reads first, with no script and nothing from elsewhere."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    first = manifest.languages[0]
    page = environment.get_template("start-here.html").render(
        manifest=manifest, report=report, title=word(manifest.title, first), word=word, language=first
    )
    return page.encode()


def start_scripts() -> dict[str, bytes]:
    """Return the scripts an operator starts the kiosk with, for POSIX systems and for Windows."""
    scripts = _HERE / "templates"
    windows = (scripts / "start.bat").read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return {"start": (scripts / "start").read_bytes(), "start.bat": windows}


def licence_text(each: Licensed, base: Path) -> bytes:
    """Return the full text of a part's licence: the steward's file, or one this program carries.

    Args:
        each: the part.
        base: the folder that the recipe lies in.

    Raises:
        RecipeError: neither is there.
    """
    spdx, given = each.part.license, each.part.license_file
    place = base / given if given else _CARRIED.get(spdx)
    if place is None:
        carried = ", ".join(_CARRIED)
        raise RecipeError(
            f"The recipe gives no text for {each.key}'s licence {spdx}; this program carries only {carried}.",
            hint=f'Save the licence beside the recipe and name it: {each.key}.license_file = "licenses/{spdx}.txt".',
        )
    try:
        return place.read_bytes()
    except OSError as error:
        raise RecipeError(f"Cannot read the licence {place}: {error.strerror}.", file=str(place)) from error


def build_report(facts: dict[str, Any]) -> bytes:
    """Return ``data/reports/build.json``: what every stage did, without anything that varies between builds."""
    return (json.dumps(facts, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
