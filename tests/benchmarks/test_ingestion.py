"""What indexing costs beside the embedding model: CPU a segment, alone and beside Haystack's in-memory ingest.

Ours is the whole way that a document takes in production: a row and a file, the job's turn, reading in a child process,
cleaning, cutting, rows of segments, the embedding cache, vectors and full text, the end of the document; all of it on
disk, in SQLite and the embedded store. The embedder gives the same vectors to both, at no cost worth counting.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
import resource
import sqlite3
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa
from dify_host.db.catalog import metadata
from dify_host.db.engine import Database
from dify_host.db.outbox import claim_batch, mark_sent
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.knowledge.chunk import chunk_texts
from dify_host.knowledge.datasets import NewDataset
from dify_host.knowledge.documents import DocumentOptions, DocumentText
from dify_host.knowledge.extract.extractor import Extractor
from dify_host.knowledge.indexing import Indexer
from dify_host.knowledge.rules import read_rule
from dify_host.knowledge.services import Knowledge
from dify_host.knowledge.tables import document_segments
from dify_host.knowledge.tasks import INDEX
from dify_host.knowledge.turns import TurnRunner
from dify_host.knowledge.vectors import VectorStores
from dify_kernel.contracts.lexical import text_terms
from dify_kernel.contracts.model import Embeddings, ModelInfo, ModelType, Usage
from dify_kernel.contracts.vector import Record, Space
from dify_kernel.registry import Registry
from dify_kernel.testing.fake_models import FakeModels
from dify_kernel.testing.memory_storage import MemoryStorage
from dify_kernel.testing.memory_vector import MemoryVectorStore

from .figures import environment, show

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600), pytest.mark.usefixtures("server_collector")]

DOCUMENTS, CHUNKS, WORDS, DIMENSION = 10, 100, 60, 384
ROUNDS = 6
# The other side keeps nothing: no row, no file, no state to go on from. What that costs must stay in proportion.
MOST_MS, LEAST_CUT, LEAST_IN_MEMORY, LEAST_WHOLE = 1.0, 5.0, 5.0, 0.3
RULE = read_rule("custom", {"segmentation": {"max_tokens": 1000, "separator": "\n\n"}, "pre_processing_rules": []})


BY_HAND = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    CREATE TABLE IF NOT EXISTS segments (id TEXT PRIMARY KEY, document INTEGER, position INTEGER, text TEXT, hash TEXT);
    CREATE TABLE IF NOT EXISTS embeddings (hash TEXT PRIMARY KEY ON CONFLICT IGNORE, vector BLOB);
    CREATE TABLE IF NOT EXISTS vectors (id TEXT PRIMARY KEY, vector BLOB);
    CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (text, content = '');
"""


class Vectors:
    """One vector a text, from a few that are made once."""

    def __init__(self) -> None:
        chance = random.Random(1)
        self._stock = [[chance.uniform(-1, 1) for _ in range(DIMENSION)] for _ in range(64)]

    def of(self, text: str) -> list[float]:
        """The vector of a text."""
        return self._stock[len(text) % 64]


class StockModels(FakeModels):
    """Embeds at no cost; `seconds` is what it took all the same."""

    def __init__(self, vectors: Vectors) -> None:
        info = ModelInfo(model="stock", model_type=ModelType.TEXT_EMBEDDING, max_chunks=64)
        super().__init__(infos={"stock": info})
        self._vectors = vectors

    async def embed(
        self, provider: str, model: str, texts: Sequence[str], *, input_type: str = "document"
    ) -> Embeddings:
        """Vectors from the stock."""
        return Embeddings(vectors=[self._vectors.of(text) for text in texts], usage=Usage())


def library(seed: int) -> list[str]:
    """Documents of paragraphs of sixty words; no paragraph is there twice."""
    chance = random.Random(seed)
    words = [hashlib.md5(str(n).encode(), usedforsecurity=False).hexdigest()[: 2 + n % 9] for n in range(5000)]
    return ["\n\n".join(" ".join(chance.choices(words, k=WORDS)) for _ in range(CHUNKS)) for _ in range(DOCUMENTS)]


def best_of(work: Callable[[Sequence[str]], int]) -> float:
    """CPU seconds a chunk, the best of several rounds; `work` says how many chunks it made."""
    best = float("inf")
    for number in range(ROUNDS):
        texts = library(number)
        began = cpu()
        count = work(texts)
        best = min(best, (cpu() - began) / count)
        assert count >= 0.98 * DOCUMENTS * CHUNKS  # a word of two paragraphs is one to the other side
    return best


def cpu() -> float:
    """CPU seconds of this process and of the children that it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


class Ours:
    """A workspace with a knowledge base, and the job that indexes."""

    def __init__(self, folder: Path, vectors: Vectors) -> None:
        self.db = Database(f"sqlite:///{folder / 'bench.db'}")
        self.tenant, self.user, self.storage = Tenant(new_id()), new_id(), MemoryStorage()
        file = {"SQLITE_VEC_PATH": str(folder / "vectors.db")}
        self.stores = stores = VectorStores.from_registry(Registry(), file, default="sqlite")
        models = StockModels(vectors)
        self.extractor = Extractor()
        self.knowledge = Knowledge(db=self.db, tenant=self.tenant, storage=self.storage, stores=stores, models=models)
        indexer = Indexer(self.db, self.storage, stores, lambda tenant: models, extractor=self.extractor)
        self.turns = TurnRunner(self.db, {INDEX: indexer.task})

    async def open(self) -> None:
        """Make the tables and the knowledge base."""
        engine = sa.create_engine(f"sqlite:///{self.db._url.database}")  # the tables at once, without the migrations
        metadata.create_all(engine)
        engine.dispose()
        await self.storage.open()
        model = {"embedding_model": "stock", "embedding_model_provider": "fake"}
        made = await self.knowledge.datasets.create(
            NewDataset(name="bench", indexing_technique="high_quality", **model), self.user
        )
        self.dataset_id = made.id

    async def ingest(self, texts: Sequence[str]) -> None:
        """Add the documents and bring them to their end."""
        options = DocumentOptions(indexing_technique="high_quality", process_rule=RULE)
        documents = self.knowledge.documents
        for at, text in enumerate(texts):
            await documents.create_by_text(self.dataset_id, DocumentText(name=f"{at}", text=text), options, self.user)
        while jobs := await claim_batch(self.db):
            await mark_sent(self.db, [job.id for job in jobs])
            for job in jobs:
                await self.turns.run(**job.args)

    async def count(self) -> int:
        """How many segments are completed."""
        done = sa.select(sa.func.count()).where(document_segments.c.status == "completed")
        async with self.db.read() as conn:
            return int((await conn.execute(done)).scalar_one())


async def our_cost(folder: Path, vectors: Vectors) -> float:
    """CPU seconds a segment, the best of several rounds."""
    ours = Ours(folder, vectors)
    await ours.open()
    await ours.ingest(library(99))  # what is loaded once is not counted
    best = float("inf")
    for number in range(ROUNDS):
        texts = library(number)
        began = cpu()
        await ours.ingest(texts)
        best = min(best, (cpu() - began) / (DOCUMENTS * CHUNKS))
    assert await ours.count() == (ROUNDS + 1) * DOCUMENTS * CHUNKS
    await ours.stores.close()
    await ours.db.close()
    return best


def test_a_segment_costs_less_than_a_millisecond(tmp_path: Path) -> None:
    ours = asyncio.run(our_cost(tmp_path, Vectors()))
    show(
        "1,000 segments of 60 words, without the embedding call",
        ("", "ms CPU a segment"),
        [("ours", f"{ours * 1000:.3f}")],
    )
    assert ours * 1000 < MOST_MS


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """CPU seconds a chunk of the other side, in an environment of its own: it brings clients that we do without."""
    folder = tmp_path_factory.mktemp("haystack")
    python = folder / "venv" / "bin" / "python"
    subprocess.run(["uv", "venv", "-q", "--python", sys.executable, folder / "venv"], check=True)
    subprocess.run(["uv", "pip", "install", "-q", "--python", python, "haystack-ai>=2.18,<3"], check=True)
    texts = folder / "texts.json"
    texts.write_text(json.dumps([library(number) for number in range(ROUNDS)]))
    script = Path(__file__).with_name("haystack_ingest.py")
    command = [str(python), str(script), str(texts), str(WORDS), str(DIMENSION)]
    done = subprocess.run(command, env=environment(HAYSTACK_TELEMETRY_ENABLED="False"), check=True, capture_output=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def compare(title: str, other: float, ours: float, least: float, floors: Sequence[tuple[str, float]] = ()) -> None:
    """Print both and hold ours to a part of the other's rate."""
    costs = (("Haystack", other), ("ours", ours), *floors)
    rows = [(name, f"{cost * 1000:.4f}", f"{1 / cost:,.0f}") for name, cost in costs]
    show(title, ("", "ms CPU a chunk", "chunks a CPU second"), rows)
    assert other / ours >= least, f"{other / ours:.2f} times the chunks of Haystack a CPU second"


def test_cutting_beside_haystack(theirs: dict[str, float]) -> None:
    ours = best_of(lambda texts: len(chunk_texts(texts, RULE, "text_model")))
    compare("1,000 chunks of 60 words, cut", theirs["cut"], ours, LEAST_CUT)


def in_memory(texts: Sequence[str], vectors: Vectors) -> int:
    """What the other side does and no more: cut, put vectors on, count words, keep in memory. How many chunks."""
    space, kept = Space(name="bench", dimension=DIMENSION), MemoryVectorStore()
    words: list[Counter[str]] = []

    async def ingest() -> int:
        await kept.open()
        await kept.create(space)
        records = [
            Record(id=new_id(), text=chunk.content, vector=vectors.of(chunk.content), metadata={"at": at})
            for at, chunk in enumerate(chunk_texts(texts, RULE, "text_model"))
        ]
        await kept.upsert(space, "bench", records)
        words.extend(Counter(text_terms(record.text)) for record in records)
        return len(words)

    return asyncio.run(ingest())


def test_the_same_work_in_memory_beside_haystack(theirs: dict[str, float]) -> None:
    vectors = Vectors()
    ours = best_of(lambda texts: in_memory(texts, vectors))
    compare("1,000 chunks of 60 words, cut, embedded and kept in memory", theirs["whole"], ours, LEAST_IN_MEMORY)


def test_the_whole_way_beside_haystack_in_memory(tmp_path: Path, theirs: dict[str, float]) -> None:
    vectors = Vectors()
    ours = asyncio.run(our_cost(tmp_path, vectors))
    with contextlib.closing(sqlite3.connect(tmp_path / "by_hand.db")) as db:
        floor = best_of(lambda texts: by_hand(db, texts, vectors))
    title = "1,000 chunks of 60 words, cut, embedded and kept (Haystack in memory, ours on disk with its states)"
    floors = [("the same rows, vectors and words in SQLite by hand", floor)]
    compare(title, theirs["whole"], ours, LEAST_WHOLE, floors)


def by_hand(db: sqlite3.Connection, texts: Sequence[str], vectors: Vectors) -> int:
    """The least that keeping costs: no account, no file, no state to go on from. How many chunks."""
    db.executescript(BY_HAND)
    chunks = 0
    for document, text in enumerate(texts):
        rows = []
        for position, chunk in enumerate(text.split("\n\n")):
            digest, vector = (
                hashlib.sha256(chunk.encode()).hexdigest(),
                struct.pack(f"{DIMENSION}f", *vectors.of(chunk)),
            )
            rows.append((new_id(), document, position, chunk, digest, vector))
        with db:
            db.executemany("INSERT INTO segments VALUES (?, ?, ?, ?, ?)", [row[:5] for row in rows])
            db.executemany("INSERT INTO embeddings VALUES (?, ?)", [row[4:] for row in rows])
        with db:
            db.executemany("INSERT INTO vectors VALUES (?, ?)", [(row[0], row[5]) for row in rows])
            db.executemany("INSERT INTO words (text) VALUES (?)", [(row[3],) for row in rows])
        chunks += len(rows)
    return chunks
