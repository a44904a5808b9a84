"""What the store does, written by hand over psycopg: the same rows and the same question, and nothing around them.

The measurement of what an adapter adds calls these beside the store's own methods, against the same server.
"""

import hashlib
import math
from collections import Counter

import msgspec
from dify_kernel.contracts.lexical import text_terms
from dify_kernel.contracts.vector_tokens import metadata_tokens

KEY = "6b1f0f2e-0000-4000-8000-00000000000a"


async def upsert(store, space, records):
    """Write the records into the table of the space."""
    table = await _table(store, space)
    rows = [_row(record) for record in records]
    places = "%s, %s, %s, %s, %s, %s::bigint[], %s, %s::uuid[]"
    changes = ", ".join(f"{column} = excluded.{column}" for column in COLUMNS.split(", ")[2:])
    statement = (
        f"INSERT INTO {table} ({COLUMNS}) VALUES ({places}) ON CONFLICT (partition_id, id) DO UPDATE SET {changes}"
    )
    async with store._pool.connection() as connection:
        for start in range(0, len(rows), 500):
            async with connection.transaction():
                await connection.cursor().executemany(statement, rows[start : start + 500])


async def search(store, space, vectors, top_k):
    """Find the nearest of each vector; their ids, texts, scores and metadata."""
    table = await _table(store, space)
    statement = (
        f"SELECT id, text, metadata, embedding <=> %s AS distance FROM {table} WHERE partition_id = %s"
        " ORDER BY distance LIMIT %s"
    )
    answers = []
    for vector in vectors:
        async with store._pool.connection() as connection:
            cursor = await connection.execute(statement, [_vector(vector), KEY, top_k])
            rows = await cursor.fetchall()
        answers.append([(str(id), text, metadata, 1 - distance) for id, text, metadata, distance in rows])
    return answers


COLUMNS = "partition_id, id, text, metadata, embedding, words, length, tokens"


async def _table(store, space):
    async with store._pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT name FROM dify_vector_spaces WHERE name LIKE %s", [f"dify_{space.name}%"]
        )
        return (await cursor.fetchone())[0]


def _row(record):
    words = []
    for term, times in Counter(text_terms(record.text)).items():
        digest = hashlib.blake2b(f"{KEY}\0{term}".encode(), digest_size=8).digest()
        words += [int.from_bytes(digest, "big", signed=True)] * times
    return (
        KEY,
        record.id,
        record.text,
        msgspec.json.encode(record.metadata).decode(),
        _vector(record.vector),
        "{" + ",".join(map(str, words)) + "}",
        len(words),
        "{" + ",".join(metadata_tokens(record.metadata)) + "}",
    )


def _vector(vector):
    norm = math.hypot(*vector)
    return msgspec.json.encode([value / norm for value in vector]).decode()
