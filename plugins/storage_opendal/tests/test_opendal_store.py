"""What the contract does not cover: settings, folders on disk, errors of the client."""

import asyncio
import importlib
import os
import subprocess
import sys
import time

import pytest
from dify_kernel.errors import InvalidKey, StorageError, StorageUnavailable
from dify_kernel.registry import Registry
from dify_kernel.settings import load_settings
from dify_storage_opendal import LocalSettings, OpendalSettings


def test_options_are_those_of_the_chosen_scheme():
    env = {
        "OPENDAL_SCHEME": "s3",
        "OPENDAL_S3_BUCKET": "files",
        "OPENDAL_S3_ACCESS_KEY_ID": "me",
        "OPENDAL_FS_ROOT": "/elsewhere",
    }
    settings = load_settings(OpendalSettings, env)
    assert settings.options() == {"bucket": "files", "access_key_id": "me"}


@pytest.mark.parametrize(
    ("env", "root"),
    [
        ({}, ".dify/storage"),
        ({"DIFY_DATA": "/data"}, "/data/storage"),
        ({"DIFY_DATA": "/data", "OPENDAL_FS_ROOT": "/files"}, "/files"),
    ],
)
def test_a_folder_is_rooted_in_the_data_folder(env, root):
    assert load_settings(OpendalSettings, env).options() == {"root": root}


@pytest.mark.parametrize(
    ("env", "root"),
    [({"DIFY_DATA": "/data"}, "/data/storage"), ({"DIFY_DATA": "/d", "STORAGE_LOCAL_PATH": "/files"}, "/files")],
)
def test_local_is_a_folder(env, root):
    assert load_settings(LocalSettings, env).root() == root


@pytest.mark.parametrize("name", ["opendal", "local"])
async def test_the_registry_builds_it(name, tmp_path):
    storage = Registry().get("storage", name).build({"DIFY_DATA": str(tmp_path)})
    await storage.open()
    await storage.save("a/b.txt", b"x")
    await storage.close()
    assert (tmp_path / "storage" / "a" / "b.txt").read_bytes() == b"x"


def test_importing_the_plugin_does_not_import_the_client():
    code = "import sys, dify_storage_opendal.plugin; sys.exit('opendal' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert importlib.util.find_spec("opendal") is not None


@pytest.mark.parametrize(("scheme", "options"), [("s3", {}), ("nonsense", {})])
async def test_bad_settings_are_named_on_opening(make, scheme, options):
    with pytest.raises(StorageError, match="OPENDAL_SCHEME"):
        async with make(scheme, **options):
            pass


async def test_half_written_objects_are_hidden_reserved_and_swept(make, tmp_path):
    partial = tmp_path / "objects" / ".partial"
    partial.mkdir(parents=True)
    for name, age in (("old", 2 * 24 * 3600), ("new", 60)):
        (partial / name).write_bytes(b"half")
        os.utime(partial / name, (time.time() - age,) * 2)
    async with make("fs", root=str(tmp_path / "objects")) as storage:
        assert [path.name for path in partial.iterdir()] == ["new"]
        assert [entry async for entry in storage.scan()] == []
        assert [entry async for entry in storage.scan(".partial/")] == []
        for key in (".partial", ".partial/new"):
            with pytest.raises(InvalidKey, match="reserved"):
                await storage.load(key)
        await storage.save(".partially", b"fine")
        assert [entry.key async for entry in storage.scan()] == [".partially"]


async def test_a_written_folder_is_plain_files(make, tmp_path):
    (tmp_path / "objects" / "upload_files" / "t").mkdir(parents=True)
    (tmp_path / "objects" / "upload_files" / "t" / "old.txt").write_bytes(b"from before")
    async with make("fs", root=str(tmp_path / "objects")) as storage:
        assert await storage.load("upload_files/t/old.txt") == b"from before"
        await storage.save("upload_files/t/new.txt", b"new")
    assert (tmp_path / "objects" / "upload_files" / "t" / "new.txt").read_bytes() == b"new"


async def test_a_folder_that_cannot_be_written_is_an_error_that_names_the_key(make, tmp_path):
    async with make("fs", root=str(tmp_path / "objects")) as storage:
        with pytest.raises(StorageError) as caught:
            await storage.save("n" * 300, b"x")  # longer than a file name may be
        assert caught.value.where["key"] == "n" * 300
        assert not caught.value.retryable


async def test_a_server_that_is_away_is_unavailable(make, unused_tcp_port):
    options = {"bucket": "b", "region": "us-east-1", "access_key_id": "me", "secret_access_key": "hidden-from-messages"}
    async with make("s3", endpoint=f"http://127.0.0.1:{unused_tcp_port}", **options) as storage:
        calls = (storage.load("k"), storage.save("k", b"x"), storage.exists("k"), anext(storage.scan()))
        for error in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(error, StorageUnavailable)
            assert error.retryable
            assert "hidden-from-messages" not in str(error)


async def test_using_it_unopened_or_closed_says_so(make, tmp_path):
    async with make("fs", root=str(tmp_path / "objects")) as storage:
        pass
    with pytest.raises(StorageError, match="not open"):
        await storage.load("k")


async def test_a_killed_writer_leaves_the_old_object(make, tmp_path):
    """Kill a process in the middle of a save: a reader still gets the old object, whole."""
    root = tmp_path / "objects"
    async with make("fs", root=str(root)) as storage:
        await storage.save("k", b"old")
        code = (
            "import asyncio, sys\n"
            "from dify_storage_opendal.store import open_storage\n"
            "async def pieces():\n"
            "    yield b'n' * 20_000_000\n"
            "    print('written', flush=True)\n"
            "    await asyncio.Event().wait()\n"
            "async def main():\n"
            "    storage = open_storage('fs', {'root': sys.argv[1]})\n"
            "    await storage.open()\n"
            "    await storage.save('k', pieces())\n"
            "asyncio.run(main())\n"
        )
        writer = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, str(root), stdout=asyncio.subprocess.PIPE
        )
        assert await writer.stdout.readline() == b"written\n"
        writer.kill()
        await writer.wait()
        assert await storage.load("k") == b"old"
        assert [entry.key async for entry in storage.scan()] == ["k"]
