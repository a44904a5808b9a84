"""The statements in TiDB's dialect, word by word: as its documentation writes them."""

import pytest
from dify_kernel.contracts.vector import Compare, Exists, Not
from dify_kernel.contracts.vector_exact import narrow
from dify_kernel.families.sql_dialect import to_sql
from dify_vdb_tidb_vector import TidbVectorStore

DIALECT = TidbVectorStore.dialect
COLUMNS = "partition_id, id, text, metadata, embedding, words, length, tokens"


def said(filter):
    condition, whole = narrow(filter, DIALECT.said)
    assert whole
    return to_sql(DIALECT, condition)


def test_a_table():
    ((sql, values),) = DIALECT.create("dify_x", 384)
    assert sql == (
        "CREATE TABLE IF NOT EXISTS dify_x (partition_id CHAR(36) NOT NULL, id CHAR(36) NOT NULL,"
        " text LONGTEXT NOT NULL, metadata LONGTEXT NOT NULL, embedding VECTOR(384) NOT NULL, words JSON NOT NULL,"
        " length INTEGER NOT NULL, tokens LONGTEXT NOT NULL, PRIMARY KEY (partition_id, id),"
        " INDEX dify_x_words ((CAST(words AS UNSIGNED ARRAY)))) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin"
    )
    assert values == []
    assert DIALECT.drop("dify_x") == [("DROP TABLE IF EXISTS dify_x", [])]
    assert (DIALECT.read_dimension("vector(384)"), DIALECT.read_dimension("VECTOR(6)")) == (384, 6)


def test_a_row_replaces_the_one_with_its_key():
    others = ("text", "metadata", "embedding", "words", "length", "tokens")
    assert DIALECT.upsert("dify_x") == (
        f"INSERT INTO dify_x ({COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON DUPLICATE KEY UPDATE "
        + ", ".join(f"{column} = VALUES({column})" for column in others)
    )


def test_vectors_and_their_distance():
    assert DIALECT.distance == "VEC_COSINE_DISTANCE(embedding, %s)"
    assert DIALECT.vector([0.5, -1.0, 1e-7]) == "[0.5,-1.0,1e-7]"
    assert DIALECT.read_vector("[0.5,-1,1e-07]") == [0.5, -1.0, 1e-7]


def test_words_are_unsigned_integers_that_json_keeps():
    words = [DIALECT.word("p", term) for term in ("pear", "梨", "x" * 64)]
    assert {len(word) for word in words} == {19}
    assert all(0 < int(word) < 2**63 for word in words)
    assert DIALECT.words(["1", "2", "2"]) == "[1,2,2]"
    assert DIALECT.sharing(["1", "2"]) == ("JSON_OVERLAPS(words, %s)", ["[1,2]"])


def test_the_words_of_a_record_are_read_from_its_list():
    assert DIALECT.shared(["1"]) == ("CAST(words AS CHAR)", [])
    first, second, third = (str(10**18 + number) for number in range(3))
    assert DIALECT.held(f"[{first}, {first}, {second}]", {first, third}) == [first, first]


FIELD = "JSON_EXTRACT(metadata, '$.\"f\"')"
BYTES = f"CAST(JSON_UNQUOTE({FIELD}) AS BINARY)"


@pytest.mark.parametrize(
    ("filter", "sql", "values"),
    [
        (
            Compare("lt", "f", 1.5),
            f"(CASE WHEN JSON_TYPE({FIELD}) IN ('INTEGER', 'UNSIGNED INTEGER', 'DOUBLE', 'DECIMAL')"
            f" THEN {FIELD} < %s ELSE false END)",
            [1.5],
        ),
        (
            Compare("contains", "f", 'a"'),
            f"(CASE JSON_TYPE({FIELD}) WHEN 'STRING' THEN LOCATE(CAST(%s AS BINARY), {BYTES}) > 0"
            f" WHEN 'ARRAY' THEN JSON_CONTAINS({FIELD}, %s) ELSE false END)",
            ['a"', '"a\\""'],
        ),
        (
            Compare("ends_with", "f", "é"),
            f"(CASE JSON_TYPE({FIELD}) WHEN 'STRING' THEN RIGHT({BYTES}, 2) = CAST(%s AS BINARY) ELSE false END)",
            ["é"],
        ),
    ],
)
def test_order_and_parts_of_texts(filter, sql, values):
    assert said(filter) == (sql, values)


def test_equality_and_existence_are_tokens():
    for filter in (Exists("f"), Compare("eq", "f", "'; --"), Compare("in", "f", [1, "1", True])):
        sql, (tokens,) = said(filter)
        assert sql == "(JSON_OVERLAPS(tokens, %s))"
        assert "'" not in tokens
    assert said(Not(Exists("f")))[0] == "(NOT (JSON_OVERLAPS(tokens, %s)))"
