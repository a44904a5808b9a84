"""Turns records into what the service keeps, and back.

The vector is as long as the index, zeros after the space's own; the data is the text; the metadata is `own` (as JSON,
so that kinds stay), `f` (tokens of the fields) and `at` (a name of this writing). Metadata too large for the service
goes before the text instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from dify_kernel.contracts.vector import Metadata, Record, Space
from dify_kernel.contracts.vector_rules import unit

from dify_vdb_upstash.filters import OVER, attributes_of

__all__ = ["batches", "has_metadata", "metadata_of", "padded", "to_item", "to_record"]

RECORDS, BYTES = 100, 2_000_000
"""How much one request writes."""
MOST_METADATA = 40_000
"""Bytes of metadata that the service certainly keeps; it says 48 KB."""


def padded(vector: Iterable[float], dimension: int) -> list[float]:
    """A vector of length 1, with zeros up to the dimension of the index: its cosines stay what they are."""
    numbers = unit(list(vector))
    return numbers + [0.0] * (dimension - len(numbers))


def to_item(record: Record, dimension: int, at: str) -> dict[str, Any]:
    """A record as it is written."""
    own = msgspec.json.encode(record.metadata).decode()
    metadata: dict[str, Any] = {"own": own, "f": attributes_of(record.metadata), "at": at}
    data = record.text
    if len(msgspec.json.encode(metadata)) > MOST_METADATA:
        metadata = {OVER: 1, "at": at}
        data = f"{own}\n{record.text}"
    return {"id": record.id, "vector": padded(record.vector, dimension), "metadata": metadata, "data": data}


def to_record(space: Space, item: dict[str, Any]) -> Record:
    """A record as it was fetched with everything."""
    text = item.get("data") or ""
    if OVER in item["metadata"]:
        text = text.partition("\n")[2]
    return Record(id=item["id"], text=text, vector=item["vector"][: space.dimension], metadata=metadata_of(item))


def has_metadata(item: dict[str, Any]) -> bool:
    """Whether the metadata of an item is whole without its data."""
    return OVER not in item["metadata"]


def metadata_of(item: dict[str, Any]) -> Metadata:
    """The metadata as it was written."""
    own = item["metadata"]["own"] if has_metadata(item) else item["data"].partition("\n")[0]
    return msgspec.json.decode(own, type=Metadata)


def batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Records for one request each."""
    batch: list[Record] = []
    size = 0
    for record in records:
        batch.append(record)
        size += 20 * len(record.vector) + 3 * len(record.text)
        if len(batch) == RECORDS or size > BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
