"""What the tests of installed bundles share: the operations with short rules, and what they look at afterwards."""

from collections.abc import Callable
from pathlib import Path

from publicai_edge.bundle.install import operation
from publicai_edge.bundle.install.acceptance import Acceptance, Return
from publicai_edge.bundle.install.layout import Identity, Layout, version_of
from publicai_edge.bundle.install.operation import Done, Rules
from publicai_edge.bundle.install.staging import FolderSource
from publicai_edge.progress import Silent

NAME = "town-library"
UNSIGNED = Acceptance(Silent(), (), unsigned=True)
BACK_UNSIGNED = Return(Silent(), (), unsigned=True)


def install(bundle: Path, folder: Path, rules: Rules | None = None) -> Done:
    return operation.install(FolderSource(bundle), folder, rules or Rules(UNSIGNED, UNSIGNED.foresee), Silent())


def rollback(folder: Path, version: str | None = None, check: Callable[[Path], Identity] = BACK_UNSIGNED) -> Done:
    return operation.rollback(NAME, folder, Rules(check), Silent(), version=version)


def in_use(folder: Path) -> str | None:
    layout = Layout(folder, NAME)
    entry = layout.entry_of(layout.current)
    return version_of(entry) if entry else None


def snapshot(root: Path) -> dict[str, tuple[int, bytes | str]]:
    found: dict[str, tuple[int, bytes | str]] = {}
    for path in sorted(root.rglob("*")):
        stat = path.lstat()
        content = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[path.relative_to(root).as_posix()] = (stat.st_mode, content)
    return found
