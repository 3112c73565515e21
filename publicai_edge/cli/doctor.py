"""``publicai-edge doctor``: can this machine do the work, and what is missing?"""

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

import typer

from publicai_edge.cli import options

_LEAST_PYTHON = (3, 11)
_LEAST_CACHE = 5_000_000_000
_LEAST_MEMORY = 2_000_000_000


@dataclass(frozen=True)
class Check:
    """One thing looked at: how it is, and what to do where it is not well."""

    name: str
    state: Literal["ok", "warn", "fail"]
    found: str
    next: str = ""


def doctor(
    cache: options.Cache = None,
    port: Annotated[int, typer.Option("--port", help="Port the kiosk would take.")] = 8017,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Look at this machine: what works here, what is missing, and how to get it.

    Exit code 6 when something needed is missing.

    Example:  publicai-edge doctor
    """
    from publicai_edge.errors import HostError
    from publicai_edge.store import default_root

    console = options.console(as_json=json_, debug=debug)
    looks: list[Callable[[], Check]] = [
        _python,
        _engine,
        _memory,
        lambda: _disk(str(cache or default_root())),
        lambda: _extra("kiosk", ("fastapi", "uvicorn"), "serve a bundle"),
        lambda: _extra(
            "onnx", ("torch", "transformers", "optimum", "onnx"), "convert search models (`build` needs it)"
        ),
        lambda: _extra("parquet", ("pyarrow",), "take texts from data sets in Parquet"),
        lambda: _extra("ocr", ("rapidocr", "pypdfium2"), "recognise scanned pages"),
        lambda: _extra("zim", ("libzim",), "read ZIM files (Kiwix)"),
        lambda: _extra("voices", ("num2words",), "pack voices that read aloud"),
        lambda: _extra("runtime", ("PyInstaller", "packaging"), "make the program for kiosks without Python"),
        lambda: _client("pip", "pypi: sources", "python3 -m ensurepip"),
        lambda: _client("npm", "npm: sources", "install Node.js"),
        _hub,
        lambda: _port(port),
    ]
    checks = [look() for look in looks]
    marks = {"ok": "ok", "warn": "note", "fail": "MISSING"}
    rows = [[check.name, marks[check.state], check.found] for check in checks]
    width = max(len(row[0]) for row in rows)
    lines = [f"{name:<{width}}  {state:<7}  {found}" for name, state, found in rows]
    steps = [f"{check.name}: {check.next}" for check in checks if check.next]
    if steps:
        lines += ["", "What to do:", *(f"  {step}" for step in steps)]
    console.data([asdict(check) for check in checks], "\n".join(lines))
    if bad := [check.name for check in checks if check.state == "fail"]:
        console.error(f"This machine is not ready: {', '.join(bad)}.", "See above.")
        raise typer.Exit(HostError.exit_code)


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < _LEAST_PYTHON:
        return Check("Python", "fail", found, "Install Python 3.11 or newer.")
    return Check("Python", "ok", found)


def _engine() -> Check:
    from publicai_edge.compiling import compile_command
    from publicai_edge.engine.llama import uses_tiles
    from publicai_edge.engine.probe import engine_facts
    from publicai_edge.errors import PublicAIError
    from publicai_edge.host import physical_cores, usable_cores

    try:
        facts = engine_facts()
    except PublicAIError as error:
        return Check("Engine", "fail", error.message.splitlines()[0], "Reinstall llama-cpp-python on this machine.")
    note = ""
    if uses_tiles(facts["system"]):
        note = (
            "llama.cpp was compiled for AMX, which is not used, since many compilers get it wrong; so it reads prompts "
            f"more slowly. To compile it without: {compile_command(without_amx=True)}"
        )
    cores = f"{physical_cores()} physical cores, {usable_cores()} usable"
    flags = [
        part.split("=")[0].split(":")[-1].strip() for part in facts["system"].split("|") if part.strip().endswith("= 1")
    ]
    found = f"{facts['engine']}; {cores}; {' '.join(flags[:8])}"
    return Check("Engine", "warn" if note else "ok", found, note)


def _memory() -> Check:
    from publicai_edge.host import memory_bytes

    total, available = memory_bytes()
    found = f"{available / 1e9:.1f} GB free of {total / 1e9:.1f} GB"
    if total and available < _LEAST_MEMORY:
        return Check("Memory", "warn", found, "Close other programs; a 1 B model wants about 2 GB.")
    return Check("Memory", "ok", found)


def _disk(root: str) -> Check:
    place = root
    while not os.path.exists(place):  # noqa: PTH110 - climbs to the first folder that exists
        place = os.path.dirname(place)  # noqa: PTH120
    free = shutil.disk_usage(place).free
    found = f"{free / 1e9:.1f} GB free at {root}"
    if not os.access(place, os.W_OK):
        return Check("Cache", "fail", f"{place} is not writable", "Choose another folder with --cache.")
    if free < _LEAST_CACHE:
        return Check("Cache", "warn", found, "A build needs up to three times the model's size here.")
    return Check("Cache", "ok", found)


def _extra(extra: str, modules: tuple[str, ...], purpose: str) -> Check:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if not missing:
        return Check(f"Extra {extra}", "ok", f"installed, to {purpose}")
    first = "pip install --index-url https://download.pytorch.org/whl/cpu torch==2.13.0; " if extra == "onnx" else ""
    step = f'To {purpose}: {first}pip install "publicai-edge[{extra}]"'
    return Check(f"Extra {extra}", "warn", f"not installed ({', '.join(missing)})", step)


def _client(name: str, purpose: str, how: str) -> Check:
    there = importlib.util.find_spec("pip") if name == "pip" else shutil.which(name)
    if there:
        return Check(name, "ok", f"found, for {purpose}")
    return Check(name, "warn", "not found", f"For {purpose}: {how}.")


def _hub() -> Check:
    if importlib.util.find_spec("huggingface_hub") is None:
        step = "For hf: sources: pip install huggingface-hub."
        return Check("Hugging Face hub", "warn", "huggingface-hub is not installed", step)
    from importlib.metadata import version

    where = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    return Check("Hugging Face hub", "ok", f"huggingface-hub {version('huggingface-hub')}, {where}")


def _port(port: int) -> Check:
    from publicai_edge.errors import HostError
    from publicai_edge.kiosk.server import bind

    try:
        bind("127.0.0.1", port).close()
    except HostError as error:
        return Check("Port", "warn", error.message, "serve --port takes another.")
    return Check("Port", "ok", f"{port} is free")
