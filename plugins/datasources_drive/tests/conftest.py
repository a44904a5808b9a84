"""Two real servers with the same files: SeaweedFS, which checks signatures, and WsgiDAV, which asks for a password."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import opendal
import pytest
from cheroot import wsgi
from dify_datasources_drive.settings import S3Credentials, WebdavCredentials
from dify_kernel.settings import Secret
from dify_kernel.testing.plain_http import PlainHttpClient
from dify_kernel.testing.server import Server, program
from wsgidav.wsgidav_app import WsgiDAVApp

BUCKET = "manuals"
KEY, SECRET = "tests-key-0001", "tests-secret-8d1f"
USER, PASSWORD = "ada-of-tests", "tests-password-77"
#: Path -> bytes; names with everything that addresses and XML write in another way.
FILES = {
    "a.txt": b"alpha",
    "b.md": b"# beta\n" * 30_000,
    "empty.txt": b"",
    "f\u00e4cher & fl\u00fcgel.txt": b"wings",
    "folder/100% + more.txt": b"gamma",
    "folder/deep/d=1;e~'f'.txt": b"delta",
    "folder/deep/g.csv": b"1,2",
    "zebra/h.txt": b"eta",
}


@pytest.fixture(scope="session")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A SeaweedFS server with its S3 door and the bucket."""
    folder = tmp_path_factory.mktemp("weed")
    actions = ["Admin", "Read", "List", "Tagging", "Write"]
    identity = {"name": "tests", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": actions}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))

    def command(it: Server) -> list[str]:
        doors = zip(("s3.port", "master.port", "volume.port", "filer.port"), it.ports, strict=True)
        return [
            *(program("weed"), "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}", "-volume.max=10"),
            *("-s3", f"-s3.config={folder}/s3.json", "-s3.port.iceberg=0", "-s3.port.lance=0"),
            *(f"-{name}={port}" for name, port in doors),
        ]

    with Server(command, folder=folder, ports=4, twin=10_000, ready=fill, seconds=40) as server:
        yield server


def fill(server: Server) -> None:
    """Make two buckets as folders of the filer, and put the files into one: only then every part of it is up."""
    for name in (BUCKET, "other"):
        address = f"http://127.0.0.1:{server.ports[3]}/buckets/{name}/made"
        urllib.request.urlopen(urllib.request.Request(address, b"x", method="PUT"), timeout=5).close()
    bucket = bucket_of(server)
    bucket.delete("made")
    for path, data in FILES.items():
        bucket.write(path, data)


def bucket_of(server: Server) -> opendal.Operator:
    """A client of the bucket that writes."""
    options = {"endpoint": f"http://127.0.0.1:{server.port}", "region": "us-east-1", "bucket": BUCKET}
    return opendal.Operator("s3", access_key_id=KEY, secret_access_key=SECRET, **options)


@pytest.fixture
def s3(weed: Server) -> S3Credentials:
    """The key that works."""
    return S3Credentials(
        access_key_id=Secret(KEY), secret_access_key=Secret(SECRET), endpoint_url=f"http://127.0.0.1:{weed.port}"
    )


@pytest.fixture(scope="session")
def dav_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the WebDAV server shows."""
    folder = tmp_path_factory.mktemp("dav")
    for path, data in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    (folder / "nothing").mkdir()
    return folder


@pytest.fixture(scope="session")
def dav(dav_folder: Path) -> Iterator[str]:
    """The address of the WebDAV server."""
    config = {
        "provider_mapping": {"/shared space": str(dav_folder)},
        "simple_dc": {"user_mapping": {"*": {USER: {"password": PASSWORD}}}},
        "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
        "logging": {"enable": False, "enable_loggers": []},
        "verbose": 0,
    }
    server = wsgi.Server(("127.0.0.1", 0), WsgiDAVApp(config))
    server.prepare()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.bind_addr[1]}/shared%20space"
    server.stop()
    thread.join(10)


@pytest.fixture
def webdav(dav: str) -> WebdavCredentials:
    """The account that works."""
    return WebdavCredentials(base_url=dav, username=USER, password=Secret(PASSWORD))


@pytest.fixture
async def http() -> AsyncIterator[PlainHttpClient]:
    """A real client."""
    async with PlainHttpClient() as client:
        yield client
