"""Many small documents to index, the workers that do it, and what must be true of them in the end."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import sqlalchemy as sa
from dify_host.identity.setup import ensure_local_workspace
from dify_host.knowledge.datasets import NewDataset
from dify_host.knowledge.documents import DocumentOptions, DocumentText
from dify_host.knowledge.rules import read_rule
from dify_host.knowledge.tables import documents, knowledge_tasks, knowledge_turns
from dify_host.platform import Platform
from dify_kernel.testing.openai_server import OpenAIServer

from tests.e2e.running import Place, Running
from tests.e2e.servers import rows
from tests.faults.servers import postgres, valkey
from tests.faults.shelves import look, shelf_problems
from tests.faults.stage import ProcessTarget

__all__ = ["Library", "Workers", "add_documents", "library", "problems", "texts", "wait_for_end"]

_RULE = {"segmentation": {"max_tokens": 200, "separator": "\n"}, "pre_processing_rules": []}
_AT_ONCE = 4


class Workers:
    """Worker processes, one of which is killed now and then by chance, and started again a moment later."""

    def __init__(self, targets: Sequence[ProcessTarget], chance: random.Random) -> None:
        self._targets, self._chance = targets, chance
        self.kills = 0

    async def kill(self, ended: asyncio.Event, seconds: float) -> None:
        """Kill for so long, or until the end."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not await _within(ended, self._chance.uniform(1.5, 5.0)):
            target = self._chance.choice(self._targets)
            await asyncio.to_thread(target.kill)
            self.kills += 1
            await _within(ended, self._chance.uniform(0.1, 1.0))
            await asyncio.to_thread(target.start)


class Library(msgspec.Struct, frozen=True, kw_only=True):
    """A place with a database, a queue and models, and its worker processes."""

    place: Place
    workers: Workers
    models: str


async def _within(ended: asyncio.Event, seconds: float) -> bool:
    """Whether it ended before the time was up."""
    try:
        await asyncio.wait_for(ended.wait(), seconds)
    except TimeoutError:
        return False
    return True


@contextmanager
def library(engine: str, folder: Path, seed: int) -> Iterator[Library]:
    """Two workers on PostgreSQL or SQLite, and a queue of their own."""
    with ExitStack() as stack:
        queue, models = stack.enter_context(valkey()), stack.enter_context(OpenAIServer())
        named = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(queue.port), "TENANT_ISOLATED_TASK_CONCURRENCY": "4"}
        if engine == "postgresql":
            database = stack.enter_context(postgres())
            rows(f"postgresql://postgres@127.0.0.1:{database.port}/postgres", "CREATE DATABASE dify")
            named |= {"DB_TYPE": engine, "DB_HOST": "127.0.0.1", "DB_PORT": str(database.port)}
        place = Place(folder, SSRF_ALLOWED_HOSTS="127.0.0.1", SECRET_KEY="one-for-all-processes", **named)
        asyncio.run(_migrate(place))
        targets = [
            ProcessTarget("worker", lambda: Running(place, ("worker", "--beat"), 0, {})),
            ProcessTarget("worker", lambda: Running(place, ("worker",), 0, {})),
        ]
        for target in targets:
            stack.callback(target.kill)
        yield Library(place=place, workers=Workers(targets, random.Random(seed)), models=models.root)


async def _migrate(place: Place) -> None:
    async with Platform.opened(place.env, role="cli"):
        pass


def texts(number: int) -> list[str]:
    """The lines of documents; some lines stand in several of them."""
    return [
        "\n".join(f"Line {line} of text {at if line else at % 7} says {line * 37}." for line in range(1 + at % 4))
        for at in range(number)
    ]


async def add_documents(there: Library, contents: Sequence[str]) -> str:
    """Make a high-quality knowledge base and a document of each text; returns its id."""
    async with Platform.opened(there.place.env, role="cli") as platform:
        owner = await ensure_local_workspace(platform.db, platform.keyring)
        workspace = await platform.workspace(owner.tenant)
        await workspace.providers.add("openai", {"openai_api_key": "k", "openai_api_base": there.models})
        model = {"embedding_model": "scripted-embedding", "embedding_model_provider": "openai"}
        new = NewDataset(name="Library", indexing_technique="high_quality", **model)
        dataset = await workspace.datasets.create(new, owner.id)
        options = DocumentOptions(indexing_technique="high_quality", process_rule=read_rule("custom", _RULE))
        free = asyncio.Semaphore(_AT_ONCE)

        async def add(at: int, text: str) -> None:
            async with free:
                named = DocumentText(name=f"text {at}", text=text)
                await workspace.documents.create_by_text(dataset.id, named, options, owner.id)

        await asyncio.gather(*(add(at, text) for at, text in enumerate(contents)))
    return dataset.id


async def wait_for_end(there: Library, dataset_id: str, number: int, seconds: float) -> bool:
    """Wait until so many documents are at their end; False when the time is up."""
    until = time.monotonic() + seconds
    ended = documents.c.indexing_status.in_(("completed", "error"))
    async with Platform.opened(there.place.env, role="cli") as platform:
        while time.monotonic() < until:
            async with platform.db.read() as conn:
                query = sa.select(sa.func.count()).where(documents.c.dataset_id == dataset_id, ended)
                open_tasks = sa.select(sa.func.count()).select_from(knowledge_tasks)
                done = (await conn.execute(query)).scalar_one()
                left = (await conn.execute(open_tasks)).scalar_one()
            if done == number and not left:
                return True
            await asyncio.sleep(0.3)
    return False


async def problems(there: Library, dataset_id: str, contents: Sequence[str]) -> list[str]:
    """What is wrong: documents without an end, segments and vectors that are missing, there twice, or nobody's."""
    async with Platform.opened(there.place.env, role="cli") as platform:
        [shelf] = await look(platform, [dataset_id])
        async with platform.db.read() as conn:
            tasks = (await conn.execute(sa.select(knowledge_tasks))).all()
            busy = (await conn.execute(sa.select(knowledge_turns).where(knowledge_turns.c.active.is_(True)))).all()
    wanted = {f"text {at}": text.split("\n") for at, text in enumerate(contents)}
    found = [f"document {name} is missing" for name in wanted.keys() - {row.name for row in shelf.documents}]
    found += shelf_problems(shelf, wanted.get, may_fail=True)
    found += [f"task {row.purpose} of {row.target_id} is left" for row in tasks]
    found += [f"slot {row.slot} is at work with nothing to do" for row in busy]
    return found
