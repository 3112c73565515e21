"""The wire form of OpenAI's API for what the language model writes, spoken by OpenAI's own client."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest
from pydantic import BaseModel

from publicai_edge.errors import ContextOverflowError, EngineError, HostError, OverloadedError
from publicai_edge.kiosk.openai_form import ChatForm, CompletionForm, EmbeddingForm, expected
from tests.kiosk.conftest import PATIENCE, Running
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
    assert [model.id for model in client.models.list()] == [MODEL, "all-MiniLM-L6-v2"]
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
        ({"response_format": {"type": "yaml"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "x"}}}}, "response_format"),
        ({"logprobs": True}, "logprobs"),
        ({"presence_penalty": 2.1}, "presence_penalty"),
        ({"frequency_penalty": "1"}, "frequency_penalty"),
        ({"min_p": 1}, "min_p"),
        ({"repeat_penalty": 0}, "repeat_penalty"),
        ({"grammar": 'root ::= "a"'}, "grammar"),
        ({"user": 5}, "user"),
        ({"temperature": 9}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": [""]}, "stop"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": "x", "weight": 1}]}, "weight"),
        ({"messages": [{"role": "assistant", "content": "x", "tool_calls": [{"id": "1"}]}]}, "tool_calls"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]}, "messages"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(client: openai.OpenAI, extra: dict[str, Any], name: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=TURNS, extra_body=extra)
    assert caught.value.type == "invalid_request_error"
    assert caught.value.param == name


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"temperature": 9}, "expected a number from 0 to 2"),
        ({"top_p": "x"}, "expected a number above 0, at most 1"),
        ({"max_tokens": 0}, "expected a whole number from 1 to 1048576"),
        ({"stop": 7}, "expected a text of 1 to 200 characters, or a list of at most 4 of them"),
        (
            {"messages": [{"role": "tool", "content": "x"}]},
            "(system, developer, user or assistant) and text as content",
        ),
    ],
)
def test_a_wrong_value_is_told_with_what_is_expected(client: openai.OpenAI, extra: dict[str, Any], words: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=TURNS, extra_body=extra)
    assert words in caught.value.message


def test_every_parameter_says_what_is_expected() -> None:
    for form in (ChatForm, CompletionForm, EmbeddingForm):
        for name in form.model_fields:
            assert expected(name), name


def test_an_answer_may_be_sent_back_as_it_came(client: openai.OpenAI, kiosk: Running) -> None:
    message = client.chat.completions.create(model=MODEL, messages=TURNS).choices[0].message
    turns = [*TURNS, message.model_dump(), {"role": "user", "content": "And then?", "name": "Ada"}]
    assert client.chat.completions.create(model=MODEL, messages=turns).choices
    assert [turn.role for turn in kiosk.engine.requests[1].messages] == ["system", "user", "assistant", "user"]


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


def test_a_model_that_does_not_fit_is_told_with_the_numbers_and_no_hour_to_come_back(
    kiosk: Running, client: openai.OpenAI
) -> None:
    refused = HostError("/srv/m.gguf does not fit this machine's memory.", needed=3_000 << 20, available=900 << 20)
    kiosk.engine.failure = refused
    with pytest.raises(openai.InternalServerError) as told:
        client.chat.completions.create(model=MODEL, messages=TURNS)
    assert told.value.code == "model_does_not_fit"
    assert "it takes 3,000 MiB, and 900 MiB are free" in told.value.message
    assert "/srv" not in told.value.message
    assert "retry-after" not in told.value.response.headers


def test_an_error_after_the_first_word_is_an_error_of_the_stream(kiosk: Running, client: openai.OpenAI) -> None:
    kiosk.engine.failure, kiosk.engine.fail_after = EngineError("died"), 2
    got = []
    with pytest.raises(openai.APIError):
        for chunk in client.chat.completions.create(model=MODEL, messages=TURNS, stream=True):
            got.append(chunk)  # noqa: PERF402 - what came before the error is looked at
    assert len(got) == 3


def test_a_stream_that_the_closing_kiosk_ends_is_no_whole_answer(kiosk: Running, client: openai.OpenAI) -> None:
    kiosk.engine.pause = 0.2
    heard = ""
    with pytest.raises(openai.APIError, match="cannot answer now"):
        for chunk in client.chat.completions.create(model=MODEL, messages=TURNS, stream=True):
            heard += chunk.choices[0].delta.content or ""
            if heard:
                kiosk.loop.call_soon_threadsafe(kiosk.kiosk.end_streams)
    assert heard
    assert heard != ANSWER


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_ends_the_engines_work(
    kiosk: Running, stream: bool, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    kiosk.engine.pause = 0.5
    body = {"model": MODEL, "messages": TURNS, "stream": stream}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{kiosk.url}/v1/chat/completions", json=body, timeout=httpx.Timeout(PATIENCE, read=0.1))
    eventually(lambda: kiosk.engine.closed_streams == 1)
    assert kiosk.engine.finished_streams == 0


def test_what_bounds_an_answer_reaches_the_engine(client: openai.OpenAI, kiosk: Running) -> None:
    client.chat.completions.create(
        model=MODEL,
        messages=TURNS,
        presence_penalty=0.5,
        frequency_penalty=-1,
        response_format={"type": "json_object"},
        extra_body={"min_p": 0.05, "repeat_penalty": 1.1},
    )
    sampling = kiosk.engine.requests[0].sampling
    assert (sampling.presence_penalty, sampling.frequency_penalty) == (0.5, -1)
    assert (sampling.min_p, sampling.repeat_penalty) == (0.05, 1.1)
    assert json.loads(sampling.json_schema or "") == {"type": "object"}
    assert sampling.grammar is None


class Opening(BaseModel):
    day: str
    hours: list[int]


def test_the_clients_own_way_to_ask_for_an_object_works(client: openai.OpenAI, kiosk: Running) -> None:
    kiosk.engine.text = '{"day": "Monday", "hours": [9, 18]}'
    done = client.chat.completions.parse(model=MODEL, messages=TURNS, response_format=Opening)
    assert done.choices[0].message.parsed == Opening(day="Monday", hours=[9, 18])
    schema = json.loads(kiosk.engine.requests[0].sampling.json_schema or "")
    assert schema["properties"]["hours"]["items"] == {"type": "integer"}


def test_a_refused_schema_says_why_and_never_reaches_the_engine(client: openai.OpenAI, kiosk: Running) -> None:
    schema = {"type": "object", "properties": {"secret-name": {"type": "string", "pattern": "secret-pattern"}}}
    with pytest.raises(openai.BadRequestError, match="'pattern' is not supported") as caught:
        client.chat.completions.create(
            model=MODEL,
            messages=TURNS,
            response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
        )
    assert caught.value.param == "response_format"
    assert "secret" not in caught.value.message
    assert not kiosk.engine.requests


def test_what_the_engine_cannot_use_is_the_clients_mistake(client: openai.OpenAI, kiosk: Running) -> None:
    kiosk.engine.failure = EngineError("no grammar", parameter="response_format")
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=TURNS)
    assert caught.value.param == "response_format"


def test_plain_text_is_gone_on_from(client: openai.OpenAI, kiosk: Running) -> None:
    done = client.completions.create(
        model=MODEL,
        prompt=" Once upon a time\x07 ",
        max_tokens=50,
        temperature=0,
        stop="\n",
        seed=3,
        n=1,
        best_of=1,
        echo=False,
        presence_penalty=1,
    )
    assert done.object == "text_completion"
    assert done.choices[0].text == ANSWER
    assert done.choices[0].finish_reason == "stop"
    assert done.usage
    assert done.usage.total_tokens == 40 + done.usage.completion_tokens
    request = kiosk.engine.requests[0]
    assert (request.prompt, request.messages) == (" Once upon a time ", ())
    assert (request.sampling.max_tokens, request.sampling.stop) == (50, ("\n",))
    assert (request.sampling.temperature, request.sampling.presence_penalty) == (0, 1)
    client.completions.create(model=MODEL, prompt=["one"])
    assert (kiosk.engine.requests[1].prompt, kiosk.engine.requests[1].sampling.max_tokens) == ("one", 16)


def test_plain_text_is_streamed_with_its_usage(client: openai.OpenAI) -> None:
    stream = client.completions.create(
        model=MODEL, prompt="Once", max_tokens=99, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].text for chunk in chunks[:-1]) == ANSWER
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 2) + ["stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage
    assert len({chunk.id for chunk in chunks}) == 1


@pytest.mark.parametrize(
    ("extra", "name"),
    [
        ({"echo": True}, "echo"),
        ({"n": 2}, "n"),
        ({"best_of": 3}, "best_of"),
        ({"suffix": "the end"}, "suffix"),
        ({"logprobs": 2}, "logprobs"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "\x00"}, "prompt"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"grammar": "root ::= root"}, "grammar"),
    ],
)
def test_what_completions_do_not_do_is_refused_by_name(client: openai.OpenAI, extra: dict[str, Any], name: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=MODEL, prompt="x", extra_body=extra)
    assert caught.value.param == name


def test_too_long_a_prompt_is_told_by_its_own_name(client: openai.OpenAI, kiosk: Running) -> None:
    kiosk.engine.failure = ContextOverflowError("too long", prompt_tokens=1500, context=1024)
    with pytest.raises(openai.BadRequestError, match="It has 1500 tokens, and the model reads 1024") as caught:
        client.completions.create(model=MODEL, prompt="x")
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "prompt")


def test_a_callers_name_in_the_line_is_its_users_or_its_connections(client: openai.OpenAI, kiosk: Running) -> None:
    for user in ("Ada Lovelace", "Ada Lovelace", "Grace Hopper"):
        client.chat.completions.create(model=MODEL, messages=TURNS, user=user)
    client.completions.create(model=MODEL, prompt="x")
    client.chat.completions.create(model=MODEL, messages=TURNS, safety_identifier="Ada Lovelace")
    with openai.OpenAI(base_url=f"{kiosk.url}/v1", api_key="none", max_retries=0) as other:
        other.completions.create(model=MODEL, prompt="x")
    ada, again, grace, connection, identified, elsewhere = [request.client for request in kiosk.engine.requests]
    assert ada == again == identified
    assert len({ada, grace, connection, elsewhere, ""}) == 5
    assert not any("Ada" in name or "127.0.0.1" in name for name in (ada, connection))


def test_a_patrons_name_in_the_line_is_the_sessions_and_not_its_token(kiosk: Running) -> None:
    question = {"service": "plain-words", "language": "en", "question": "Hereinafter."}
    first, second = kiosk.client(), kiosk.client()
    for patron in (first, first, second):
        assert patron.post("/api/ask", json=question).status_code == 200
    names = [request.client for request in kiosk.engine.requests]
    assert names[0] == names[1] != names[2]
    assert names[0]
    assert not any(names[0] in cookie or cookie in names[0] for cookie in first.cookies.values())
