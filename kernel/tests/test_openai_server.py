"""The scripted OpenAI-compatible server over real loopback HTTP, and the plain client that asks it."""

import asyncio
import base64
import struct
import sys

import msgspec
import pytest
from dify_kernel.contracts.http import (
    FormPart,
    HttpConnectionError,
    HttpRequest,
    HttpTimeout,
    HttpTooLarge,
    Timeout,
)
from dify_kernel.testing.openai_server import OpenAIServer
from dify_kernel.testing.plain_http import PlainHttpClient


@pytest.fixture(scope="module")
def server():
    with OpenAIServer() as server:
        yield server


@pytest.fixture
async def http():
    async with PlainHttpClient() as client:
        yield client


def request(server, path, body, key="k", **more):
    headers = [("authorization", f"Bearer {key}"), ("content-type", "application/json")]
    return HttpRequest(method="POST", url=server.url + path, headers=headers, content=msgspec.json.encode(body), **more)


def chat(message, **more):
    return {"model": "m", "messages": [{"role": "user", "content": message}], **more}


async def frames(http, asked):
    async with http.stream(asked) as answer:
        assert answer.status == 200
        return [line.removeprefix("data: ") async for line in answer.lines() if line]


async def test_answers_a_chat(server, http):
    answer = (await http.send(request(server, "/chat/completions", chat("REPLY:hello there")))).json()
    assert answer["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "hello there"}, "finish_reason": "stop"}
    ]
    assert answer["usage"] == {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}


async def test_answers_the_last_message_when_nobody_asked(server, http):
    asked = {"model": "m", "messages": [{"role": "system", "content": "be brief"}]}
    answer = (await http.send(request(server, "/chat/completions", asked))).json()
    assert answer["choices"][0]["message"]["content"] == "ECHO(be brief)"


@pytest.mark.parametrize(
    ("text", "category"), [("some FOOD", "b"), ("nothing known", "a"), ("food and sports", "a"), ("", "a")]
)
async def test_answers_who_asks_to_classify_by_the_last_question(server, http, text, category):
    names = [("a", "Sports news"), ("b", "Food"), ("c", "")]
    categories = [{"category_id": key, "category_name": name} for key, name in names]
    question = msgspec.json.encode({"input_text": [text], "categories": categories}).decode()
    prompt = f'an example: {{"input_text": ["x"], "categories": []}}\nand now: {question}\nbegin'
    answer = (await http.send(request(server, "/chat/completions", chat(prompt)))).json()
    assert msgspec.json.decode(answer["choices"][0]["message"]["content"])["category_id"] == category


async def test_streams_a_chat_and_counts_it_when_asked(server, http):
    asked = chat("TOKENS:3", stream=True, stream_options={"include_usage": True})
    *events, usage, done = await frames(http, request(server, "/chat/completions", asked))
    assert done == "[DONE]"
    assert msgspec.json.decode(usage)["usage"]["completion_tokens"] == 3
    deltas = [msgspec.json.decode(event)["choices"][0] for event in events]
    assert [choice["delta"].get("content") for choice in deltas] == ["", "word000 ", "word001 ", "word002 ", None]
    assert [choice["finish_reason"] for choice in deltas] == [None, None, None, None, "stop"]
    *events, done = await frames(http, request(server, "/chat/completions", chat("TOKENS:3", stream=True)))
    assert not any('"usage"' in event for event in events)


async def test_streams_tool_calls_in_pieces(server, http):
    tools = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    asked = chat('TOOL:look {"at": "the moon"}', stream=True, tools=tools)
    events = await frames(http, request(server, "/chat/completions", asked))
    calls = [
        call
        for event in events[:-1]
        for call in msgspec.json.decode(event)["choices"][0]["delta"].get("tool_calls", [])
    ]
    assert calls[0] == {
        "index": 0,
        "id": "call_0",
        "type": "function",
        "function": {"name": "look", "arguments": ""},
    }
    assert "".join(call["function"]["arguments"] for call in calls) == '{"at": "the moon"}'
    assert len(calls) > 2
    answer = (await http.send(request(server, "/chat/completions", chat("TOOL:look", tools=tools)))).json()
    assert answer["choices"][0]["finish_reason"] == "tool_calls"


async def test_answers_by_schema_and_shows_what_it_was_shown(server, http):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}, "s": {"enum": ["a", "b"]}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    answer = (await http.send(request(server, "/chat/completions", chat("go", response_format=wanted)))).json()
    assert msgspec.json.decode(answer["choices"][0]["message"]["content"]) == {"n": 1, "s": "a"}
    parts = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]
    answer = (await http.send(request(server, "/chat/completions", chat(parts)))).json()
    assert answer["choices"][0]["message"]["content"] == "ECHO(see\n[image_url data:image/png;base64,AA])"


async def test_embeds_as_numbers_or_bytes_in_any_order(server, http):
    body = {"model": "m", "input": ["a b", "c"]}
    plain = (await http.send(request(server, "/embeddings", body))).json()["data"]
    packed = (await http.send(request(server, "/embeddings", {**body, "encoding_format": "base64"}))).json()["data"]
    assert [item["index"] for item in plain] == [1, 0]
    for number, text in zip(plain, packed, strict=True):
        unpacked = struct.unpack("<64f", base64.b64decode(text["embedding"]))
        assert unpacked == pytest.approx(number["embedding"], abs=1e-6)


async def test_answers_the_other_routes(server, http):
    ranked = {"model": "m", "query": "red car", "documents": ["a tree", "the red car", "a car"], "top_n": 2}
    results = (await http.send(request(server, "/rerank", ranked))).json()["results"]
    assert [item["index"] for item in results] == [1, 2]
    flagged = (await http.send(request(server, "/moderations", {"input": ["FLAG: it", "fine"]}))).json()["results"]
    assert [item["flagged"] for item in flagged] == [True, False]
    sound = await http.send(request(server, "/audio/speech", {"model": "m", "input": "hi", "voice": "v"}))
    assert sound.content[:4] == b"RIFF"
    assert len(sound.content) == 44 + 160
    form = HttpRequest(
        method="POST",
        url=server.url + "/audio/transcriptions",
        files=[
            FormPart(name="file", content=b"\r\n--sound\x00", filename="é.wav", content_type="audio/wav"),
            FormPart(name="model", content=b"m"),
        ],
    )
    assert (await http.send(form)).json() == {"text": "ECHO(é.wav, 10 bytes)"}
    models = await http.send(HttpRequest(method="GET", url=server.url + "/models"))
    assert "scripted-chat" in models.text


@pytest.mark.parametrize(
    ("key", "message", "status"),
    [
        ("bad-key", "hi", 401),
        ("limited", "hi", 429),
        ("k", "FAIL:no such thing", 400),
        ("k", "STATUS:503 FAIL:busy", 503),
    ],
)
async def test_refuses_as_the_script_says(server, http, key, message, status):
    answer = await http.send(request(server, "/chat/completions", chat(message), key=key))
    assert answer.status == status
    assert answer.json()["error"]["message"]


async def test_a_client_that_leaves_ends_the_stream(server, http):
    asked = request(server, "/chat/completions", chat("TOKENS:1000 DELAY:20", stream=True))
    async with http.stream(asked) as answer:
        async for _ in answer.chunks():
            break
        assert server.open_streams == 1
    async with asyncio.timeout(10):
        while server.open_streams:
            await asyncio.sleep(0.01)


async def test_a_dropped_connection_is_a_connection_error(server, http):
    with pytest.raises(HttpConnectionError):
        await frames(http, request(server, "/chat/completions", chat("TOKENS:9 DROP:3", stream=True)))


async def test_the_plain_client_keeps_the_limits_of_a_request(server, http, unused_tcp_port):
    slow = chat("REPLY:x DELAY:5000", stream=True)
    with pytest.raises(HttpTimeout):
        await http.send(request(server, "/chat/completions", slow, timeout=Timeout(read=0.1)))
    with pytest.raises(HttpTooLarge):
        await http.send(request(server, "/chat/completions", chat("TOKENS:99"), max_bytes=100))
    with pytest.raises(HttpConnectionError):
        await http.send(HttpRequest(method="GET", url=f"http://127.0.0.1:{unused_tcp_port}/"))


async def test_runs_as_a_program(http):
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dify_kernel.testing.openai_server", stdout=asyncio.subprocess.PIPE
    )
    try:
        url = (await program.stdout.readline()).decode().strip()
        answer = await http.send(HttpRequest(method="GET", url=url + "/models"))
        assert answer.status == 200
    finally:
        program.terminate()
        await program.wait()
