"""What the contract does not cover: TLS, a filter's meaning, errors that pass, the longest texts, settings."""

import ssl
import subprocess
import sys

import msgspec
import pytest
from dify_kernel.contracts.vector import MAX_TEXT_BYTES, Compare, Space
from dify_kernel.contracts.vector_exact import narrow
from dify_kernel.contracts.vector_rules import matches
from dify_kernel.errors import InvalidQuery, SettingsError, StoreUnauthorized, StoreUnavailable, VectorStoreError
from dify_kernel.families.sql_faults import fault_of, is_missing, is_transient
from dify_kernel.registry import Registry
from dify_kernel.settings import describe_settings, load_settings
from dify_kernel.testing.vector.data import NASTY, SPACE, P, found, id_of, record, seed
from dify_vdb_tidb_vector import TidbVectorSettings, TidbVectorStore

ENV = {
    "TIDB_VECTOR_HOST": "db",
    "TIDB_VECTOR_USER": "x.root",
    "TIDB_VECTOR_PASSWORD": "hush",
    "TIDB_VECTOR_DATABASE": "d",
}


def test_the_certificate_is_checked_unless_tls_is_off(settings_of_nowhere):
    context = TidbVectorStore(settings_of_nowhere).options()["ssl"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert TidbVectorStore(msgspec.structs.replace(settings_of_nowhere, tls=False)).options() == {}


async def test_without_tls_on_the_server_nothing_is_sent(settings):
    with pytest.raises(VectorStoreError):
        await TidbVectorStore(msgspec.structs.replace(settings, tls=True)).open()


async def test_hostile_text_is_only_text(store):
    await seed(store, *[record(text, value=text) for text in NASTY])
    for text in NASTY:
        for op in ("eq", "contains", "starts_with", "ends_with"):
            filter = Compare(op, "value", text)
            wanted = {id_of(other) for other in NASTY if matches(filter, {"value": other})}
            assert await found(store, filter) == wanted, filter


async def test_order_beside_integers_that_a_double_cannot_hold_is_not_said(store):
    assert narrow(Compare("lt", "big", 2**53 - 1), store.dialect.said)[1]
    assert not narrow(Compare("lt", "big", 2**53 + 1), store.dialect.said)[1]
    await seed(store, record(1, big=2**53), record(2, big=2**53 + 2))
    assert await found(store, Compare("lt", "big", 2**53 + 1)) == {id_of(1)}


async def test_long_queries_and_long_texts_of_other_words_each(store):
    long = " ".join(f"{i:x}q" for i in range(44_000))
    assert len(long) > 0.95 * MAX_TEXT_BYTES
    await seed(store, record("long", text=long), record("both", text="1q 2q 3q 3q"), record("none", text="other"))
    for count in (1, 30, 40, 2_000):
        hits = await store.full_text(SPACE, P, " ".join(f"{i:x}q" for i in range(1, count + 1)), top_k=9)
        assert {hit.id for hit in hits} == {id_of("long"), id_of("both")}


async def test_the_longest_vectors(store):
    space = Space("suite_long", store.capabilities.max_dimension)
    try:
        vector = [float(i % 97 - 48) for i in range(space.dimension)]
        await store.create(space)
        await store.upsert(space, P, [record(1, vector=vector), record(2, vector=vector[::-1])])
        (hit,) = await store.search(space, P, vector, top_k=1)
        assert (hit.id, hit.score) == (id_of(1), pytest.approx(1.0, abs=1e-5))
    finally:
        await store.drop(space)


class Told(Exception):
    """An error as the client raises it."""

    def __init__(self, number, state):
        super().__init__(number, "as told")
        self.sqlstate = state


@pytest.mark.parametrize(
    ("number", "state", "error", "transient"),
    [
        (2013, None, StoreUnavailable, True),
        (8022, "HY000", StoreUnavailable, True),
        (8028, "HY000", StoreUnavailable, True),
        (9005, "HY000", StoreUnavailable, True),
        (9007, "HY000", StoreUnavailable, True),
        (1213, "40001", StoreUnavailable, True),
        (1045, "28000", StoreUnauthorized, False),
        (1044, "42000", StoreUnauthorized, False),
        (1142, "42000", StoreUnauthorized, False),
        (1406, "22001", InvalidQuery, False),
        (1105, "HY000", VectorStoreError, False),
    ],
)
def test_errors_are_told_by_their_numbers(settings_of_nowhere, number, state, error, transient):
    fault = TidbVectorStore(settings_of_nowhere).fault(Told(number, state))
    assert is_transient(fault) is transient
    assert type(fault_of(fault)) is error
    assert not is_missing(fault)


@pytest.fixture
def settings_of_nowhere():
    return load_settings(TidbVectorSettings, ENV, prefix="TIDB_VECTOR_")


def test_the_settings_are_difys_own(settings_of_nowhere):
    assert (settings_of_nowhere.host, settings_of_nowhere.port, settings_of_nowhere.tls) == ("db", 4000, True)
    assert "hush" not in repr(settings_of_nowhere)
    with pytest.raises(SettingsError, match="TIDB_VECTOR_DATABASE"):
        load_settings(TidbVectorSettings, {**ENV, "TIDB_VECTOR_DATABASE": ""}, prefix="TIDB_VECTOR_")
    assert all(setting.description for setting in describe_settings(TidbVectorSettings, prefix="TIDB_VECTOR_"))
    assert isinstance(Registry().get("vdb", "tidb_vector").build(ENV), TidbVectorStore)


def test_the_client_is_imported_when_the_store_opens():
    code = "import dify_vdb_tidb_vector.plugin, sys; assert not {'asyncmy', 'mysql_mimic'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
