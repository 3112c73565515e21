"""States put in other places are exact: shown with a model of one layer, whose keys and values know no neighbours."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from publicai_edge.engine.chat import ChatFormat
from publicai_edge.engine.llama import LlamaContext, LlamaModel
from publicai_edge.engine.passages.context import PassageContext
from publicai_edge.engine.passages.settings import PassageSettings
from publicai_edge.tuning import Tuning
from tests.engine import tiny
from tests.engine.passages.test_composer import PASSAGES, Bench, divergence


@pytest.fixture(scope="module")
def loaded(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaModel]:
    path = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    tiny.write(path, model)
    held = LlamaModel(path)
    yield held
    held.close()


@pytest.fixture(params=["f16", "q8_0"])
def bench(loaded: LlamaModel, request: pytest.FixtureRequest) -> Iterator[Bench]:
    tuning = Tuning(kv_type=request.param)
    patrons = LlamaContext(loaded, n_ctx=tiny.CONTEXT, n_seq=3, threads=1, tuning=tuning)
    passages = PassageContext(loaded, n_ctx=tiny.CONTEXT, threads=1, tuning=tuning)
    yield Bench(loaded, ChatFormat(loaded), patrons, passages)
    passages.close()
    patrons.close()


@pytest.mark.parametrize("how", [PassageSettings("shifted"), PassageSettings("recomputed", 5)])
@pytest.mark.parametrize("order", [(0, 1), (1, 0), (2, 1, 0)])
def test_passages_in_any_order_are_as_if_they_had_been_read(
    bench: Bench, tmp_path: Path, how: PassageSettings, order: tuple[int, ...]
) -> None:
    composer = bench.composer(tmp_path, how)
    bench.fill(composer, *PASSAGES)
    prompt = bench.prompt(*(PASSAGES[index] for index in order))
    read = bench.read(prompt)
    loss = divergence(read, bench.begun(composer, prompt))
    other = divergence(read, bench.read(bench.prompt(*(PASSAGES[index] for index in reversed(order)))))
    assert loss < 2e-3
    assert loss < other / 10, "in the wrong places they would say something else"
