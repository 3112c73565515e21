"""The texts of a bundle that people read: START-HERE.html, start scripts, licences, the build report."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from publicai_edge.bundle.manifest import Manifest, word
from publicai_edge.errors import RecipeError
from publicai_edge.evaluate.report.languages import names
from publicai_edge.recipe.model import Licensed
from publicai_edge.search.preference import primary

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
        manifest=manifest,
        report=report,
        title=word(manifest.title, first),
        word=word,
        language=first,
        languages=_languages(manifest, (report.get("index") or {}).get("languages", {})),
    )
    return page.encode()


def _languages(manifest: Manifest, counts: Mapping[str, int]) -> str:
    """Return in which languages the documents are, and in which of the page's none is; "" where none is known."""
    known = sorted((item for item in counts.items() if item[0]), key=lambda item: (-item[1], item[0]))
    if not known:
        return ""
    parts = [f"{count} in {names([code])}" for code, count in known]
    parts[0] = parts[0].replace(" ", " passages " if known[0][1] > 1 else " passage ", 1)
    if counts.get(""):
        parts.append(f"{counts['']} in a language that is not known")
    said = ", ".join(parts)
    there = {*counts, *(item.language for item in manifest.knowledge.zim)} if manifest.knowledge else {*counts}
    if lacking := [code for code in manifest.languages if primary(code) not in there]:
        said += f"; none in {names(lacking)}: who chooses that is shown passages in other languages"
    return said


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
