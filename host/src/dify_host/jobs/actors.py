"""Every job there is: a name, a queue, limits, and a few lines that call the domain service that does the work.

Arguments are JSON values, given by name. A job may run twice (see the broker), so each one is idempotent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dramatiq
import msgspec

from dify_host.annotations.replies import Action, ReplyWish, forget_annotations
from dify_host.datasources.crawls import CRAWL_WEBSITE
from dify_host.datasources.crawls import QUEUE as CRAWL_QUEUE
from dify_host.db.outbox import purge_sent
from dify_host.db.tenant import Tenant
from dify_host.db.types import utc_now
from dify_host.human.looking_after import look_after_forms
from dify_host.human.rows import DELIVER_FORM, MAIL_QUEUE, RESUME_RUN
from dify_host.human.rows import QUEUE as RESUME_QUEUE
from dify_host.jobs.broker import JobBroker
from dify_host.knowledge.cached_vectors import forget_embeddings
from dify_host.knowledge.import_marks import take_back_cut_off
from dify_host.knowledge.tasks import ACTOR as INDEX_DOCUMENTS
from dify_host.knowledge.tasks import QUEUE as KNOWLEDGE_QUEUE
from dify_host.knowledge.tasks import wake_lost_turns
from dify_host.pipelines.lost import repeat_lost_runs
from dify_host.pipelines.of_datasets import QUEUE as PIPELINE_QUEUE
from dify_host.pipelines.of_datasets import RUN_PIPELINE
from dify_host.runs.payload_sweep import sweep_payloads as sweep
from dify_host.runs.retention import Retention, clean_old_runs, delete_app_rows
from dify_host.triggers.intake import QUEUE as TRIGGER_QUEUE
from dify_host.triggers.intake import RUN_TRIGGER
from dify_host.triggers.runner import repeat_lost_triggers, settle_trigger_logs
from dify_host.triggers.schedules import fire_due_schedules

if TYPE_CHECKING:
    from dify_host.platform import Platform

__all__ = ["ACTORS", "Actor", "declare"]

_MINUTE = 60_000
_SENT_JOBS_KEPT = timedelta(days=2)


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of job; `time_limit` in milliseconds."""

    name: str
    queue: str
    time_limit: int
    run: Callable[..., Awaitable[None]]


async def index_documents(platform: Platform, tenant_id: str, slot: int, turn: int) -> None:
    """Work through a workspace's knowledge tasks for one turn; goes on where an earlier try stopped."""
    await platform.turns.run(tenant_id, slot, turn)


async def wake_knowledge(platform: Platform) -> None:
    """Send the jobs again of workspaces whose turn was lost, and of documents whose pipeline never began."""
    await wake_lost_turns(platform.db)
    await repeat_lost_runs(platform.db)


async def delete_app(platform: Platform, tenant_id: str, app_id: str) -> None:
    """Delete what running an app left behind, after the app itself is gone."""
    await forget_annotations(platform.db, platform.annotation_index(Tenant(tenant_id)), app_id)
    await delete_app_rows(platform.db, Tenant(tenant_id), app_id)


async def index_annotation(platform: Platform, tenant_id: str, app_id: str, annotation_id: str) -> None:
    """Bring the index to what an annotation says now."""
    await platform.annotations_of(Tenant(tenant_id)).index(app_id, annotation_id)


async def index_annotations(platform: Platform, tenant_id: str, app_id: str, annotation_ids: list[str]) -> None:
    """The same for several."""
    await platform.annotations_of(Tenant(tenant_id)).index_many(app_id, annotation_ids)


async def import_annotations(platform: Platform, tenant_id: str, app_id: str, job_id: str, after: str) -> None:
    """Bring annotations that came from a file into the index."""
    await (await platform.workspace(Tenant(tenant_id))).annotation_imports.run(app_id, job_id, after)


async def annotation_reply(
    platform: Platform,
    tenant_id: str,
    app_id: str,
    action: Action,
    job_id: str,
    account_id: str,
    wish: dict[str, Any],
) -> None:
    """Switch an app's annotation reply on or off."""
    replies = platform.annotation_replies(Tenant(tenant_id))
    wanted = msgspec.convert(wish, ReplyWish)
    await replies.run(app_id, action, wanted, account_id=account_id, job_id=job_id)


async def clean_runs(platform: Platform) -> None:
    """Delete finished runs that are old or too many (WORKFLOW_LOG_…), when WORKFLOW_LOG_CLEANUP_ENABLED says so."""
    settings = platform.settings
    if not settings.workflow_log_cleanup_enabled:
        return
    kept = Retention(
        before=utc_now() - timedelta(days=settings.workflow_log_retention_days),
        keep=settings.workflow_log_retention_count,
        batch=settings.workflow_log_cleanup_batch_size,
    )
    await clean_old_runs(platform.db, kept)


async def sweep_payloads(platform: Platform) -> None:
    """Delete large values in the storage whose runs are gone."""
    await sweep(platform.db, platform.storage)


async def take_back_imports(platform: Platform) -> None:
    """Take out what imports of knowledge bases have left that were cut off and not begun anew."""
    await take_back_cut_off(platform.db, platform.storage, platform.vectors)


async def clean_embeddings(platform: Platform) -> None:
    """Forget cached vectors that are old, when ENABLE_CLEAN_EMBEDDING_CACHE_TASK says so."""
    if not platform.settings.enable_clean_embedding_cache_task:
        return
    before = utc_now() - timedelta(days=platform.settings.plan_sandbox_clean_day_setting)
    while await forget_embeddings(platform.db, before=before):
        pass


async def run_trigger(platform: Platform, tenant_id: str, log_id: str) -> None:
    """Begin the run that a trigger asked for and wait for its end, so that not all of them run at once."""
    await (await platform.workspace(Tenant(tenant_id))).trigger_runner.run(log_id)


async def crawl_website(platform: Platform, tenant_id: str, job_id: str) -> None:
    """Read the pages of a website for documents to be made of them."""
    await platform.datasources.crawls(Tenant(tenant_id)).run(job_id)


async def run_pipeline(platform: Platform, tenant_id: str, log_id: str, workflow_id: str) -> None:
    """Begin the run of a pipeline over a document and wait for its end, so that not all of them run at once."""
    await (await platform.workspace(Tenant(tenant_id))).pipeline_runner.run(log_id, workflow_id)


async def poll_schedules(platform: Platform) -> None:
    """Start the schedules that are due."""
    settings = platform.settings
    rhythm = timedelta(minutes=settings.workflow_schedule_poller_interval)
    await fire_due_schedules(
        platform.db,
        # What one look leaves to the next is on time.
        grace=max(timedelta(seconds=settings.workflow_schedule_misfire_grace), 2 * rhythm),
        batch=settings.workflow_schedule_poller_batch_size,
        limit=settings.workflow_schedule_max_dispatch_per_tick,
    )


async def look_after_triggers(platform: Platform) -> None:
    """Note the ends of triggered runs whose job did not see them, and repeat the jobs of runs that never began."""
    await settle_trigger_logs(platform.db)
    await repeat_lost_triggers(platform.db)


async def purge_outbox(platform: Platform) -> None:
    """Forget jobs that were sent days ago; they are kept that long so that a key names one job."""
    before = utc_now() - _SENT_JOBS_KEPT
    while await purge_sent(platform.db, before=before):
        pass


async def resume_run(platform: Platform, tenant_id: str, run_id: str) -> None:
    """Go on with a run that people answered, and wait until it ends or waits again."""
    await platform.form_runner(Tenant(tenant_id)).resume(run_id)


async def deliver_form(platform: Platform, tenant_id: str, form_id: str) -> None:
    """Tell people of a form by mail."""
    await platform.form_mails(Tenant(tenant_id)).send(form_id)


async def look_after_open_forms(platform: Platform) -> None:
    """Time out forms, close those of runs that have ended, repeat what was lost."""
    await look_after_forms(platform.db)


#: Every actor by name; a job in the outbox names one of these.
ACTORS: dict[str, Actor] = {
    actor.name: actor
    for actor in (
        Actor(name=INDEX_DOCUMENTS, queue=KNOWLEDGE_QUEUE, time_limit=120 * _MINUTE, run=index_documents),
        Actor(name="wake_knowledge", queue="schedule_poller", time_limit=10 * _MINUTE, run=wake_knowledge),
        Actor(name="index_annotation", queue="dataset", time_limit=10 * _MINUTE, run=index_annotation),
        Actor(name="index_annotations", queue="dataset", time_limit=30 * _MINUTE, run=index_annotations),
        Actor(name="import_annotations", queue="dataset", time_limit=60 * _MINUTE, run=import_annotations),
        Actor(name="annotation_reply", queue="dataset", time_limit=60 * _MINUTE, run=annotation_reply),
        Actor(name="delete_app", queue="app_deletion", time_limit=60 * _MINUTE, run=delete_app),
        Actor(name="clean_runs", queue="retention", time_limit=180 * _MINUTE, run=clean_runs),
        Actor(name="sweep_payloads", queue="retention", time_limit=180 * _MINUTE, run=sweep_payloads),
        Actor(name="take_back_imports", queue="retention", time_limit=180 * _MINUTE, run=take_back_imports),
        Actor(name="clean_embeddings", queue="dataset", time_limit=60 * _MINUTE, run=clean_embeddings),
        Actor(name=RUN_TRIGGER, queue=TRIGGER_QUEUE, time_limit=24 * 60 * _MINUTE, run=run_trigger),
        Actor(name=RUN_PIPELINE, queue=PIPELINE_QUEUE, time_limit=24 * 60 * _MINUTE, run=run_pipeline),
        Actor(name=CRAWL_WEBSITE, queue=CRAWL_QUEUE, time_limit=120 * _MINUTE, run=crawl_website),
        Actor(name="poll_schedules", queue="schedule_poller", time_limit=10 * _MINUTE, run=poll_schedules),
        Actor(name="look_after_triggers", queue="schedule_poller", time_limit=10 * _MINUTE, run=look_after_triggers),
        Actor(name=RESUME_RUN, queue=RESUME_QUEUE, time_limit=24 * 60 * _MINUTE, run=resume_run),
        Actor(name=DELIVER_FORM, queue=MAIL_QUEUE, time_limit=10 * _MINUTE, run=deliver_form),
        Actor(name="look_after_forms", queue="schedule_poller", time_limit=10 * _MINUTE, run=look_after_open_forms),
        Actor(name="purge_outbox", queue="retention", time_limit=30 * _MINUTE, run=purge_outbox),
    )
}


def declare(broker: JobBroker, platform: Callable[[], Platform]) -> None:
    """Declare every actor on a broker; `platform` is called in the event loop when a job runs."""
    for actor in ACTORS.values():
        decorate = dramatiq.actor(
            actor_name=actor.name, queue_name=actor.queue, time_limit=actor.time_limit, broker=broker
        )
        decorate(_bound(actor, platform))


def _bound(actor: Actor, platform: Callable[[], Platform]) -> Callable[..., Awaitable[None]]:
    async def run(*args: Any, **kwargs: Any) -> None:
        await actor.run(platform(), *args, **kwargs)

    return run
