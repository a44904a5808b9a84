"""What the contract does not cover: the graph, documents, credentials, addresses, statuses and settings."""

import base64
import subprocess
import sys

import httpx
import pytest
from dify_kernel.contracts.vector import Compare
from dify_kernel.contracts.vector_rules import cosine
from dify_kernel.errors import InvalidQuery, SettingsError, StoreRateLimited, StoreUnauthorized, StoreUnavailable
from dify_kernel.families.search_engine_vectors import WINDOW, index_path
from dify_kernel.registry import Registry
from dify_kernel.settings import Secret, load_settings
from dify_kernel.testing.loopback import json_answer, loopback
from dify_kernel.testing.vector.data import SPACE, P, Q, X, id_of, record, score_is, seed
from dify_vdb_elasticsearch import ElasticsearchSettings, ElasticsearchVectorStore
from dify_vdb_elasticsearch.client import address_of
from dify_vdb_elasticsearch.dialect import ElasticsearchDialect


class SoonByGraph(ElasticsearchDialect):
    """Asks the graph for as little as four records."""

    exact_up_to = 3


def refusing(status):
    return json_answer(status, {"error": {"type": "some_exception", "reason": "the reason"}})


@pytest.fixture
def stub():
    """A server that answers everything with `answer` and keeps what it was asked."""
    with loopback(refusing(401)) as server:
        yield server


async def test_the_graph_gives_exact_scores_within_filter_and_partition(store):
    written = {id_of(i): record(i, page=i) for i in range(40)}
    await seed(store, *written.values())
    await store.upsert(SPACE, Q, [record("other", vector=X, page=39)])
    store.dialect = SoonByGraph()
    wanted = sorted(written, key=lambda id: -cosine(X, written[id].vector))
    hits = await store.search(SPACE, P, X, top_k=10)
    assert [hit.id for hit in hits] == wanted[:10]
    assert all(hit.score == score_is(cosine(X, written[hit.id].vector)) for hit in hits)
    late = [id for id in wanted if written[id].metadata["page"] >= 30]
    assert [hit.id for hit in await store.search(SPACE, P, X, top_k=4, filter=Compare("ge", "page", 30))] == late[:4]
    assert len(await store.search(SPACE, P, X, top_k=WINDOW + 1)) == 40
    least = cosine(X, written[wanted[2]].vector)
    assert [hit.id for hit in await store.search(SPACE, P, X, top_k=40, threshold=least - 1e-6)] == wanted[:3]


async def test_documents_are_laid_out_as_documented(store, server):
    await seed(store, record(1, text="the text", page=3))
    url = f"http://127.0.0.1:{server.port}{index_path(SPACE)}/_search"
    async with httpx.AsyncClient() as http:
        (hit,) = (await http.get(url)).json()["hits"]["hits"]
    source = hit["_source"]
    assert hit["_id"] == source["id"] == id_of(1)
    assert (source["group_id"], source["page_content"], source["metadata"]) == (P, "the text", '{"page":3}')
    assert source["terms"] == "the text"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, InvalidQuery),
        (401, StoreUnauthorized),
        (403, StoreUnauthorized),
        (413, InvalidQuery),
        (429, StoreRateLimited),
        (500, StoreUnavailable),
        (503, StoreUnavailable),
    ],
)
async def test_statuses_become_the_contracts_errors(stub, status, error):
    stub.answer = refusing(status)
    store = ElasticsearchVectorStore(ElasticsearchSettings(port=stub.port))
    await store.open()
    for call in (store.search(SPACE, P, X), store.create(SPACE), store.upsert(SPACE, P, [record(1)])):
        with pytest.raises(error, match="the reason"):
            await call
    await store.close()


@pytest.mark.parametrize(
    ("more", "sent", "named"),
    [
        ({}, f"Basic {base64.b64encode(b'elastic:hush').decode()}", "ELASTICSEARCH_PASSWORD"),
        ({"api_key": Secret("hush")}, "ApiKey hush", "ELASTICSEARCH_API_KEY"),
        ({"username": ""}, None, "ELASTICSEARCH_USERNAME"),
    ],
)
async def test_credentials_are_sent_and_named(stub, more, sent, named):
    settings = ElasticsearchSettings(port=stub.port, password=Secret("hush"))
    store = ElasticsearchVectorStore(ElasticsearchSettings(**{**as_dict(settings), **more}))
    await store.open()
    with pytest.raises(StoreUnauthorized) as caught:
        await store.create(SPACE)
    await store.close()
    assert stub.asked[0].headers.get("authorization") == sent
    assert named in caught.value.hint
    assert "hush" not in str(caught.value)


async def test_requests_are_plain_json_for_servers_of_any_major_version(stub):
    store = ElasticsearchVectorStore(ElasticsearchSettings(port=stub.port))
    await store.open()
    with pytest.raises(StoreUnauthorized):
        await store.create(SPACE)
    await store.close()
    assert stub.asked[0].headers["accept"] == "application/json"


async def test_the_cloud_needs_an_address_and_a_key():
    with pytest.raises(SettingsError, match="ELASTICSEARCH_CLOUD_URL"):
        address_of(ElasticsearchSettings(use_cloud=True, api_key=Secret("k")))
    with pytest.raises(SettingsError, match="ELASTICSEARCH_API_KEY"):
        address_of(ElasticsearchSettings(use_cloud=True, cloud_url="https://a.es.example:443"))
    host = base64.b64encode(b"eu.example.com$abc$def").decode()
    for url in ("https://abc.eu.example.com:443", f"name:{host}"):
        store = ElasticsearchVectorStore(ElasticsearchSettings(use_cloud=True, cloud_url=url, api_key=Secret("k")))
        await store.open()
        (node,) = store._opened._transport.node_pool.all()
        assert node.base_url == "https://abc.eu.example.com:443"
        await store.close()
    store = ElasticsearchVectorStore(ElasticsearchSettings(use_cloud=True, cloud_url="name:?", api_key=Secret("k")))
    with pytest.raises(SettingsError, match="ELASTICSEARCH_CLOUD_URL"):
        await store.open()


def test_settings_are_the_references():
    settings = load_settings(ElasticsearchSettings, {}, prefix="ELASTICSEARCH_")
    assert (settings.host, settings.port, settings.username) == ("127.0.0.1", 9200, "elastic")
    assert (settings.password.reveal(), settings.use_cloud, settings.verify_certs) == ("elastic", False, False)
    assert (settings.request_timeout, settings.retry_on_timeout, settings.max_retries) == (100_000, True, 10_000)
    assert address_of(settings) == "http://127.0.0.1:9200"
    assert address_of(ElasticsearchSettings(host="https://es.example/")) == "https://es.example:9200"


@pytest.mark.parametrize("name", ["elasticsearch", "elasticsearch-ja"])
def test_the_registry_builds_both_names(name):
    assert isinstance(Registry().get("vdb", name).build({}), ElasticsearchVectorStore)


def test_importing_loads_no_client():
    script = (
        "import sys, dify_vdb_elasticsearch.plugin\n"
        "assert not {'elastic_transport', 'elasticsearch', 'aiohttp'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def as_dict(settings):
    return {field: getattr(settings, field) for field in settings.__struct_fields__}
