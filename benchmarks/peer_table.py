"""One model, every way to run it on a processor that this machine has: reading, writing, starting, memory.

    python benchmarks/peer_table.py [--rounds 3] [--json FILE]

SmolLM2-135M, each in the form that its program prefers: Q4_0 for what stands on llama.cpp (`publicai-edge serve`,
`llama-server`, llama-cpp-python's own server, and `llama-bench`), 4-bit ONNX and OpenVINO made from the same weights in
16 bits, and transformers on torch in bfloat16. All get as many threads as there are cores, the same prompts of some 500
tokens, each new to it, and write 64 tokens at temperature 0. In every round each is started anew, one after the other.

Servers are timed from outside, libraries from inside, where no HTTP is in the way. Peak memory is what all processes
of a program held at most, each by itself. What is not installed is named as missing: `python benchmarks/peers.py` and
`python benchmarks/rivals.py` install it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import material, patrons, peers, prompts, rivals, rows, servers
from benchmarks.rows import Row
from benchmarks.servers import OURS, PEER, THREADS, Sides

TOKENS, ASKED = 64, 3
LLAMA_BENCH, PYTHON_SERVER = "llama-bench", "llama-cpp-python's server"
UNITS = {"prefill": "/s", "decode": "/s", "until ready": "s", "peak memory": "MiB"}
_FORMS = {
    OURS: "Q4_0",
    PEER: "Q4_0",
    LLAMA_BENCH: "Q4_0",
    PYTHON_SERVER: "Q4_0",
    "onnxruntime-genai": "int4",
    "openvino-genai": "int4",
    "transformers": "bfloat16",
}
_START_SECONDS = 120.0
_MIB = 1 << 20


class MissingError(Exception):
    """A program is not installed; the message says what to do."""


@dataclass(frozen=True)
class Forms:
    """The model in every form, and our bundle with it."""

    gguf: Path
    bundle: Path
    hugging_face: Path
    onnx: Path
    openvino: Path


def main() -> int:
    """Run everything, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        gguf = material.smollm2_q4()
        _tell("preparing the model in every form")
        bundle = servers.build_bundle(gguf, "You are a helpful assistant.", folder)
        forms = Forms(gguf, bundle, *material.smollm2_elsewhere(rivals.python()))
        sides = _sides(forms, folder)
        found: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
        missing: dict[str, str] = {}
        for number in range(chosen.rounds):
            for name, run in sides.items():
                if name in missing:
                    continue
                _tell(f"round {number + 1} of {chosen.rounds}: {name}")
                try:
                    found[name].append(run(number))
                except MissingError as error:
                    missing[name] = str(error)
    return rows.report(list(_rows(found, missing)), chosen.json)


def _rows(found: dict[str, list[dict[str, float]]], missing: dict[str, str]) -> Iterator[Row]:
    own = found[OURS]
    for figure, unit in UNITS.items():
        ours = [each[figure] for each in own]
        yield rows.beside(f"{figure}: {OURS}, {_FORMS[OURS]}", unit, ours, None, ())
        for name, rounds in found.items():
            values = [each[figure] for each in rounds if figure in each]
            if name == OURS or (not values and name not in missing):
                continue
            label = f"{figure}: {name}, {_FORMS[name]}"
            if name in missing:
                yield rows.missing(label, missing[name], unit)
            else:
                yield rows.beside(label, unit, values, OURS, ours)


def _sides(forms: Forms, folder: Path) -> dict[str, Callable[[int], dict[str, float]]]:
    def texts(number: int) -> list[str]:
        return prompts.own_stories(ASKED + 1, turn=number)

    def served(side: str) -> Callable[[int], dict[str, float]]:
        def run(number: int) -> dict[str, float]:
            if side == PEER and not peers.tool(PEER):
                raise MissingError("python benchmarks/peers.py builds it")
            with Sides(forms.gguf, forms.bundle).start(side, 1, watch=False) as server:
                return _asked(server.port, server.model, server.start_seconds, texts(number))

        return run

    def python_server(number: int) -> dict[str, float]:
        with _python_server(forms.gguf) as (port, seconds):
            return _asked(port, "model", seconds, texts(number))

    def rival(name: str, model: Path) -> Callable[[int], dict[str, float]]:
        def run(number: int) -> dict[str, float]:
            place = folder / "prompts.json"
            place.write_text(json.dumps(texts(number)))
            return _rival(name, model, place)

        return run

    return {
        OURS: served(OURS),
        PEER: served(PEER),
        LLAMA_BENCH: lambda _number: _llama_bench(forms.gguf),
        PYTHON_SERVER: python_server,
        "onnxruntime-genai": rival("onnxruntime-genai", forms.onnx),
        "openvino-genai": rival("openvino-genai", forms.openvino),
        "transformers": rival("transformers", forms.hugging_face),
    }


def _asked(port: int, model: str, seconds: float, texts: list[str]) -> dict[str, float]:
    """Ask a server one text after the other; the first warms."""
    answers = [patrons.ask(port, patrons.request(model, text, tokens=TOKENS))[0] for text in texts][1:]
    listening = next(
        each for each in psutil.net_connections("tcp") if each.laddr and each.laddr[1] == port and each.pid
    )
    return {
        "prefill": _middle([(each.prompt_tokens - each.reused_tokens) / each.wait for each in answers]),
        "decode": _middle([each.pace for each in answers]),
        "until ready": seconds,
        "peak memory": _peak(listening.pid) / _MIB,
    }


def _peak(pid: int | None) -> int:
    """Return the most that a process and its children held, each by itself, in bytes."""
    found = 0
    if pid is None:
        raise RuntimeError("nobody listens there any more")
    for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
        with suppress(OSError):
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            found += next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    return found


@contextmanager
def _python_server(model: Path) -> Iterator[tuple[int, float]]:
    python = rivals.python()
    if python is None:
        raise MissingError("python benchmarks/rivals.py installs it")
    port = servers.free_port()
    options = {"--model": model, "--port": port, "--n_threads": THREADS, "--n_ctx": servers.CONTEXT}
    options["--model_alias"] = "model"
    command = [str(python), "-m", "llama_cpp.server", *(str(part) for pair in options.items() for part in pair)]
    begun = time.perf_counter()
    with servers.running(command) as running:
        while True:
            with suppress(OSError):
                if servers.get(port, "/v1/models")[0] == 200:
                    break
            if running.poll() is not None:
                raise MissingError("it does not start; python benchmarks/rivals.py installs what it needs")
            if time.perf_counter() - begun > _START_SECONDS:
                raise RuntimeError(f"{PYTHON_SERVER} was not ready within {_START_SECONDS:.0f} s")
            time.sleep(0.005)
        yield port, time.perf_counter() - begun


def _llama_bench(model: Path) -> dict[str, float]:
    tool = peers.tool(LLAMA_BENCH)
    if tool is None:
        raise MissingError("python benchmarks/peers.py builds it")
    shape = {"-m": model, "-t": THREADS, "-p": 512, "-n": TOKENS, "-r": 3, "-o": "json"}
    command = [str(tool), *(str(part) for pair in shape.items() for part in pair)]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    reading, writing = (item["avg_ts"] for item in json.loads(ran.stdout))
    return {"prefill": reading, "decode": writing}


def _rival(name: str, model: Path, texts: Path) -> dict[str, float]:
    python = rivals.python() if name == "openvino-genai" else Path(sys.executable)
    if python is None:
        raise MissingError("python benchmarks/rivals.py installs it")
    if not model.is_dir():
        raise MissingError(f"the model could not be made for {name}")
    command = [str(python), rivals.__file__, name, str(model), str(THREADS), str(texts), str(TOKENS)]
    ran = subprocess.run(command, check=False, capture_output=True, text=True)
    if ran.returncode == rivals.MISSING:
        raise MissingError("python benchmarks/rivals.py installs it")
    if ran.returncode:
        raise RuntimeError(f"{name} ended with {ran.returncode}: {ran.stderr[-1000:]}")
    value = json.loads(ran.stdout.splitlines()[-1])
    answers = value["answers"]
    return {
        "prefill": _middle([each["prompt"] / each["first"] for each in answers]),
        "decode": _middle([each["rate"] for each in answers]),
        "until ready": value["load"],
        "peak memory": value["peak"] / _MIB,
    }


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _tell(what: str) -> None:
    print(f"  {what} …", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
