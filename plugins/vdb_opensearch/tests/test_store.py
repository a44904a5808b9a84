"""What the contract does not cover: the graph, AWS, settings, and the requests without vectors on another engine."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from dify_kernel.contracts.vector import Compare
from dify_kernel.contracts.vector_rules import cosine
from dify_kernel.errors import InvalidQuery, SettingsError, StoreUnauthorized
from dify_kernel.families.search_engine_vectors import WINDOW, index_path
from dify_kernel.registry import Registry
from dify_kernel.settings import Secret, load_settings
from dify_kernel.testing.server import Server
from dify_kernel.testing.vector import SPACES
from dify_kernel.testing.vector.data import SPACE, P, Q, X, everything, id_of, record, same, score_is, seed
from dify_kernel.testing.vector.filtering import CASES, ROWS
from dify_vdb_opensearch import OpenSearchSettings, OpenSearchVectorStore
from dify_vdb_opensearch.dialect import OpenSearchDialect

PROGRAM = str(Path(__file__).parents[3] / "tests" / "engines" / "search_engine.py")


class SoonByGraph(OpenSearchDialect):
    """Asks the graph for as little as four records."""

    exact_up_to = 3


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


async def test_an_index_of_somebody_else_is_not_taken_for_a_space(store):
    line = b'{"index":{"_id":"1"}}\n{"a":1}\n'
    status, _ = await store._opened.request("POST", f"{index_path(SPACE)}/_bulk", {}, line)
    assert status == 200, "a bulk makes an index that is missing"
    with pytest.raises(InvalidQuery, match="no space"):
        await store.create(SPACE)


# -- another engine, which has no vectors ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lexical(tmp_path_factory) -> Iterator[Server]:
    """An in-memory engine of another maker, which takes the mappings and refuses to search by vector."""

    pytest.importorskip("osmem_server")

    def command(it: Server) -> list[str]:
        binary = str(files("osmem_server") / "bin" / "osmem-server")
        return [binary, "-addr", f"127.0.0.1:{it.port}", "-no-stdin-watch"]

    with Server(command, folder=tmp_path_factory.mktemp("osmem")) as server:
        yield server


@pytest.fixture
async def worded(lexical) -> AsyncIterator[OpenSearchVectorStore]:
    store = OpenSearchVectorStore(OpenSearchSettings(host="127.0.0.1", port=lexical.port))
    await store.open()
    for space in SPACES:
        await store.drop(space)
    yield store
    await store.close()


async def test_another_engine_takes_writes_reads_and_deletes(worded):
    written = [record(i, page=i, tags=["a"]) for i in range(30)]
    await seed(worded, *written)
    await worded.upsert(SPACE, Q, [record("other")])
    assert all(map(same, await worded.get(SPACE, P, [item.id for item in written]), written))
    assert {item.id for item in await everything(worded, limit=7)} == {item.id for item in written}
    await worded.upsert(SPACE, P, [record(1, text="again")])
    await worded.delete(SPACE, P, ids=[id_of(2), id_of("other")])
    await worded.delete(SPACE, P, filter=Compare("ge", "page", 20))
    assert (await worded.count(SPACE, P), await worded.count(SPACE, Q)) == (19, 1)
    with pytest.raises(InvalidQuery, match="dimension"):
        await worded.create(type(SPACE)(SPACE.name, 7))


async def test_another_engine_means_the_same_by_every_filter(worded):
    await seed(worded, *[record(name, **metadata) for name, metadata in ROWS.items()])
    wrong = [(item, names) for item, names in CASES if await worded.count(SPACE, P, filter=item) != len(names)]
    assert wrong == []


async def test_another_engine_ranks_words(worded):
    texts = {
        "both": "apple and quince",
        "rare": "quince only here",
        "common": "apple filler",
        "zh": "知识库支持全文检索",
    }
    await seed(worded, *[record(name, text=text) for name, text in texts.items()], record(7, text="apple pie"))
    hits = await worded.full_text(SPACE, P, "apple quince")
    assert hits[0].id == id_of("both")
    assert {hit.id for hit in hits} == {id_of(name) for name in ("both", "rare", "common", 7)}
    assert [hit.id for hit in await worded.full_text(SPACE, P, "请问知识库")] == [id_of("zh")]


# -- AWS and settings -----------------------------------------------------------------------------------------------


@pytest.fixture
def signed(tmp_path, monkeypatch) -> Iterator[Server]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")

    def command(it: Server) -> list[str]:
        places = ["--port", str(it.port), "--folder", str(it.folder)]
        return [sys.executable, PROGRAM, *places, "--dialect", "opensearch", "--signed", "eu-west-1"]

    with Server(command, folder=tmp_path) as server:
        yield server


async def test_requests_to_a_domain_of_aws_are_signed(signed):
    where = {"host": "127.0.0.1", "port": signed.port, "auth_method": "aws_managed_iam", "aws_service": "es"}
    store = OpenSearchVectorStore(OpenSearchSettings(**where, aws_region="eu-west-1"))
    await store.open()
    await seed(store, record(1), record(2))
    assert await store.count(SPACE, P) == 2
    await store.close()
    elsewhere = OpenSearchVectorStore(OpenSearchSettings(**where, aws_region="eu-west-2"))
    await elsewhere.open()
    with pytest.raises(StoreUnauthorized, match="OPENSEARCH_AUTH_METHOD"):
        await elsewhere.count(SPACE, P)
    await elsewhere.close()


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({}, "OPENSEARCH_AWS_REGION"),
        ({"aws_region": "eu-west-1"}, "OPENSEARCH_AWS_SERVICE"),
        ({"aws_region": "eu-west-1", "aws_service": "aoss"}, "aoss"),
    ],
)
async def test_aws_that_cannot_work_says_why(more, named):
    store = OpenSearchVectorStore(OpenSearchSettings(host="h", auth_method="aws_managed_iam", **more))
    with pytest.raises(SettingsError, match=named):
        await store.open()


async def test_the_host_is_needed():
    with pytest.raises(SettingsError, match="OPENSEARCH_HOST"):
        await OpenSearchVectorStore(OpenSearchSettings()).open()


def test_settings_are_the_references():
    settings = load_settings(OpenSearchSettings, {}, prefix="OPENSEARCH_")
    assert (settings.host, settings.port, settings.secure, settings.verify_certs) == ("", 9200, False, True)
    assert (settings.auth_method, settings.user, settings.password, settings.aws_service) == ("basic", "", Secret(), "")
    env = {"OPENSEARCH_AUTH_METHOD": "aws_managed_iam", "OPENSEARCH_AWS_SERVICE": "es", "OPENSEARCH_SECURE": "true"}
    settings = load_settings(OpenSearchSettings, env, prefix="OPENSEARCH_")
    assert (settings.auth_method, settings.aws_service, settings.secure) == ("aws_managed_iam", "es", True)
    with pytest.raises(SettingsError, match="OPENSEARCH_AWS_SERVICE"):
        load_settings(OpenSearchSettings, {"OPENSEARCH_AWS_SERVICE": "s3"}, prefix="OPENSEARCH_")


def test_the_registry_builds_it_without_the_client():
    assert isinstance(Registry().get("vdb", "opensearch").build({}), OpenSearchVectorStore)
    script = "import sys, dify_vdb_opensearch.plugin\nassert not {'opensearchpy', 'aiohttp'} & set(sys.modules)\n"
    subprocess.run([sys.executable, "-c", script], check=True)
