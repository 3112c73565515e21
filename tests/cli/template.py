"""``python -m publicai_edge``, started by copying a process that has its modules loaded already.

A run of the command line takes most of its time to import. This process, ``python -m tests.cli.template``, imports
what the verbs share and then forks for every run it is asked for. The copy gets the folder, the environment, the files
of stdout and stderr and the arguments of its run, executes the module as ``python -m`` does, and ends as that does. It
does not show how soon a verb is there, nor that nothing heavy is loaded; tests of that start a process themselves.

Requests and replies are JSON lines: ``{"arguments", "cwd", "env", "stdout", "stderr"}``, and ``{"code"}``, as
``subprocess`` tells it.
"""

import json
import os
import runpy
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

PRELOADED = ("cli.main", "recipe", "pipeline.build", "bundle.open", "bundle.verify", "sources")


class Template:
    """The process that is copied, seen from the tests; started when it is first used."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(
        self, arguments: list[str], *, cwd: Path, env: dict[str, str], timeout: float
    ) -> "subprocess.CompletedProcess[str]":
        """Run the command line once; as ``subprocess.run`` with ``capture_output`` and ``text``."""
        process = self._process = self._process or self._start()
        assert process.stdin
        assert process.stdout
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "stdout"), Path(folder, "stderr")
            request = {"arguments": arguments, "cwd": str(cwd), "env": env, "stdout": str(out), "stderr": str(err)}
            late = threading.Timer(timeout, self.close)
            late.start()
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            reply = process.stdout.readline()
            late.cancel()
            if not reply:
                raise subprocess.TimeoutExpired(arguments, timeout)
            code = json.loads(reply)["code"]
            return subprocess.CompletedProcess(arguments, code, out.read_text("utf-8"), err.read_text("utf-8"))

    def close(self) -> None:
        """End it, with a run that is under way."""
        process, self._process = self._process, None
        if process:
            os.killpg(process.pid, 9)
            process.communicate()

    @staticmethod
    def _start() -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


def serve() -> None:
    """Answer requests until stdin ends; the copies return from here, with what they are to run."""
    for name in PRELOADED:
        __import__(f"publicai_edge.{name}")
    replies = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if not pid:
            replies.close()
            become(asked)
            return
        _, status = os.waitpid(pid, 0)
        replies.write(json.dumps({"code": os.waitstatus_to_exitcode(status)}) + "\n")
        replies.flush()


def become(asked: dict[str, Any]) -> None:
    """Make this process what ``python -m publicai_edge`` would be, and run it."""
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    for number, place in ((0, os.devnull), (1, asked["stdout"]), (2, asked["stderr"])):
        opened = os.open(place, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr
    sys.argv = ["publicai_edge", *asked["arguments"]]
    sys.path[0] = asked["cwd"]
    runpy.run_module("publicai_edge", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    serve()
