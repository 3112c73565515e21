"""``/v1/embeddings``: the bundle's own embedding model, spoken to by OpenAI's own client."""

import base64
import json
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import openai
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

from publicai_edge.bundle.open import Bundle
from publicai_edge.engine.embedder import CONFIG_FILE, MODEL_FILE, TOKENIZER_FILE, Embedder, EmbeddingConfig
from publicai_edge.kiosk import embedding
from tests.kiosk.conftest import PATIENCE, Running, manifest, running, write_bundle
from tests.kiosk.fakes import FakeDocuments, FakeEngine

MODEL = "all-MiniLM-L6-v2"
WORDS = {word: number for number, word in enumerate(["[UNK]", "q", "opening", "hours", "books", "are", "lent"])}
DIGEST = "sha256:" + "0" * 64


def write_model(folder: Path) -> None:
    """Write a model whose vector of a text is the mean of its words' rows in a table: small, and real."""
    table = np.random.default_rng(1).standard_normal((len(WORDS), 8)).astype(np.float32)
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])
    out = helper.make_tensor_value_info("hidden", TensorProto.FLOAT, ["batch", "tokens", 8])
    gather = helper.make_node("Gather", ["table", "input_ids"], ["hidden"])
    graph = helper.make_graph([gather], "words", [ids], [out], [numpy_helper.from_array(table, "table")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / MODEL_FILE)
    tokenizer = Tokenizer(models.WordLevel(WORDS, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / TOKENIZER_FILE))
    config = EmbeddingConfig(8, "mean", 16, "q ", "", DIGEST, DIGEST)
    (folder / CONFIG_FILE).write_bytes(config.to_bytes())


@pytest.fixture
def folder(bundle: Bundle) -> Path:
    assert bundle.embedding_path
    write_model(bundle.embedding_path)
    return bundle.embedding_path


@pytest.fixture
def client(folder: Path, kiosk: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{kiosk.url}/v1", api_key="none", max_retries=0) as held:
        yield held


def test_texts_become_the_models_vectors_and_their_tokens_are_counted(client: openai.OpenAI, folder: Path) -> None:
    texts = ["opening hours", "books are lent"]
    expected = Embedder.open(folder).encode(texts, "passage")
    for form in ("float", "base64"):
        found = client.embeddings.create(model=MODEL, input=texts, encoding_format=form)  # type: ignore[call-overload]
        got = [item.embedding for item in found.data]
        if form == "base64":  # the client decodes only what it asked for itself
            got = [struct.unpack("<8f", base64.b64decode(text)) for text in got]
        assert np.array_equal(np.array(got, np.float32), expected)
        assert [item.index for item in found.data] == [0, 1]
        assert (found.usage.prompt_tokens, found.usage.total_tokens) == (5, 5)
        assert found.model == MODEL
    own = client.embeddings.create(model=MODEL, input=texts[0], dimensions=8)
    assert np.array_equal(np.array(own.data[0].embedding, np.float32), expected[0])


def test_a_question_may_be_told_from_a_text(client: openai.OpenAI, folder: Path) -> None:
    found = client.embeddings.create(model=MODEL, input="opening hours", extra_body={"input_type": "query"})
    expected = Embedder.open(folder).encode(["opening hours"], "query")[0]
    assert np.array_equal(np.array(found.data[0].embedding, np.float32), expected)
    assert found.usage.prompt_tokens == 3


@pytest.mark.parametrize(
    ("extra", "name"),
    [
        ({"dimensions": 4}, "dimensions"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": "8"}, "dimensions"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": [1, 2, 3]}, "input"),
        ({"input": [[1, 2]]}, "input"),
        ({"input": ["a"] * 129}, "input"),
        ({"input": "hours " * 17}, "input"),
        ({"input_type": "x"}, "input_type"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(client: openai.OpenAI, extra: dict[str, Any], name: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model=MODEL, input="x", extra_body=extra)
    assert caught.value.param == name


def test_another_model_and_a_bundle_without_one_are_not_found(client: openai.OpenAI, tmp_path: Path) -> None:
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="SmolLM2-135M-Instruct", input="x")
    bare = write_bundle(tmp_path / "bare", manifest(embedding=None, knowledge=None))
    with running(bare, FakeEngine(), FakeDocuments(), open_documents=None) as held:
        body = {"model": MODEL, "input": "x"}
        answer = held.client().post("/v1/embeddings", json=body)
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "model_not_found"
        assert len(held.client().get("/v1/models").json()["data"]) == 1


def test_a_broken_model_is_told_and_does_not_end_the_kiosk(kiosk: Running) -> None:
    answer = kiosk.client().post("/v1/embeddings", json={"model": MODEL, "input": "x"})
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert "bundle" not in json.dumps(answer.json())
    assert kiosk.client().get("/health").status_code == 200


@pytest.fixture
def gate(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Holds the model at each text until it is set."""
    held = threading.Event()
    real = Embedder.encode

    def slow(self: Embedder, texts: list[str], kind: Any) -> Any:
        assert held.wait(PATIENCE)
        return real(self, texts, kind)

    monkeypatch.setattr(Embedder, "encode", slow)
    yield held
    held.set()


def test_the_page_answers_while_vectors_are_made_and_the_line_is_bounded(
    gate: threading.Event, kiosk: Running, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    answers: list[httpx.Response] = []

    def ask() -> None:
        body = {"model": MODEL, "input": ["opening hours"] * 3}
        answers.append(httpx.post(f"{kiosk.url}/v1/embeddings", json=body, timeout=PATIENCE))

    embeddings = kiosk.kiosk.embeddings
    assert embeddings
    threads = [threading.Thread(target=ask) for _ in range(embedding.MOST_WAITING)]
    for thread in threads:
        thread.start()
    eventually(lambda: embeddings._waiting == embedding.MOST_WAITING)
    assert kiosk.client().get("/health").status_code == 200
    ask()
    assert answers[0].status_code == 503
    assert int(answers[0].headers["retry-after"]) == 2 * embedding.MOST_WAITING
    gate.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert [answer.status_code for answer in answers[1:]] == [200] * embedding.MOST_WAITING
    assert embeddings._waiting == 0


def test_a_client_that_leaves_ends_the_work(
    gate: threading.Event, kiosk: Running, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    body = {"model": MODEL, "input": ["opening hours"] * 100}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{kiosk.url}/v1/embeddings", json=body, timeout=httpx.Timeout(PATIENCE, read=0.2))
    embeddings = kiosk.kiosk.embeddings
    assert embeddings
    eventually(lambda: embeddings._waiting == 0)
    gate.set()
    quick = httpx.post(f"{kiosk.url}/v1/embeddings", json=body | {"input": "hours"}, timeout=PATIENCE)
    assert quick.status_code == 200
