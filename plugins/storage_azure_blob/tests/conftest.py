"""The vendor's emulator, with its well-known account."""

import base64
import hashlib
import hmac
import urllib.error
import urllib.request
from email.utils import formatdate

import pytest
from dify_kernel.settings import Secret
from dify_kernel.testing.server import Server, program
from dify_storage_azure_blob import AzureBlobSettings
from dify_storage_azure_blob.plugin import open_storage

ACCOUNT, CONTAINER = "tests", "objects"
KEY = base64.b64encode(b"a key of tests, 32 bytes long ...").decode()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Azurite, which checks signatures and keeps its objects in a folder."""

    def command(it):
        doors = zip(("blob", "queue", "table"), it.ports, strict=True)
        return [
            *(
                program("azurite"),
                "--silent",
                "--skipApiVersionCheck",
                "--disableTelemetry",
                "--location",
                str(it.folder),
            ),
            *(part for name, port in doors for part in (f"--{name}Host", "127.0.0.1", f"--{name}Port", str(port))),
        ]

    accounts = {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}
    folder = tmp_path_factory.mktemp("azurite")
    with Server(command, folder=folder, ports=3, env=accounts, ready=make_container) as server:
        yield server


def make_container(server):
    """Make the container; one that is there is as good. https://learn.microsoft.com/rest/api/storageservices"""
    path, now = f"/{ACCOUNT}/{CONTAINER}", formatdate(usegmt=True)
    signed = f"PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{now}\nx-ms-version:2021-12-02\n/{ACCOUNT}{path}\nrestype:container"
    digest = hmac.digest(base64.b64decode(KEY), signed.encode(), hashlib.sha256)
    headers = {
        "x-ms-date": now,
        "x-ms-version": "2021-12-02",
        "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}",
    }
    address = f"http://127.0.0.1:{server.port}{path}?restype=container"
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="PUT", headers=headers), timeout=5).close()
    except urllib.error.HTTPError as exc:
        if exc.code != 409:
            raise


def settings_of(port, key=KEY):
    """Settings for the container of the emulator on a port."""
    return AzureBlobSettings(
        azure_blob_account_name=ACCOUNT,
        azure_blob_account_key=Secret(key),
        azure_blob_container_name=CONTAINER,
        azure_blob_account_url=f"http://127.0.0.1:{port}/{ACCOUNT}",
    )


@pytest.fixture
async def storage(server):
    storage = open_storage(settings_of(server.port))
    await storage.open()
    async for entry in storage.scan():
        await storage.delete(entry.key)
    yield storage
    await storage.close()
