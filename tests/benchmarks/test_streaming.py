"""What streaming costs: many chats at a time through the API, beside the same client at the model server itself."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
import sqlalchemy as sa
from dify_host.runs.tables import messages

from .figures import percentile, show
from .server import Api, import_app, opened, running_api, running_loopback

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

CHATS, TOKENS = 50, 50
#: Milliseconds between tokens, and between the starts of two chats: every chat is open while the last one starts.
PACE, APART = 60, 40
ROUNDS = 3
MAX_ADDED_MS, MAX_TOKEN_MS = 40.0, 0.3
PATIENCE = 90.0
_LAST = (b"data: [DONE]", b'data: {"event":"message_end"')
LONG, SHORT = f"TOKENS:{TOKENS} DELAY:{PACE}", f"TOKENS:1 DELAY:{PACE}"

CHAT = """
kind: app
version: 0.5.0
app: {name: chat, mode: advanced-chat}
workflow:
  graph:
    nodes:
    - {id: start, data: {type: start, title: Start, variables: []}}
    - id: llm
      data:
        type: llm
        title: Model
        model: {provider: openai, name: scripted, mode: chat, completion_params: {}}
        prompt_template: [{role: user, text: "{{#sys.query#}}"}]
        context: {enabled: false, variable_selector: []}
        vision: {enabled: false}
    - {id: answer, data: {type: answer, title: Answer, answer: "{{#llm.text#}}", variables: []}}
    edges: [{source: start, target: llm}, {source: llm, target: answer}]
  features: {}
"""


class Heard(msgspec.Struct, frozen=True):
    """One streamed answer: seconds to the first token, number of pieces, their text."""

    first: float
    pieces: int
    text: str


async def listen(url: str, key: str, body: dict[str, object], piece: Callable[[dict[str, object]], str]) -> Heard:
    """Send one request on a connection of its own and read its events; a plain client, so that it costs little."""
    parts = urlsplit(url)
    content = json.dumps(body).encode()
    started = time.perf_counter()
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer {key}\r\n"
    head += f"content-type: application/json\r\nconnection: close\r\ncontent-length: {len(content)}\r\n\r\n"
    writer.write(head.encode() + content)
    first, texts = 0.0, []
    async for line in reader:
        if line.startswith(_LAST):
            break
        if line.startswith(b"data: {"):
            text = piece(msgspec.json.decode(line[6:]))
            if text:
                first = first or time.perf_counter() - started
                texts.append(text)
    writer.close()
    return Heard(first, len(texts), "".join(texts))


def api_piece(event: dict[str, object]) -> str:
    """The text of a `message` event."""
    assert event["event"] != "error", event
    return str(event["answer"]) if event["event"] == "message" else ""


def model_piece(event: dict[str, object]) -> str:
    """The text of a chunk of the model server."""
    choices = event.get("choices")
    return str(choices[0]["delta"].get("content") or "") if isinstance(choices, list) and choices else ""


async def together(start: Callable[[int], Awaitable[Heard]]) -> list[Heard]:
    """Every chat, one start after another, all open at a time."""

    async def later(number: int) -> Heard:
        await asyncio.sleep(number * APART / 1000)
        return await start(number)

    async with asyncio.timeout(PATIENCE):
        return await asyncio.gather(*(later(number) for number in range(CHATS)))


def ask_model(url: str, query: str = LONG) -> Callable[[int], Awaitable[Heard]]:
    """A chat straight with the model server."""
    body: dict[str, object] = {"model": "scripted", "stream": True, "messages": [{"role": "user", "content": query}]}
    return lambda number: listen(f"{url}/chat/completions", "any-key", body, model_piece)


def ask_api(api: Api, key: str, query: str = LONG) -> Callable[[int], Awaitable[Heard]]:
    """The same chat through the platform, which is not to name it: that is another call of the model."""

    def start(number: int) -> Awaitable[Heard]:
        body: dict[str, object] = {"inputs": {}, "query": query, "user": f"u{number}", "response_mode": "streaming"}
        body["auto_generate_name"] = False
        return listen(f"{api.url}/v1/chat-messages", key, body, api_piece)

    return start


async def test_streamed_chats(tmp_path: Path) -> None:
    with running_loopback() as model_url:
        async with opened(tmp_path) as (_, workspace, owner):
            await workspace.providers.add("openai", {"openai_api_key": "any-key", "openai_api_base": model_url})
            key = await import_app(workspace, owner, CHAT)
        with running_api(tmp_path) as api:
            await together(ask_api(api, key))
            rows, added, costs = [], [], []
            for _ in range(ROUNDS):
                direct = await together(ask_model(model_url))
                before = api.cpu()
                await together(ask_api(api, key, SHORT))
                between = api.cpu()
                through = await together(ask_api(api, key))
                short, long = ((between - before) / CHATS * 1000, (api.cpu() - between) / CHATS * 1000)
                costs.append((long - short) / (TOKENS - 1))
                ends = [percentile([each.first * 1000 for each in heard], 0.95) for heard in (direct, through)]
                added.append(ends[1] - ends[0])
                figures = (*ends, added[-1], short, long)
                rows.append((*(f"{each:.1f}" for each in figures), f"{costs[-1]:.3f}"))
                assert {each.text for each in through} == {direct[0].text}
                assert {each.pieces for each in through} == {TOKENS}
    async with opened(tmp_path) as (platform, _, _), platform.db.read() as conn:
        stored = (await conn.execute(sa.select(messages.c.answer, messages.c.status).distinct())).all()
        count = (await conn.execute(sa.select(sa.func.count()).select_from(messages))).scalar_one()
    show(
        f"{CHATS} chats at a time, {TOKENS} tokens each, a token every {PACE} ms; first tokens at p95, server CPU",
        (
            "first token from the model server itself (floor), ms",
            "through the API, ms",
            "added, ms",
            "CPU of a chat of one token, ms",
            "of a whole chat, ms",
            "of each further token, ms",
        ),
        [*rows, ("budget", "", f"{MAX_ADDED_MS:g}", "", "", f"{MAX_TOKEN_MS:g}")],
    )
    assert count == CHATS * (1 + 2 * ROUNDS)
    assert {row.status for row in stored} == {"normal"}
    assert {row.answer for row in stored} == {direct[0].text, direct[0].text[: len(direct[0].text) // TOKENS]}
    assert min(costs) <= MAX_TOKEN_MS, f"a token costs {min(costs):.3f} ms of server CPU"
    assert min(added) <= MAX_ADDED_MS, f"the API adds {min(added):.1f} ms to the first token at p95"
