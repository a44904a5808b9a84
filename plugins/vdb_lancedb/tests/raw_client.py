"""What the store does, written by hand over LanceDB: the same rows and the same question, and nothing around them.

The measurement of what an adapter adds calls these beside the store's own methods, against the same tables.
"""

import math
from array import array

import msgspec
import pyarrow as pa
from dify_kernel.contracts.lexical import text_terms
from dify_kernel.contracts.vector_fit import native_name
from dify_kernel.contracts.vector_tokens import metadata_tokens

KEY = "6b1f0f2e-0000-4000-8000-00000000000a"


async def upsert(store, space, records):
    """Write the records into the table of the space."""
    table = await store._opened.open_table(native_name(space.name))
    numbers = array("f")
    for record in records:
        numbers.extend(_unit(record.vector))
    columns = {
        "id": pa.array([record.id for record in records]),
        "partition": pa.array([native_name(KEY)] * len(records)),
        "text": pa.array([record.text for record in records]),
        "metadata": pa.array([msgspec.json.encode(record.metadata).decode() for record in records]),
        "tokens": pa.array([metadata_tokens(record.metadata) for record in records]),
        "words": pa.array([" ".join(text_terms(record.text)) for record in records]),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(numbers, pa.float32()), space.dimension),
    }
    rows = pa.Table.from_arrays(list(columns.values()), schema=await table.schema())
    await table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(rows)


async def search(store, space, vectors, top_k):
    """Find the nearest of each vector; their ids, texts, scores and metadata."""
    answers = []
    for vector in vectors:
        table = await store._opened.open_table(native_name(space.name))
        near = table.query().nearest_to(_unit(vector)).distance_type("cosine").bypass_vector_index()
        near = near.where(f"partition = '{native_name(KEY)}'").select(["id", "text", "metadata", "_distance"])
        rows = (await near.limit(top_k).to_arrow()).to_pylist()
        answers.append(
            [(row["id"], row["text"], msgspec.json.decode(row["metadata"]), 1 - row["_distance"]) for row in rows]
        )
    return answers


def _unit(vector):
    norm = math.hypot(*vector)
    return [value / norm for value in vector]
