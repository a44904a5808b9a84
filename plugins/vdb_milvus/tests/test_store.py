"""What the contract does not cover: a file, words without an index, the client's errors, the settings."""

import asyncio
import os
import subprocess
import sys

import pytest
from dify_kernel.errors import InvalidQuery, StoreRateLimited, StoreUnauthorized, StoreUnavailable, VectorStoreError
from dify_kernel.settings import Secret, describe_settings, load_settings
from dify_kernel.testing.vector.data import SPACE, P, X, id_of, record, seed
from dify_vdb_milvus import MilvusSettings, MilvusVectorStore
from dify_vdb_milvus.faults import translated

PREFIX = "MILVUS_"


@pytest.mark.live
async def test_a_file_holds_everything(tmp_path):
    pytest.importorskip("milvus_lite", reason="the engine of Milvus Lite is not installed")
    settings = MilvusSettings(uri=str(tmp_path / "folder" / "milvus.db"))
    for round in range(2):
        store = MilvusVectorStore(settings)
        await store.open()
        await seed(store, record(round, text=f"plum {round}", page=round))
        assert await store.count(SPACE, P) == round + 1
        assert len(await store.search(SPACE, P, X)) == round + 1
        assert [hit.id for hit in await store.full_text(SPACE, P, f"{round}")] == [id_of(round)]
        await store.close()


@pytest.mark.live
async def test_words_are_found_without_an_index(store, settings):
    plain = MilvusVectorStore(MilvusSettings(uri=settings.uri, enable_hybrid_search=False))
    await plain.open()
    await seed(plain, record(1, text="知识库 plum"), record(2, text="pear"))
    assert [hit.id for hit in await plain.full_text(SPACE, P, "知识")] == [id_of(1)]
    # The collection decides, not the setting of the process that reads or writes it.
    await store.upsert(SPACE, P, [record(3, text="plum")])
    assert {hit.id for hit in await store.full_text(SPACE, P, "plum")} == {id_of(1), id_of(3)}
    await plain.close()


@pytest.mark.live
async def test_create_by_several_at_once(store, settings):
    others = [MilvusVectorStore(settings) for _ in range(3)]
    for other in others:
        await other.open()
    await asyncio.gather(*[each.create(SPACE) for each in (store, *others)])
    await others[0].upsert(SPACE, P, [record(1)])
    assert await others[1].count(SPACE, P) == 1
    for other in others:
        await other.close()


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (8, StoreRateLimited),
        (1100, InvalidQuery),
        (1400, StoreUnauthorized),
        (1800, StoreUnauthorized),
        (16, StoreUnauthorized),
        (2, StoreUnavailable),
        (14, StoreUnavailable),
        (1, VectorStoreError),
        (65535, VectorStoreError),
    ],
)
def test_codes_become_the_contracts_errors(code, error):
    from pymilvus.exceptions import MilvusException

    settings = MilvusSettings(token=Secret("hush"))
    found = translated(MilvusException(code, "no: hush"), settings)
    assert type(found) is error
    assert "hush" not in str(found)


def test_codes_of_grpc():
    import grpc
    from pymilvus.exceptions import MilvusException

    for code, error in (
        (grpc.StatusCode.UNAUTHENTICATED, StoreUnauthorized),
        (grpc.StatusCode.PERMISSION_DENIED, StoreUnauthorized),
        (grpc.StatusCode.UNAVAILABLE, StoreUnavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, StoreUnavailable),
    ):
        assert type(translated(MilvusException(code, "it says so"), MilvusSettings())) is error


def test_settings():
    env = {"MILVUS_TOKEN": "t", "MILVUS_USER": "u", "MILVUS_PASSWORD": "p", "MILVUS_DATABASE": "d"}
    settings = load_settings(MilvusSettings, env, prefix=PREFIX)
    assert settings.arguments() == {"uri": "http://127.0.0.1:19530", "db_name": "d", "token": "t"}
    del env["MILVUS_TOKEN"]
    known = load_settings(MilvusSettings, env, prefix=PREFIX).arguments()
    assert (known["user"], known["password"]) == ("u", "p")
    assert MilvusSettings(uri="a/file.db").arguments() == {"uri": "a/file.db"}
    assert MilvusSettings().enable_hybrid_search
    assert all(info.description for info in describe_settings(MilvusSettings, prefix=PREFIX))


def test_importing_loads_no_client():
    script = (
        "import sys, dify_vdb_milvus.plugin\nassert not {'pymilvus', 'grpc', 'numpy', 'pandas'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_registry_builds_it():
    from dify_kernel.registry import Registry

    assert isinstance(Registry().get("vdb", "milvus").build({}), MilvusVectorStore)


@pytest.mark.parametrize("told", ["a/milvus.db", "http://127.0.0.1:9", ""])
def test_the_client_is_imported_whatever_the_environment_names(told):
    script = "import os; from dify_vdb_milvus.store import _imported; _imported(); print(os.environ['MILVUS_URI'])"
    environment = {**os.environ, "MILVUS_URI": told}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == told
