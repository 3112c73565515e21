"""The wire form of OpenAI's chat completions, spoken by OpenAI's own client."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest

from publicai_edge.errors import ContextOverflowError, EngineError, OverloadedError
from tests.kiosk.conftest import Running
from tests.kiosk.fakes import ANSWER

MODEL = "SmolLM2-135M-Instruct"
TURNS: list[Any] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "When does "}, {"type": "text", "text": "it open?"}]},
]


@pytest.fixture
def client(kiosk: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{kiosk.url}/v1", api_key="none is needed", max_retries=0) as held:
        yield held


def test_the_client_lists_the_model(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).owned_by == "Harbour Town Public Library"


def test_the_client_gets_a_whole_answer(client: openai.OpenAI, kiosk: Running) -> None:
    done = client.chat.completions.create(
        model=MODEL,
        messages=TURNS,
        max_completion_tokens=50,
        temperature=0.5,
        top_p=0.9,
        seed=-1,
        stop=["\n\n"],
        n=1,
        user="someone",
    )
    assert done.choices[0].message.content == ANSWER
    assert done.choices[0].finish_reason == "stop"
    assert done.usage
    assert done.usage.prompt_tokens == 40
    assert done.usage.total_tokens == 40 + done.usage.completion_tokens
    request = kiosk.engine.requests[0]
    assert [message.content for message in request.messages] == ["Be brief.", "When does it open?"]
    assert request.sampling.max_tokens == 50
    assert request.sampling.stop == ("\n\n",)
    assert request.sampling.seed is not None
    assert request.sampling.seed >= 0


def test_the_client_gets_a_streamed_answer_with_its_usage(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model=MODEL, messages=TURNS, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == ANSWER
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_stream_without_usage_has_no_usage_chunk(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model=MODEL, messages=TURNS, stream=True))
    assert all(chunk.choices for chunk in chunks)
    assert all(chunk.usage is None for chunk in chunks)


@pytest.mark.parametrize(
    ("extra", "name"),
    [
        ({"n": 2}, "n"),
        ({"n": True}, "n"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"logprobs": True}, "logprobs"),
        ({"presence_penalty": 1.0}, "presence_penalty"),
        ({"temperature": 9}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]}, "messages"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(client: openai.OpenAI, extra: dict[str, Any], name: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=TURNS, extra_body=extra)
    assert caught.value.type == "invalid_request_error"
    assert caught.value.param == name


def test_values_that_ask_for_nothing_are_accepted(client: openai.OpenAI) -> None:
    nothing: dict[str, Any] = {
        "tools": [],
        "presence_penalty": 0.0,
        "response_format": {"type": "text"},
        "logit_bias": None,
    }
    assert client.chat.completions.create(model=MODEL, messages=TURNS, extra_body=nothing).choices


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-9", messages=TURNS)
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize("stream", [False, True])
def test_errors_before_the_first_word_are_http_errors(kiosk: Running, client: openai.OpenAI, stream: bool) -> None:
    kiosk.engine.failure = ContextOverflowError("too long")
    with pytest.raises(openai.BadRequestError) as too_long:
        client.chat.completions.create(model=MODEL, messages=TURNS, stream=stream)
    assert too_long.value.code == "context_length_exceeded"
    kiosk.engine.failure = OverloadedError("full", retry_after=7)
    with pytest.raises(openai.InternalServerError) as full:
        client.chat.completions.create(model=MODEL, messages=TURNS, stream=stream)
    assert full.value.status_code == 503
    assert full.value.response.headers["retry-after"] == "7"
    kiosk.engine.failure = EngineError("died")
    with pytest.raises(openai.InternalServerError) as failed:
        client.chat.completions.create(model=MODEL, messages=TURNS, stream=stream)
    assert failed.value.status_code == 503
    assert "retry-after" in failed.value.response.headers


def test_an_error_after_the_first_word_is_an_error_of_the_stream(kiosk: Running, client: openai.OpenAI) -> None:
    kiosk.engine.failure, kiosk.engine.fail_after = EngineError("died"), 2
    got = []
    with pytest.raises(openai.APIError):
        for chunk in client.chat.completions.create(model=MODEL, messages=TURNS, stream=True):
            got.append(chunk)  # noqa: PERF402 - what came before the error is looked at
    assert len(got) == 3


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_ends_the_engines_work(
    kiosk: Running, stream: bool, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    kiosk.engine.pause = 0.05
    body = {"model": MODEL, "messages": TURNS, "stream": stream}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{kiosk.url}/v1/chat/completions", json=body, timeout=httpx.Timeout(5, read=0.03))
    eventually(lambda: kiosk.engine.closed_streams == 1)
    assert kiosk.engine.finished_streams == 0
