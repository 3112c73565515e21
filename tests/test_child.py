"""Work in a child process: results, errors and progress come back; a crash is told; the child dies with its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from publicai_edge import child
from publicai_edge.errors import EngineError, ModelError
from publicai_edge.progress import Progress, Recorder, Silent

HERE = "tests.test_child"


def double(payload: dict[str, Any], progress: Progress) -> int:
    with progress.task("doubling", total=1) as task:
        task.advance(1)
    progress.say("done")
    print("a native library printed this")
    return int(payload["n"]) * 2


def refuse(_payload: dict[str, Any], _progress: Progress) -> None:
    raise ModelError("no good", hint="try another", path="x")


def crash(_payload: dict[str, Any], _progress: Progress) -> None:
    sys.stderr.write("last words\n")
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGSEGV)


def end_by(payload: dict[str, Any], _progress: Progress) -> None:
    os.kill(os.getpid(), signal.Signals[payload["signal"]])


def bug(_payload: dict[str, Any], _progress: Progress) -> None:
    raise KeyError("oops")


def linger(payload: dict[str, Any], _progress: Progress) -> None:
    Path(payload["file"]).write_text(str(os.getpid()))
    time.sleep(600)


def test_result_and_messages_come_back() -> None:
    progress = Recorder()
    result = child.run(f"{HERE}:double", {"n": 21}, what="double", progress=progress)
    assert result.value == 42
    assert progress.messages == ["done"]
    assert result.peak_rss_bytes > 1_000_000


def test_a_child_that_dies_before_it_reads_is_told_as_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    start = subprocess.Popen

    def dead(_command: list[str], **options: Any) -> "subprocess.Popen[str]":
        process = start(["false"], **options)
        process.wait()
        return process

    monkeypatch.setattr(subprocess, "Popen", dead)
    with pytest.raises(EngineError, match="double"):
        child.run(f"{HERE}:double", {"n": 1}, what="double", progress=Silent())


def test_project_error_keeps_its_class_and_hint() -> None:
    with pytest.raises(ModelError, match="no good") as caught:
        child.run(f"{HERE}:refuse", {}, what="x", progress=Silent())
    assert caught.value.hint == "try another"
    assert caught.value.facts == {"path": "x"}


def test_crash_names_the_work_the_signal_and_the_last_words() -> None:
    with pytest.raises(EngineError, match=r"should add things was ended by SIGSEGV(.|\n)*last words"):
        child.run(f"{HERE}:crash", {}, what="add things", progress=Silent())


@pytest.mark.parametrize(("name", "hint"), [("SIGILL", "--no-binary llama-cpp-python"), ("SIGKILL", "memory")])
def test_the_hint_is_for_the_signal(name: str, hint: str) -> None:
    with pytest.raises(EngineError, match=name) as caught:
        child.run(f"{HERE}:end_by", {"signal": name}, what="add things", progress=Silent())
    assert hint in (caught.value.hint or "")


def test_child_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(EngineError, match="should sleep had not ended after 1 seconds"):
        child.run(f"{HERE}:linger", {"file": str(tmp_path / "pid")}, what="sleep", progress=Silent(), limit_seconds=1)
    assert time.monotonic() - started < 60


def test_bug_in_a_child_brings_its_traceback() -> None:
    with pytest.raises(EngineError, match="KeyError: 'oops'"):
        child.run(f"{HERE}:bug", {}, what="x", progress=Silent())


def test_child_dies_when_its_parent_is_killed(tmp_path: Path) -> None:
    from tests.service.conftest import runs, until  # here, as each child imports this file

    note = tmp_path / "pid"
    code = (
        "from publicai_edge import child; from publicai_edge.progress import Silent; "
        f"child.run('{HERE}:linger', {{'file': {str(note)!r}}}, what='x', progress=Silent())"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[1])
    until(lambda: note.exists() and note.read_text(), "the child runs")
    pid = int(note.read_text())
    parent.kill()
    parent.wait()
    until(lambda: not runs(pid), "the child ends with its parent")
