"""Choosing files from what a source lists: a repository's files, a package's members, a folder's entries.

Invariant: the keys that come out are safe relative paths, no two of which a file system could take for one.
"""

import difflib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from publicai_edge import archives
from publicai_edge.artifact import check_relative
from publicai_edge.errors import NotFoundError, RecipeError, SourceError

_NEAREST = 5


def wants_folder(path: str) -> bool:
    """Say whether a path inside a source asks for a folder: it is empty or ends with a slash."""
    return not path or path.endswith("/")


def check_path(path: str, source: str) -> str:
    """Return the path a recipe asks for inside a source, when it is a plain relative one (or empty).

    Raises:
        RecipeError: it is not.
    """
    try:
        if path.rstrip("/"):
            check_relative(path.removesuffix("/"))
    except ValueError as error:
        raise RecipeError(
            f"{source!r} asks for the path {path!r}, which is not a plain relative path.",
            hint="Write the path as the source lists it, with forward slashes and without '.' or '..' parts.",
        ) from error
    return "" if path == "/" else path


def choose(names: Iterable[str], path: str, where: str, only: Sequence[str] = ()) -> dict[str, str]:
    """Return key → listed name for what ``path`` asks for; of a folder, the keys that match a pattern of ``only``.

    One file has its base name as key. A folder gives every file below it by its path there, except hidden
    ones (``.gitattributes``, ``.git/``): they belong to the tool that moved the folder, not to the model.

    Raises:
        NotFoundError: there is no such file or folder; the nearest names are told.
        SourceError: a chosen name is unsafe, or two differ only in case.
    """
    known = list(names)
    if not wants_folder(path):
        if path not in known:
            raise _missing(path, known, where)
        return {path.rsplit("/", 1)[-1]: path}
    chosen = {}
    for name in known:
        if name.startswith(path) and not any(part.startswith(".") for part in _inner_parts(name, path)):
            chosen[_safe(name, path, where)] = name
    if not chosen:
        raise _missing(path, known, where)
    if only and not (chosen := {key: name for key, name in chosen.items() if _is_wanted(key, only)}):
        raise NotFoundError(f"{where} holds none of {', '.join(only)}.", hint="Is it the right kind of model?")
    _refuse_twins(chosen, where)
    return chosen


def _is_wanted(key: str, patterns: Sequence[str]) -> bool:
    """Say whether a path matches a pattern of the same depth: ``*`` does not cross a slash."""
    return any(key.count("/") == pattern.count("/") and fnmatchcase(key, pattern) for pattern in patterns)


def _inner_parts(name: str, path: str) -> list[str]:
    return [part for part in name[len(path) :].split("/") if part not in {".", ".."}]


def _safe(name: str, path: str, where: str) -> str:
    try:
        return archives.names.check(name[len(path) :])
    except ValueError as error:
        raise SourceError(
            f"{where} holds a file with an unsafe path, {name[:200]!r}; nothing of it was used.",
            hint="Tell the publisher. Until it is mended, ask for single files of it instead of the folder.",
        ) from error


def _refuse_twins(chosen: Iterable[str], where: str) -> None:
    try:
        archives.names.check_together(chosen)
    except ValueError as error:
        raise SourceError(f"{where} holds {error}.") from error


def _missing(path: str, names: list[str], where: str) -> NotFoundError:
    if wants_folder(path):
        folders = {name.rsplit("/", 1)[0] + "/" for name in names if "/" in name}
        near = _near(path, folders)
        what = f"no folder {path!r}" if path else "no file"
    else:
        near = _near(path, names)
        what = f"no file {path!r}"
    hint = f"Nearest there: {', '.join(near)}." if near else "Look at what the source lists."
    return NotFoundError(f"There is {what} in {where}.", hint=hint, nearest=near)


def _near(path: str, names: Iterable[str]) -> list[str]:
    known = sorted(set(names))
    base = path.rstrip("/").rsplit("/", 1)[-1].lower()
    same = [name for name in known if name.rstrip("/").rsplit("/", 1)[-1].lower() == base]
    lowered = {name.lower(): name for name in known}
    close = [lowered[name] for name in difflib.get_close_matches(path.lower(), lowered, n=_NEAREST, cutoff=0.5)]
    ending = "." + base.rpartition(".")[2] if "." in base else None
    like = [name for name in known if ending and name.lower().endswith(ending)]
    return list(dict.fromkeys([*same, *close, *like]))[:_NEAREST]
