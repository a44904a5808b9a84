"""What a search costs: in the embedded store over a hundred thousand records, and in the host around its store."""

from __future__ import annotations

import array
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import psutil
import pytest
import sqlite_vec
from dify_host.knowledge.datasets import NewDataset
from dify_host.knowledge.documents import DocumentOptions, DocumentText
from dify_host.knowledge.indexing import Indexer
from dify_host.knowledge.retrieval import Asker
from dify_host.knowledge.rules import read_rule
from dify_host.knowledge.services import Knowledge
from dify_kernel.contracts.model import ModelInfo, ModelType
from dify_kernel.contracts.vector import Compare, Record, Space
from dify_kernel.contracts.vector_rules import unit
from dify_kernel.testing.fake_models import FakeModels
from dify_vdb_sqlite import SqliteVectorSettings, SqliteVectorStore

from .figures import percentile, show
from .server import opened

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

SPACE, RECORDS, BATCH, QUESTIONS = Space("bench", 384), 100_000, 500, 40
PARTITION = "10000000-0000-4000-8000-000000000000"
#: Milliseconds of CPU: the 95th percentile of a search over all records, over half of them, and by a common word.
SEARCH_BUDGET = 60.0
#: Milliseconds of CPU of the whole process that the host adds to embedding and store, recording included.
HOST_BUDGET, RETRIEVALS = 3.0, 300


class Vectors:
    """Vectors in a thousand groups that all lean to one side, as those of embedding models do."""

    def __init__(self) -> None:
        self._drawn = random.Random(1)
        self._lean = self._some(1.5)
        self._centres = [self._some(1.0) for _ in range(1000)]
        self._noise = [self._some(0.7) for _ in range(997)]

    def record(self, number: int) -> list[float]:
        """The vector of a record."""
        parts = (self._lean, self._centres[number * 7919 % 1000], self._noise[number % 997])
        return [a + b + c for a, b, c in zip(*parts, strict=True)]

    def question(self, number: int) -> list[float]:
        """A vector near a record's."""
        return [a + self._drawn.gauss(0, 0.5) for a in self.record(number)]

    def _some(self, spread: float) -> list[float]:
        return [self._drawn.gauss(0, spread) for _ in range(SPACE.dimension)]


def record(vectors: Vectors, number: int) -> Record:
    words = " ".join(f"word{int(5000 * ((number * 31 + i * 977) % 10_007 / 10_007) ** 3)}" for i in range(60))
    document = f"20000000-0000-4000-8000-{number // 100:012x}"
    id = f"30000000-0000-4000-8000-{number:012x}"
    metadata = {
        "doc_id": id,
        "document_id": document,
        "dataset_id": PARTITION,
        "doc_hash": "ab" * 32,
        "doc_type": "text",
    }
    return Record(id=id, text=words, vector=vectors.record(number), metadata=metadata)


def question_in_words(number: int) -> str:
    """Twelve words, rare and common as those of the records."""
    drawn = random.Random(number)
    return " ".join(f"word{int(5000 * drawn.random() ** 3)}" for _ in range(12))


async def measured(call: Callable[[int], Awaitable[Any]]) -> tuple[list[float], list[float]]:
    """Milliseconds of wall time and of CPU of each call, after one that warms up."""
    await call(0)
    wall, cpu = [], []
    for number in range(QUESTIONS):
        began, spent = time.perf_counter(), time.process_time()
        await call(number)
        cpu.append((time.process_time() - spent) * 1e3)
        wall.append((time.perf_counter() - began) * 1e3)
    return wall, cpu


async def spent(call: Callable[[int], Awaitable[Any]], end: Callable[[], Awaitable[Any]] | None = None) -> float:
    """Milliseconds of CPU of the process, its threads included, for one of many calls and its share of the end."""
    await call(0)
    before = time.process_time()
    for number in range(RETRIEVALS):
        await call(number)
    if end is not None:
        await end()
    return (time.process_time() - before) / RETRIEVALS * 1e3


def row(name: str, times: tuple[list[float], list[float]]) -> tuple[str, ...]:
    wall, cpu = times
    figures = (statistics.median(wall), percentile(wall, 0.95), statistics.median(cpu), percentile(cpu, 0.95))
    return (name, *(f"{value:.1f}" for value in figures))


def full_pass(path: Path, questions: Sequence[list[float]]) -> tuple[list[set[str]], float]:
    """The ten nearest by a pass over all vectors, and the median of its milliseconds of CPU: the floor."""
    db = apsw.Connection(str(path))
    db.enable_load_extension(True)
    db.load_extension(sqlite_vec.loadable_path())
    nearest, cpu = [], []
    query = "SELECT key FROM vectors ORDER BY vec_distance_cosine(vector, ?) LIMIT 10"
    for question in questions:
        spent = time.process_time()
        keys = [key for (key,) in db.execute(query, (array.array("f", unit(question)).tobytes(),)).fetchall()]
        cpu.append((time.process_time() - spent) * 1e3)
        nearest.append({db.execute("SELECT id FROM texts WHERE key = ?", (key,)).fetchall()[0][0] for key in keys})
    db.close()
    return nearest, statistics.median(cpu)


async def test_search_over_a_hundred_thousand_records(tmp_path: Path) -> None:
    path, vectors = tmp_path / "vectors.db", Vectors()
    store = SqliteVectorStore(SqliteVectorSettings(sqlite_vec_path=str(path)))
    await store.open()
    await store.create(SPACE)
    spent = 0.0
    for start in range(0, RECORDS, BATCH):
        batch = [record(vectors, number) for number in range(start, start + BATCH)]
        before = time.process_time()
        await store.upsert(SPACE, PARTITION, batch)
        spent += time.process_time() - before
    questions = [vectors.question(number * 997) for number in range(QUESTIONS)]
    found: list[list[Any]] = []

    async def search(number: int) -> None:
        found.append(await store.search(SPACE, PARTITION, questions[number], top_k=10))

    half = [f"20000000-0000-4000-8000-{number:012x}" for number in range(0, RECORDS // 100, 2)]
    within = Compare("in", "document_id", half)
    before = psutil.Process().memory_info()
    times = await measured(search)
    filtered = await measured(lambda n: store.search(SPACE, PARTITION, questions[n], top_k=10, filter=within))
    rare = await measured(lambda n: store.full_text(SPACE, PARTITION, f"word{4000 + n} word{3000 + n}", top_k=10))
    common = await measured(lambda n: store.full_text(SPACE, PARTITION, f"word0 word1 word{4000 + n}", top_k=10))
    held_by_all = await measured(lambda n: store.full_text(SPACE, PARTITION, "word0", top_k=10))
    held_by_half = await measured(lambda n: store.full_text(SPACE, PARTITION, "word2", top_k=10))
    hybrid = await measured(lambda n: store.hybrid(SPACE, PARTITION, questions[n], f"word{4000 + n}", top_k=10))
    asked = await measured(lambda n: store.full_text(SPACE, PARTITION, question_in_words(n), top_k=10))
    both = await measured(lambda n: store.hybrid(SPACE, PARTITION, questions[n], question_in_words(n), top_k=10))
    after = psutil.Process().memory_info()
    await store.close()
    nearest, floor = full_pass(path, questions)
    recall = statistics.mean(
        len(near & {hit.id for hit in hits}) / 10 for near, hits in zip(nearest, found[1:], strict=True)
    )
    show(
        f"{RECORDS:,} records of {SPACE.dimension} dimensions in one partition, milliseconds",
        ("", "median", "p95", "CPU median", "CPU p95"),
        [
            row("search", times),
            row("search in half of the documents", filtered),
            row("full text, rare words", rare),
            row("full text, common words too", common),
            row("full text, a word that all hold", held_by_all),
            row("full text, a word that half hold", held_by_half),
            row("full text, a question of twelve words", asked),
            row("hybrid, a rare word", hybrid),
            row("hybrid, a question of twelve words", both),
            ("a full pass over the vectors", "", "", f"{floor:.1f}", ""),
        ],
    )
    size = path.stat().st_size / RECORDS
    cost = spent / RECORDS * 1e3
    print(f"Of the true ten nearest {recall:.1%} are found. A record costs {cost:.2f} ms of CPU and {size:.0f} bytes.")
    mapped = after.shared - before.shared
    print(f"Searching took {after.rss - before.rss - mapped >> 20} MB, and mapped {mapped >> 20} MB of the file.")
    assert recall >= 0.98
    assert statistics.median(times[1]) < floor / 2
    for _, cpu in (times, filtered, held_by_all, held_by_half, asked):
        assert percentile(cpu, 0.95) < SEARCH_BUDGET


async def test_the_host_adds_little_to_embedding_and_store(tmp_path: Path) -> None:
    models = FakeModels(infos={"words": ModelInfo(model="words", model_type=ModelType.TEXT_EMBEDDING, max_chunks=64)})
    async with opened(tmp_path) as (platform, workspace, owner):
        db, stores, storage = platform.db, platform.vectors, platform.storage
        log = platform.retrieval_log
        knowledge = Knowledge(db=db, tenant=workspace.tenant, storage=storage, stores=stores, models=models, log=log)
        new = NewDataset(
            name="b", indexing_technique="high_quality", embedding_model="words", embedding_model_provider="fake"
        )
        dataset = await knowledge.datasets.create(new, owner)
        indexer = Indexer(db, storage, stores, lambda tenant: models)
        rule = read_rule("custom", {"pre_processing_rules": [], "segmentation": {"separator": "\n", "max_tokens": 200}})
        for number in range(20):
            text = "\n".join(f"note {i} about wing{i % 37} and flow{i % 11} of {number}" for i in range(100))
            made = await knowledge.documents.create_by_text(
                dataset.id, DocumentText(name=f"d{number}", text=text), DocumentOptions(process_rule=rule), owner
            )
            await indexer.run(made.document.id)
        asker, retriever = Asker(user_id=owner), knowledge.retriever
        found = await measured(lambda n: retriever.compare(dataset.id, f"wing{n % 37} flow{n % 11}", [None]))
        noted = await measured(lambda n: retriever.retrieve(dataset.id, f"wing{n % 37} flow{n % 11}", asker))
        (detail,) = (await knowledge.datasets.find()).data
        assert detail.document_count == 20

        vector = (await models.embed("fake", "words", ["wing flow"], input_type="query")).vectors[0]
        index = await _index(db, dataset.id)
        store = await stores.open(index.store)

        async def bare(number: int) -> None:
            await models.embed("fake", "words", [f"wing{number % 37} flow{number % 11}"], input_type="query")
            await store.search(index.space, dataset.id, vector, top_k=4)

        alone = await measured(bare)
        ask = partial(retriever.retrieve, dataset.id, asker=asker)
        rounds = [
            (await spent(lambda n: ask(f"wing{n % 37} flow{n % 11}"), log.flush), await spent(bare)) for _ in range(3)
        ]
    show(
        "One question to a knowledge base of 2,000 segments, milliseconds",
        ("", "median", "p95", "CPU median", "CPU p95"),
        [
            row("through the host", found),
            row("and recorded with its hits", noted),
            row("embedding and store alone", alone),
        ],
    )
    # Other work on the machine only adds, so the least of three rounds is nearest to what the host costs.
    added = min(whole - store for whole, store in rounds)
    print(f"The host adds {added:.2f} ms of CPU to a retrieval; rounds: {rounds}")
    assert added < HOST_BUDGET


async def _index(db: Any, dataset_id: str) -> Any:
    import sqlalchemy as sa
    from dify_host.knowledge.records import IndexStruct
    from dify_host.knowledge.tables import datasets

    async with db.read() as conn:
        value = (await conn.execute(sa.select(datasets.c.index_struct).where(datasets.c.id == dataset_id))).scalar_one()
    return IndexStruct.read(value)
