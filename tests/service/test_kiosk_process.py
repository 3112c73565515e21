"""``serve`` as a process, with the real model: ready soon, gone when it should be, and it keeps nothing."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from publicai_edge.pipeline.build import Built
from tests.service.conftest import PATIENCE, PROGRAM, Kiosk, children, runs, until

LIFT = {"service": "ask", "language": "en", "question": "Is there a lift?"}
LETTER = {"service": "letter", "language": "en", "question": "A letter of thanks to the library, as long as you can."}

BUSY = 6  # a machine that does other things besides gets so many times as long

pytestmark = pytest.mark.slow

Serve = Callable[..., Kiosk]


def events(response: httpx.Response) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in response.iter_lines())


def ask(kiosk: Kiosk, question: dict[str, str] = LIFT) -> list[dict[str, Any]]:
    with kiosk.client.stream("POST", "/api/ask", json=question) as response:
        return list(events(response))


def linked_copy(bundle: Path, target: Path) -> Path:
    """A copy of a bundle that shares its files' content: take files away, never write into one."""
    shutil.copytree(bundle, target, copy_function=os.link)
    return target


def work(pid: int) -> float:
    """Return the seconds of the processor that a process has taken: what a busy machine does not change much."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def test_the_page_is_there_soon_and_the_model_soon_after(serve: Serve) -> None:
    kiosk = serve()
    assert "<title>Kiosk</title>" in kiosk.client.get("/").text
    page_seconds = time.monotonic() - kiosk.begun
    page_work = work(kiosk.process.pid)
    kiosk.wait_ready()
    model_seconds = time.monotonic() - kiosk.begun
    print(f"\nURL {kiosk.url_seconds:.2f} s, page {page_seconds:.2f} s, model {model_seconds:.2f} s after start")
    assert kiosk.stdout.read_text() == f"{kiosk.url}\n", "stdout is the URL and nothing else"
    assert page_work < 10, "promised are 2 s on an idle machine; the benchmark measures that"
    assert work(kiosk.process.pid) + work(kiosk.worker()) < 60


def test_json_gives_the_addresses_to_programs(demo: Built, tmp_path: Path) -> None:
    held = subprocess.Popen(
        [*PROGRAM, "serve", str(demo.folder), "--port", "0", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert held.stdout
        text = b""
        while not text.endswith(b"}\n"):
            line = held.stdout.readline()
            assert line, held.communicate()
            text += line
        addresses = json.loads(text)
        assert httpx.get(f"{addresses['api']}/models", timeout=PATIENCE).status_code == 200
        assert httpx.get(addresses["url"], timeout=PATIENCE).status_code == 200
    finally:
        held.kill()
        held.communicate()


def test_an_answer_has_passages_first_then_text_in_pieces_then_marks(serve: Serve) -> None:
    found = ask(serve().wait_ready())
    kinds = [event["type"] for event in found]
    assert kinds[0] == "passages"
    assert kinds.count("text") > 3
    assert kinds[-1] == "done"
    assert "accessibility" in found[0]["sources"][0]["source"]
    assert any(event["sources"] for event in found if event["type"] == "sentence")


def test_a_question_before_the_model_is_loaded_gets_its_passages_at_once_and_its_answer_later(serve: Serve) -> None:
    kiosk = serve()
    found = ask(kiosk)
    kinds = [event["type"] for event in found]
    assert kinds[0] == "passages"
    assert kinds[-1] == "done"


def test_ctrl_c_ends_an_idle_kiosk_with_code_0_and_leaves_no_worker(serve: Serve) -> None:
    kiosk = serve().wait_ready()
    worker = kiosk.worker()
    begun = time.monotonic()
    assert kiosk.end(signal.SIGINT) == 0
    assert time.monotonic() - begun < 15 * BUSY
    until(lambda: not runs(worker), "the worker is gone")
    assert kiosk.stderr.read_text().endswith("The kiosk is closed.\n")


def test_ctrl_c_ends_an_answering_kiosk_just_so(serve: Serve) -> None:
    kiosk = serve().wait_ready()
    worker = kiosk.worker()
    with kiosk.client.stream("POST", "/api/ask", json=LETTER) as response:
        lines = events(response)
        while next(lines)["type"] != "text":
            pass
        begun = time.monotonic()
        assert kiosk.end(signal.SIGINT) == 0
    assert time.monotonic() - begun < 15 * BUSY
    until(lambda: not runs(worker), "the worker is gone")
    assert "Traceback" not in kiosk.stderr.read_text()


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
def test_the_worker_dies_with_the_web_process_however_that_ends(serve: Serve, sign: signal.Signals) -> None:
    kiosk = serve().wait_ready()
    worker = kiosk.worker()
    with kiosk.client.stream("POST", "/api/ask", json=LETTER) as response:
        lines = events(response)
        while next(lines)["type"] != "text":
            pass
        kiosk.process.send_signal(sign)
        kiosk.process.wait(PATIENCE)
    until(lambda: not runs(worker), "the worker is gone")


def test_a_killed_worker_ends_its_answer_with_a_plain_line_and_the_next_is_answered(serve: Serve) -> None:
    kiosk = serve().wait_ready()
    until(lambda: "The model is ready after" in kiosk.stderr.read_text(), "the operator is told of the first start")
    worker = kiosk.worker()
    with kiosk.client.stream("POST", "/api/ask", json=LETTER) as response:
        lines = events(response)
        while next(lines)["type"] != "text":
            pass
        os.kill(worker, signal.SIGKILL)
        killed = time.monotonic()
        last = list(lines)[-1]
    assert last == {"type": "error", "code": "engine_failed", "retry_after": 5}

    with kiosk.client.stream("POST", "/api/ask", json=LIFT) as response:
        lines = events(response)
        assert next(lines)["type"] == "passages"
        print(f"\npassages {time.monotonic() - killed:.2f} s after the kill", end="")
        assert list(lines)[-1]["type"] == "done"
    seconds = time.monotonic() - killed
    print(f", the next answer complete after {seconds:.2f} s")
    assert seconds < 10 * BUSY
    assert kiosk.worker() != worker
    until(lambda: "is ready again after" in kiosk.stderr.read_text(), "the operator is told")
    told = kiosk.stderr.read_text()
    assert "Warning: The engine was ended (signal 9), as the system does when memory runs out. It is started" in told
    assert (
        told.index("The model is ready after") < told.index("Warning: The engine") < told.index("is ready again after")
    )


def test_the_operator_is_told_which_stored_prompts_are_used(serve: Serve, demo: Built, tmp_path: Path) -> None:
    bundle = linked_copy(demo.folder, tmp_path / "bundle")
    states = sorted((bundle / "data" / "warm").iterdir())
    size = states[0].stat().st_size
    states[0].unlink()
    states[0].write_bytes(bytes(size))
    kiosk = serve(bundle).wait_ready()
    until(lambda: "Service prompts" in kiosk.stderr.read_text(), "the line about the prompts")
    told = kiosk.stderr.read_text()
    assert f"Service prompts: {len(states) - 1} stored states reused, 1 rebuilt." in told
    assert f"{states[0].name} is not the file that the bundle lists, so the prompt is read again" in told


def test_a_port_in_use_is_named_with_code_6_before_a_model_is_loaded(demo: Built) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*PROGRAM, "serve", str(demo.folder), "--port", str(port)], check=False, capture_output=True, text=True
        )
    assert done.returncode == 6
    assert f"Port {port} on 127.0.0.1 is in use" in done.stderr
    assert "--port 0" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("verb", ["serve", "ask", "verify"])
def test_a_bundle_without_its_model_is_refused_with_code_5(demo: Built, tmp_path: Path, verb: str) -> None:
    bundle = linked_copy(demo.folder, tmp_path / "bundle")
    (bundle / "data/model/model.gguf").unlink()
    more = {"serve": ["--port", "0"], "ask": ["Is there a lift?"], "verify": []}[verb]
    done = subprocess.run([*PROGRAM, verb, str(bundle), *more], check=False, capture_output=True, text=True)
    assert done.returncode == 5
    assert "data/model/model.gguf" in done.stderr
    assert "Next: " in done.stderr
    assert done.stdout == ""


def test_a_model_that_cannot_be_loaded_is_told_on_the_terminal_and_the_search_works(
    serve: Serve, demo: Built, tmp_path: Path
) -> None:
    bundle = linked_copy(demo.folder, tmp_path / "bundle")
    model = bundle / "data/model/model.gguf"
    size = model.stat().st_size
    model.unlink()
    with model.open("wb") as stream:
        stream.truncate(size)  # right by its size, and nothing but zeros
    kiosk = serve(bundle)
    until(lambda: kiosk.state() == "failed", "the model is given up")
    kinds = [event["type"] for event in ask(kiosk)]
    assert kinds == ["passages", "error"]
    until(lambda: "The model cannot be used" in kiosk.stderr.read_text(), "the operator is told")
    assert children(kiosk.process.pid) == []
    assert kiosk.end() == 0
