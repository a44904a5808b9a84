"""What the store does, written by hand over DuckDB: the same rows and the same question, and nothing around them.

The measurement of what an adapter adds calls these beside the store's own methods, against the same file.
"""

import asyncio
import math

import msgspec
from dify_kernel.contracts.lexical import text_terms
from dify_kernel.contracts.vector_fit import native_name
from dify_kernel.contracts.vector_tokens import metadata_tokens

KEY = "6b1f0f2e-0000-4000-8000-00000000000a"


async def upsert(store, space, records):
    """Write the records into the table of the space."""
    for start in range(0, len(records), 500):
        await asyncio.to_thread(_upsert, store, space, records[start : start + 500])


async def search(store, space, vectors, top_k):
    """Find the nearest of each vector; their ids, texts, scores and metadata."""
    sql = (
        "SELECT id::VARCHAR, text, metadata,"
        f" array_inner_product(vector, ?::VARCHAR::FLOAT[{space.dimension}]) AS score"
        f" FROM {native_name(space.name, prefix='space_')} WHERE partition = ? ORDER BY score DESC, id LIMIT ?"
    )

    def one(vector):
        with store._database.reading() as connection:
            return connection.execute(sql, [_json(_unit(vector)), KEY, top_k]).fetchall()

    answers = []
    for vector in vectors:
        rows = await asyncio.to_thread(one, vector)
        answers.append([(id, text, score, msgspec.json.decode(metadata)) for id, text, metadata, score in rows])
    return answers


def _upsert(store, space, records):
    rows = [
        (
            record.id,
            record.text,
            _json(record.metadata),
            _json(_unit(record.vector)),
            _json(metadata_tokens(record.metadata)),
            _json({key: value for key, value in record.metadata.items() if isinstance(value, int | float)}),
            _json(text_terms(record.text)),
        )
        for record in records
    ]
    sql = (
        f"INSERT OR REPLACE INTO {native_name(space.name, prefix='space_')} BY NAME SELECT ? AS partition,"
        " unnest(?::UUID[]) AS id, unnest(?::VARCHAR[]) AS text, unnest(?::VARCHAR[]) AS metadata,"
        f" unnest(?::VARCHAR[])::FLOAT[{space.dimension}] AS vector, unnest(?::VARCHAR[])::UUID[] AS tokens,"
        " unnest(?::VARCHAR[])::JSON::MAP(VARCHAR, DOUBLE) AS numbers, unnest(?::VARCHAR[])::JSON::VARCHAR[] AS words"
    )
    with store._database.writing() as connection:
        connection.execute(sql, [KEY, *map(list, zip(*rows, strict=True))])


def _json(value):
    return msgspec.json.encode(value).decode()


def _unit(vector):
    norm = math.hypot(*vector)
    return [value / norm for value in vector]
