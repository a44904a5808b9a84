"""What the store does, written by hand over the vendor's client: the same commands, and nothing around them.

The measurement of what an adapter adds calls these beside the store's own methods, against the same server.
"""

import math
import struct
from array import array
from collections import Counter
from uuid import UUID

import msgspec
from dify_kernel.contracts.lexical import text_terms
from dify_kernel.contracts.vector import Compare
from dify_kernel.contracts.vector_tokens import leaf_tokens
from dify_vdb_redis.scripts import REPLACE
from redis.asyncio import Redis

KEY = "6b1f0f2e-0000-4000-8000-00000000000a"
KINDS = ("vectors", "metadata", "texts", "order", "words")


async def upsert(store, space, records):
    """Write the records into the partition, 10 with each script."""
    start = f"{store._settings.key_prefix}:{space.name}"
    keys = [start, f"{start}:partitions", *[f"{start}:{kind}:{KEY}" for kind in KINDS]]
    async with _client(store) as client:
        script = client.register_script(REPLACE)
        for first in range(0, len(records), 10):
            arguments = [space.dimension, KEY]
            for record in records[first : first + 10]:
                counts = Counter(text_terms(record.text))
                tail = struct.pack(">16s", UUID(record.id).bytes)
                length = counts.total()
                words = [
                    word.encode() + b"\0" + tail + struct.pack(">II", count, length) for word, count in counts.items()
                ]
                tokens = {key: leaf_tokens(Compare("in", key, [value]))[0] for key, value in record.metadata.items()}
                arguments += [record.id, "", 0, len(words), _unit(record.vector), msgspec.json.encode(tokens)]
                arguments += [msgspec.json.encode(record.metadata), record.text, *words]
            await script(keys=keys, args=arguments)


async def search(store, space, vectors, top_k):
    """Find the nearest of each vector; their ids, texts, scores and metadata."""
    start = f"{store._settings.key_prefix}:{space.name}"
    vector_set, metadata, texts = (f"{start}:{kind}:{KEY}" for kind in KINDS[:3])
    answers = []
    async with _client(store) as client:
        for vector in vectors:
            assert await client.execute_command("VCARD", vector_set) <= store._settings.exact_up_to
            query = ["FP32", _unit(vector), "WITHSCORES", "COUNT", top_k, "TRUTH"]
            rows = iter(await client.execute_command("VSIM", vector_set, *query))
            found = [(id.decode(), 2 * float(score) - 1) for id, score in zip(rows, rows, strict=True)]
            ids = [id for id, _ in found]
            async with client.pipeline(transaction=True) as pipe:
                pipe.hmget(texts, ids)
                pipe.hmget(metadata, ids)
                columns = await pipe.execute()
            answers.append(
                [
                    (id, text.decode(), msgspec.json.decode(own), score)
                    for (id, score), text, own in zip(found, *columns, strict=True)
                ]
            )
    return answers


def _client(store):
    settings = store._settings
    return Redis(host=settings.host, port=settings.port, protocol=2, socket_timeout=60)


def _unit(vector):
    norm = math.hypot(*vector)
    return array("f", [value / norm for value in vector]).tobytes()
