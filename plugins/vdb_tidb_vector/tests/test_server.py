"""The simulated server refuses what TiDB refuses, and what it does not know: a green suite means something."""

import math

import asyncmy
import pytest

from .conftest import PASSWORD

TABLE = "id CHAR(36) NOT NULL, v VECTOR(3) NOT NULL, j JSON NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (id)"
CHARSET = "DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin"


@pytest.fixture
async def ask(server):
    where = {"host": "127.0.0.1", "port": server.port, "user": "dify", "password": PASSWORD, "db": "vectors"}
    connection = await asyncmy.connect(**where, autocommit=True)

    async def asked(sql):
        cursor = connection.cursor()
        await cursor.execute(sql)
        return await cursor.fetchall() if cursor.description else ()

    await asked("DROP TABLE IF EXISTS checked")
    await asked(f"CREATE TABLE checked ({TABLE}, INDEX w ((CAST(j AS UNSIGNED ARRAY)))) {CHARSET}")
    yield asked
    await asked("DROP TABLE IF EXISTS checked")
    await connection.ensure_closed()


def row(id="a", v="[1,0,0]", j="[1]", n="1"):
    return f"INSERT INTO checked (id, v, j, n) VALUES ('{id}', '{v}', '{j}', {n})"


async def test_what_fits_is_kept(ask):
    await ask(row())
    await ask(row(n="2") + " ON DUPLICATE KEY UPDATE n = VALUES(n), j = VALUES(j)")
    assert list(await ask("SELECT id, v, j, n FROM checked")) == [("a", "[1,0,0]", "[1]", 2)]
    ((distance,),) = await ask("SELECT VEC_COSINE_DISTANCE(v, '[1, 1, 0]') AS d FROM checked ORDER BY d LIMIT 1")
    assert distance == pytest.approx(1 - math.sqrt(0.5))
    query = (
        "SELECT column_type FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'checked'"
    )
    assert ("vector(3)",) in list(await ask(query))


@pytest.mark.parametrize(
    ("sql", "number"),
    [
        (row(v="[1,0]"), 1105),
        (row(v="[1,0,]"), 1105),
        (row(v="[1,0,NaN]"), 1105),
        (row(id="x" * 37), 1406),
        (row(j="{"), 3141),
        (row(j='["1"]'), 3903),
        (row(j="[-1]"), 3752),
        (row(n="'1'"), 1264),
        (row(n="NULL"), 1048),
        ("INSERT INTO checked (id) VALUES ('a')", 1136),
        ("SELECT nothing FROM checked", 1054),
        ("SELECT id FROM nowhere", 1146),
        ("SELECT COSINE_DISTANCE(v, '[1,0,0]') FROM checked", 1305),
        ("SELECT id FROM checked WHERE MATCH (id) AGAINST ('x')", 1305),
        ("SELECT id FROM checked WHERE id = 1", 1235),
        ("SELECT id FROM checked LIMIT 1 OFFSET 3", 1064),
        ("SELECT id FROM checked FOR UPDATE", 1064),
        ("DELETE FROM checked", 1064),
        ("UPDATE checked SET n = 1", 1064),
        ("SELECT GET_LOCK('x', 1) FROM checked", 1305),
        ("SET SESSION ob_query_timeout = 1", 1193),
        ("CREATE TABLE checked (id CHAR(36) NOT NULL, PRIMARY KEY (id)) " + CHARSET, 1050),
        (
            "CREATE TABLE other (id CHAR(36) NOT NULL, t LONGTEXT NOT NULL, PRIMARY KEY (id), FULLTEXT INDEX w (t)) "
            + CHARSET,
            1235,
        ),
        ("CREATE TABLE other (id CHAR(36) NOT NULL, v VECTOR(16384) NOT NULL, PRIMARY KEY (id)) " + CHARSET, 1064),
        ("not sql", 1064),
    ],
)
async def test_what_does_not_fit_is_refused(ask, sql, number):
    if "SELECT" in sql:
        await ask(row())
    with pytest.raises(asyncmy.errors.MySQLError) as told:
        await ask(sql)
    assert told.value.args[0] == number, told.value


async def test_a_key_is_unique_and_lengths_must_agree(ask):
    await ask(row())
    with pytest.raises(asyncmy.errors.IntegrityError):
        await ask(row())
    with pytest.raises(asyncmy.errors.OperationalError, match="different dimensions"):
        await ask("SELECT VEC_COSINE_DISTANCE(v, '[1]') FROM checked")


async def test_what_a_transaction_wrote_is_seen_when_it_ends(ask):
    await ask("BEGIN")
    await ask(row())
    assert list(await ask("SELECT count(*) FROM checked")) == [(0,)]
    await ask("ROLLBACK")
    await ask("BEGIN")
    await ask(row("b"))
    await ask("COMMIT")
    assert list(await ask("SELECT id FROM checked")) == [("b",)]
