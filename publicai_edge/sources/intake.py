"""The last gate before the store: every fetched file passes here, and no pickle does.

A single file that is a pickle is refused. In a folder pickles are left out and named in one warning, unless
nothing that could hold weights remains.
"""

from pathlib import Path

from publicai_edge import atomic
from publicai_edge.artifact import Blob, FileSet
from publicai_edge.errors import ModelError
from publicai_edge.sources import pickles
from publicai_edge.sources.listing import wants_folder
from publicai_edge.sources.request import Job

_HINT = "Ask for the safetensors or GGUF file instead; most publishers offer one beside it."


class Intake:
    """Collects the files of one request."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._files: dict[str, Blob] = {}
        self._refused: list[str] = []

    def want(self, names: dict[str, str]) -> dict[str, str]:
        """Return key → name without what is a pickle by name, so that it is not even fetched."""
        kept = {key: name for key, name in names.items() if not pickles.named_pickle(name)}
        for key in names.keys() - kept.keys():
            self._refuse(key, "by its name")
        return kept

    def known(self, key: str, blob: Blob) -> None:
        """Take a file that the store holds already."""
        if not self._is_pickle(key, self._job.store.path(blob)):
            self._files[key] = blob

    def accept(self, key: str, path: Path, sha256: str) -> None:
        """Move a finished file, hashed while it was written, into the store; a pickle stays where it is."""
        if not self._is_pickle(key, path):
            self._files[key] = self._job.store.adopt(path, sha256)

    def admits(self, key: str, path: Path) -> bool:
        """Say whether a file may be taken, for a scheme that stores it itself, then calls :meth:`known`."""
        return not self._is_pickle(key, path)

    def files(self) -> FileSet:
        """Return what was collected.

        Raises:
            ModelError: pickles were left out and no weights remain.
        """
        if self._refused:
            source, names = self._job.request.source, ", ".join(sorted(self._refused))
            if not pickles.named_weights(self._files):
                raise ModelError(
                    f"{source} has its weights only as pickle files ({names}), and a pickle runs code when "
                    "it is "
                    "loaded.",
                    hint="Choose a repository or package that offers safetensors or GGUF.",
                    refused=sorted(self._refused),
                )
            self._job.progress.warn(
                f"Left out of {source}, because a pickle file runs code when it is loaded: {names}."
            )
        return FileSet(self._files)

    def _is_pickle(self, key: str, path: Path) -> bool:
        with atomic.host_errors("read", path):
            found = pickles.holds_pickle(path)
        if found:
            self._refuse(key, "by its content")
        return found

    def _refuse(self, key: str, how: str) -> None:
        if not self._job.folder:
            raise ModelError(
                f"{self._job.request.source} is a pickle file {how}, and a pickle runs code when it is "
                "loaded: "
                "refused.",
                hint=_HINT,
            )
        self._refused.append(key)


def refuse_name(source: str, path: str) -> None:
    """Refuse a single requested file whose name means a pickle, before anything is fetched.

    Raises:
        ModelError: it does.
    """
    if not wants_folder(path) and pickles.named_pickle(path):
        raise ModelError(
            f"{source} is a pickle file by its name, and a pickle runs code when it is loaded: refused.",
            hint=_HINT,
        )
