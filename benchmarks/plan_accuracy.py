"""How far `publicai-edge plan` is off: memory and speed as planned, beside what was measured afterwards.

    python benchmarks/plan_accuracy.py [--quick] [--json FILE] [--model FILE]...

This machine is probed; then each model (SmolLM2-135M in F16 and Q4_0 and Qwen2.5-Coder-1.5B in Q4_0, or --model) is
planned from its header, and measured. Speeds are those of `bench`. Probe and measurements take turns in rounds, because
the machine is not the same from minute to minute. Memory is that of the engine's process with a context of 2,048 and of
8,192 tokens for each of four patrons, after all four were answered: what it cannot give back, and of the model's file
the pages that it touched while it answered (Linux tells both).
"""

import argparse
import asyncio
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import material, rows
from benchmarks.rows import Row
from publicai_edge import gguf
from publicai_edge.bench import service, speed
from publicai_edge.bench.settings import Settings
from publicai_edge.bench.speed import Samples
from publicai_edge.engine import fit, warm
from publicai_edge.engine.client import WorkerEngine
from publicai_edge.host import physical_cores
from publicai_edge.pipeline.benchmarking import choose
from publicai_edge.plan.cost import cost_of
from publicai_edge.plan.device import Measured, Profile
from publicai_edge.plan.forecast import Model, engine_bytes
from publicai_edge.plan.probe import probe
from publicai_edge.progress import Silent
from publicai_edge.quantize import quantize

CONTEXTS = (2048, 8192)
PATRONS = 4
LENGTH, TOKENS = 512, 64
MEMORY_WITHIN, SPEED_WITHIN = 0.1, 0.25
_MIB = 1 << 20


def main() -> int:
    """Plan, measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one round instead of three")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--model", type=Path, action="append", help="another GGUF file; several times")
    chosen = parser.parse_args()
    models = [path.resolve() for path in chosen.model or (material.smollm2_f16(), material.smollm2_q4(), _qwen())]
    found = [row for model in models for row in memory(model)]
    found += speeds(models, 1 if chosen.quick else 3)
    return rows.report(found, chosen.json)


def _qwen() -> Path:
    source = material.qwen_f16()
    target = source.with_name(source.name.replace("F16", "Q4_0"))
    if not target.exists():
        quantize(source, target, "Q4_0", allow_requantize=False, progress=Silent())
    return target


def _model(path: Path) -> Model:
    header = gguf.read(path)
    return Model(header.quantization, path.stat().st_size, header, cost_of(header))


def memory(path: Path) -> list[Row]:
    """Return planned and measured memory for each context."""
    found, model = [], _model(path)
    for context in CONTEXTS:
        need = fit.need(model.header, cells=warm.cells(context, PATRONS), outputs=PATRONS)
        planned = engine_bytes(model, need) / _MIB
        print(f"  memory of {path.name} with {context:,} tokens …", file=sys.stderr, flush=True)
        measured = asyncio.run(_held(path, context)) / _MIB
        name = f"{path.stem}: memory at {context:,} tokens"
        found.append(_near(name, "MiB", [planned], [measured], MEMORY_WITHIN))
    return found


async def _held(path: Path, context: int) -> int:
    settings = Settings(threads=physical_cores(), patrons=(PATRONS,), answer_tokens=32)
    config = choose(path, settings).config
    if config is None:
        raise SystemExit(f"{path} has no chat template, so it cannot be asked.")
    engine = WorkerEngine(replace(config, context=context, slots=PATRONS, queue=PATRONS))
    await engine.start()
    try:
        await engine.ready()
        place = Path("/proc", str(engine.pid))
        (place / "clear_refs").write_text("1")
        await service.crowd(engine, PATRONS, service.SYSTEM, settings, Samples())
        return _kib(place / "status", "RssAnon") + _touched(place / "smaps", path.name)
    finally:
        await engine.close()


def _kib(place: Path, key: str) -> int:
    lines = place.read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{key}:"))


def _touched(smaps: Path, name: str) -> int:
    """Return the bytes of all mapped files that were touched; of libraries, those that are there."""
    total, key = 0, ""
    for line in smaps.read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            mapped = words[5] if len(words) > 5 else ""
            key = "" if not mapped.startswith("/") else "Referenced:" if mapped.endswith(name) else "Shared_Clean:"
        elif key and words[0] in {key, "Private_Clean:" if key == "Shared_Clean:" else key}:
            total += int(words[1]) << 10
    return total


def speeds(models: list[Path], rounds: int) -> list[Row]:
    """Return planned and measured speeds, each the median of the rounds."""
    settings = Settings(threads=physical_cores(), lengths=(LENGTH,), tokens=TOKENS, parts=("speed",))
    names = ("decode@0", f"prefill@{LENGTH}", f"decode@{LENGTH}")
    planned: dict[tuple[Path, str], list[float]] = {}
    measured: dict[tuple[Path, str], list[float]] = {}
    for number in range(rounds):
        print(f"  probing, round {number + 1} of {rounds} …", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            rates = Measured.model_validate(probe(Path(folder), physical_cores(), Silent()))
        device = Profile(
            name="here", title="this machine", cpu="", cores=physical_cores(), ram_gb=1, system_gb=0, disk_gb=1,
            measured=rates,
        ).speed  # fmt: skip
        assert device
        for path in models:
            print(f"  measuring {path.name} …", file=sys.stderr, flush=True)
            target, cost = choose(path, settings).target, _model(path).cost
            samples = [speed.measure(target, settings).values for _ in range(3)]
            expected = (
                1 / device.token_seconds(cost, TOKENS // 2),
                LENGTH / device.prompt_seconds(cost, LENGTH),
                1 / device.token_seconds(cost, LENGTH + TOKENS // 2),
            )
            for name, value in zip(names, expected, strict=True):
                planned.setdefault((path, name), []).append(value)
                measured.setdefault((path, name), []).append(median(sample[name] for sample in samples))
    return [
        _near(f"{path.stem}: {name}", "/s", planned[path, name], measured[path, name], SPEED_WITHIN)
        for path in models
        for name in names
    ]


def _near(name: str, unit: str, planned: list[float], measured: list[float], within: float) -> Row:
    row = rows.beside(name, unit, planned, "measured", measured)
    holds = abs((row.ratio or 0.0) - 1) <= within
    return replace(row, bound=f"1 ± {within:g} times", holds=holds)


if __name__ == "__main__":
    sys.exit(main())
