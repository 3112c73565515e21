"""A model in ONNX under ``bench``: the same figures as one in GGUF."""

from pathlib import Path

from publicai_edge.bench.settings import Effort, Settings
from publicai_edge.pipeline.benchmarking import choose, measure
from publicai_edge.progress import Silent


def test_a_model_in_onnx_is_measured(minimind: Path, tmp_path: Path) -> None:
    settings = Settings(threads=1, lengths=(32,), tokens=8, parts=("speed",))
    found = measure(
        choose(minimind, settings), settings, Effort(rounds=2, within=0.5, seconds=0.0), tmp_path / "out.json", Silent()
    )
    assert {figure.name for figure in found.figures} >= {"bandwidth", "load", "decode@0", "prefill@32"}
    assert found.subject.format == "ONNX"
    assert "onnxruntime" in found.engine
