"""The run of a document goes on where its killed process stopped; one that cannot leaves the reason in the document."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from dify_host.db.engine import database_now
from dify_host.db.outbox import claim_batch, mark_sent, outbox
from dify_host.pipelines.lost import repeat_lost_runs
from dify_host.platform import Platform
from dify_host.runs.commands import StopCommand

from ..console.console_house import Browser
from ..service.service_house import House
from .pipeline_house import Pipeline, example, made, work

SCRIPT = Path(__file__).with_name("crash_work.py")


class Gate:
    """A server that keeps its first caller waiting for ever, and answers every other one."""

    def __init__(self) -> None:
        self.called, self.calls = asyncio.Event(), 0
        self.port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request."""
        await reader.readuntil(b"\r\n\r\n")
        self.calls += 1
        if self.calls == 1:
            self.called.set()
            await reader.read()  # until the caller is gone
        else:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
            await writer.drain()
        writer.close()


class SilentModels(Gate):
    """Models that are there, and never answer what they are asked."""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The list of models, or nothing."""
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET"):
            body = b'{"object": "list", "data": []}'
            kind = b"content-type: application/json\r\ncontent-length: %d" % len(body)
            writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n%b\r\n\r\n%b" % (kind, body))
            await writer.drain()
        else:
            self.called.set()
            await reader.read()
        writer.close()


@pytest.fixture
async def silent() -> AsyncIterator[SilentModels]:
    models = SilentModels()
    server = await asyncio.start_server(models.answer, "127.0.0.1", 0)
    models.port = server.sockets[0].getsockname()[1]
    yield models
    server.close()


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    gate = Gate()
    server = await asyncio.start_server(gate.answer, "127.0.0.1", 0)
    gate.port = server.sockets[0].getsockname()[1]
    yield gate
    server.close()


def asking(port: int) -> str:
    """The example with a request between its text and its chunks."""
    document = yaml.safe_load(example())
    graph = document["workflow"]["graph"]
    data = {"type": "http-request", "title": "Ask", "method": "get", "url": f"http://127.0.0.1:{port}/", "headers": "",
            "params": "", "authorization": {"type": "no-auth"}, "body": {"type": "none", "data": []}}  # fmt: skip
    graph["nodes"].append({"id": "ask", "data": data})
    graph["edges"] = [
        {"source": "file", "target": "extractor"},
        {"source": "extractor", "target": "ask"},
        {"source": "ask", "target": "chunker"},
        {"source": "chunker", "target": "index"},
    ]
    return str(yaml.safe_dump(document, allow_unicode=True))


async def killed(pipeline: Pipeline, gate: Gate, env: dict[str, str]) -> str:
    """The id of a document whose run lost its process in the middle."""
    document_id = str((await pipeline.run())["documents"][0]["id"])
    worker = await asyncio.create_subprocess_exec(sys.executable, str(SCRIPT), env={**env, "PATH": ""})
    await asyncio.wait_for(gate.called.wait(), 60)
    worker.kill()
    await worker.wait()
    assert (await pipeline.document(document_id)).indexing_status == "parsing"
    return document_id


async def test_a_killed_run_goes_on_elsewhere(
    house: House, owner: Browser, platform: Platform, gate: Gate, env: dict[str, str]
) -> None:
    pipeline = await made(house, owner, asking(gate.port), publish=True)
    document_id = await killed(pipeline, gate, env)
    assert await platform.recovery.sweep() == 1
    [run] = (await owner.ok("GET", f"{pipeline.path}/workflow-runs"))["data"]
    handle = platform.runs.find(run["id"])
    assert handle is not None
    assert (await handle.wait()).status == "succeeded"
    assert (await pipeline.document(document_id)).indexing_status == "completed"
    assert len(await pipeline.texts(document_id)) == 3
    nodes = (await owner.ok("GET", f"{pipeline.path}/workflow-runs/{run['id']}/node-executions"))["data"]
    done = [node["node_id"] for node in nodes if node["status"] == "succeeded"]
    assert done == ["file", "extractor", "ask", "chunker", "index"]
    assert gate.calls == 2


async def test_a_job_that_is_lost_is_sent_again_until_its_run_begins(
    house: House, owner: Browser, platform: Platform
) -> None:
    pipeline = await made(house, owner, publish=True)
    document_id = (await pipeline.run())["documents"][0]["id"]
    lost = await lose_jobs(platform)
    assert len(lost) == 1
    assert await repeat_lost_runs(platform.db) == 0  # it may be on its way
    for minutes in (5, 10, 20):  # each repetition waits twice as long
        await age_jobs(platform, timedelta(minutes=minutes - 1))
        assert await repeat_lost_runs(platform.db) == 0
        await age_jobs(platform, timedelta(minutes=minutes))
        counts = await asyncio.gather(*(repeat_lost_runs(platform.db) for _ in range(3)))
        assert sum(counts) == 1  # whoever looks, and however often, it is sent once
        assert await lose_jobs(platform) == lost
    await age_jobs(platform, timedelta(days=1))
    assert await repeat_lost_runs(platform.db) == 1
    assert await work(platform) == ["run_pipeline"]
    assert (await pipeline.document(document_id)).indexing_status == "completed"
    await age_jobs(platform, timedelta(days=1))
    assert await repeat_lost_runs(platform.db) == 0


async def lose_jobs(platform: Platform) -> list[str]:
    """Send what waits to a queue that loses it; returns the keys."""
    jobs = await claim_batch(platform.db)
    await mark_sent(platform.db, [job.id for job in jobs])
    return [str(job.dedupe_key) for job in jobs]


async def age_jobs(platform: Platform, age: timedelta) -> None:
    """Let all jobs have been sent so long ago."""
    async with platform.db.write() as conn:
        await conn.execute(outbox.update().values(sent_at=await database_now(conn) - age))


async def test_a_lost_run_that_is_stopped_leaves_its_reason(
    house: House, owner: Browser, platform: Platform, gate: Gate, env: dict[str, str]
) -> None:
    pipeline = await made(house, owner, asking(gate.port), publish=True)
    document_id = await killed(pipeline, gate, env)
    [run] = (await owner.ok("GET", f"{pipeline.path}/workflow-runs"))["data"]
    await platform.recovery.stop_left(StopCommand(task_id=run["id"], app_id=pipeline.id))
    await platform.recovery.sweep()
    document = await pipeline.document(document_id)
    assert (document.indexing_status, document.error) == ("error", "Stopped by user.")


async def test_a_run_that_is_stopped_while_it_indexes_leaves_its_reason(
    house: House, owner: Browser, platform: Platform, silent: SilentModels
) -> None:
    await house.workspace.providers.remove("openai")
    address = f"http://127.0.0.1:{silent.port}"
    await house.workspace.providers.add("openai", {"openai_api_key": "k", "openai_api_base": address})
    model = {"embedding_model": "scripted-embedding", "embedding_model_provider": "openai"}
    high = {"indexing_technique": "high_quality", "retrieval_model": {"search_method": "semantic_search", "top_k": 3}}
    pipeline = await made(house, owner, example(index={**high, **model}), publish=True)
    document_id = (await pipeline.run())["documents"][0]["id"]
    working = asyncio.create_task(work(platform))
    await asyncio.wait_for(silent.called.wait(), 60)
    assert (await pipeline.document(document_id)).indexing_status == "indexing"
    [run] = (await owner.ok("GET", f"{pipeline.path}/workflow-runs"))["data"]
    await owner.ok("POST", f"{pipeline.path}/workflow-runs/tasks/{run['id']}/stop")
    await working
    document = await pipeline.document(document_id)
    assert (document.indexing_status, document.error) == ("error", "Stopped by user.")
