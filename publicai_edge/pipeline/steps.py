"""The step cache: a stage runs only when the digest of its inputs is new.

A step's key is the digest of its name, its inputs, the source code that does the work and the versions of the libraries
it calls, so neither an update nor a developer's edit ever meets a stale result. Its record in the store names its
outputs by digest. A record whose outputs are all there stands for the whole stage; anything less reruns it.
A step writes into a scratch folder and its record comes last, so a build that is killed leaves either a finished step
or none.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from publicai_edge import digest
from publicai_edge.artifact import FileSet
from publicai_edge.progress import Progress
from publicai_edge.store import Store

Run = Callable[[Path], dict[str, Any]]


@dataclass(frozen=True)
class Step:
    """One piece of cached work.

    Attributes:
        name: the stage, a folder name.
        code: modules and packages of this project that decide the result.
        libraries: installed distributions that do.
        inputs: everything the result depends on, as JSON; files by digest.
        run: does the work in the folder it is given; returns facts (JSON) that are kept with the outputs. Facts under
            the key ``"measured"`` vary from run to run (seconds, memory): they are shown, and never go into a bundle.
    """

    name: str
    code: tuple[str, ...]
    libraries: tuple[str, ...]
    inputs: dict[str, Any]
    run: Run

    @property
    def key(self) -> str:
        """The digest the record is filed under."""
        made_by = [[name, source_digest(name)] for name in self.code]
        made_by += [[name, _version(name)] for name in self.libraries]
        return digest.of_json([self.name, made_by, self.inputs])


@cache
def source_digest(module: str) -> str:
    """Return the digest of a module's source, or of every file of a package: its pages, texts and C code count too."""
    place = resources.files(module.rpartition(".")[0]) / module.rpartition(".")[2]
    root = Path(str(place))
    found = (path for path in root.rglob("*") if path.is_file() and path.parent.name != "__pycache__")
    paths = sorted(found) if root.is_dir() else [root.with_suffix(".py")]
    return digest.of_json([[path.name, digest.of_file(path)] for path in paths])


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


@dataclass(frozen=True)
class StepResult:
    """What a step made, and whether it had to run for it."""

    name: str
    files: FileSet
    facts: dict[str, Any]
    measured: dict[str, Any]
    reused: bool
    seconds: float


@dataclass
class Runner:
    """Runs steps against a store and remembers what happened, for the report at the end."""

    store: Store
    progress: Progress
    done: list[StepResult] = field(default_factory=list)

    def run(self, step: Step) -> StepResult:
        """Return the step's result from the cache, or run it."""
        result = self._cached(step) or self._execute(step)
        self.done.append(result)
        return result

    def _cached(self, step: Step) -> StepResult | None:
        record = self.store.record(step.name, step.key)
        if record is None:
            return None
        files = FileSet.from_json(record["files"])
        if not self.store.has_all(files):
            return None
        return StepResult(step.name, files, record["facts"], record["measured"], reused=True, seconds=0.0)

    def _execute(self, step: Step) -> StepResult:
        started = time.monotonic()
        with self.store.scratch() as folder:
            facts = step.run(folder)
            files = self.store.adopt_tree(folder)
        measured = {**facts.pop("measured", {}), "seconds": round(time.monotonic() - started, 3)}
        record = {"files": files.to_json(), "facts": facts, "measured": measured, "inputs": step.inputs}
        self.store.write_record(step.name, step.key, record)
        return StepResult(step.name, files, facts, measured, reused=False, seconds=measured["seconds"])
