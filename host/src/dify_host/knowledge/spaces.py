"""Which collection of which store holds the vectors of an embedding model."""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.types import new_id
from dify_host.knowledge.records import IndexStruct
from dify_host.knowledge.tables import dataset_collection_bindings as bindings

__all__ = ["bind_collection"]


async def bind_collection(
    conn: AsyncConnection, provider: str, model: str, *, store: str, prefix: str, type: str = "dataset"
) -> tuple[str, IndexStruct]:
    """Return the id of the model's collection binding and where its vectors go; the first call makes the binding.

    One collection serves every dataset of a model; the datasets are its partitions.
    """
    query = (
        sa.select(bindings.c.id, bindings.c.collection_name)
        .where(bindings.c.provider_name == provider, bindings.c.model_name == model, bindings.c.type == type)
        .order_by(bindings.c.created_at, bindings.c.id)
        .limit(1)
    )
    row = (await conn.execute(query)).one_or_none()
    if row is not None:
        return row.id, IndexStruct(store=store, collection=row.collection_name)
    binding = {
        "id": new_id(),
        "provider_name": provider,
        "model_name": model,
        "type": type,
        "collection_name": f"{prefix}_{uuid.uuid4().hex}",
    }
    await conn.execute(bindings.insert().values(binding))
    return binding["id"], IndexStruct(store=store, collection=binding["collection_name"])
