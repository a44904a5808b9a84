"""The whole contract against a server: `DIFY_TEST_QDRANT_URL=http://localhost:6333 pytest -m live`.

`DIFY_TEST_QDRANT_GRPC=true` runs it over gRPC. The suite's own collections are dropped before and after each test.
"""

import os
from collections.abc import AsyncIterator

import pytest
from dify_kernel.settings import load_settings
from dify_kernel.testing.vector import SPACES, VectorStoreSuite
from dify_vdb_qdrant import QdrantSettings, QdrantVectorStore

URL = os.environ.get("DIFY_TEST_QDRANT_URL", "")

if not URL:
    pytest.skip("DIFY_TEST_QDRANT_URL names no server", allow_module_level=True)

pytestmark = pytest.mark.live


@pytest.fixture
async def store() -> AsyncIterator[QdrantVectorStore]:
    env = {
        "QDRANT_URL": URL,
        "QDRANT_API_KEY": os.environ.get("DIFY_TEST_QDRANT_API_KEY", ""),
        "QDRANT_GRPC_ENABLED": os.environ.get("DIFY_TEST_QDRANT_GRPC", ""),
    }
    store = QdrantVectorStore(load_settings(QdrantSettings, env, prefix="QDRANT_"))
    await store.open()
    for space in SPACES:
        await store.drop(space)
    yield store
    await store.open()
    for space in SPACES:
        await store.drop(space)
    await store.close()


class TestServer(VectorStoreSuite):
    """Nothing is left out."""
