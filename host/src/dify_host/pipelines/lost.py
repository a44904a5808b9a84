"""Jobs of pipelines that never began a run, as those of a queue that lost its data, are sent again."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Final

import sqlalchemy as sa

from dify_host.db.engine import JOBS_WRITTEN, Database, database_now
from dify_host.db.outbox import outbox
from dify_host.knowledge.tables import datasets, documents
from dify_host.pipelines.of_datasets import run_key
from dify_host.pipelines.tables import document_pipeline_execution_logs

__all__ = ["repeat_lost_runs"]

log = logging.getLogger(__name__)

#: How long after it was sent a job is taken for lost, and how often that time is doubled for the next repetition.
_PATIENCE: Final = timedelta(minutes=5)
_MOST_DOUBLED: Final = 8
_BATCH: Final = 200
_logs = document_pipeline_execution_logs


async def repeat_lost_runs(db: Database) -> int:
    """Send the jobs anew of documents that no run has begun with for long, of all tenants; returns how many.

    A job that only waits its turn comes twice then, which begins one run; each repetition waits twice as long. Only the
    last job of a document counts.
    """
    count, after = 0, None
    while True:
        async with db.write() as conn:
            now = await database_now(conn)
            found = (await conn.execute(_waiting(after))).all()
            keys = [run_key(row.log_id) for row in found]
            sent = sa.select(outbox).where(outbox.c.dedupe_key.in_(keys), outbox.c.sent_at <= now - _PATIENCE)
            jobs = (await conn.execute(sent.with_for_update(skip_locked=True))).all() if keys else []
            late = [job for job in jobs if job.sent_at + _PATIENCE * 2 ** _doubled(job.attempts) <= now]
            for job in late:
                log.warning("No run has begun for the job %s; it is sent again.", job.dedupe_key)
            if late:
                mine = outbox.c.id.in_([job.id for job in late])
                await conn.execute(outbox.update().where(mine).values(sent_at=None, claimed_until=None))
                conn.info[JOBS_WRITTEN] = True
        count += len(late)
        if len(found) < _BATCH:
            return count
        after = found[-1].document_id


def _waiting(after: str | None) -> sa.Select[tuple[str, str]]:
    """Documents of pipelines that wait, in the order of their ids, with the last log of each."""
    newer = _logs.alias()
    later = sa.or_(
        newer.c.created_at > _logs.c.created_at,
        sa.and_(newer.c.created_at == _logs.c.created_at, newer.c.id > _logs.c.id),
    )
    found = (
        sa.select(documents.c.id.label("document_id"), _logs.c.id.label("log_id"))
        .join(datasets, documents.c.dataset_id == datasets.c.id)
        .join(_logs, _logs.c.document_id == documents.c.id)
        # The first event of a run lets its document wait no longer.
        .where(datasets.c.pipeline_id.is_not(None), documents.c.indexing_status == "waiting")
        .where(~sa.exists().where(newer.c.document_id == documents.c.id, later))
        .order_by(documents.c.id)
        .limit(_BATCH)
    )
    return found if after is None else found.where(documents.c.id > after)


def _doubled(attempts: int) -> int:
    return min(max(attempts - 1, 0), _MOST_DOUBLED)
