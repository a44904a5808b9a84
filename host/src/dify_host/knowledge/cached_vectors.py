"""Forgets vectors that were computed long ago; a text that needs one again pays for it again."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from dify_host.db.engine import Database
from dify_host.knowledge.tables import embeddings

__all__ = ["forget_embeddings"]


async def forget_embeddings(db: Database, *, before: datetime, limit: int = 500) -> int:
    """Delete up to `limit` cached vectors from before a time (UTC), oldest first, and return how many."""
    async with db.write() as conn:
        old = sa.select(embeddings.c.id).where(embeddings.c.created_at < before)
        ids = (await conn.execute(old.order_by(embeddings.c.created_at).limit(limit))).scalars().all()
        if ids:
            await conn.execute(embeddings.delete().where(embeddings.c.id.in_(ids)))
    return len(ids)
