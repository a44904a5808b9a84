"""What the contract does not cover: several processes, kill -9, the file itself, and the layout."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import apsw
import pytest
from dify_kernel.contracts.vector import Compare, Record, Space
from dify_kernel.errors import InvalidQuery, StoreUnavailable, VectorStoreError
from dify_kernel.settings import describe_settings, load_settings
from dify_kernel.testing.vector.data import SPACE, P, X, at_angle, id_of, record, seed
from dify_vdb_sqlite import SqliteVectorSettings, SqliteVectorStore
from dify_vdb_sqlite.words import MAX_TERMS, to_phrases, to_words

SHARED = Space("shared", 4)


def writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    script = Path(__file__).with_name("writer.py")
    return subprocess.Popen(
        [sys.executable, str(script), str(path), name, str(count)], stdout=subprocess.PIPE, text=True
    )


def inside(path: Path, query: str) -> int:
    db = apsw.Connection(str(path))
    try:
        return db.execute(query).fetchall()[0][0]
    finally:
        db.close()


async def opened(path: Path) -> SqliteVectorStore:
    store = SqliteVectorStore(SqliteVectorSettings(sqlite_vec_path=str(path)))
    await store.open()
    return store


async def all_ids(store: SqliteVectorStore) -> set[str]:
    return {item.id for item in (await store.scan(SHARED, "p", limit=100_000)).records}


async def test_processes_write_one_new_file_at_once(tmp_path):
    path = tmp_path / "new" / "vectors.db"
    writers = [writer(path, name, 60) for name in ("api", "worker", "other")]
    outputs = [await asyncio.to_thread(process.communicate) for process in writers]
    assert [process.returncode for process in writers] == [0, 0, 0]
    store = await opened(path)
    written = {id for out, _ in outputs for id in out.split()}
    assert len(written) == 180
    assert await all_ids(store) == written
    assert len(await store.full_text(SHARED, "p", "worker", top_k=500)) == 60
    assert len(await store.search(SHARED, "p", [1.0, 0, 0, 0], top_k=500)) == 180
    await store.close()


async def test_a_killed_writer_loses_nothing_it_reported(tmp_path):
    path = tmp_path / "vectors.db"
    process = writer(path, "victim", 1_000_000)
    reported = [await asyncio.to_thread(process.stdout.readline) for _ in range(25)]
    process.send_signal(signal.SIGKILL)
    rest, _ = await asyncio.to_thread(process.communicate)
    reported += [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    store = await opened(path)
    found = await all_ids(store)
    assert {line.strip() for line in reported} <= found
    assert len(found) - len(reported) in (0, 1), "a write without a report is at most the last one"
    assert len(await store.full_text(SHARED, "p", "victim", top_k=100_000)) == len(found)
    await store.upsert(SHARED, "p", [Record(id=id_of("after"), text="after", vector=[1.0, 2, 3, 4])])
    assert len(await all_ids(store)) == len(found) + 1
    await store.close()
    assert inside(path, "PRAGMA integrity_check") == "ok"


async def test_another_object_sees_every_write_at_once(store, settings):
    await seed(store, record(1))
    other = await opened(settings.path)
    assert await other.count(SPACE, P) == 1
    await other.upsert(SPACE, P, [record(1, text="replaced"), record(2)])
    assert [item.text for item in await store.get(SPACE, P, [id_of(1), id_of(2)])] == ["replaced", "text of 2"]
    await other.drop(SPACE)
    assert await store.count(SPACE, P) == 0
    await other.close()


async def test_partitions_are_rows_not_tables(store, settings):
    await store.create(SPACE)
    for i in range(300):
        await store.upsert(SPACE, f"knowledge base {i}", [record(i)])
    assert inside(settings.path, "SELECT count(*) FROM partitions") == 300
    assert inside(settings.path, "SELECT count(*) FROM sqlite_schema WHERE type = 'table'") < 13


async def test_deleting_leaves_nothing_behind(store, settings):
    await seed(store, *[record(i, page=i) for i in range(5000)])
    await store.delete(SPACE, P, filter=Compare("lt", "page", 4500))
    assert await store.count(SPACE, P) == 500
    await store.drop(SPACE)
    await store.close()
    for table in ("vectors", "facts", "codes", "texts", "terms", "partitions", "spaces"):
        assert inside(settings.path, f"SELECT count(*) FROM {table}") == 0, table


async def test_a_cancelled_write_is_whole_or_absent(store):
    await store.create(SPACE)
    task = asyncio.create_task(store.upsert(SPACE, P, [record(i) for i in range(2000)]))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await store.upsert(SPACE, P, [record("after")])  # waits for the file's write lock, so the other has ended
    assert await store.count(SPACE, P) in (1, 2001)


async def test_closing_while_calls_run(store):
    await seed(store, *[record(i) for i in range(500)])
    calls = [asyncio.create_task(store.search(SPACE, P, X, top_k=500)) for _ in range(8)]
    await asyncio.sleep(0)
    await store.close()
    for result in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(result, StoreUnavailable) or len(result) == 500
    await store.open()
    assert await store.count(SPACE, P) == 500


async def test_many_partitions_are_dropped_in_one_go(store):
    await store.create(SPACE)
    for i in range(200):
        await store.upsert(SPACE, f"knowledge base {i}", [record(f"{i} {j}") for j in range(12)])
    await store.drop(SPACE)
    assert await store.count(SPACE, "knowledge base 7") == 0


async def test_a_space_of_another_dimension_is_refused(store):
    await seed(store, record(1))
    other = Space(SPACE.name, 7)
    for call in (
        store.search(other, P, [1.0] * 7),
        store.upsert(other, P, [record(2, dimension=7)]),
        store.count(other, P),
    ):
        with pytest.raises(InvalidQuery, match="dimension 6, not 7"):
            await call


async def test_a_file_of_somebody_else(tmp_path):
    path = tmp_path / "vectors.db"
    db = apsw.Connection(str(path))
    db.execute("CREATE TABLE spaces (other)")
    db.close()
    store = await opened(path)
    with pytest.raises(VectorStoreError, match="refused a statement") as caught:
        await store.create(SPACE)
    assert caught.value.retryable is False
    await store.close()


async def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / "vectors.db"
    path.write_bytes(b"not a database at all" * 500)
    with pytest.raises(VectorStoreError, match="not a usable SQLite file") as caught:
        await opened(path)
    assert caught.value.retryable is False


async def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnavailable, match="SQLITE_VEC_PATH"):
        await opened(tmp_path / "file" / "vectors.db")
    with pytest.raises(StoreUnavailable, match="SQLITE_VEC_PATH"):
        await opened(tmp_path)


async def test_scores_hold_in_many_dimensions(store):
    space = Space("wide", 1536)
    await store.create(space)
    vectors = [[((i * 7919 + j * 104729) % 1009 - 504) / 504 for j in range(1536)] for i in range(20)]
    await store.upsert(space, P, [Record(id=id_of(i), text="", vector=v) for i, v in enumerate(vectors)])
    for i, vector in enumerate(vectors):
        (hit,) = await store.search(space, P, vector, top_k=1)
        assert (hit.id, hit.score) == (id_of(i), pytest.approx(1.0, abs=1e-5))


@pytest.mark.parametrize("scale", [1e-300, 1e-20, 1e-9, 1.0, 1e9, 1e20, 1e300])
async def test_vectors_of_any_length_are_kept_with_length_1(store, scale):
    space = Space("wide", 384)
    await store.create(space)
    vectors = [[((i * 7919 + j * 104729) % 1009 - 504) * scale for j in range(384)] for i in range(3)]
    await store.upsert(space, P, [Record(id=id_of(i), text="", vector=v) for i, v in enumerate(vectors)])
    for kept in (await store.scan(space, P)).records:
        assert sum(number * number for number in kept.vector) == pytest.approx(1.0, abs=1e-5)
    (hit,) = await store.search(space, P, vectors[1], top_k=1)
    assert (hit.id, hit.score) == (id_of(1), pytest.approx(1.0, abs=1e-5))


async def test_words_match_in_their_partition_and_run_only(store):
    await seed(store, record(1, text="知。识 then 天 气"), record(2, text="知识", vector=at_angle(5)))
    assert [hit.id for hit in await store.full_text(SPACE, P, "知识")] == [id_of(2)]
    assert await store.full_text(SPACE, P, "天气") == []
    assert [hit.id for hit in await store.full_text(SPACE, P, "天")] == [id_of(1)]


async def test_what_others_keep_does_not_change_a_ranking(store):
    """Beside many strangers a word of every record must not look rare."""
    await store.create(SPACE)
    mine = [record(i, text=f"the the the note{i}") for i in range(20)] + [record("x", text="wing of a craft " * 3)]
    await store.upsert(SPACE, P, mine)
    before = await store.full_text(SPACE, P, "the wing", top_k=30)
    assert before[0].id == id_of("x")
    for kb in range(3):
        await store.upsert(SPACE, f"stranger {kb}", [record(f"{kb} {i}", text="word " * 13) for i in range(1000)])
    after = await store.full_text(SPACE, P, "the wing", top_k=30)
    assert after[0].id == id_of("x")
    assert {hit.id for hit in after} == {hit.id for hit in before}
    assert after[0].score / after[1].score == pytest.approx(before[0].score / before[1].score, rel=0.25)


async def test_words_that_most_records_hold_fill_up_what_rarer_ones_leave(store):
    await store.create(SPACE)
    await store.upsert(SPACE, P, [record(i, text=f"the note{i % 600}", page=i) for i in range(1200)])
    hits = await store.full_text(SPACE, P, "the note7", top_k=5)
    assert {hit.metadata["page"] for hit in hits[:2]} == {7, 607}
    assert len(hits) == 5
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert len(await store.full_text(SPACE, P, "the", top_k=2000)) == 1200
    assert len(await store.full_text(SPACE, P, "the", top_k=2000, filter=Compare("lt", "page", 30))) == 30


@pytest.mark.parametrize(
    ("query", "match"),
    [
        ("", ""),
        ('" OR *', '"7zor"'),
        ("Cat cat DOG", '"7zcat" OR "7zdog"'),
        ("知识库", '"7z知 7z识" OR "7z识 7z库"'),
        ("库 a", '"7z库" OR "7za"'),
        ("a" * 65, f'"7z{"a" * 65}"'),
    ],
)
def test_to_phrases(query, match):
    assert " OR ".join(to_phrases(7, query)) == match


def test_to_words():
    assert to_words(7, "Cat, 知识。库") == "7zcat 7z知 7z识 7z 7z库 7z"
    assert len(to_phrases(7, " ".join(f"w{i}" for i in range(1000)))) == MAX_TERMS


def test_settings(tmp_path):
    assert load_settings(SqliteVectorSettings, {}).path == Path(".dify/vectors.db")
    assert load_settings(SqliteVectorSettings, {"DIFY_DATA": "/d"}).path == Path("/d/vectors.db")
    assert load_settings(SqliteVectorSettings, {"SQLITE_VEC_PATH": "/x/y.db"}).path == Path("/x/y.db")
    assert all(info.description for info in describe_settings(SqliteVectorSettings))


def test_importing_loads_no_engine():
    script = "import sys, dify_vdb_sqlite.plugin\nassert not {'apsw', 'sqlite_vec'} & set(sys.modules)\n"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_registry_builds_it(tmp_path):
    from dify_kernel.registry import Registry

    backend = Registry().get("vdb", "sqlite")
    assert isinstance(backend.build({"DIFY_DATA": str(tmp_path)}), SqliteVectorStore)
