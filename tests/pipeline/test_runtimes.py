"""A bundle carries the runtimes that were asked for, and its program can be started."""

import json
import zipfile
from pathlib import Path

import pytest

from publicai_edge.bundle import pack
from publicai_edge.bundle.verify import verify
from publicai_edge.errors import NotFoundError
from publicai_edge.pipeline.build import Built, build
from publicai_edge.pipeline.options import Options
from publicai_edge.progress import Silent
from publicai_edge.runtime import platforms
from publicai_edge.store import Store
from tests.conftest import RECIPE
from tests.runtime.test_archive import FILES, made
from tests.runtime.test_start import bare_environment, start

HERE = platforms.here()
SCRIPT = {**FILES, "publicai-edge": b'#!/bin/sh\necho "$@"\n'}


@pytest.mark.slow
def test_a_packed_program_is_verified_executable_and_started(demo: Built, demo_store: Store, tmp_path: Path) -> None:
    made(demo_store, HERE, files_of=SCRIPT)
    options = Options(tmp_path / "dist", demo_store, Silent(), offline=True, runtimes=(HERE,))
    built = build(RECIPE, options)
    assert all(step.reused for step in built.steps)
    program = built.folder / "data/runtime" / HERE / "publicai-edge"
    assert program.stat().st_mode & 0o777 == 0o755
    assert (program.parent / "_internal/e").stat().st_mode & 0o777 == 0o644
    assert verify(built.folder, Silent()).files == verify(demo.folder, Silent()).files + len(SCRIPT) + 1
    assert json.loads((program.parent / "runtime.json").read_bytes())["platform"] == HERE
    archive = pack.write_zip(built.folder, tmp_path / "bundle.zip", Silent())
    with zipfile.ZipFile(archive) as opened:
        modes = {item.filename.partition("/")[2]: item.external_attr >> 16 & 0o777 for item in opened.infolist()}
    executable = {name for name, mode in modes.items() if mode & 0o111}
    assert executable == {"start", f"data/runtime/{HERE}/publicai-edge"}
    assert start(built.folder, bare_environment(tmp_path)).stdout == f"serve {built.folder} --open\n"


def test_a_runtime_that_is_missing_is_said_before_anything_is_built(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    options = Options(tmp_path / "dist", store, Silent(), offline=True, runtimes=("linux-aarch64",))
    with pytest.raises(NotFoundError, match="no runtime for linux-aarch64"):
        build(RECIPE, options)
    assert not (tmp_path / "dist").exists()
    assert not (tmp_path / "cache" / "objects").exists()
