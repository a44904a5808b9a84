"""What the store does, written by hand over pymilvus: the same rows and the same question, and nothing around them.

The measurement of what an adapter adds calls these beside the store's own methods, against the same engine.
"""

import asyncio
import math

import msgspec
from dify_kernel.contracts.vector_tokens import metadata_tokens
from dify_vdb_milvus.filters import key_of
from dify_vdb_milvus.rows import ordering_key, text_words

KEY = "6b1f0f2e-0000-4000-8000-00000000000a"


async def upsert(store, space, records):
    """Write the records into the collection of the space."""
    name, key = _collection(store, space), key_of(KEY)
    rows = [
        {
            "id": record.id,
            "partition": key,
            "ordering": ordering_key(record.id),
            "text": record.text,
            "rest": [],
            "metadata": msgspec.json.encode(record.metadata).decode(),
            "tokens": metadata_tokens(record.metadata),
            "words": text_words(record.text),
            "vector": _unit(record.vector),
        }
        for record in records
    ]
    for start in range(0, len(rows), 500):
        await asyncio.to_thread(store._opened.upsert, name, rows[start : start + 500])


async def search(store, space, vectors, top_k):
    """Find the nearest of each vector; their ids, texts, scores and metadata."""
    name, within = _collection(store, space), f'partition == "{key_of(KEY)}"'
    answers = []
    for vector in vectors:
        found = await asyncio.to_thread(
            store._opened.search,
            name,
            data=[_unit(vector)],
            anns_field="vector",
            filter=within,
            limit=top_k,
            output_fields=["text", "rest", "metadata"],
            search_params={"metric_type": "COSINE", "params": {"ef": 128}},
            consistency_level="Strong",
        )
        answers.append(
            [
                (row["id"], row["entity"]["text"], msgspec.json.decode(row["entity"]["metadata"]), row["distance"])
                for row in found[0]
            ]
        )
    return answers


def _collection(store, space):
    return next(name for name in store._opened.list_collections() if name.startswith(f"dify_{space.name}"))


def _unit(vector):
    norm = math.hypot(*vector)
    return [value / norm for value in vector]
