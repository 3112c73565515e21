"""Runtimes on a laptop: made for a platform or imported, kept in the store, and found again for packing.

Each part is a cached step of its own, so what is finished is kept when a run is interrupted: the Debian folders and
packages as folders, compiled files by ninja, and what was made in the store.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from platform import python_version
from typing import Any

from publicai_edge import __version__, atomic, digest, host
from publicai_edge.artifact import Blob, FileSet
from publicai_edge.errors import BundleError, HostError, NotFoundError, RecipeError
from publicai_edge.pipeline.steps import Runner, Step, StepResult, source_digest
from publicai_edge.progress import Progress
from publicai_edge.runtime import archive, debian, elf, freeze, llamacpp, packages, platforms
from publicai_edge.runtime import manifest as runtime_manifest
from publicai_edge.runtime.manifest import FileInfo, RuntimeManifest
from publicai_edge.runtime.platforms import LINUX, Platform
from publicai_edge.store import Store

BUNDLE_FOLDER = "data/runtime"
_SHELF = "runtimes"
_PYTHON = "3.11"
_IMPORT = "Take the one of this project's release, or export it there; then: publicai-edge runtime import FILE"
_CODE = ("publicai_edge.runtime",)
_COMPILING = tuple(f"publicai_edge.runtime.{name}" for name in ("debian", "llamacpp", "platforms"))
"""What decides how llama.cpp is compiled; a change of the rest does not compile it again."""
_CARRIED = ("archives", "artifact", "atomic", "bench", "child", "cli", "compiling", "digest", "erasing", "errors",
            "gguf", "host", "pages", "progress", "recipe", "scrub", "store", "tuning")  # fmt: skip
"""What the packages of :data:`freeze.KIOSK` and the verbs import besides those; a change of it makes a new runtime."""


@dataclass(frozen=True)
class Runtime:
    """A runtime that is ready to be packed."""

    manifest: RuntimeManifest

    @property
    def current(self) -> bool:
        """Whether it holds the code of this very program."""
        return self.manifest.version == __version__ and self.manifest.source == source()


def source() -> str:
    """Return the digest of this project's code that a runtime holds."""
    names = [*freeze.KIOSK, *(f"publicai_edge.{name}" for name in _CARRIED)]
    return digest.of_json([[name, source_digest(name)] for name in names])


def build(
    name: str,
    store: Store,
    progress: Progress,
    *,
    mirror: str | None = None,
    jobs: int | None = None,
    offline: bool = False,
    zim: bool = False,
) -> tuple[Runtime, tuple[StepResult, ...]]:
    """Make the runtime for a platform; what is there already is not made again.

    Raises:
        RecipeError: there is no such platform, or another system has to make it.
        HostError: a tool is missing, or a step of the work fails.
        SourceError: llama.cpp's source cannot be fetched.
    """
    _check_makeable(name)
    runner = Runner(store, progress)
    engine, tools = _version_of_llama(), packages.tool_versions()
    versions = _versions(zim=zim)
    inputs = {"platform": name, "packages": versions, "tools": tools, "source": source(), "version": __version__}
    if platform := LINUX.get(name):
        maker = _Maker(platform, runner, mirror, jobs or host.physical_cores(), offline=offline, zim=zim)
        compiled = {"platform": name, "blas": digest.of_file(llamacpp.BLAS_SOURCE)}
        llama = runner.run(Step("runtime-llama", _COMPILING, (packages.LLAMA,), compiled, maker.llama))
        inputs["llama"] = llama.files.sha256

        def freeze_it(folder: Path) -> dict[str, Any]:
            return maker.freeze(folder, llama.files, versions | tools, engine)
    else:

        def freeze_it(folder: Path) -> dict[str, Any]:
            return _freeze_here(name, folder, runner, zim=zim)

    frozen = runner.run(Step("runtime", _CODE, (packages.LLAMA,), inputs, freeze_it))
    found = RuntimeManifest(
        platform=name,
        version=__version__,
        source=source(),
        libraries={**versions, packages.LLAMA: engine, "python": _PYTHON if platform else python_version()},
        size=frozen.files.size,
        budget=runtime_manifest.BUDGET + (runtime_manifest.ZIM_BUDGET if zim else 0),
        files={path: FileInfo(sha256=blob.sha256, size=blob.size) for path, blob in frozen.files},
        **frozen.facts,
    )
    keep(found, store)
    return Runtime(found), tuple(runner.done)


def _versions(*, zim: bool) -> dict[str, str]:
    """Return the packages of a runtime.

    Raises:
        HostError: one that is asked for is not installed, so its version is not known.
    """
    found = packages.versions((*packages.ROOTS, *packages.ZIM) if zim else packages.ROOTS)
    if zim and "libzim" not in found:
        raise HostError(
            "libzim is not installed here, so its version is not known.",
            hint="Run: pip install 'publicai-edge[zim]'",
        )
    return found


def _check_makeable(name: str) -> None:
    """Refuse a platform that this machine cannot make a runtime for.

    Raises:
        RecipeError: there is no such platform, or another system has to make it.
    """
    if platforms.check(name) in LINUX:
        if not platforms.here().startswith("linux-"):
            raise RecipeError(f"A runtime for {name} is made on Linux.", hint=_IMPORT)
    elif name != platforms.here():
        raise RecipeError(f"A runtime for {name} is made on a machine of that kind only.", hint=_IMPORT)


def _freeze_here(name: str, out: Path, runner: Runner, *, zim: bool) -> dict[str, Any]:
    """Freeze with this Python and the llama.cpp installed for it, on Windows and macOS.

    Raises:
        HostError: that llama.cpp runs on this very processor only.
    """
    from publicai_edge.engine import lowlevel

    module = Path(lowlevel.load().__file__)
    backends = lowlevel.backends(module)
    if backends is None:
        raise HostError(
            "The llama-cpp-python of this Python was compiled for this very processor.",
            hint='Install it again, portable: CMAKE_ARGS="-DGGML_NATIVE=OFF -DGGML_BACKEND_DL=ON '
            '-DGGML_CPU_ALL_VARIANTS=ON -DGGML_OPENMP=OFF" pip install --no-cache-dir --force-reinstall '
            f"llama-cpp-python=={_version_of_llama()}",
        )
    with runner.store.scratch() as scratch:
        (scratch / "work").mkdir()
        program = freeze.freeze_here(name, scratch / "work", runner.progress, zim=zim)
        freeze.finish_here(program, module, backends)
        for place in program.iterdir():
            place.rename(out / place.name)
    lib = out / freeze.INNER / llamacpp.PACKAGE / "lib"
    return {"glibc": None, "glibc_because": None, "variants": list(llamacpp.variants(lib)), "measured": {}}


def _version_of_llama() -> str:
    from publicai_edge.engine import lowlevel

    return lowlevel.version()


@dataclass(frozen=True)
class _Maker:
    """Does the work of the two steps, in folders that outlive an interruption."""

    platform: Platform
    runner: Runner
    mirror: str | None
    jobs: int
    offline: bool
    zim: bool

    @property
    def folder(self) -> Path:
        return self.runner.store.root / _SHELF / "work"

    def _lay_out(self, root: debian.Root) -> Path:
        debian.check_tools(self.platform)
        return debian.lay_out(root, self.folder, lambda: self.mirror or debian.mirror(), self.runner.progress)

    def llama(self, out: Path) -> dict[str, Any]:
        from publicai_edge.pipeline.converter import llama_source

        store, progress = self.runner.store, self.runner.progress
        shop, libraries = self._lay_out(debian.workshop()), self._lay_out(debian.libraries(self.platform))
        files = llama_source(store, progress, offline=self.offline)
        made_by = digest.of_json([files.sha256, sorted(llamacpp.LEFT_OUT), llamacpp.settings(self.platform)])
        place = self.folder / f"llama-{self.platform.name}-{made_by[:12]}"
        if not (place / "source").exists():
            with atomic.temporary_folder(place) as scratch:
                store.checkout(files, scratch / "source")
                llamacpp.leave_out(scratch / "source" / llamacpp.SOURCE)
                (scratch / "source").rename(place / "source")
        freeze.link_tree(libraries, place / "libraries")
        llamacpp.compile_for(self.platform, shop, place, self.jobs, progress)
        llamacpp.collect(place, out, shop, progress)
        llamacpp.compile_blas(self.platform, place, out, shop, progress)
        variants = llamacpp.variants(out / llamacpp.PACKAGE / "lib")
        atomic.remove_tree(place)
        return {"variants": list(variants)}

    def freeze(self, out: Path, llama: FileSet, wanted: dict[str, str], engine: str) -> dict[str, Any]:
        store, progress = self.runner.store, self.runner.progress
        shop, libraries, python = map(
            self._lay_out, (debian.workshop(), debian.libraries(self.platform), debian.python(self.platform))
        )
        site = packages.site(self.platform, wanted, self.folder, progress)
        with store.scratch() as scratch:
            work = scratch / "work"
            freeze.link_tree(site, work / "site")
            store.checkout(llama, scratch)
            packages.add_llama(work / "site", scratch / llamacpp.PACKAGE, engine)
            packages.replace_blas(work / "site", scratch / llamacpp.BLAS)
            packages.replace_ssl(work / "site")
            freeze.check_numpy(self.platform, python, work, progress)
            freeze.own_package(Path(__file__).parent.parent, work / "site")
            program = freeze.freeze(self.platform, python, work, progress, zim=self.zim)
            freeze.finish(program, scratch / llamacpp.PACKAGE, libraries, self.platform)
            freeze.strip(program, shop, progress, self.folder)
            freeze.add_licences(program, work / "site", python, scratch / llamacpp.LICENCE)
            freeze.try_program(self.platform, python, program, progress, self.folder)
            floor = elf.floor(program, self.platform.machine)
            for place in program.iterdir():
                place.rename(out / place.name)
        lib = out / freeze.INNER / llamacpp.PACKAGE / "lib"
        facts = {"glibc": floor.glibc, "glibc_because": floor.because, "variants": list(llamacpp.variants(lib))}
        return {**facts, "measured": {}}


def keep(found: RuntimeManifest, store: Store) -> None:
    """Remember a runtime whose files are in the store."""
    atomic.write_bytes(store.root / _SHELF / f"{found.platform}.json", found.to_bytes())


def all_of(store: Store) -> Iterator[Runtime]:
    """Yield the runtimes that are kept and whole, by platform."""
    for name in platforms.NAMES:
        try:
            yield find(name, store)
        except NotFoundError:
            continue


def find(name: str, store: Store) -> Runtime:
    """Return the runtime that is kept for a platform.

    Raises:
        RecipeError: there is no such platform.
        NotFoundError: none is kept, or the store has lost a file of it.
    """
    place = store.root / _SHELF / f"{platforms.check(name)}.json"
    try:
        found = runtime_manifest.parse(place.read_bytes(), str(place))
    except (FileNotFoundError, BundleError):
        found = None
    if found is None or not store.has_all(found.file_set):
        raise NotFoundError(
            f"There is no runtime for {name} here.",
            hint=f"Make one: publicai-edge runtime build {name}. Or bring one: publicai-edge runtime import FILE",
        )
    return Runtime(found)


def payload(names: tuple[str, ...], store: Store, progress: Progress, *, zim: bool = False) -> FileSet:
    """Return the files of the runtimes for ``names`` as they lie in a bundle; with ``zim``, of one with ZIM files.

    Raises:
        NotFoundError: one is not there.
        BundleError: one is of another version than this program, whose bundles it may not read; or it does not read ZIM
            files.
    """
    files: dict[str, Blob] = {}
    for name in names:
        runtime = find(name, store)
        found = runtime.manifest
        if found.version != __version__:
            raise BundleError(
                f"The runtime for {name} is of publicai-edge {found.version}; this is {__version__}.",
                hint=f"Make it again: publicai-edge runtime build {name}. Or import one of this version.",
            )
        if zim and not found.reads_zim:
            raise BundleError(
                f"The runtime for {name} does not read ZIM files, and the recipe names some under [[knowledge.zim]].",
                hint=f"Make it with what reads them: publicai-edge runtime build {name} --zim",
            )
        if not runtime.current:
            progress.warn(f"The runtime for {name} was made from other code than this program's; make it again.")
        files |= dict(found.file_set.prefixed(f"{BUNDLE_FOLDER}/{name}"))
        manifest = store.add_bytes(found.to_bytes())
        files[f"{BUNDLE_FOLDER}/{name}/{runtime_manifest.FILE_NAME}"] = manifest
    return FileSet(files)


def export(name: str, store: Store, target: Path | None, progress: Progress) -> Path:
    """Write the runtime of a platform as one file and return its place.

    Raises:
        NotFoundError: there is none.
        HostError: it cannot be written.
    """
    found = find(name, store).manifest
    place = target or Path(f"{found.name}{archive.SUFFIX}")
    if place.is_dir():
        place = place / f"{found.name}{archive.SUFFIX}"
    if not place.name.endswith(archive.SUFFIX):
        raise HostError(
            f"{place} is no folder, and no name of a runtime's file.",
            hint=f"Make the folder first, or give a name that ends in {archive.SUFFIX}.",
        )
    archive.write(found, store, place, progress)
    return place


def bring(source_file: Path, store: Store, progress: Progress) -> Runtime:
    """Import an exported runtime.

    Raises:
        BundleError: it is damaged or hostile; nothing of it is kept.
    """
    found = archive.read(source_file, store, progress)
    keep(found, store)
    return Runtime(found)


def lay_out(name: str, store: Store) -> Path:
    """Return a folder in the cache with the runtime of a platform, ready to be run.

    Raises:
        NotFoundError: there is none.
    """
    found = find(name, store).manifest
    target = store.root / _SHELF / f"{found.name}-{digest.of_bytes(found.to_bytes())[:12]}"
    if not target.exists():
        with atomic.temporary_folder(target.parent) as scratch:
            store.export(found.file_set, scratch / "runtime")
            (scratch / "runtime" / runtime_manifest.FILE_NAME).write_bytes(found.to_bytes())
            (scratch / "runtime" / platforms.program_file(name)).chmod(0o755)
            (scratch / "runtime").rename(target)
    return target


def describe(runtime: Runtime) -> dict[str, Any]:
    """Return what a list says of a runtime, as JSON."""
    value: dict[str, Any] = json.loads(runtime.manifest.to_bytes())
    value["files"] = len(value["files"])
    return {"name": runtime.manifest.name, "current": runtime.current, **value}
