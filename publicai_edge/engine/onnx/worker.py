"""The worker process for a model in ONNX: :mod:`publicai_edge.engine.worker` with onnxruntime in llama.cpp's place."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from publicai_edge.engine import fit, worker
from publicai_edge.engine.fit import Need, Plan
from publicai_edge.engine.onnx.choosing import Chooser
from publicai_edge.engine.onnx.context import OnnxContext, OnnxModel
from publicai_edge.engine.onnx.folder import ChatFolder
from publicai_edge.engine.onnx.warm import build_id
from publicai_edge.engine.warm import SharedPrompt
from publicai_edge.tuning import Tuning

_PROGRAM_BYTES = 150 << 20  # Python, onnxruntime and the vocabulary; measured with SmolLM2
_WORK_BYTES = 100 << 20  # what one evaluation works in


def _plan(config: dict[str, Any], prompts: Sequence[SharedPrompt]) -> tuple[Plan, int]:
    folder = ChatFolder.open(Path(config["model"]))
    weights = sum(place.stat().st_size for place in folder.path.iterdir() if place.is_file())
    each = folder.cache_bytes_per_token

    def need(cells: int) -> Need:
        return Need(weights, cells * each, _WORK_BYTES, _PROGRAM_BYTES)

    context = config["context"]
    plan = fit.plan(need, lambda slots: (slots + len(prompts)) * context, slots=config["slots"], name=folder.path.name)
    return plan, 0


def _model(path: Path, threads: int, _gpu_layers: int) -> OnnxModel:
    return OnnxModel(path, threads)


def _context(model: OnnxModel, limit: int, slots: int, _threads: int, _tuning: Tuning) -> Any:
    return OnnxContext(model, length=limit, n_seq=slots)


ONNX = worker.Backend(_plan, _model, _context, Chooser, build_id)

if __name__ == "__main__":
    worker.main(ONNX)
