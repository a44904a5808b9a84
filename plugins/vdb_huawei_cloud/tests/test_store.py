"""What the contract does not cover: the graph, addresses and settings."""

import subprocess
import sys

import pytest
from dify_kernel.contracts.vector import Compare
from dify_kernel.contracts.vector_rules import cosine
from dify_kernel.errors import SettingsError
from dify_kernel.registry import Registry
from dify_kernel.settings import load_settings
from dify_kernel.testing.vector.data import SPACE, P, Q, X, id_of, record, score_is, seed
from dify_vdb_huawei_cloud import HuaweiCloudSettings, HuaweiCloudVectorStore
from dify_vdb_huawei_cloud.store import HuaweiCloudDialect
from packaging.specifiers import SpecifierSet


class SoonByGraph(HuaweiCloudDialect):
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


async def test_hosts_are_a_list():
    store = HuaweiCloudVectorStore(HuaweiCloudSettings(hosts="http://a:9200, b:9201,https://u:hush@c"))
    await store.open()
    nodes = [node.base_url for node in store._opened._transport.node_pool.all()]
    await store.close()
    assert sorted(nodes) == ["http://a:9200", "http://b:9201", "https://c:443"]
    assert "hush" not in store.engine
    with pytest.raises(SettingsError, match="HUAWEI_CLOUD_HOSTS"):
        await HuaweiCloudVectorStore(HuaweiCloudSettings(hosts="http://")).open()


class Told:
    """Answers every request with what a cluster says of itself."""

    def __init__(self, version: dict[str, str]) -> None:
        self.version = version

    async def request(self, method: str, path: str, params: object, body: object) -> tuple[int, dict[str, object]]:
        return 200, {"version": self.version}

    async def close(self) -> None: ...


@pytest.mark.parametrize(
    ("version", "fits"),
    [
        ({"number": "7.10.2"}, True),
        ({"number": "7.6.2"}, False),
        ({"number": "8.1.0"}, False),
        ({"number": "2.19.0", "distribution": "opensearch"}, True),
        ({"number": "3.4.0", "distribution": "opensearch"}, True),
        ({"number": "1.3.6", "distribution": "opensearch"}, False),
    ],
)
async def test_clusters_whose_vector_queries_take_filters(monkeypatch, version, fits):
    async def connect(self: HuaweiCloudVectorStore) -> Told:
        return Told(version)

    monkeypatch.setattr(HuaweiCloudVectorStore, "connect", connect)
    store = HuaweiCloudVectorStore(HuaweiCloudSettings())
    await store.open()
    engine = await store.version()
    assert (engine.name, engine.version) == ("Huawei Cloud", version["number"])
    assert SpecifierSet(engine.supported).contains(engine.release) is fits
    await store.close()


def test_settings_are_the_references():
    settings = load_settings(HuaweiCloudSettings, {}, prefix="HUAWEI_CLOUD_")
    assert (settings.hosts, settings.user, settings.password.reveal()) == ("", "", "")
    assert HuaweiCloudVectorStore(settings).engine == "Huawei Cloud at http://localhost:9200"


@pytest.mark.parametrize("name", ["huawei_cloud", "huawei-cloud"])
def test_the_registry_builds_both_names_without_the_client(name):
    assert isinstance(Registry().get("vdb", name).build({}), HuaweiCloudVectorStore)
    script = (
        "import sys, dify_vdb_huawei_cloud.plugin\nassert not {'elastic_transport', 'aiohttp'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
