"""What the contract does not cover: messages, settings, old servers, long answers, and what the server refuses."""

import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from dify_kernel.contracts.vector import Compare, Exists, Not
from dify_kernel.contracts.vector_rules import cosine
from dify_kernel.errors import (
    InvalidQuery,
    SettingsError,
    StoreRateLimited,
    StoreUnauthorized,
    StoreUnavailable,
    VectorStoreError,
)
from dify_kernel.registry import Registry
from dify_kernel.settings import Secret, load_settings
from dify_kernel.testing.vector.data import NASTY, SPACE, P, X, everything, id_of, record, same, score_is, seed
from dify_vdb_weaviate import WeaviateSettings, WeaviateVectorStore
from dify_vdb_weaviate.client import Client
from dify_vdb_weaviate.faults import Unimplemented, of_code, of_status
from dify_vdb_weaviate.messages import FIELDS, METHODS, load
from dify_vdb_weaviate.objects import collection_of, name_of, packed, tenant_of, to_object

# -- messages ---------------------------------------------------------------------------------------------------------


def test_the_messages_are_the_published_ones(beside):
    messages, enums = beside("weaviate_messages").published()
    for name, fields in FIELDS.items():
        known = {field.name: field for field in messages[name]}
        for field, (number, kind) in fields.items():
            there = known[field]
            wanted = "int32" if there.kind.startswith("enum ") else there.kind
            assert (number, kind) == (there.number, ("repeated " if there.repeated else "") + wanted), f"{name}.{field}"
    operators = enums["Filters.Operator"]
    said = ("EQUAL", "NOT_EQUAL", "AND", "OR", "CONTAINS_ANY")
    assert [operators[f"OPERATOR_{name}"] for name in said] == [1, 2, 7, 8, 12]


def test_a_message_is_read_as_the_published_one(beside):
    published = beside("weaviate_messages")
    classes = published.classes()
    sent, answered = METHODS["BatchObjects"]
    object = to_object(SPACE, P, record(1, text="知识库", page=2, tags=["a"]))
    read = classes[sent].FromString(load()[sent](objects=[object]).SerializeToString())
    assert not published.has_unknown(read)
    (only,) = read.objects
    assert (only.uuid, only.collection, only.tenant) == (id_of(1), name_of(SPACE), tenant_of(P))
    texts = {entry.key: entry.value.string_value for entry in only.properties.non_ref_properties.fields}
    assert texts == {
        "partition": P,
        "text": "知识库",
        "metadata": '{"page":2,"tags":["a"]}',
        "words": "知 识 库 知识 识库",
    }
    assert only.vector_bytes == packed(record(1).vector)
    written = classes[answered](took=1.5, errors=[{"index": 1, "error": "no"}]).SerializeToString()
    assert [(each.index, each.error) for each in load()[answered].FromString(written).errors] == [(1, "no")]


def test_names_are_ones_that_the_server_takes(beside):
    engine = beside("weaviate_engine")
    engine.check_collection(collection_of(SPACE))
    assert engine.CLASS.fullmatch(name_of(SPACE))
    names = [tenant_of(name) for name in (*NASTY, P, P.upper())]
    assert all(engine.TENANT.fullmatch(name) for name in names)
    assert len(set(names)) == len(names)


# -- the server refuses -----------------------------------------------------------------------------------------------


async def test_what_the_server_refuses_is_told(store, server, settings):
    await seed(store, record(1))
    client = store._opened
    place = {"collection": name_of(SPACE), "tenant": tenant_of(P)}
    flags = {"uses_123_api": True, "uses_125_api": True, "uses_127_api": True}
    wrong = [
        ("Search", {**place, **flags, "near_vector": {"vector_bytes": packed([1.0, 2.0])}}, "vector lengths"),
        ("Search", {**place, **flags, "limit": 10_001}, "maximum results"),
        ("Search", {**flags, "collection": name_of(SPACE)}, "without tenant"),
        ("Search", {**place, **flags, "properties": {"non_ref_properties": ["none"]}}, "no such prop"),
        ("Search", {**place, **flags, "bm25_search": {"query": "a", "properties": ["text"]}}, "inverted index"),
        ("BatchDelete", place, "no filters"),
    ]
    for method, fields, reason in wrong:
        with pytest.raises(VectorStoreError, match=reason):
            await client.call(method, fields)
    stranger = Client(settings(server, "other"))
    with pytest.raises(StoreUnauthorized, match="UNAUTHENTICATED"):
        await stranger.call("Aggregate", {**place, "objects_count": True})
    await stranger.close()


async def test_a_collection_of_somebody_else_is_not_taken_for_a_space(store):
    await store._opened.create({**collection_of(SPACE), "description": "mine"})
    with pytest.raises(InvalidQuery, match="not made by this store"):
        await store.create(SPACE)
    with pytest.raises(InvalidQuery, match="not made by this store"):
        await store.upsert(SPACE, P, [record(1)])


async def test_a_write_to_a_dropped_space_leaves_no_wrong_collection(store):
    with pytest.raises(InvalidQuery, match="not created"):
        await store.upsert(SPACE, P, [record(1)])
    assert await store._opened.find(name_of(SPACE)) is None


async def test_the_opposite_of_a_filter_does_not_count_what_is_gone(store):
    await seed(store, *[record(i, page=i) for i in range(6)])
    await store.delete(SPACE, P, ids=[id_of(0), id_of(1)])
    assert await store.count(SPACE, P, filter=Not(Compare("eq", "page", 2))) == 3
    assert await store.count(SPACE, P, filter=Not(Exists("missing"))) == 4


async def test_the_true_name_of_a_partition_is_kept(store):
    await seed(store, record(1), partition="知识库 / 1")
    results = await store._search(SPACE, "知识库 / 1", {"limit": 1}, ("partition",), None)
    (entry,) = results[0].properties.non_ref_props.fields
    assert (entry.key, entry.value.text_value) == ("partition", "知识库 / 1")


# -- long answers, many batches, old servers ---------------------------------------------------------------------------


async def test_long_texts_are_written_and_read_in_messages_that_are_short_enough(store):
    written = {id_of(i): record(i, text="word " * 52_000, page=i) for i in range(60)}  # 15 MB, 30 with the words
    await seed(store, *written.values())
    stored = await everything(store, limit=1000)
    assert len(stored) == 60
    assert all(same(item, written[item.id]) for item in stored)
    assert len(await store.get(SPACE, P, list(written))) == 60
    hits = await store.search(SPACE, P, X, top_k=60)
    assert [hit.score for hit in hits] == [score_is(cosine(X, written[hit.id].vector)) for hit in hits]
    assert all(hit.text == written[hit.id].text for hit in hits)
    assert len(await store.full_text(SPACE, P, "word", top_k=60, filter=Compare("ge", "page", 30))) == 30


async def test_the_setting_says_how_many_records_a_batch_has(server, store, settings):
    small = WeaviateVectorStore(settings(server, batch_size=7))
    await small.open()
    batches = list(small._batches(small._opened, SPACE, P, [record(i) for i in range(20)]))
    assert [len(batch) for batch in batches] == [7, 7, 6]
    await seed(small, *[record(i) for i in range(20)])
    assert await store.count(SPACE, P) == 20
    await small.close()


@pytest.fixture
async def aged(old, settings) -> AsyncIterator[WeaviateVectorStore]:
    store = WeaviateVectorStore(settings(old, key=""))
    await store.open()
    yield store
    await store.close()


async def test_an_old_server_is_counted_by_reading(aged):
    await seed(aged, *[record(i, page=i) for i in range(30)])
    assert await aged.count(SPACE, P) == 30
    assert await aged.count(SPACE, P, filter=Not(Compare("eq", "page", 3))) == 29
    assert await aged.count(SPACE, P, filter=Compare("ge", "page", 20)) == 10
    assert await aged.count(SPACE, "other") == 0
    assert len(await aged.search(SPACE, P, X, top_k=50)) == 30


# -- settings and errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "grpc", "places"),
    [
        ("http://weaviate:8080", "", ("http://weaviate:8080", "weaviate:50051", False)),
        ("weaviate:8080", "", ("http://weaviate:8080", "weaviate:50051", False)),
        ("https://a.example", "", ("https://a.example", "a.example:443", True)),
        ("https://a.example/w/", "grpc-a.example", ("https://a.example/w", "grpc-a.example:443", True)),
        ("http://w:80", "grpc://other:50052", ("http://w:80", "other:50052", False)),
        ("http://w:80", "grpcs://other", ("http://w:80", "other:443", True)),
        ("http://[::1]:8080", "[::1]:9", ("http://[::1]:8080", "[::1]:9", False)),
    ],
)
def test_places(endpoint, grpc, places):
    found = WeaviateSettings(endpoint=endpoint, grpc_endpoint=grpc).places()
    assert (found.rest, found.grpc, found.secure) == places


@pytest.mark.parametrize(
    ("endpoint", "grpc", "named"),
    [
        ("", "", "WEAVIATE_ENDPOINT"),
        ("ftp://w", "", "WEAVIATE_ENDPOINT"),
        ("http://w:port", "", "WEAVIATE_ENDPOINT"),
        ("http://", "", "WEAVIATE_ENDPOINT"),
        ("http://w", "tcp://w:1", "WEAVIATE_GRPC_ENDPOINT"),
    ],
)
async def test_an_address_that_is_none_is_told(endpoint, grpc, named):
    with pytest.raises(SettingsError, match=named):
        await WeaviateVectorStore(WeaviateSettings(endpoint=endpoint, grpc_endpoint=grpc)).open()


async def test_a_grpc_interface_that_is_not_there_is_told(server, settings):
    store = WeaviateVectorStore(settings(server, grpc_endpoint="127.0.0.1:9"))
    await store.open()
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:9") as told:
        await store.count(SPACE, P)
    assert "WEAVIATE_GRPC_ENDPOINT" in str(told.value.hint)
    await store.close()


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (of_status("w", 401, ""), StoreUnauthorized),
        (of_status("w", 403, ""), StoreUnauthorized),
        (of_status("w", 429, ""), StoreRateLimited),
        (of_status("w", 422, ""), InvalidQuery),
        (of_status("w", 503, ""), StoreUnavailable),
        (of_status("w", 302, ""), VectorStoreError),
        (of_code("w", "UNAUTHENTICATED", ""), StoreUnauthorized),
        (of_code("w", "PERMISSION_DENIED", ""), StoreUnauthorized),
        (of_code("w", "RESOURCE_EXHAUSTED", ""), StoreRateLimited),
        (of_code("w", "DEADLINE_EXCEEDED", ""), StoreUnavailable),
        (of_code("w", "INVALID_ARGUMENT", ""), InvalidQuery),
        (of_code("w", "UNIMPLEMENTED", ""), Unimplemented),
        (of_code("w", "UNKNOWN", ""), VectorStoreError),
    ],
)
def test_faults(fault, kind):
    assert type(fault) is kind


def test_settings_are_the_references():
    settings = load_settings(WeaviateSettings, {}, prefix="WEAVIATE_")
    assert (settings.endpoint, settings.api_key, settings.grpc_endpoint) == ("", Secret(), "")
    assert (settings.grpc_enabled, settings.batch_size, settings.tokenization) == (True, 100, "word")
    env = {"WEAVIATE_ENDPOINT": "http://w:8080", "WEAVIATE_BATCH_SIZE": "5", "WEAVIATE_GRPC_ENABLED": "false"}
    settings = load_settings(WeaviateSettings, env, prefix="WEAVIATE_")
    assert (settings.endpoint, settings.batch_size, settings.grpc_enabled) == ("http://w:8080", 5, False)
    with pytest.raises(SettingsError, match="WEAVIATE_BATCH_SIZE"):
        load_settings(WeaviateSettings, {"WEAVIATE_BATCH_SIZE": "0"}, prefix="WEAVIATE_")


def test_the_registry_builds_it_without_the_client():
    assert isinstance(Registry().get("vdb", "weaviate").build({}), WeaviateVectorStore)
    script = (
        "import sys, dify_vdb_weaviate.plugin\nassert not {'grpc', 'httpx', 'google.protobuf'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
