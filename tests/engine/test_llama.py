"""What llama.cpp is told when it loads a model."""

from pathlib import Path
from typing import Any

import pytest

from publicai_edge.engine import llama
from publicai_edge.errors import ModelError

XEON = "CPU : AVX2 = 1 | AVX512_VNNI = 1 | AMX_INT8 = 1 | REPACK = 1 |"


@pytest.mark.parametrize(
    ("system", "given"),
    [(XEON, False), (XEON.replace("AMX_INT8 = 1", "AMX_INT8 = 0"), True), ("CPU : AVX2 = 1 |", True)],
)
def test_no_weights_are_given_to_amx(system: str, given: bool, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def load(_path: bytes, params: Any) -> None:
        asked.append(params.use_extra_bufts)

    monkeypatch.setattr(llama, "system_info", lambda: system)
    monkeypatch.setattr(llama.library(), "llama_model_load_from_file", load)
    with pytest.raises(ModelError):
        llama.LlamaModel(model)
    assert asked == [given]
