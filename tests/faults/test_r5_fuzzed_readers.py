"""R5: whatever bytes a reader of foreign files is given, only this project's own errors escape.

Short form: seeded mutations of files that are read, some thousands in all. Long form: a million runs of atheris, which
looks for new branches. The reader is the harness's parameter: readers that trust what they read fail it.
"""

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable

import pytest

from tests.faults.foreign_readers import READERS, ROOT, escapes, mutated
from tests.promises import Figure

RUNS = 400
MILLION = 1_000_000


@pytest.mark.parametrize("name", READERS)
@pytest.mark.promise("R5")
def test_only_the_projects_own_errors_escape_a_reader(name: str) -> None:
    target = READERS[name]
    for seed in target.seeds():
        target.read(seed)  # what is whole is read
    assert escapes(target.read, mutated(target.seeds(), RUNS, 13)) == []


@pytest.mark.soak
@pytest.mark.parametrize("name", READERS)
@pytest.mark.promise("R5")
def test_a_million_runs_find_nothing_that_escapes(name: str, figure: Figure) -> None:
    runs = -(-MILLION // len(READERS))
    done = subprocess.run([sys.executable, "-m", "tests.faults.fuzz", name, str(runs)], cwd=ROOT, check=False,
                          capture_output=True, text=True, errors="replace")  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-3000:]
    figure(f"runs, {name}", runs, "")


# --- the harness can fail ---


def trusting_manifest(data: bytes) -> object:
    return json.loads(data)["format"]


def trusting_archive(data: bytes) -> object:
    with tarfile.open(fileobj=io.BytesIO(data)) as opened:
        return [opened.extractfile(member) for member in opened]


@pytest.mark.parametrize(("name", "read"), [("bundle.json", trusting_manifest), ("a tar", trusting_archive)])
@pytest.mark.promise("R5", broken=True)
def test_a_reader_that_trusts_what_it_reads_fails(name: str, read: Callable[[bytes], object]) -> None:
    assert escapes(read, mutated(READERS[name].seeds(), 60, 13))
