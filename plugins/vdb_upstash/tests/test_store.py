"""What the contract does not cover: what is asked of the service, its refusals, and how a space fits an index."""

import json
import subprocess
import sys

import httpx
import pytest
from dify_kernel.contracts.vector import Compare, Record, Space
from dify_kernel.errors import (
    InvalidQuery,
    SettingsError,
    StoreRateLimited,
    StoreUnauthorized,
    StoreUnavailable,
    VectorStoreError,
)
from dify_kernel.settings import Secret, describe_settings, load_settings
from dify_kernel.testing.loopback import json_answer, loopback
from dify_kernel.testing.vector.data import SPACE, P, X, at_angle, everything, id_of, record, seed
from dify_vdb_upstash import UpstashSettings, UpstashVectorStore
from dify_vdb_upstash.records import BYTES, RECORDS, batches, metadata_of, to_item, to_record

PREFIX = "UPSTASH_VECTOR_"
INDEX = {"result": {"dimension": 8, "similarityFunction": "COSINE"}}


@pytest.fixture
def answering():
    """An HTTP server that answers everything with `answer` and keeps what it was asked."""
    with loopback(json_answer(200, INDEX)) as server:
        yield server


def store_of(answering):
    env = {"UPSTASH_VECTOR_URL": f"{answering.url}/", "UPSTASH_VECTOR_TOKEN": "hush"}
    return UpstashVectorStore(load_settings(UpstashSettings, env, prefix=PREFIX))


@pytest.mark.parametrize(
    ("status", "error", "retryable"),
    [
        (400, InvalidQuery, False),
        (401, StoreUnauthorized, False),
        (403, StoreUnauthorized, False),
        (404, VectorStoreError, False),
        (422, InvalidQuery, False),
        (429, StoreRateLimited, True),
        (500, StoreUnavailable, True),
        (503, StoreUnavailable, True),
    ],
)
async def test_statuses_become_the_contracts_errors(answering, status, error, retryable):
    store = store_of(answering)
    await store.open()
    answering.answer = json_answer(status, {"error": "the reason", "status": status})
    for call in (store.search(SPACE, P, X), store.create(SPACE), store.upsert(SPACE, P, [record(1)])):
        with pytest.raises(error) as caught:
            await call
        assert caught.value.retryable is retryable
        assert "hush" not in str(caught.value) + repr(store._settings)
    await store.close()


@pytest.mark.parametrize("content", [b"<html>", b"", b"[]", b'{"error": "no", "status": 200}'])
async def test_an_answer_of_another_kind_is_an_error(answering, content):
    store = store_of(answering)
    answering.answer = (200, {}, content)
    with pytest.raises(VectorStoreError):
        await store.open()


@pytest.mark.parametrize("info", [{"dimension": 0}, {"dimension": 8, "sparseIndex": {"embeddingModel": "BM25"}}])
async def test_an_index_that_is_not_dense_is_told(answering, info):
    answering.answer = json_answer(200, {"result": info})
    with pytest.raises(VectorStoreError, match="not dense"):
        await store_of(answering).open()


async def test_requests_name_who_asks(answering):
    store = store_of(answering)
    await store.open()
    await store.close()
    asked = answering.asked[0]
    assert (asked.method, asked.path) == ("POST", "/info")
    assert (asked.headers["authorization"], asked.body) == ("Bearer hush", b"")
    assert not [name for name in asked.headers if "telemetry" in name]


async def test_a_space_longer_than_the_index_is_refused(store):
    with pytest.raises(InvalidQuery) as caught:
        await store.create(Space("suite_six", 13))
    assert caught.value.hint is not None
    await store.create(Space("suite_six", 12))


async def test_what_the_service_loses_late_is_not_found(store):
    """A query still has deleted records, and the old vectors of replaced ones, when it is asked at once."""
    await seed(store, *[record(i, vector=at_angle(10 * i)) for i in range(6)])
    await store.delete(SPACE, P, ids=[id_of(0), id_of(1)])
    assert [hit.id for hit in await store.search(SPACE, P, X, top_k=2)] == [id_of(2), id_of(3)]
    await store.upsert(SPACE, P, [record(2, vector=at_angle(90))])
    assert [hit.id for hit in await store.search(SPACE, P, X, top_k=2)] == [id_of(3), id_of(4)]


async def test_metadata_too_large_for_the_service_is_kept_and_filtered(store):
    many = {f"field_{i:04}": i for i in range(1500)}
    await seed(store, record("large", text="line\nline", **many), *[record(i, field_0000=7) for i in range(3)])
    (stored,) = await store.get(SPACE, P, [id_of("large")])
    assert (stored.text, stored.metadata) == ("line\nline", many)
    wanted = Compare("eq", "field_1499", 1499)
    assert [hit.id for hit in await store.search(SPACE, P, X, top_k=1, filter=wanted)] == [id_of("large")]
    assert await store.count(SPACE, P, filter=wanted) == 1
    assert await store.count(SPACE, P, filter=Compare("eq", "field_0000", 7)) == 3


async def test_ids_that_begin_alike_are_scanned(store):
    """Beginnings get longer until each of them fits in an answer."""
    ids = [f"00000000-0000-4000-8000-{number:012x}" for number in range(1_100)]
    await store.create(SPACE)
    await store.upsert(SPACE, P, [Record(id=id, text="", vector=X) for id in ids])
    assert [item.id for item in await everything(store, limit=300)] == ids
    assert await store.count(SPACE, P) == len(ids)


def test_items():
    written = record(1, text="a\nb", page=2)
    item = to_item(written, 8, "now")
    assert item["vector"][6:] == [0.0, 0.0]
    assert metadata_of(item) == {"page": 2}
    assert to_record(SPACE, item).text == "a\nb"
    assert to_record(SPACE, {name: item[name] for name in ("id", "vector", "metadata")}).text == ""


def test_a_request_is_bounded():
    small, large = record(1), record(2, text="x" * (BYTES // 3 + 1))
    assert [len(batch) for batch in batches([small] * (RECORDS + 1))] == [RECORDS, 1]
    assert [len(batch) for batch in batches([large] * 2)] == [1, 1]
    assert list(batches([])) == []


async def test_the_index_for_tests_is_strict(settings):
    """What is not documented is refused, so that the suite would notice when it is asked."""
    vector = [1.0] + [0.0] * 11
    url, right = settings.url, {"Authorization": f"Bearer {settings.token.reveal()}"}
    refused = [
        (401, "info", None, {}),
        (404, "upsurt/ns", [], right),
        (404, "delete-namespace/none", None, right),
        (400, "info", {}, right),
        (400, "upsert/ns", [{"id": "1", "vector": vector, "text": "x"}], right),
        (400, "upsert/ns", [{"id": 1, "vector": vector}], right),
        (400, "upsert/ns", [{"id": "1", "vector": vector, "metadata": {"x": "y" * 50_000}}], right),
        (400, "upsert/ns", [{"id": "1", "vector": [0.0] * 12}], right),
        (422, "upsert/ns", [{"id": "1", "vector": [1.0]}], right),
        (400, "query/ns", {"vector": vector, "topK": 1_001}, right),
        (400, "query/ns", {"vector": vector, "top_k": 1}, right),
        (400, "query/ns", {"vector": vector, "filter": "f.a LIKE 'x'"}, right),
        (400, "query/ns", {"vector": vector, "filter": "f.a IN ()"}, right),
        (400, "query/ns", {"vector": vector, "filter": "a = 'x' or"}, right),
        (400, "range/ns", {"cursor": "", "limit": 0}, right),
        (400, "fetch/ns", {"ids": []}, right),
        (400, "delete/ns", ["1"], right),
    ]
    async with httpx.AsyncClient(trust_env=False) as client:
        for status, path, body, headers in refused:
            content = None if body is None else json.dumps(body)
            answer = await client.post(f"{url}/{path}", content=content, headers=headers)
            assert (answer.status_code, answer.json()["status"]) == (status, status), (path, body)


async def test_a_missing_address_is_a_setting_to_correct():
    with pytest.raises(SettingsError, match="UPSTASH_VECTOR_URL"):
        await UpstashVectorStore(UpstashSettings(token=Secret("hush"))).open()


def test_settings():
    assert all(info.description for info in describe_settings(UpstashSettings, prefix=PREFIX))


def test_importing_loads_no_client():
    script = "import sys, dify_vdb_upstash.plugin\nassert not {'httpx', 'upstash_vector'} & set(sys.modules)\n"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_registry_builds_it():
    from dify_kernel.registry import Registry

    assert isinstance(Registry().get("vdb", "upstash").build({}), UpstashVectorStore)
