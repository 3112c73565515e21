"""Find the documents a recipe names."""

from collections.abc import Sequence
from pathlib import Path

from publicai_edge.errors import RecipeError

SUFFIXES = frozenset({".txt", ".md", ".markdown", ".html", ".htm", ".pdf", ".docx"})


def find_documents(patterns: Sequence[str], base: Path) -> dict[str, Path]:
    """Return the documents that ``patterns`` name below ``base``, by their relative POSIX path.

    A pattern is a file, a folder (everything readable in it), or a glob. Hidden files and files of other kinds that a
    glob happens to meet are left out; a file named outright must be of a kind that can be read.

    Raises:
        RecipeError: a pattern finds nothing, climbs out of ``base``, or names a file of an unknown kind.
    """
    found: dict[str, Path] = {}
    root = base.resolve()
    for pattern in patterns:
        matches = _matches(pattern, root)
        readable = [path for path in matches if path.suffix.lower() in SUFFIXES]
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
    return dict(sorted(found.items()))


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
