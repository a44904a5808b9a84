"""What a store adds to its client: CPU of this process for the same writes and searches, beside the client by hand.

A plugin gives the other half as `tests/raw_client.py`: `KEY`, the partition it uses, `upsert(store, space, records)`
and `search(store, space, vectors, top_k)`, which use the connection of the opened store. The two take turns, and the
median of several rounds counts.
"""

from __future__ import annotations

import importlib.util
import random
import statistics
import time
from collections.abc import Awaitable
from pathlib import Path
from types import ModuleType

import pytest
from dify_kernel.contracts.vector import Record, Space, VectorStore
from dify_kernel.testing.vector.data import id_of

from .figures import ROOT, show
from .stores import WORDS, opened

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600), pytest.mark.usefixtures("server_collector")]

RECORDS, SEARCHES, TOP_K, ROUNDS, TURNS, MOST = 1_000, 200, 4, 7, 6, 1.15
SPACE = Space("bench_overhead", 384)
STORES = sorted(path.parents[1].name.removeprefix("vdb_") for path in ROOT.glob("plugins/vdb_*/tests/raw_client.py"))


def raw_client(name: str) -> ModuleType:
    """The half of a plugin."""
    path = ROOT / "plugins" / f"vdb_{name}" / "tests" / "raw_client.py"
    spec = importlib.util.spec_from_file_location(f"raw_client_of_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def records(round: int) -> list[Record]:
    """A thousand records of sixty words, other ones in each round."""
    chance = random.Random(round)
    return [
        Record(
            id=id_of(f"{round} {number}"),
            text=" ".join(chance.choices(WORDS, k=60)),
            vector=[chance.gauss(0, 1) for _ in range(SPACE.dimension)],
            metadata={"document_id": id_of(number // 20), "position": number, "title": "A document"},
        )
        for number in range(RECORDS)
    ]


async def cpu(call: Awaitable[object]) -> float:
    """CPU seconds that this process spends until a call has returned."""
    start = time.process_time()
    await call
    return time.process_time() - start


async def searches(store: VectorStore, partition: str, vectors: list[list[float]]) -> None:
    for vector in vectors:
        assert len(await store.search(SPACE, partition, vector, top_k=TOP_K)) == TOP_K


@pytest.mark.parametrize("name", STORES)
async def test_what_a_store_adds_to_its_client(name: str, tmp_path: Path) -> None:
    raw = raw_client(name)
    async with opened(name, tmp_path) as store:
        await store.create(SPACE)
        ours: dict[str, list[float]] = {"upsert": [], "search": []}
        theirs: dict[str, list[float]] = {"upsert": [], "search": []}
        for round in range(ROUNDS):
            written = records(round)
            asked = [list(record.vector) for record in written[:SEARCHES]]
            await store.delete(SPACE, raw.KEY)
            theirs["upsert"].append(await cpu(raw.upsert(store, SPACE, written)))
            await store.delete(SPACE, raw.KEY)
            ours["upsert"].append(await cpu(store.upsert(SPACE, raw.KEY, written)))
            for _ in range(TURNS):  # among the same records, one after the other
                theirs["search"].append(await cpu(raw.search(store, SPACE, asked, TOP_K)))
                ours["search"].append(await cpu(searches(store, raw.KEY, asked)))
        await store.drop(SPACE)
    costs = {kind: (statistics.median(ours[kind]), statistics.median(theirs[kind])) for kind in ours}
    ratios = {kind: mine / other for kind, (mine, other) in costs.items()}
    rows = [
        (kind, f"{mine * 1e3:.0f} ms", f"{other * 1e3:.0f} ms", f"{ratios[kind]:.2f}")
        for kind, (mine, other) in costs.items()
    ]
    title = f"{name}: CPU of {RECORDS} records of {SPACE.dimension} and of {SEARCHES} searches"
    show(title, ["call", "store", "client by hand", "ratio"], rows)
    assert max(ratios.values()) <= MOST, ratios
