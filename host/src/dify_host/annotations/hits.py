"""What is remembered of an annotation's use: a row a hit, and the count."""

from __future__ import annotations

import sqlalchemy as sa

from dify_host.annotations.records import Match
from dify_host.db.types import new_id, utc_now
from dify_host.db.writer import Group
from dify_host.runs.tables import app_annotation_hit_histories, message_annotations

__all__ = ["record_hit"]


def record_hit(group: Group, match: Match, *, question: str, source: str, user_id: str, message_id: str) -> None:
    """Put a hit into the group of the message that it answered; `source` is api or console."""
    annotation = match.annotation
    row = {
        "id": new_id(),
        "app_id": annotation.app_id,
        "annotation_id": annotation.id,
        "source": source,
        "question": question,
        "account_id": user_id,
        "score": match.score,
        "message_id": message_id,
        "annotation_question": annotation.question,
        "annotation_content": annotation.answer,
        "created_at": utc_now(),
    }
    group.insert(app_annotation_hit_histories, row)
    table = message_annotations
    mine = sa.and_(table.c.id == annotation.id, table.c.app_id == annotation.app_id)
    group.execute(sa.update(table).where(mine).values(hit_count=table.c.hit_count + 1))
