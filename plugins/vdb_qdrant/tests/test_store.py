"""What the contract does not cover: the vendor's errors over real HTTP, payloads, the local folder, the settings."""

import math
import subprocess
import sys

import pytest
from dify_kernel.contracts.lexical import bm25
from dify_kernel.contracts.vector import Compare
from dify_kernel.errors import (
    InvalidQuery,
    SettingsError,
    StoreRateLimited,
    StoreUnauthorized,
    StoreUnavailable,
)
from dify_kernel.settings import describe_settings, load_settings
from dify_kernel.testing.loopback import json_answer, loopback
from dify_kernel.testing.vector.data import SPACE, P, X, id_of, record, seed
from dify_vdb_qdrant import QdrantSettings, QdrantVectorStore
from dify_vdb_qdrant.filters import tokens
from dify_vdb_qdrant.points import query_words, text_words


@pytest.fixture
def server():
    """An HTTP server that answers everything with `answer` and keeps what it was asked."""
    with loopback(json_answer(200, {})) as server:
        yield server


@pytest.fixture
async def remote(server):
    env = {"QDRANT_URL": f"http://127.0.0.1:{server.port}", "QDRANT_CLIENT_TIMEOUT": "5"}
    store = QdrantVectorStore(load_settings(QdrantSettings, env, prefix="QDRANT_"))
    await store.open()
    yield store
    await store.close()


@pytest.mark.parametrize(
    ("status", "error", "retryable"),
    [
        (400, InvalidQuery, False),
        (401, StoreUnauthorized, False),
        (403, StoreUnauthorized, False),
        (422, InvalidQuery, False),
        (429, StoreRateLimited, True),
        (500, StoreUnavailable, True),
        (503, StoreUnavailable, True),
    ],
)
async def test_statuses_become_the_contracts_errors(server, remote, status, error, retryable):
    server.answer = json_answer(status, {"status": {"error": "the reason"}}, {"retry-after": "1"})
    for call in (remote.search(SPACE, P, X), remote.create(SPACE), remote.upsert(SPACE, P, [record(1)])):
        with pytest.raises(error) as caught:
            await call
        assert caught.value.retryable is retryable
        assert caught.value.__cause__ is not None


async def test_a_missing_collection_is_an_empty_space(server, remote):
    server.answer = json_answer(404, {"status": {"error": "Not found: Collection `suite_six` doesn't exist!"}})
    assert await remote.search(SPACE, P, X) == []
    assert await remote.count(SPACE, P) == 0
    await remote.drop(SPACE)
    with pytest.raises(InvalidQuery, match="was not created"):
        await remote.upsert(SPACE, P, [record(1)])


@pytest.mark.parametrize("grpc", ["false", "true"])
async def test_a_server_that_is_gone_is_unavailable(grpc):
    with loopback(json_answer(200, {})) as gone:
        port = str(gone.port)
    env = {"QDRANT_URL": f"http://127.0.0.1:{port}", "QDRANT_GRPC_PORT": port, "QDRANT_GRPC_ENABLED": grpc}
    store = QdrantVectorStore(load_settings(QdrantSettings, env, prefix="QDRANT_"))
    await store.open()
    with pytest.raises(StoreUnavailable, match="QDRANT_URL"):
        await store.search(SPACE, P, X)
    await store.close()


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
async def test_the_key_is_sent_and_never_shown(server):
    settings = load_settings(
        QdrantSettings,
        {"QDRANT_URL": f"http://127.0.0.1:{server.port}", "QDRANT_API_KEY": "hush hush"},
        prefix="QDRANT_",
    )
    server.answer = json_answer(401, {})
    store = QdrantVectorStore(settings)
    await store.open()
    with pytest.raises(StoreUnauthorized, match="QDRANT_API_KEY") as caught:
        await store.count(SPACE, P)
    await store.close()
    assert server.asked[-1].headers["api-key"] == "hush hush"
    assert "hush" not in str(caught.value) + repr(settings)


async def test_every_question_names_the_partition(server, remote):
    server.answer = json_answer(404, {})
    await remote.search(SPACE, P, X, filter=Compare("eq", "page", 1))
    await remote.full_text(SPACE, P, "word")
    await remote.count(SPACE, P)
    await remote.scan(SPACE, P)
    await remote.delete(SPACE, P, ids=[id_of(1)])
    await remote.delete(SPACE, P)
    tenant = {"key": "group_id", "match": {"value": P}}
    for asked in server.asked:
        assert tenant in (asked.json() or {}).get("filter", {}).get("must", []), asked.path
    assert len(server.asked) == 6


async def test_points_are_laid_out_as_documented(store):
    await seed(store, record(1, text="the text", page=3, ok=True))
    ((point,), _) = await store._client.scroll(SPACE.name, with_vectors=True)
    assert point.payload == {
        "page_content": "the text",
        "metadata": {"page": 3, "ok": True},
        "group_id": P,
        "tokens": tokens({"page": 3, "ok": True}),
    }
    assert math.hypot(*point.vector["vector"]) == pytest.approx(1)
    assert set(point.vector["words"].indices) == set(query_words("the text"))


def test_the_weights_are_the_texts_half_of_bm25():
    documents = {"short": "pear", "long": "pear " + "filler " * 400, "twice": "pear pear plum", "none": "plum"}
    (word,) = query_words("pear")
    weights = {id: text_words(text).get(word, 0.0) for id, text in documents.items()}
    order = [id for id, _ in bm25("pear", documents)]
    assert sorted((id for id in weights if weights[id]), key=lambda id: -weights[id]) == order
    assert text_words("") == text_words("?!") == {}


async def test_a_folder_belongs_to_one_process(tmp_path):
    settings = QdrantSettings(url=f"path:{tmp_path}")
    first, second = QdrantVectorStore(settings), QdrantVectorStore(settings)
    await first.open()
    with pytest.raises(StoreUnavailable):
        await second.open()
    await first.close()
    await second.open()
    await second.close()


async def test_in_memory():
    store = QdrantVectorStore(QdrantSettings(url=":memory:"))
    await store.open()
    await seed(store, record(1))
    assert await store.count(SPACE, P) == 1
    await store.close()


def test_settings():
    settings = load_settings(QdrantSettings, {"QDRANT_URL": "http://q:1", "QDRANT_API_KEY": "k"}, prefix="QDRANT_")
    assert (settings.url, settings.api_key.reveal(), settings.client_timeout) == ("http://q:1", "k", 20)
    assert (settings.grpc_enabled, settings.grpc_port, settings.replication_factor) == (False, 6334, 1)
    assert all(info.description for info in describe_settings(QdrantSettings, prefix="QDRANT_"))
    with pytest.raises(SettingsError, match="QDRANT_GRPC_PORT"):
        load_settings(QdrantSettings, {"QDRANT_GRPC_PORT": "0"}, prefix="QDRANT_")


def test_importing_is_cheap_and_loads_no_client():
    script = (
        "import asyncio, sys, time\n"
        "import dify_kernel.hookspecs, dify_kernel.contracts.threads, dify_kernel.contracts.lexical\n"
        "import dify_kernel.contracts.vector_rules, dify_kernel.settings\n"
        "start = time.process_time(); import dify_vdb_qdrant.plugin; print(time.process_time() - start)\n"
        "assert not {'qdrant_client', 'numpy', 'grpc', 'httpx'} & set(sys.modules)\n"
    )
    runs = [subprocess.run([sys.executable, "-c", script], check=True, capture_output=True) for _ in range(3)]
    assert min(float(run.stdout) for run in runs) < 0.02, "the fastest of three: the machine may be busy"


def test_the_registry_builds_it():
    from dify_kernel.registry import Registry

    backend = Registry().get("vdb", "qdrant")
    assert isinstance(backend.build({"QDRANT_URL": ":memory:"}), QdrantVectorStore)
