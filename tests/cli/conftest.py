"""Runs the command line as a person does: in a process of its own, from a folder of its own.

That process is a copy of one that has the modules loaded (:mod:`tests.cli.template`), unless another command runs it or
it is given an environment of its own.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.template import Template

PROGRAM = [sys.executable, "-m", "publicai_edge"]
Done = subprocess.CompletedProcess[str]
Run = Callable[..., Done]

SMALL = """\
[bundle]
name = "small"
version = "1.0.0"
release = 1
languages = ["en"]
[bundle.title]
en = "Small"
[steward]
name = "Small Library"
contact = "desk@small.example"
[steward.ask_a_person]
en = "Ask at the desk."
[model]
name = "Small"
source = "file:model.gguf"
license = "Apache-2.0"
license_url = "https://example.org/license"
[quantize]
type = "keep"
[target]
ram_gb = 4
disk_gb = 1
context = 512
[[services]]
id = "chat"
search = false
max_tokens = 64
[services.title]
en = "Chat"
[services.description]
en = "Chat."
[services.prompt]
en = "You are kind."
[policy]
licenses = ["Apache-2.0"]
session_minutes = 10
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with a sound recipe of one service; its model is still missing."""
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "small.toml").write_text(SMALL)
    return folder


@pytest.fixture(scope="session")
def template() -> Iterator[Template]:
    held = Template()
    yield held
    held.close()


@pytest.fixture
def run(here: Path, template: Template) -> Run:
    """Run ``publicai-edge`` in ``here``; ``before`` is a command that runs it."""

    def start(*arguments: object, before: tuple[str, ...] = (), **env: str) -> Done:
        words = list(map(str, arguments))
        if not before and not env:  # what an environment does to a start, a copy does not show
            return template.run(words, cwd=here, env=os.environ | env, timeout=300)
        return subprocess.run(
            [*before, *PROGRAM, *words],
            check=False,
            capture_output=True,
            text=True,
            cwd=here,
            env=os.environ | env,
            timeout=300,
        )

    return start
