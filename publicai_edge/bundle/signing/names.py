"""Which files of a bundle are signatures, and which names no file of a bundle may have.

Signatures lie at the bundle's root: ``signature.sigstore.json``, ``signature-2.sigstore.json`` and so on, without a
gap. They are the only files that no manifest lists, since each would have to hold its own digest.
"""

from collections.abc import Iterable

MOST = 8
FILES = ("signature.sigstore.json", *(f"signature-{number}.sigstore.json" for number in range(2, MOST + 1)))

# The reference verifier does not look at these unless it is told to, so that a file put there would go unseen by it
# (model-signing 1.1.1, hashing.py). It skips them at the root only; here they are refused at any depth.
GIT = frozenset({".git", ".github", ".gitignore", ".gitattributes"})


def is_git(path: str) -> bool:
    """Say whether a part of a relative POSIX path belongs to git, in whatever case a stick's file system keeps it."""
    return any(part.casefold() in GIT for part in path.split("/"))


def present(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the signature files among ``paths``, in order."""
    known = set(paths)
    return tuple(name for name in FILES if name in known)
