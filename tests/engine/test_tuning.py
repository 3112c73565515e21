"""Engine settings: what is refused, and that states and predictions hold with each of them."""

from pathlib import Path

import pytest

from publicai_edge import digest
from publicai_edge.engine.llama import LlamaContext, LlamaModel
from publicai_edge.engine.prefixes import Prefixes
from publicai_edge.tuning import Tuning

SETTINGS = [
    Tuning(),
    Tuning(batch=256, ubatch=64),
    Tuning(flash_attention="off"),
    Tuning(flash_attention="on"),
    Tuning(kv_type="q8_0"),
]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"batch": 8}, "32 to 4096 tokens"),
        ({"batch": 64, "ubatch": 128}, "not 128"),
        ({"threads": 0}, "0 threads"),
        ({"kv_type": "q8_0", "flash_attention": "off"}, "needs flash attention"),
    ],
)
def test_what_llama_cpp_would_refuse_is_refused_before(values: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Tuning(**values)  # type: ignore[arg-type] # on purpose


def test_the_form_of_a_state_tells_caches_apart() -> None:
    forms = {setting.state_form for setting in SETTINGS}
    assert forms == {"f16", "f16, flash attention off", "f16, flash attention on", "q8_0"}


@pytest.mark.parametrize("tuning", SETTINGS, ids=str)
def test_a_state_made_with_settings_serves_an_engine_with_the_same(model: Path, tmp_path: Path, tuning: Tuning) -> None:
    loaded = LlamaModel(model)
    tokens = tuple(loaded.tokenize("The library opens at nine. " * 20, special=False))
    contexts = [LlamaContext(loaded, n_ctx=512, n_seq=count, threads=2, tuning=tuning) for count in (1, 4)]
    first = Prefixes(contexts[0], [tokens])
    while first.missing:
        first.read_piece(0, sequence=0)
    contexts[0].save(0, tokens, tmp_path / "state")
    second = Prefixes(contexts[1], [tokens])
    assert second.load(0, tmp_path / "state", digest.of_file(tmp_path / "state")) is None
    assert second.lend(0, 2) == len(tokens)
    found = []
    for context, sequence in zip(contexts, (0, 2), strict=True):
        context.decode(tokens[:1], sequence=sequence, position=len(tokens), logits=True)
        found.append(context.logits(0).tobytes())
        context.close()
    loaded.close()
    assert found[0] == found[1]
    assert contexts[1].evaluated == 1


def test_a_smaller_cache_says_nearly_the_same(model: Path) -> None:
    import numpy as np

    loaded = LlamaModel(model)
    tokens = loaded.tokenize("The library opens at nine. " * 20, special=False)
    rows, sizes = [], []
    for tuning in (Tuning(), Tuning(kv_type="q8_0")):
        context = LlamaContext(loaded, n_ctx=512, n_seq=1, threads=2, tuning=tuning)
        context.decode(tokens, sequence=0, position=0, logits=True)
        rows.append(np.array(context.logits(len(tokens) - 1)))
        sizes.append(context.state(0).size)
        context.close()
    loaded.close()
    assert sizes[1] < 0.6 * sizes[0]
    assert rows[0].argmax() == rows[1].argmax()
    assert 0 < np.abs(rows[0] - rows[1]).max() < 1.0
