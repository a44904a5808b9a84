"""What runs hold that wait: for somebody, and for a slow model. A thousand of them in one API process on PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest
from sqlalchemy.engine import URL

from tests.e2e.servers import new_database, rows

from .figures import show
from .server import Api, import_app, opened, running_api, running_loopback

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

RUNS, WIDTH, SETTLE, PATIENCE = 1000, 64, 3.0, 240.0
#: Seconds before each piece of the slow model's answer, which has several: longer than it takes to start all runs.
SLOW = 12
MOST_CONNECTIONS = 10
#: Megabytes more than when idle. A run that waits for a model holds two connections, to its client and to the model.
MOST_FOR_SOMEBODY_MB, MOST_FOR_MODEL_MB = 60.0, 60.0

HEAD = """
kind: app
version: 0.5.0
app: {name: waiting, mode: workflow}
workflow:
  features: {}
  graph:
    nodes:
    - {id: start, data: {type: start, title: Start, variables: [{variable: text, label: Text, type: paragraph}]}}
    - {id: end, data: {type: end, title: End, outputs: []}}
"""
QUICK = HEAD + "    edges: [{source: start, target: end}]\n"
ASKS = (
    HEAD
    + """
    - id: ask
      data:
        type: human-input
        title: Ask
        form_content: "{{#start.text#}}"
        inputs: []
        user_actions: [{id: go, title: Go on, button_style: primary}]
        timeout: 3
        timeout_unit: day
        delivery_methods: [{type: webapp, enabled: true, config: {}}]
    edges: [{source: start, target: ask}, {source: ask, target: end, sourceHandle: go}]
"""
)
MODEL = (
    HEAD
    + """
    - id: llm
      data:
        type: llm
        title: Model
        model: {provider: openai, name: scripted, mode: chat, completion_params: {}}
        prompt_template: [{role: user, text: "{{#start.text#}}"}]
        context: {enabled: false, variable_selector: []}
        vision: {enabled: false}
    edges: [{source: start, target: llm}, {source: llm, target: end}]
"""
)

Engines = tuple[Mapping[str, str], str]


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[Engines]:
    """The variables of a platform on a PostgreSQL database of its own, and the URL of that database."""
    with new_database("postgresql", tmp_path) as named:
        parts = {name: named[f"DB_{name.upper()}"] for name in ("username", "password", "host", "database")}
        url = URL.create("postgresql", **parts, port=int(named["DB_PORT"]))
        yield named, url.render_as_string(hide_password=False)


class Held(msgspec.Struct, frozen=True):
    """What the API process holds: megabytes, database connections, open files and sockets."""

    rss: float
    connections: int
    descriptors: int


def held(api: Api, url: str) -> Held:
    """What it holds now; asked after a while in which nothing was started."""
    time.sleep(SETTLE)
    mine = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    found = rows(url, mine)[0][0]
    assert isinstance(found, int)
    return Held(api.process.memory_info().rss / 1e6, found, api.process.num_fds())


async def all_at_once(work: Callable[[], Awaitable[None]], *, width: int) -> None:
    """A thousand times, so many at a time."""
    gate = asyncio.Semaphore(width)

    async def one() -> None:
        async with gate:
            await work()

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(one() for _ in range(RUNS)))


async def blocking(api: Api, key: str, text: str, status: str) -> None:
    """A thousand blocking runs."""
    limits = httpx.Limits(max_connections=WIDTH)
    async with httpx.AsyncClient(timeout=60, limits=limits, headers={"Authorization": f"Bearer {key}"}) as client:

        async def one() -> None:
            body = {"inputs": {"text": text}, "user": "ada", "response_mode": "blocking"}
            answer = await client.post(f"{api.url}/v1/workflows/run", json=body)
            assert answer.status_code == 200, answer.text
            assert answer.json()["data"]["status"] == status, answer.text

        await all_at_once(one, width=WIDTH)


class Streams:
    """A thousand streamed runs, each on a connection of its own: how many wait for the model, how many have ended."""

    def __init__(self, api: Api, key: str, text: str) -> None:
        parts = urlsplit(f"{api.url}/v1/workflows/run")
        body = msgspec.json.encode({"inputs": {"text": text}, "user": "ada", "response_mode": "streaming"})
        head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer {key}\r\n"
        head += f"content-type: application/json\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        self._place, self._request = (parts.hostname, parts.port), head.encode() + body
        self.asking = self.ended = 0
        self.changed = asyncio.Condition()

    async def follow(self, gate: asyncio.Semaphore) -> None:
        """One run; it lets the next begin when it waits for the model."""
        await gate.acquire()
        reader, writer = await asyncio.open_connection(*self._place)
        writer.write(self._request)
        async for line in reader:
            if line.startswith(b"data: {"):
                event = msgspec.json.decode(line[6:])
                if event["event"] == "node_started" and event["data"]["node_type"] == "llm":
                    gate.release()
                    await self._count(asking=1)
                elif event["event"] == "workflow_finished":
                    assert event["data"]["status"] == "succeeded", event["data"]["error"]
                    await self._count(ended=1)
        writer.close()

    async def _count(self, *, asking: int = 0, ended: int = 0) -> None:
        async with self.changed:
            self.asking, self.ended = self.asking + asking, self.ended + ended
            self.changed.notify_all()

    async def all_ask(self) -> None:
        """Return when every run waits for the model."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.asking == RUNS)


async def streamed(api: Api, key: str, text: str, look: Callable[[], None] = lambda: None) -> None:
    """A thousand streamed runs; `look` is called while all of them wait."""
    streams, gate = Streams(api, key, text), asyncio.Semaphore(WIDTH)
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        for _ in range(RUNS):
            group.create_task(streams.follow(gate))
        await streams.all_ask()
        assert streams.ended == 0 or text == "TOKENS:1", "the model was not slow enough"
        await asyncio.to_thread(look)
    assert streams.ended == RUNS


def tell(title: str, found: dict[str, Held], *, budget: float) -> None:
    """Print what was held, and hold it to the budget; the first is the floor, the second waits."""
    floor, waiting = list(found.values())[:2]
    more = waiting.rss - floor.rss
    show(
        title,
        ("", "RSS MB", "more, MB", "database connections", "files and sockets"),
        [
            (name, f"{each.rss:.1f}", f"{each.rss - floor.rss:.1f}", str(each.connections), str(each.descriptors))
            for name, each in found.items()
        ]
        + [("budget", "", f"{budget:g}", str(MOST_CONNECTIONS), "")],
    )
    assert waiting.connections <= MOST_CONNECTIONS, f"{waiting.connections} database connections"
    assert more <= budget, f"{RUNS} waiting runs hold {more:.1f} MB"


async def test_runs_that_wait_for_somebody(engines: Engines, tmp_path: Path) -> None:
    more, url = engines
    async with opened(tmp_path, more) as (_, workspace, owner):
        quick, asks = [await import_app(workspace, owner, dsl) for dsl in (QUICK, ASKS)]
    with running_api(tmp_path, more) as api:
        found: dict[str, Held] = {}
        await blocking(api, quick, "hello", "succeeded")
        found[f"idle, {RUNS} runs have ended (floor)"] = await asyncio.to_thread(held, api, url)
        await blocking(api, asks, "hello", "paused")
        found[f"{RUNS} runs wait for somebody"] = await asyncio.to_thread(held, api, url)
    tell("runs that wait for a form to be filled in", found, budget=MOST_FOR_SOMEBODY_MB)


async def test_runs_that_wait_for_a_model(engines: Engines, tmp_path: Path) -> None:
    named, url = engines
    more = {**named, "SSRF_POOL_MAX_CONNECTIONS": str(2 * RUNS)}
    with running_loopback() as model_url:
        async with opened(tmp_path, more) as (_, workspace, owner):
            await workspace.providers.add("openai", {"openai_api_key": "any-key", "openai_api_base": model_url})
            key = await import_app(workspace, owner, MODEL)
        with running_api(tmp_path, more) as api:
            found: dict[str, Held] = {}
            await streamed(api, key, "TOKENS:1")
            found[f"idle, {RUNS} runs have ended (floor)"] = await asyncio.to_thread(held, api, url)

            def look() -> None:
                found[f"{RUNS} runs wait for a model"] = held(api, url)

            await streamed(api, key, f"TOKENS:1 DELAY:{SLOW * 1000}", look)
            found["all have ended"] = await asyncio.to_thread(held, api, url)
    title = "runs that wait for a slow model, each followed over a connection of its own"
    tell(title, found, budget=MOST_FOR_MODEL_MB)
