"""Put a new bundle together from the old one and an update.

Files and pieces of the old bundle are copied, never linked: a file system that can share blocks shares them, and what
happens to the old bundle later does not reach the new one. Whether the result is the new bundle is not for the update
to say: it is checked like every other.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path

from publicai_edge.bundle import bag
from publicai_edge.bundle.delta.container import Carried, Container, open_update
from publicai_edge.bundle.delta.document import Entry, Update
from publicai_edge.bundle.install import durable, staging
from publicai_edge.bundle.install.layout import tag_of
from publicai_edge.errors import BundleError
from publicai_edge.progress import Progress, Task


@dataclass(frozen=True)
class UpdateSource:
    """A new bundle as an update and the bundle it builds on; a :class:`publicai_edge.bundle.install.staging.Source`."""

    path: Path
    update: Update
    old: Path

    @staticmethod
    def open(path: Path, old: Path) -> "UpdateSource":
        """Look at an update, and see that it builds on the bundle ``old``.

        Raises:
            BundleError: it is damaged, or builds on another bundle.
        """
        with open_update(path) as opened:
            update = opened.update
        if tag_of(old) not in {update.old.tag, update.new.tag}:
            raise BundleError(
                f"{path} leads from {update.old.name} {update.old.version} (release {update.old.release}) to "
                f"{update.new.version}, and {old} is another bundle or another version of it.",
                hint="`publicai-edge installed` shows what is there. Bring the update made for that version, or the "
                "whole new bundle.",
            )
        return UpdateSource(path, update, old)

    @property
    def tag(self) -> str | None:
        """SHA-256 of the new bundle's tag manifest, as the update says."""
        return self.update.new.tag

    @property
    def folder(self) -> None:
        """None: the new bundle is nowhere yet."""

    @property
    def called(self) -> str:
        """What is put together from it."""
        return f"What {self.path} makes of the version in use"

    @property
    def advice(self) -> str:
        """What to do when that is not what was signed."""
        command = shlex.join(["publicai-edge", "verify", str(self.old)])
        return (
            f"`{command}` tells whether the version in use is damaged: then install the whole bundle. If it is whole, "
            "bring the update again."
        )

    def size(self) -> int:
        """Return the bytes of the new bundle."""
        return sum(entry.size for entry in self.update.entries)

    def fill(self, target: Path, progress: Progress) -> None:
        """Put the new bundle's files into ``target``, flushed; those that an earlier try finished are kept."""
        staging.keep_only(target, {entry.path for entry in self.update.entries})
        with (
            open_update(self.path) as opened,
            progress.task("Putting the new version together", total=self.size(), unit="bytes") as task,
        ):
            if opened.update != self.update:
                raise BundleError(f"{self.path} was changed while it was read.", hint="Run the same command again.")
            for entry in self.update.entries:
                place, mode = target / entry.path, bag.mode_of(entry.path)
                if staging.is_there(place, entry.sha256, entry.size, mode):
                    task.advance(entry.size)
                    continue
                durable.make_folder(place.parent)
                if entry.source is not None and entry.pieces is None:
                    durable.copy_file(self.old / entry.source, place, mode, task.advance)
                else:
                    self._compose(opened, entry, place, mode, task)

    def _compose(self, opened: Container, entry: Entry, place: Path, mode: int, task: Task) -> None:
        with opened.bytes_of(entry) as carried, durable.new_file(place, mode) as writer:
            if entry.source is None:
                _carry(carried, entry.size, writer, task)
                return
            with durable.old_file(self.old / entry.source) as (reader, size):
                for start, length in entry.pieces or ():
                    if start < 0:
                        _carry(carried, length, writer, task)
                    elif start + length > size:
                        raise BundleError(f"{self.path} wants bytes of {entry.source} behind its end.")
                    else:
                        durable.pour(reader, writer, start, length, task.advance)


def _carry(carried: Carried, length: int, writer: int, task: Task) -> None:
    for piece in carried.read(length):
        durable.write_all(writer, piece)
        task.advance(len(piece))
