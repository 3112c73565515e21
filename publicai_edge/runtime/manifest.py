"""``runtime.json``: what a runtime is made of and what it asks of a machine; the first file in its folder.

Invariant: the same inputs give the same bytes: no time, no path and no name of the machine that made it.
"""

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from publicai_edge.artifact import Blob, FileSet, check_relative
from publicai_edge.errors import BundleError
from publicai_edge.runtime import platforms

FILE_NAME = "runtime.json"
BUDGET = 120_000_000
"""Bytes that a runtime may take beside the model."""
ZIM_BUDGET = 30_000_000
"""Bytes more where it reads ZIM files."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _known(platform: str) -> str:
    if platform not in platforms.NAMES:
        raise ValueError(f"there is no platform {platform!r}")
    return platform


class FileInfo(BaseModel):
    """One file: its digest and size."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    sha256: Sha256
    size: Annotated[int, Field(ge=0)]


class RuntimeManifest(BaseModel):
    """The whole of ``runtime.json``.

    Attributes:
        platform: see :data:`platforms.NAMES`.
        version: of publicai-edge.
        source: digest of the code of publicai-edge in it.
        libraries: version of each package in it.
        variants: the processors that llama.cpp has code for; it takes the best at run time.
        glibc: the lowest that runs it, computed from every file; None where there is no glibc.
        glibc_because: a file that needs that one.
        size: of all files together, in bytes; ``budget`` is what they may take.
        files: everything but this file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal[1] = 1
    platform: Annotated[str, AfterValidator(_known)]
    version: str
    source: Sha256
    libraries: dict[str, str]
    variants: tuple[str, ...]
    glibc: Annotated[str, Field(pattern=r"^\d+\.\d+$")] | None
    glibc_because: str | None
    size: int
    budget: int = BUDGET
    files: dict[Annotated[str, AfterValidator(check_relative)], FileInfo]

    def to_bytes(self) -> bytes:
        """Return the file's content."""
        text = json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False)
        return (text + "\n").encode()

    @property
    def reads_zim(self) -> bool:
        """Whether it reads ZIM files."""
        return "libzim" in self.libraries

    @property
    def file_set(self) -> FileSet:
        """The files that the manifest lists."""
        return FileSet({path: Blob(item.sha256, item.size) for path, item in self.files.items()})

    @property
    def name(self) -> str:
        """What a runtime is called: program, version and platform."""
        return f"{platforms.PROGRAM}-{self.version}-{self.platform}"


def parse(data: bytes, where: str) -> RuntimeManifest:
    """Read the content of a ``runtime.json``.

    Raises:
        BundleError: it is not one, or not one that this version reads.
    """
    try:
        found = RuntimeManifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise BundleError(
            f"{where} is not a runtime that this version reads: {key}: {first['msg']}.",
            hint="Make it again with `publicai-edge runtime build`.",
        ) from error
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"{where} is damaged: {str(error)[:300]}.", hint="Copy it again from where it came."
        ) from error
    _agrees(found, where)
    return found


def _agrees(found: RuntimeManifest, where: str) -> None:
    total, program = sum(item.size for item in found.files.values()), platforms.program_file(found.platform)
    wrong = None
    if total != found.size:
        wrong = f"its files have {total:,} bytes, and it states {found.size:,}"
    elif program not in found.files:
        wrong = f"it lists no {program}"
    if wrong:
        raise BundleError(f"{where} is damaged: {wrong}.", hint="Copy it again from where it came.")


def is_program(path: Path) -> bool:
    """Say whether a file below ``data/runtime/PLATFORM/`` is the one that gets started."""
    return path.name in {platforms.program_file(name) for name in platforms.NAMES}
