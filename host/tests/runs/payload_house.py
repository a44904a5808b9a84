"""Runs that hand on a large text, and a storage that tests can hold back and break.

Run as a program it begins such a run, and is killed when a large value is in the storage and no row names it yet.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import msgspec
from dify_host.apps.records import AppRecord, WorkflowRecord
from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.db.types import utc_now
from dify_host.db.writer import BatchWriter
from dify_host.runs.payloads import Payloads
from dify_host.runs.programs import Program
from dify_host.runs.tables import workflow_run_leases
from dify_kernel.contracts.storage import Entry, Storage
from dify_kernel.errors import StorageUnavailable

from .run_house import MODEL, REGISTRY, GatedModels, RunHouse, edge, node

__all__ = ["LIMIT", "TEXT", "OddStorage", "asking", "handed_on", "known_program"]

LIMIT = 2048
TEXT = "A text that is handed on from node to node. " * 1000


def handed_on(count: int) -> dict[str, Any]:
    """A graph in which so many nodes hand on the text of the start, and the end gives it."""
    field = {"variable": "text", "label": "t", "type": "paragraph", "max_length": 10**7}
    return _row([node("start", "start", variables=[field])], ["start", "text"], count)


def asking(count: int) -> dict[str, Any]:
    """A graph that asks the model, hands its answer on so many times, and gives it."""
    prompt = [{"role": "user", "text": "Say something long."}]
    asks = node("llm", "llm", model=MODEL, prompt_template=prompt)
    return _row([node("start", "start", variables=[]), asks], ["llm", "text"], count)


def _row(nodes: list[dict[str, Any]], source: list[str], count: int) -> dict[str, Any]:
    for number in range(count):
        nodes.append(node(f"n{number}", "variable-aggregator", output_type="string", variables=[source]))
        source = [f"n{number}", "output"]
    nodes.append(node("end", "end", outputs=[{"variable": "text", "value_selector": source}]))
    return {"nodes": nodes, "edges": [edge(a["id"], b["id"]) for a, b in pairwise(nodes)]}


class OddStorage(Storage):
    """Another storage, where saving can fail, be held back once the object is there, or end the process then."""

    def __init__(self, inner: Storage, *, failures: int = 0, deadly: bool = False) -> None:
        self.inner, self.failures, self.deadly = inner, failures, deadly
        self.saved: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def open(self) -> None:
        """It is open."""

    async def close(self) -> None:
        """Its owner closes it."""

    async def save(self, key: str, data: bytes | AsyncIterator[bytes]) -> None:
        """Keep it, or not."""
        if self.failures:
            self.failures -= 1
            raise StorageUnavailable("The storage is away.", key=key)
        await self.inner.save(key, data)
        self.saved.append(key)
        if self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        await self.gate.wait()

    async def load(self, key: str) -> bytes:
        """The object."""
        return await self.inner.load(key)

    def stream(self, key: str, chunk_size: int = 64 * 1024) -> AsyncIterator[bytes]:
        """The object."""
        return self.inner.stream(key, chunk_size)

    async def exists(self, key: str) -> bool:
        """Whether it is there."""
        return await self.inner.exists(key)

    async def delete(self, key: str) -> None:
        """Delete it."""
        await self.inner.delete(key)

    def scan(self, prefix: str = "") -> AsyncIterator[Entry]:
        """The objects."""
        return self.inner.scan(prefix)


def known_program(house: RunHouse, workflow_id: str) -> Program:
    """The program that asks, under an id that two processes know."""
    record = WorkflowRecord(
        id=workflow_id,
        tenant_id=house.tenant.id,
        app_id=workflow_id,
        type="workflow",
        version="1",
        graph=asking(3),
        features={},
        environment_variables=[],
        conversation_variables=[],
        created_at=utc_now(),
    )
    house.made[workflow_id] = house.programs.workflow(record)
    return house.made[workflow_id]


async def main(plan: dict[str, Any]) -> None:
    """Begin the run, and let the model answer when the run is known."""
    writer = BatchWriter(Database(plan["url"]))
    writer.start()
    storage = REGISTRY.get("storage", "opendal").build({"DIFY_DATA": plan["folder"]})
    await storage.open()
    payloads = Payloads(OddStorage(storage, deadly=True), limit=LIMIT)
    house = RunHouse(Database(plan["url"]), writer, owner="child", payloads=payloads)
    house.tenant = Tenant(plan["tenant"])
    house.models = GatedModels(lambda _: TEXT, closed=True)
    now = utc_now()
    app = AppRecord(
        id=plan["app"], tenant_id=plan["tenant"], name="An app", mode="workflow", created_at=now, updated_at=now
    )
    started = await house.start(known_program(house, plan["workflow"]), app, run_id=plan["run"])
    while not await house.rows(workflow_run_leases):
        await asyncio.sleep(0.01)
    house.models.gate.set()
    await started.handle.wait()


if __name__ == "__main__":
    asyncio.run(main(msgspec.json.decode(sys.argv[1])))
