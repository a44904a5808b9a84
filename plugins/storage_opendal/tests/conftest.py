"""Isolated backends: a temporary folder, memory, and a real S3 server."""

import contextlib
import json
import urllib.request
import uuid

import opendal
import pytest
from dify_kernel.testing.server import Server, program
from dify_storage_opendal.store import OpendalStorage

BUCKET = "objects"
KEY, SECRET = "tests-key", "tests-secret-8d1f"


@contextlib.asynccontextmanager
async def opened(storage):
    await storage.open()
    try:
        yield storage
    finally:
        await storage.close()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory):
    """A SeaweedFS server with its S3 door; it knows one key."""
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
    opendal.Operator("s3", **options_of(server.port)).write("ready", b"")


def options_of(port, **options):
    """The options of the service on a port."""
    return {
        "endpoint": f"http://127.0.0.1:{port}",
        "bucket": BUCKET,
        "root": f"/{uuid.uuid4().hex}",  # a bucket for each test would use up the server's volumes
        "region": "us-east-1",
        "access_key_id": KEY,
        "secret_access_key": SECRET,
        **options,
    }


@pytest.fixture
def s3_options(s3_server):
    return options_of(s3_server.port)


@pytest.fixture
def make(tmp_path):
    def make(scheme, **options):
        return opened(OpendalStorage(scheme, options))

    return make
