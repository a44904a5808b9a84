"""Isolated backends: a temporary folder, and memory."""

import contextlib

import pytest
from dify_storage_opendal.store import open_storage


@contextlib.asynccontextmanager
async def opened(storage):
    await storage.open()
    try:
        yield storage
    finally:
        await storage.close()


@pytest.fixture
def make(tmp_path):
    def make(scheme, **options):
        return opened(open_storage(scheme, options))

    return make
