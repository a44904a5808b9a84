"""What the contract does not cover: bodies, credentials, odd servers, errors."""

import importlib.util
import subprocess
import sys

import msgspec
import pytest
from dify_kernel.contracts.model import (
    AudioPart,
    DocumentPart,
    ImagePart,
    LLMRequest,
    ModelFeature,
    ModelType,
    PromptMessage,
    TextPart,
    ToolCall,
    ToolSpec,
    VideoPart,
)
from dify_kernel.errors import (
    CredentialsValidateFailedError,
    InvokeAuthorizationError,
    InvokeBadRequestError,
    InvokeConnectionError,
    InvokeRateLimitError,
    InvokeServerUnavailableError,
)
from dify_kernel.registry import Registry
from dify_kernel.settings import Secret, decode_struct, encode_struct
from dify_kernel.testing.model_fixtures import collect
from dify_providers_openai import OpenAICredentials
from dify_providers_openai.bodies import chat_body, completion_body
from dify_providers_openai.catalog import describe, listed
from dify_providers_openai.faults import refusal
from dify_providers_openai.provider import SPEECH_CHARACTERS, _spoken_parts


def ask(text="hi", model="gpt-4o-mini", **more):
    return LLMRequest(model=model, messages=[PromptMessage(role="user", content=text)], **more)


# -- credentials -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("", "https://api.openai.com/v1"),
        ("https://api.example.com", "https://api.example.com/v1"),
        ("https://api.example.com/", "https://api.example.com/v1"),
        ("https://api.example.com/v1/", "https://api.example.com/v1"),
        ("https://ark.example.com/api/v3", "https://ark.example.com/api/v3"),
        ("https://g.example.com/v1beta/openai/", "https://g.example.com/v1beta/openai"),
        ("http://127.0.0.1:11434", "http://127.0.0.1:11434/v1"),
    ],
)
def test_the_base_may_name_its_version(given, base):
    assert OpenAICredentials(openai_api_base=given).base == base


def test_credentials_come_from_json_and_do_not_print():
    stored = {"openai_api_key": "sk-hush", "openai_api_base": "https://x"}
    credentials = decode_struct(stored, OpenAICredentials)
    assert "sk-hush" not in repr(credentials)
    assert encode_struct(credentials)["openai_api_key"] == "sk-hush"


async def test_validates_by_the_list_or_by_one_token(provider, account, server, unused_tcp_port):
    await provider.validate(account())
    assert server.requests[-1].path == "/v1/models"
    await provider.validate(account("plain-server"))
    assert server.requests[-1].path == "/v1/chat/completions"
    assert server.requests[-1].json()["max_tokens"] == 1
    await provider.validate(account("plain-server", validate_model="gpt-x"))
    assert server.requests[-1].json()["model"] == "gpt-x"
    for bad, words in (
        (account("bad-key"), "401"),
        (account("plain-server", validate_model="missing-model"), "does not exist"),
        (account(openai_api_base=f"http://127.0.0.1:{unused_tcp_port}"), "cannot be reached"),
        (account(openai_api_base=server.root + "/v2/nothing"), "404"),
    ):
        with pytest.raises(CredentialsValidateFailedError, match=words):
            await provider.validate(bad)


async def test_sends_key_and_organization(provider, account, server):
    await collect(provider.llm(ask(), account("sk-1", openai_organization="org-1", openai_api_base=server.root)))
    headers = server.requests[-1].headers
    assert headers["authorization"] == "Bearer sk-1"
    assert headers["openai-organization"] == "org-1"
    await collect(provider.llm(ask(), account("")))
    assert "authorization" not in server.requests[-1].headers


# -- bodies ------------------------------------------------------------------------------------------------------


def test_a_chat_body_holds_the_conversation():
    call = ToolCall(id="c1", name="look", arguments="{}")
    tool = ToolSpec(name="look", description="Look.", parameters={"type": "object", "properties": {}})
    request = LLMRequest(
        model="gpt-4o",
        messages=[
            PromptMessage(role="system", content="Be brief."),
            PromptMessage(role="user", content="Look!", name="ann"),
            PromptMessage(role="assistant", tool_calls=[call]),
            PromptMessage(role="tool", content="seen", tool_call_id="c1", name="look"),
        ],
        parameters={"temperature": 0.5, "max_tokens": 9, "seed": None},
        tools=[tool],
        stop=["END"],
        user="u1",
    )
    called = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    assert chat_body(request) == {
        "model": "gpt-4o",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Look!", "name": "ann"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [called],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "seen"},
        ],
        "temperature": 0.5,
        "max_tokens": 9,
        "stop": ["END"],
        "user": "u1",
        "tools": [{"type": "function", "function": msgspec.to_builtins(tool)}],
    }


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        (TextPart(text="t"), {"type": "text", "text": "t"}),
        (
            ImagePart(url="https://x/i.png", detail="high"),
            {"type": "image_url", "image_url": {"url": "https://x/i.png", "detail": "high"}},
        ),
        (
            ImagePart(base64_data="QQ==", mime_type="image/png"),
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ==", "detail": "low"}},
        ),
        (
            AudioPart(base64_data="QQ==", mime_type="audio/mpeg"),
            {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "mp3"}},
        ),
        (
            AudioPart(base64_data="QQ==", mime_type="audio/x-wav"),
            {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}},
        ),
        (
            DocumentPart(base64_data="QQ==", mime_type="application/pdf", filename="a.pdf"),
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QQ=="}},
        ),
        (VideoPart(url="https://x/v.mp4"), {"type": "video_url", "video_url": {"url": "https://x/v.mp4"}}),
    ],
)
def test_parts_of_a_message(part, sent):
    request = LLMRequest(model="m", messages=[PromptMessage(role="user", content=[part])])
    assert chat_body(request)["messages"][0]["content"] == [sent]


@pytest.mark.parametrize("part", [AudioPart(url="https://x/a.wav"), DocumentPart(url="https://x/a.pdf")])
def test_what_must_go_by_its_bytes_is_not_sent_by_address(part):
    with pytest.raises(InvokeBadRequestError, match="bytes"):
        chat_body(LLMRequest(model="m", messages=[PromptMessage(role="user", content=[part])]))


CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
OPEN = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (CLOSED, True),
        (OPEN, False),
        ({**CLOSED, "properties": {"a": {"type": "array", "items": OPEN}}}, False),
        ({**CLOSED, "properties": {"a": {"anyOf": [CLOSED, {"type": "null"}]}}}, True),
    ],
)
def test_a_schema_is_strict_when_the_api_takes_it_so(schema, strict):
    wanted = chat_body(ask(json_schema={"title": "My answer!", **schema}))["response_format"]
    assert wanted["type"] == "json_schema"
    assert wanted["json_schema"]["strict"] is strict
    assert wanted["json_schema"]["name"] == "My_answer_"


@pytest.mark.parametrize(
    ("parameters", "sent"),
    [
        ({"response_format": "text"}, None),
        ({"response_format": "json_object"}, {"type": "json_object"}),
        (
            {"response_format": "json_schema", "json_schema": msgspec.json.encode({"schema": CLOSED}).decode()},
            {"type": "json_schema", "json_schema": {"name": "answer", "schema": CLOSED, "strict": True}},
        ),
    ],
)
def test_response_formats_that_a_user_chose(parameters, sent):
    body = chat_body(ask(parameters=parameters))
    assert body.get("response_format") == sent
    assert "json_schema" not in body


def test_a_typed_schema_that_is_not_json_is_named():
    with pytest.raises(InvokeBadRequestError, match="json_schema"):
        chat_body(ask(parameters={"response_format": "json_schema", "json_schema": "{"}))


def test_a_reasoning_model_gets_its_own_limit():
    assert chat_body(ask(model="o3-mini", parameters={"max_tokens": 5}))["max_completion_tokens"] == 5
    assert chat_body(ask(model="gpt-4o", parameters={"max_tokens": 5}))["max_tokens"] == 5


async def test_a_completion_model_is_prompted_with_text(provider, credentials, server):
    assert completion_body(ask("once"))["prompt"] == "once"
    answer = await collect(provider.llm(ask("REPLY:upon a time", model="gpt-3.5-turbo-instruct"), credentials))
    assert answer.text == "upon a time"
    assert server.requests[-1].path == "/v1/completions"
    await collect(provider.llm(ask("REPLY:x", model="any", mode="completion"), credentials))
    assert server.requests[-1].path == "/v1/completions"


# -- odd servers -------------------------------------------------------------------------------------------------


async def test_a_server_that_refuses_stream_options_is_asked_once(provider, account, server):
    for _ in range(2):
        server.requests.clear()
        answer = await collect(provider.llm(ask("REPLY:hello"), account("old-server")))
        assert answer.text == "hello"
        assert answer.usage.completion_tokens > 0
    assert len(server.requests) == 1
    assert "stream_options" not in server.requests[0].json()


async def test_embeddings_come_as_bytes_or_as_numbers(provider, account):
    packed = await provider.embed("e", ["a b", "c", ""], account())
    plain = await provider.embed("e", ["a b", "c", ""], account("plain-server"))
    assert [len(vector) for vector in packed.vectors] == [64, 64, 64]
    for one, other in zip(packed.vectors, plain.vectors, strict=True):
        assert one == pytest.approx(other, abs=1e-6)


async def test_a_thought_is_reasoning(provider, credentials):
    answer = await collect(provider.llm(ask("THINK:hm, well\nREPLY:yes"), credentials))
    assert (answer.reasoning, answer.text) == ("hm, well", "yes")
    answer = await collect(provider.llm(ask("REPLY:<think>hm, well</think>\n\nyes"), credentials))
    assert (answer.reasoning, answer.text) == ("hm, well", "yes")


async def test_an_image_is_seen(provider, credentials):
    image = ImagePart(base64_data="QUJD", mime_type="image/png")
    message = PromptMessage(role="user", content=[TextPart(text="see"), image])
    answer = await collect(provider.llm(LLMRequest(model="gpt-4o", messages=[message]), credentials))
    assert "data:image/png;base64,QUJD" in answer.text


# -- errors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": {"message": "no"}}, InvokeBadRequestError),
        (401, {"error": {"message": "no"}}, InvokeAuthorizationError),
        (403, {"error": "no"}, InvokeAuthorizationError),
        (404, {"detail": "no"}, InvokeBadRequestError),
        (408, {"message": "no"}, InvokeServerUnavailableError),
        (422, {"detail": [{"msg": "no"}]}, InvokeBadRequestError),
        (429, {"error": {"message": "no", "code": "rate_limit_exceeded"}}, InvokeRateLimitError),
        (429, {"error": {"message": "no", "code": "insufficient_quota"}}, InvokeAuthorizationError),
        (500, "no", InvokeServerUnavailableError),
        (503, {}, InvokeServerUnavailableError),
        (302, {"message": "no"}, InvokeBadRequestError),
    ],
)
def test_statuses_become_errors_of_the_family(status, body, kind):
    error = refusal(status, msgspec.json.encode(body), OpenAICredentials())
    assert type(error) is kind
    assert str(status) in error.message
    assert body in ({}, "no") or "no" in error.message


def test_the_key_is_not_repeated_in_an_error():
    body = msgspec.json.encode({"error": {"message": "Incorrect API key provided: sk-hush."}})
    error = refusal(401, body, OpenAICredentials(openai_api_key=Secret("sk-hush")))
    assert "sk-hush" not in str(error)
    assert "Incorrect API key provided: ***." in error.message


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"", b"\xff\xfe"])
def test_an_answer_that_is_no_json_is_shown_as_it_is(body):
    assert type(refusal(502, body, OpenAICredentials())) is InvokeServerUnavailableError


async def test_an_answer_that_breaks_off_is_a_connection_error(provider, credentials):
    with pytest.raises(InvokeConnectionError) as caught:
        await collect(provider.llm(ask("TOKENS:9 DROP:3"), credentials))
    assert caught.value.retryable


async def test_a_server_that_is_away_is_a_connection_error(provider, account, unused_tcp_port):
    away = account(openai_api_base=f"http://127.0.0.1:{unused_tcp_port}")
    for call in (collect(provider.llm(ask(), away)), provider.embed("e", ["x"], away)):
        with pytest.raises(InvokeConnectionError, match=str(unused_tcp_port)):
            await call


# -- models ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("ft:gpt-4o-mini-2024-07-18:company::id", "gpt-4o-mini"),
        ("gpt-4", "gpt-4"),
    ],
)
def test_a_dated_or_tuned_model_has_the_facts_of_its_base(name, base):
    info, known = describe(name, ModelType.LLM), describe(base, ModelType.LLM)
    assert info.model == name
    assert (info.context_size, info.pricing) == (known.context_size, known.pricing)
    assert info.context_size > 0


def test_an_unknown_chat_model_may_call_tools_and_see():
    info = describe("gpt-4-but-mine", ModelType.LLM)
    assert info.context_size == 0
    assert info.pricing is None
    assert {ModelFeature.TOOL_CALL, ModelFeature.STREAM_TOOL_CALL, ModelFeature.VISION} <= set(info.features)
    assert ModelFeature.STRUCTURED_OUTPUT not in info.features


def test_every_kind_but_rerank_has_a_listed_model():
    assert {info.model_type for info in listed()} == set(ModelType) - {ModelType.RERANK}


def test_long_speech_is_cut_after_sentences():
    text = "One sentence. " * 1000
    parts = _spoken_parts(text)
    assert len(parts) > 3
    assert all(len(part) <= SPEECH_CHARACTERS for part in parts)
    assert "".join(parts) == text
    assert [len(part) for part in _spoken_parts("x" * 9000)] == [4000, 4000, 1000]
    assert _spoken_parts("short") == ["short"]


# -- the plugin --------------------------------------------------------------------------------------------------


def test_the_registry_finds_it():
    provider = Registry().get("providers", "openai")
    assert provider.name == "openai"
    assert provider.customizable


def test_importing_it_brings_no_client():
    code = "import sys, dify_providers_openai.provider; sys.exit(bool({'httpx', 'openai'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert importlib.util.find_spec("openai") is None


WAITS = [("7", 7.0), ("0.5", 0.5), (None, None), ("Fri, 27 Nov 2026 10:00:00 GMT", None), ("-1", None), ("inf", None)]


@pytest.mark.parametrize(("header", "seconds"), WAITS)
def test_the_wait_that_a_server_asks_for_is_kept(header: str | None, seconds: float | None) -> None:
    error = refusal(429, b"{}", OpenAICredentials(), wait=header)
    assert type(error) is InvokeRateLimitError
    assert error.where.get("retry_after") == seconds
