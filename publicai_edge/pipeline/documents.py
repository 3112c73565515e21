"""Find the documents a recipe names."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from publicai_edge.errors import RecipeError
from publicai_edge.knowledge import zim
from publicai_edge.knowledge.extract import SUFFIXES


@dataclass(frozen=True)
class Documents:
    """What a recipe's patterns find: documents by their path relative to the recipe, and files of other kinds."""

    readable: dict[str, Path]
    left_out: tuple[str, ...]


def find_documents(patterns: Sequence[str], base: Path) -> Documents:
    """Return the documents that ``patterns`` name below ``base``.

    A pattern is a file, a folder (everything in it), or a glob. Hidden files are passed over; a file named outright
    must be of a kind that can be read, and those of other kinds that a folder or a glob meets are told.

    Raises:
        RecipeError: a pattern finds nothing, climbs out of ``base``, names a file of an unknown kind, or
            finds a ZIM file.
    """
    found: dict[str, Path] = {}
    left_out: set[str] = set()
    root = base.resolve()
    for pattern in patterns:
        matches = _matches(pattern, root)
        readable = [path for path in matches if path.suffix.lower() in SUFFIXES]
        if zims := [path for path in matches if path.suffix.lower() == zim.SUFFIX]:
            name = zims[0].relative_to(root).as_posix()
            raise RecipeError(
                f"knowledge.documents: {pattern!r} finds {name}, a ZIM file, which is searched by the index it brings "
                "and has terms of its own.",
                hint=f'Name it apart: [[knowledge.zim]] with source = "file:{name}", a name and a license. '
                "Keep it in another folder than the documents.",
            )
        left_out |= {path.relative_to(root).as_posix() for path in set(matches) - set(readable)}
        if not readable:
            what = f"is of kind {matches[0].suffix!r}" if len(matches) == 1 else "finds no document"
            raise RecipeError(
                f"knowledge.documents: {pattern!r} {what} (looked below {base}).",
                hint=f"Kinds that can be read: {', '.join(sorted(SUFFIXES))}.",
            )
        for path in readable:
            if not path.resolve().is_relative_to(root):
                raise RecipeError(
                    f"knowledge.documents: {pattern!r} leads to {path}, outside the recipe's folder {root}.",
                    hint="Copy the document beside the recipe.",
                )
            found[path.relative_to(root).as_posix()] = path
    return Documents(dict(sorted(found.items())), tuple(sorted(left_out)))


def _matches(pattern: str, root: Path) -> list[Path]:
    place = root / pattern
    if ".." in Path(pattern).parts:
        raise RecipeError(
            f"knowledge.documents: {pattern!r} climbs out of the recipe's folder.",
            hint="Copy the documents beside the recipe.",
        )
    if place.is_file():
        return [place]
    paths = place.rglob("*") if place.is_dir() else root.glob(pattern)
    return sorted(path for path in paths if path.is_file() and not _hidden(path, root))


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)
