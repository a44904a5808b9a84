"""What the store does, written by hand over httpx: the same rows and the same question, and nothing around them.

The measurement of what an adapter adds calls these beside the store's own methods, against the same server.
"""

import base64
import math
from array import array

import httpx
import msgspec
from dify_kernel.contracts.lexical import text_terms
from dify_kernel.contracts.vector_tokens import metadata_tokens
from dify_vdb_chroma.records import key_of

KEY = "6b1f0f2e-0000-4000-8000-00000000000a"
COLLECTIONS = "tenants/default_tenant/databases/default_database/collections"


async def upsert(store, space, records):
    """Write the records into the collection of the space."""
    async with httpx.AsyncClient(base_url=f"{store._settings.url}/api/v2/", timeout=60, trust_env=False) as client:
        path = f"{await _collection(client, space)}/upsert"
        for start in range(0, len(records), 500):
            await _asked(client, path, _rows(records[start : start + 500]))


async def search(store, space, vectors, top_k):
    """Find the nearest of each vector; their ids, texts, scores and metadata."""
    answers = []
    async with httpx.AsyncClient(base_url=f"{store._settings.url}/api/v2/", timeout=60, trust_env=False) as client:
        path = f"{await _collection(client, space)}/query"
        for vector in vectors:
            body = {
                "query_embeddings": [_unit(vector).tolist()],
                "where": {"partition": KEY},
                "n_results": top_k,
                "include": ["documents", "metadatas", "distances"],
            }
            found = await _asked(client, path, body)
            columns = (found[name][0] for name in ("ids", "documents", "metadatas", "distances"))
            answers.append(
                [
                    (id, text.partition("\n")[2], msgspec.json.decode(own["metadata"]), 1 - far)
                    for id, text, own, far in zip(*columns, strict=True)
                ]
            )
    return answers


async def _collection(client, space):
    names = msgspec.json.decode((await client.get(COLLECTIONS)).content)
    return f"{COLLECTIONS}/{next(each['id'] for each in names if each['name'].startswith(f'dify_{space.name}'))}"


async def _asked(client, path, body):
    content = msgspec.json.encode(body)
    response = await client.post(path, content=content, headers={"Content-Type": "application/json"})
    response.raise_for_status()
    return msgspec.json.decode(response.content)


def _rows(records):
    return {
        "ids": [record.id for record in records],
        "embeddings": [base64.b64encode(_unit(record.vector).tobytes()).decode() for record in records],
        "documents": [f" {' '.join(text_terms(record.text))} \n{record.text}" for record in records],
        "metadatas": [
            {
                "partition": KEY,
                "key": key_of(record.id),
                "metadata": msgspec.json.encode(record.metadata).decode(),
                "tokens": metadata_tokens(record.metadata),
            }
            for record in records
        ],
    }


def _unit(vector):
    norm = math.hypot(*vector)
    return array("f", [value / norm for value in vector])
