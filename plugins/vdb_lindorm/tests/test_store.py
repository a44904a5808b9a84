"""What the contract does not cover: settings, and how an index is made."""

import subprocess
import sys

import pytest
from dify_kernel.errors import SettingsError, StoreUnavailable
from dify_kernel.registry import Registry
from dify_kernel.settings import Secret, load_settings
from dify_kernel.testing.vector.data import SPACE, P, X, record, seed
from dify_vdb_lindorm import LindormSettings, LindormVectorStore


def test_settings_are_the_references():
    settings = load_settings(LindormSettings, {}, prefix="LINDORM_")
    assert (settings.url, settings.username, settings.password) == ("", "", Secret())
    assert (settings.index_type, settings.distance_type) == ("hnsw", "l2")
    assert (settings.using_ugc, settings.query_timeout) == (True, 2.0)


def test_settings_make_the_index():
    flat = LindormSettings(url="http://h:1", index_type="flat", distance_type="cosinesimil", using_ugc=False)
    dialect = LindormVectorStore(flat).dialect
    assert dialect.settings == {"knn": True}
    method = {"engine": "lvector", "name": "flat", "space_type": "cosinesimil"}
    assert dialect.field(6) == {"type": "knn_vector", "dimension": 6, "method": method}


async def test_the_address_is_needed():
    with pytest.raises(SettingsError, match="LINDORM_URL"):
        await LindormVectorStore(LindormSettings()).open()


async def test_a_search_is_given_up_and_a_write_is_not(server):
    where = {"url": f"http://127.0.0.1:{server.port}", "username": "admin", "password": Secret("right")}
    store = LindormVectorStore(LindormSettings(**where, query_timeout=1e-6))
    await store.open()
    await seed(store, record(1))
    with pytest.raises(StoreUnavailable, match="Timeout"):
        await store.search(SPACE, P, X)
    await store.drop(SPACE)
    await store.close()


def test_the_registry_builds_it_without_the_client():
    assert isinstance(Registry().get("vdb", "lindorm").build({}), LindormVectorStore)
    script = "import sys, dify_vdb_lindorm.plugin\nassert not {'opensearchpy', 'aiohttp'} & set(sys.modules)\n"
    subprocess.run([sys.executable, "-c", script], check=True)
