"""A simulator of the vendor's protocol, in a process of its own."""

import sys
from pathlib import Path

import pytest
from dify_kernel.settings import Secret
from dify_kernel.testing.server import Server
from dify_storage_aliyun_oss import AliyunOssSettings
from dify_storage_aliyun_oss.plugin import open_storage

from .simulator import BUCKET, KEY, SECRET


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The simulator, which checks signatures and keeps its objects in a folder."""

    def command(it):
        objects = it.folder / "objects"
        objects.mkdir(exist_ok=True)
        return [sys.executable, str(Path(__file__).with_name("simulator.py")), str(objects), str(it.port)]

    with Server(command, folder=tmp_path_factory.mktemp("oss")) as server:
        yield server


def settings_of(port, secret=SECRET):
    """Settings for the bucket of the simulator on a port."""
    return AliyunOssSettings(
        aliyun_oss_bucket_name=BUCKET,
        aliyun_oss_access_key=KEY,
        aliyun_oss_secret_key=Secret(secret),
        aliyun_oss_endpoint=f"http://127.0.0.1:{port}",
        aliyun_oss_path="files/of/dify",
    )


@pytest.fixture
async def storage(server):
    storage = open_storage(settings_of(server.port))
    await storage.open()
    async for entry in storage.scan():
        await storage.delete(entry.key)
    yield storage
    await storage.close()
