"""See that a ZIM file can be used, in a child process, before it goes into a bundle.

The archive is compared with its own checksum, which finds damage but no malice: that is what the child, its limits and
the recipe's ``sha256`` are for.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from publicai_edge import child
from publicai_edge.errors import DocumentError, EngineError, HostError
from publicai_edge.knowledge import zim
from publicai_edge.progress import Progress

if TYPE_CHECKING:
    from publicai_edge.knowledge.zim.archive import ZimFile

MOST_MEMORY = 4 << 30
_SLOWEST = 5_000_000  # bytes a second that even an old disk gives
_LEAST_SECONDS = 120
_SUBTAG = re.compile(r"[a-z]{2,3}")
_AGAIN = "Fetch it again, and compare its SHA-256 with the one that its publisher states."


@dataclass(frozen=True)
class ZimFacts:
    """What an archive says about itself: articles, title, language, date and licence; "" if it does not.

    ``language`` is a primary language subtag as "sw"; "" if the archive names none, or several.
    """

    articles: int
    title: str
    language: str
    date: str
    license: str


def check(path: Path, name: str, progress: Progress) -> ZimFacts:
    """Return what the archive at ``path``, called ``name`` in messages, says about itself, after reading all of it.

    Raises:
        DocumentError: it is no ZIM file, damaged, or has no full-text index.
        HostError: libzim is not installed.
    """
    require_installed(name)
    require_magic(path, name)
    seconds = _LEAST_SECONDS + path.stat().st_size / _SLOWEST
    payload = {"path": str(path.resolve()), "name": name, "seconds": seconds}
    try:
        result = child.run(
            f"{__name__}:_check", payload, what=f"check {name}", progress=progress, limit_seconds=4 * seconds
        )
    except EngineError as error:
        raise DocumentError(
            f"{name} ends or holds up every process that reads it: it is damaged, or was made to do that.", hint=_AGAIN
        ) from error
    return ZimFacts(**{**result.value, "language": _tag(result.value["language"])})


def _tag(stated: str) -> str:
    """Return the tag of a language that is stated as ISO 639-3 has it ("eng"), or as web pages do."""
    from babel.core import get_global

    code = stated.strip().lower()
    tag = str(get_global("language_aliases").get(code, code))
    return tag if _SUBTAG.fullmatch(tag) else ""


def require_installed(name: str) -> None:
    """See that libzim is there.

    Raises:
        HostError: it is not.
    """
    if not zim.is_installed():
        raise HostError(
            f"Reading {name} needs libzim, which is not installed.",
            hint="Run: pip install 'publicai-edge[zim]'",
        )


def require_magic(path: Path, name: str) -> None:
    """See that a file begins as a ZIM file does.

    Raises:
        DocumentError: it does not, or cannot be opened.
    """
    try:
        with path.open("rb") as stream:
            found = stream.read(len(zim.MAGIC))
    except OSError as error:
        raise DocumentError(f"{name} cannot be opened: {error.strerror or error}.") from error
    if found != zim.MAGIC:
        raise DocumentError(f"{name} is not a ZIM file: it does not begin as one.", hint=_AGAIN)


def _check(payload: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from publicai_edge.knowledge.zim.archive import ZimFile

    name = payload["name"]
    child.limit_this_process(payload["seconds"], MOST_MEMORY)
    try:
        opened = ZimFile(Path(payload["path"]))
        _require_sound(opened, name, progress)
        return opened.facts()
    except DocumentError:
        raise
    except Exception as error:  # libzim raises whatever a damaged file leads it to
        short = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        raise DocumentError(f"{name} is damaged, or not a ZIM file: {short}.", hint=_AGAIN) from error


def _require_sound(opened: "ZimFile", name: str, progress: Progress) -> None:
    """Read all of it once, and then look up an article's own title, as the kiosk would."""
    from publicai_edge.search.terms import question_terms

    if not opened.has_index:
        raise DocumentError(
            f"{name} has no full-text index, so nothing in it could be found.",
            hint="Take the edition of it that has one (Kiwix's catalogue tags it _ftindex:yes), "
            f"or add one with openZIM's zim-tools: zimrecreate {name} indexed.zim",
        )
    with progress.task(f"Checking {name}"):
        whole = opened.is_whole()
    if not whole:
        raise DocumentError(f"{name} is damaged: it does not have the checksum that it states.", hint=_AGAIN)
    first = opened.first_article()
    if first is None:
        raise DocumentError(f"{name} has no article whose text can be read.", hint="Is it a collection of videos?")
    opened.search(question_terms(first[1]), 1)
