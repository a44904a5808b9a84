"""A real server of the protocol, which knows one key and checks signatures."""

import json
import urllib.request

import opendal
import pytest
from dify_kernel.settings import Secret
from dify_kernel.testing.server import Server, program
from dify_storage_s3 import S3Settings
from dify_storage_s3.plugin import open_storage

BUCKET = "objects"
KEY, SECRET = "tests-key", "tests-secret-8d1f"


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A SeaweedFS server with its S3 door."""
    folder = tmp_path_factory.mktemp("weed")
    actions = ["Admin", "Read", "List", "Tagging", "Write"]
    identity = {"name": "tests", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": actions}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))

    def command(it):
        doors = zip(("s3.port", "master.port", "volume.port", "filer.port"), it.ports, strict=True)
        return [
            *(program("weed"), "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}", "-volume.max=10"),
            *("-s3", f"-s3.config={folder}/s3.json", "-s3.port.iceberg=0", "-s3.port.lance=0"),
            *(f"-{name}={port}" for name, port in doors),
        ]

    with Server(command, folder=folder, ports=4, twin=10_000, ready=make_bucket, seconds=40) as server:
        yield server


def make_bucket(server):
    """Make the bucket as a folder of the filer and write into it: only then every part of the server is up."""
    address = f"http://127.0.0.1:{server.ports[3]}/buckets/{BUCKET}/made"
    urllib.request.urlopen(urllib.request.Request(address, b"x", method="PUT"), timeout=5).close()
    bucket = opendal.Operator("s3", **settings_of(server.port).options())
    bucket.write("ready", b"")
    bucket.delete("ready")
    bucket.delete("made")


def settings_of(port, secret=SECRET):
    """Settings for the bucket of the server on a port."""
    return S3Settings(
        s3_endpoint=f"http://127.0.0.1:{port}",
        s3_bucket_name=BUCKET,
        s3_access_key=KEY,
        s3_secret_key=Secret(secret),
    )


@pytest.fixture
async def storage(server):
    storage = open_storage(settings_of(server.port))
    await storage.open()
    async for entry in storage.scan():
        await storage.delete(entry.key)
    yield storage
    await storage.close()
