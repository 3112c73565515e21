"""Other ways to run a model on a processor from Python, each in a process of its own, for one table.

    python benchmarks/rivals.py            installs what this project does not use itself, into an environment beside
                                           the benchmarks' other things in the user's cache

    PYTHON benchmarks/rivals.py NAME MODEL THREADS PROMPTS TOKENS
                                           what the table runs: PROMPTS is a JSON file with texts, the first of which
                                           warms; prints one line of JSON

A rival that cannot be imported says so, and the table names it as missing.
"""

import json
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PACKAGES = ("openvino-genai==2026.4.1.0", "optimum-intel==2.2.0", "llama-cpp-python[server]")
MISSING = 3
"""Exit code of a rival that is not installed."""

Timed = tuple[int, float, list[float]]
"""Tokens of the prompt, when it was given, and when each token of the answer came."""


def python() -> Path | None:
    """Return the rivals' interpreter, or None when it was not installed."""
    place = _folder() / "bin" / "python"
    return place if place.is_file() else None


def _folder() -> Path:
    import platformdirs

    return Path(platformdirs.user_cache_dir("publicai-edge-benchmarks")) / "rivals"


def install() -> Path:
    """Make the environment: this project's packages are seen in it, and what is added hides them where it differs."""
    folder = _folder()
    venv.create(folder, with_pip=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "project.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, *PACKAGES], check=True)
    return folder / "bin" / "python"


def transformers_torch(model: Path, threads: int, prompts: list[str], tokens: int) -> Iterator[Any]:
    """Run transformers on torch, in bfloat16."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.generation.streamers import BaseStreamer

    class Times(BaseStreamer):  # type: ignore[misc] # of a package without types
        def __init__(self) -> None:
            self.times: list[float] = []

        def put(self, _value: object) -> None:
            self.times.append(time.perf_counter())

        def end(self) -> None:
            pass

    torch.set_num_threads(threads)
    tokenizer = AutoTokenizer.from_pretrained(model)
    loaded = AutoModelForCausalLM.from_pretrained(model, torch_dtype=torch.bfloat16)
    yield
    for prompt in prompts:
        given = tokenizer(prompt, return_tensors="pt")
        times = Times()
        asked = time.perf_counter()
        options = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False}
        loaded.generate(**given, **options, streamer=times, pad_token_id=0)
        yield int(given["input_ids"].shape[1]), asked, times.times[1:]  # the first is the prompt itself


def onnxruntime_genai(model: Path, threads: int, prompts: list[str], tokens: int) -> Iterator[Any]:
    """Run onnxruntime-genai on what its own builder made, in int4."""
    import onnxruntime_genai as genai

    config = genai.Config(str(model))
    config.overlay(json.dumps({"model": {"decoder": {"session_options": {"intra_op_num_threads": threads}}}}))
    loaded = genai.Model(config)
    tokenizer = genai.Tokenizer(loaded)
    yield
    for prompt in prompts:
        ids = tokenizer.encode(prompt)
        parameters = genai.GeneratorParams(loaded)
        length = len(ids) + tokens
        parameters.set_search_options(max_length=length, min_length=length, do_sample=False)
        generator = genai.Generator(loaded, parameters)
        times = []
        asked = time.perf_counter()
        generator.append_tokens(ids)
        while not generator.is_done():
            generator.generate_next_token()
            times.append(time.perf_counter())
        yield len(ids), asked, times


def openvino_genai(model: Path, threads: int, prompts: list[str], tokens: int) -> Iterator[Any]:
    """Run OpenVINO GenAI on what optimum-intel made, in int4."""
    import openvino_genai as genai

    pipeline = genai.LLMPipeline(str(model), "CPU", INFERENCE_NUM_THREADS=threads)
    yield
    for prompt in prompts:
        asked = time.perf_counter()
        found = pipeline.generate([prompt], max_new_tokens=tokens, ignore_eos=True, do_sample=False).perf_metrics
        first = asked + found.get_ttft().mean / 1e3
        each = found.get_tpot().mean / 1e3
        yield found.get_num_input_tokens(), asked, [first + each * number for number in range(tokens)]


RIVALS: dict[str, Callable[[Path, int, list[str], int], Iterator[Any]]] = {
    "transformers": transformers_torch,
    "onnxruntime-genai": onnxruntime_genai,
    "openvino-genai": openvino_genai,
}


def main() -> int:
    """Install, or run one rival."""
    if len(sys.argv) == 1:
        print(install())
        return 0
    import resource

    name, model, threads, prompts, tokens = sys.argv[1:]
    began = time.perf_counter()
    try:
        running = RIVALS[name](Path(model), int(threads), json.loads(Path(prompts).read_text()), int(tokens))
        next(running)
    except ImportError as error:
        print(error, file=sys.stderr)
        return MISSING
    load = time.perf_counter() - began
    answers: list[Timed] = list(running)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    found = [
        {"prompt": count, "first": times[0] - asked, "rate": (len(times) - 1) / (times[-1] - times[0])}
        for count, asked, times in answers[1:]
    ]
    print(json.dumps({"load": load, "peak": peak, "answers": found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
