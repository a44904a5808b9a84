"""What the store does, written by hand over asyncmy: the same rows and the same question, and nothing around them.

The measurement of what an adapter adds calls these beside the store's own methods, against the same server.
"""

import hashlib
import math
from collections import Counter

import msgspec
from dify_kernel.contracts.lexical import text_terms
from dify_kernel.contracts.vector_tokens import metadata_tokens

KEY = "6b1f0f2e-0000-4000-8000-00000000000a"
COLUMNS = ("partition_id", "id", "text", "metadata", "embedding", "words", "length", "tokens")


async def upsert(store, space, records):
    """Write the records into the table of the space."""
    rows = [_row(record) for record in records]
    changes = ", ".join(f"{column} = VALUES({column})" for column in COLUMNS[2:])
    places = ", ".join(["%s"] * len(COLUMNS))
    async with _connections(store).acquire() as connection:
        statement = (
            f"INSERT INTO {await _table(connection, space)} ({', '.join(COLUMNS)}) VALUES ({places})"
            f" ON DUPLICATE KEY UPDATE {changes}"
        )
        for start in range(0, len(rows), 500):
            await connection.begin()
            await connection.cursor().executemany(statement, rows[start : start + 500])
            await connection.commit()


async def search(store, space, vectors, top_k):
    """Find the nearest of each vector; their ids, texts, scores and metadata."""
    async with _connections(store).acquire() as connection:
        table = await _table(connection, space)
    statement = (
        f"SELECT id, text, metadata, COSINE_DISTANCE(embedding, %s) AS distance FROM {table} WHERE partition_id = %s"
        " ORDER BY distance LIMIT %s"
    )
    answers = []
    for vector in vectors:
        async with _connections(store).acquire() as connection:
            cursor = connection.cursor()
            await cursor.execute(statement, (_vector(vector), KEY, top_k))
            rows = await cursor.fetchall()
        answers.append([(id, text, metadata, 1 - distance) for id, text, metadata, distance in rows])
    return answers


def _connections(store):
    return store._pool._pool


async def _table(connection, space):
    cursor = connection.cursor()
    await cursor.execute("SHOW TABLES LIKE %s", (f"dify_{space.name}%",))
    return (await cursor.fetchone())[0]


def _row(record):
    words = []
    for term, times in Counter(text_terms(record.text)).items():
        digest = hashlib.blake2b(f"{KEY}\0{term}".encode(), digest_size=8).digest()
        words += [str(10**18 + int.from_bytes(digest, "big") % (2**63 - 10**18))] * times
    return (
        KEY,
        record.id,
        record.text,
        msgspec.json.encode(record.metadata).decode(),
        _vector(record.vector),
        " ".join(words),
        len(words),
        msgspec.json.encode(metadata_tokens(record.metadata)).decode(),
    )


def _vector(vector):
    norm = math.hypot(*vector)
    return msgspec.json.encode([value / norm for value in vector]).decode()
