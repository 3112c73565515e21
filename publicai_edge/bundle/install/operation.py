"""Install, update, roll back, remove: the order of the steps, and what happens when one fails.

Install and update are one operation: lock, tidy up after earlier runs, refuse what needs no copy to be refused, copy
into the staging folder, check the copy, decide whether it may be installed, name it below ``versions/``, test it there,
switch, remember, tidy up. Nothing that was installed before is touched until the switch, which is one rename;
everything is flushed before the next step counts on it, and before the caller is told.

The test runs before the switch, in the folder that is then switched to: a version that does not start is never in use,
not even for the moment that a power cut needs.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from publicai_edge.bundle.install import allowed, durable, ground, history, staging
from publicai_edge.bundle.install.layout import (
    Identity,
    Layout,
    installed_names,
    is_begun,
    is_name,
    named,
    release_of,
    tag_of,
    version_of,
)
from publicai_edge.bundle.install.staging import Source
from publicai_edge.bundle.install.switch import finish, switch
from publicai_edge.errors import BundleError, HostError, PublicAIError
from publicai_edge.progress import Progress

_INSTEAD_OF_A_DAMAGED_ONE = (
    "Stay with the version in use, or install the bundle you want from its folder again; an older one needs "
    "--allow-downgrade REASON."
)


@dataclass(frozen=True)
class Rules:
    """What a bundle must pass.

    Attributes:
        check: checks every byte of a bundle folder, and the signatures that are asked for; raises.
        foresee: refuses a bundle before it is copied, by what is known without its files; what it passes is checked all
            the same. Given the bundle's folder, or None where it lies in none; returns what the bundle says it is.
        test: starts a bundle and sees it answer; raises. None leaves that out.
        downgrade: why a release may go back; None forbids it.
        note: what the log says besides, such as that no signature was asked for.
    """

    check: Callable[[Path], Identity]
    foresee: Callable[[Path | None], Identity | None] | None = None
    test: Callable[[Path], None] | None = None
    downgrade: str | None = None
    note: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Done:
    """What an operation came to: the bundle, the version now in use and the one before, and whether that is news."""

    layout: Layout
    entry: str
    before: str | None
    changed: bool
    signers: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "name": self.layout.name,
            "version": version_of(self.entry),
            "release": release_of(self.entry),
            "path": str(self.layout.current),
            "before": version_of(self.before) if self.before else None,
            "changed": self.changed,
            "signers": list(self.signers),
        }


def install(source: Source, folder: Path, rules: Rules, progress: Progress) -> Done:
    """Install or update a bundle in ``folder``, or leave everything as it was.

    Raises:
        BundleError: it is not whole, not trusted, or not newer.
        HostError: no room, no permission, or another run is at work there.
        EngineError: it does not start.
    """
    folder = folder.absolute()
    ground.make(folder)
    with ground.locked(folder):
        try:
            ground.tidy(folder, source.tag)
            if (there := _is_installed(folder, source.tag, rules)) is not None:
                return there
            staged = staging.staging_folder(folder)
            ground.require_space(folder, source.size() - ground.size_of(staged))
            with _staged(folder, staged):
                _foresee(source, folder, rules)
                staging.prepare(staged)
                source.fill(staged, progress)
                durable.sync_tree(staged)
                with _said_of(staged, source.called, source.advice):
                    identity = rules.check(staged)
                layout = Layout(folder, identity.name)
                back = _goes_back(layout, identity, rules)
            facts = {**rules.note, "signers": list(identity.signers)}
            if back:
                facts["allow_downgrade"] = rules.downgrade
            return _take(layout, staged, identity, rules, facts, progress)
        finally:
            ground.leave_nothing(folder)


def _foresee(source: Source, folder: Path, rules: Rules) -> None:
    """Refuse what would be refused anyway, before gigabytes are copied."""
    if rules.foresee and (identity := rules.foresee(source.folder)):
        _goes_back(Layout(folder, identity.name), identity, rules)


def _goes_back(layout: Layout, identity: Identity, rules: Rules) -> bool:
    return allowed.check(identity, history.highest(layout), rules.downgrade, tag_of(layout.current))


def _take(
    layout: Layout, staged: Path, identity: Identity, rules: Rules, facts: dict[str, Any], progress: Progress
) -> Done:
    """Name a checked bundle below ``versions/``, test it there and switch to it."""
    before = layout.entry_of(layout.current)
    entry = layout.free_entry(identity)
    durable.make_folder(layout.versions, durable.FOLDER_MODE)
    place = layout.versions / entry
    staging.name(staged, place)
    told = {"version": identity.version, "release": identity.release, "tag": identity.tag, **facts}
    try:
        if rules.test:
            rules.test(place)
        history.record(layout, "switch", entry=entry, before=before, **told)
        switch(layout, entry)
    except PublicAIError as error:
        _take_back(layout, entry, told, error)
        raise
    history.record(layout, "installed", entry=entry)
    history.remember(layout, identity.release, identity.tag)
    ground.prune(layout, progress)
    return Done(layout, entry, before, changed=True, signers=identity.signers)


def _take_back(layout: Layout, entry: str, told: dict[str, Any], error: PublicAIError) -> None:
    """Remove a version that did not come into use; of a bundle that was never in use, everything."""
    with suppress(PublicAIError, OSError):
        finish(layout)
        if layout.entry_of(layout.current) == entry:
            return
        place = layout.versions / entry
        if layout.entry_of(layout.current) is None and layout.entries() == [entry]:
            place = layout.home
        else:
            with suppress(PublicAIError):  # on a full disk no line can be written, and the room is needed all the more
                history.record(layout, "refused", reason=error.message, **told)
        staging.trash(layout.folder, place)
        staging.clear(layout.folder)


def rollback(name: str, folder: Path, rules: Rules, progress: Progress, *, version: str | None = None) -> Done:
    """Go back to the version before, or to the kept one that ``version`` names.

    Run a second time it changes nothing, so that whoever was interrupted can run it again; forward again goes only who
    names the version.

    Raises:
        NotFoundError: it is not installed.
        BundleError: there is no version before, it is damaged, or it is not vouched for by whom ``rules`` ask for.
    """
    folder = folder.absolute()
    layout = named(folder, name)
    with ground.locked(folder):
        ground.tidy(folder, None)
        before = layout.entry_of(layout.current) or ""
        entry = _rollback_target(layout, before, version)
        if entry == before:
            if history.is_unfinished(layout):
                history.record(layout, "rolled back", entry=entry)
            return Done(layout, entry, layout.entry_of(layout.previous), changed=False)
        place = layout.versions / entry
        with _said_of(place, f"The kept version {version_of(entry)}, {place},", _INSTEAD_OF_A_DAMAGED_ONE):
            identity = rules.check(place)
        if rules.test:
            rules.test(place)
        told = {"version": identity.version, "release": identity.release, "tag": identity.tag}
        facts = {**rules.note, "signers": list(identity.signers)}
        history.record(layout, "switch", entry=entry, before=before, rollback=True, **told, **facts)
        switch(layout, entry)
        history.record(layout, "rolled back", entry=entry)
        ground.prune(layout, progress)
        return Done(layout, entry, before, changed=True, signers=identity.signers)


def _rollback_target(layout: Layout, current: str, version: str | None) -> str:
    """Return the entry to go to; the current one where that has been done."""
    last = history.last_switch(layout)
    if version is None and last.get("rollback") and last.get("entry") == current:
        return current
    previous = layout.entry_of(layout.previous)
    kept = [entry for entry in (current, previous) if entry]
    if version is not None:
        if chosen := next((entry for entry in kept if version_of(entry) == version), None):
            return chosen
        raise BundleError(
            f"Version {version} of {layout.name} is not kept; kept: {', '.join(map(version_of, kept))}.",
            hint="Install the bundle you want; an older one needs --allow-downgrade REASON.",
        )
    if previous is None:
        raise BundleError(
            f"No version of {layout.name} before {version_of(current)} is kept.",
            hint="Install the bundle you want; an older one needs --allow-downgrade REASON.",
        )
    return previous


def removable(name: str, folder: Path) -> Layout:
    """Return the places of a bundle that is installed, or whose first installation or removal was interrupted.

    Raises:
        NotFoundError: it is none of these.
    """
    layout = Layout(folder.absolute(), name)
    interrupted = is_begun(layout) or (
        is_name(name) and (staging.is_trashed(layout.folder, name) or staging.name_of_staged(layout.folder) == name)
    )
    return layout if interrupted else named(layout.folder, name)


def uninstall(name: str, folder: Path, progress: Progress) -> Layout:
    """Remove a bundle with all its versions, its log and its memory, and the folders that were made for it.

    Raises:
        NotFoundError: it is not installed; nothing is removed then, nor what other runs have left.
    """
    layout = removable(name, folder)
    folder = layout.folder
    with ground.locked(folder):
        if name in installed_names(folder):  # else an earlier run got as far as that
            staging.trash(folder, layout.home)
            progress.say(f"{name} is no longer in use; removing its files.")
        elif is_begun(layout):
            staging.trash(folder, layout.home)
            progress.say(f"{name} never came into use; removing its files.")
        staging.clear(folder, staging=not installed_names(folder) or staging.name_of_staged(folder) == name)
        ground.leave_nothing(folder)
    return layout


def _is_installed(folder: Path, tag: str | None, rules: Rules) -> Done | None:
    """Return the result when this very bundle is in use already, whole, and trusted."""
    for name in installed_names(folder):
        layout = Layout(folder, name)
        entry = layout.entry_of(layout.current)
        if tag is None or entry is None or tag_of(layout.current) != tag:
            continue
        try:
            identity = rules.check(layout.versions / entry)
        except BundleError:
            return None  # a damaged one is installed anew, beside it
        if history.is_unfinished(layout):
            history.record(layout, "installed", entry=entry)
        history.remember(layout, identity.release, identity.tag)
        return Done(layout, entry, layout.entry_of(layout.previous), changed=False, signers=identity.signers)
    return None


@contextmanager
def _said_of(place: Path, called: str, advice: str) -> Iterator[None]:
    """Where files of ``place`` are not what was signed, call it what people know it by, and say what helps here."""
    try:
        yield
    except BundleError as error:
        if "changed" not in error.facts:
            raise
        message = error.message.replace(f"The bundle {place}", called)
        raise BundleError(message, hint=advice, **error.facts) from error


@contextmanager
def _staged(folder: Path, staged: Path) -> Iterator[None]:
    """Give the room back when a bundle is refused or the disk is full; what else interrupts leaves it to go on from."""
    try:
        yield
    except HostError as error:
        if durable.is_full(error):
            with suppress(PublicAIError, OSError):
                staging.clear(folder, staging=True)
        raise
    except PublicAIError:
        with suppress(PublicAIError, OSError):
            if staged.exists():
                staging.trash(folder, staged)
            staging.clear(folder)
        raise
