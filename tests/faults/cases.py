"""The operations that R1 and R2 are about, each with the state before it and the two states that may follow.

An update comes as a whole bundle, and as what changed.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from publicai_edge.bundle.delta.write import write
from publicai_edge.bundle.install.layout import MADE, STAGING, TRASH, Layout, tag_of, version_of
from publicai_edge.errors import PublicAIError
from publicai_edge.progress import Silent
from tests.bundle.synthetic import noise, write_bundle
from tests.faults import operation

NAME = "town-library"
OPERATIONS = ["install", "update", "apply", "rollback"]


@dataclass(frozen=True)
class Case:
    """One operation: its arguments, and the versions in use before and after (None: nothing installed)."""

    name: str
    prepare: Callable[[Path], None]
    arguments: Callable[[Path], list[object]]
    old: str | None
    new: str
    previous: str | None


def write_bundles(folder: Path) -> None:
    """Write three releases of a small bundle, and an update from the second to the third."""
    extra = {"data/knowledge/book.bin": noise("book", 20_000)}
    for release, version in enumerate(("1.0.0", "1.1.0", "1.2.0"), 1):
        changed = {**extra, "data/knowledge/more.bin": noise("more", 9000) + version.encode() + noise("end", 9000)}
        write_bundle(folder, version=version, release=release, extra=changed)
    write(folder / f"{NAME}-1.1.0", folder / f"{NAME}-1.2.0", folder / "update.zip", Silent())


def cases(bundles: Path) -> list[Case]:
    """Return install, update and rollback, of the bundles in a folder."""

    def installed(*versions: str) -> Callable[[Path], None]:
        def prepare(folder: Path) -> None:
            for version in versions:
                assert done("install", folder, bundles / f"{NAME}-{version}") == 0

        return prepare

    def installing(version: str) -> Callable[[Path], list[object]]:
        return lambda folder: ["install", folder, bundles / f"{NAME}-{version}"]

    return [
        Case("install", installed(), installing("1.0.0"), None, "1.0.0", None),
        Case("update", installed("1.0.0", "1.1.0"), installing("1.2.0"), "1.1.0", "1.2.0", "1.1.0"),
        Case(
            "apply",
            installed("1.0.0", "1.1.0"),
            lambda folder: ["apply", folder, bundles / "update.zip"],
            "1.1.0",
            "1.2.0",
            "1.1.0",
        ),
        Case(
            "rollback",
            installed("1.0.0", "1.1.0"),
            lambda folder: ["rollback", folder, NAME],
            "1.1.0",
            "1.0.0",
            "1.1.0",
        ),
    ]


def done(*arguments: object) -> int:
    """Run an operation in this process; return its exit code."""
    action, folder, what, *broken = arguments
    return operation.run(str(action), Path(str(folder)), str(what), *map(str, broken))


def in_use(folder: Path, bundles: Path) -> str | None:
    """Return the version in use, every byte of it checked, and that it is the bundle of that version.

    Raises:
        AssertionError: what is in use is no whole bundle.
    """
    layout = Layout(folder, NAME)
    if not layout.current.is_symlink() and not layout.current.exists():
        return None
    try:
        identity = operation.check(layout.current)
    except PublicAIError as error:
        raise AssertionError(f"what is in use cannot run: {error}") from error
    assert identity.tag == tag_of(bundles / f"{NAME}-{identity.version}"), "a mixture of two versions is in use"
    return identity.version


def assert_tidy(folder: Path, case: Case) -> None:
    """See that a finished operation left nothing but the version in use, the one before, and their records."""
    layout = Layout(folder, NAME)
    there = {path.name for path in folder.iterdir()} - {MADE}
    assert there == {NAME}, f"left behind: {there & {STAGING, TRASH} or there}"
    expected = {"versions", "current", "log", "highest", *(["previous"] if case.previous else [])}
    assert {path.name for path in layout.home.iterdir()} == expected
    used = [layout.entry_of(layout.current), layout.entry_of(layout.previous)]
    assert [version_of(entry) if entry else None for entry in used] == [case.new, case.previous]
    assert layout.entries() == sorted(entry for entry in used if entry)


def fresh(folder: Path, before: Path) -> None:
    """Put the state before an operation in place of whatever is there."""
    shutil.rmtree(folder, ignore_errors=True)
    if before.exists():
        shutil.copytree(before, folder, symlinks=True)
