"""`dify db`: the database that the environment names, its schema and what is old in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from dify_kernel.errors import DifyError

from dify_host.cli.call import Call, takes_call

if TYPE_CHECKING:
    from dify_host.runs.payload_sweep import Swept

__all__ = ["db"]


class SchemaDiffers(DifyError):
    """The database is not at the schema of this version."""

    code = "schema_differs"


@click.group()
def db() -> None:
    """Upgrade the database, tell how it differs, or delete what is old."""


@db.command()
@takes_call
def upgrade(call: Call) -> None:
    """Bring the database to the schema of this version; repeating it changes nothing."""
    from dify_host.db import migrate

    url = _url(call)
    before = call.run(migrate.current(url))
    call.run(migrate.upgrade(url))
    revision = migrate.head()
    call.out.done(f"The database is at {revision}" + (f" (was {before})." if before != revision else " already."))
    call.out.result({"revision": revision, "before": before})


@db.command()
@takes_call
def check(call: Call) -> None:
    """Tell how the database differs from this version; exit with 1 when it does."""
    from dify_host.db import migrate

    differences = call.run(migrate.check(_url(call)))
    if differences:
        raise SchemaDiffers(f"{'; '.join(differences)}.", hint="Run `dify db upgrade`.")
    call.out.done("The database has the schema of this version.")
    call.out.result({"differences": []})


@db.command()
@click.option("--older-than", metavar="SPAN", help="Finished runs that began longer ago, as 30d or 12h.")
@click.option("--keep", type=click.IntRange(min=1), metavar="N", help="All but the newest N finished runs of each app.")
@click.option("--dry-run", is_flag=True, help="Only count.")
@takes_call
def clean(call: Call, older_than: str | None, keep: int | None, dry_run: bool) -> None:
    """Delete finished runs that are old or too many, with all that hangs on them; messages stay.

    Without --older-than and --keep the settings WORKFLOW_LOG_RETENTION_DAYS and _COUNT say what is kept. Large values
    of runs leave the storage with the last run that needs them, at the earliest two days after they came.
    """
    rows, swept = call.run(_clean(call, older_than, keep, dry_run))
    shown = [*sorted(rows.items()), ("large values in the storage", swept.objects)]
    call.out.table("Would be deleted" if dry_run else "Deleted", ["what", "how many"], shown)
    call.out.result({"rows": rows, "objects": swept.objects, "bytes": swept.size, "dry_run": dry_run})


async def _clean(call: Call, older_than: str | None, keep: int | None, dry_run: bool) -> tuple[dict[str, int], Swept]:
    from datetime import timedelta

    from dify_host.db.types import utc_now
    from dify_host.runs.payload_sweep import sweep_payloads
    from dify_host.runs.retention import Retention, clean_old_runs
    from dify_host.runs.spans import read_span

    async with call.platform() as platform:
        settings = platform.settings
        age = read_span(older_than, "older-than") if older_than else None
        if older_than is None and keep is None:
            age, keep = timedelta(days=settings.workflow_log_retention_days), settings.workflow_log_retention_count
        before = None if age is None else utc_now() - age
        kept = Retention(before=before, keep=keep or 0, batch=settings.workflow_log_cleanup_batch_size)
        rows = await clean_old_runs(platform.db, kept, dry_run=dry_run)
        return rows, await sweep_payloads(platform.db, platform.storage, dry_run=dry_run)


def _url(call: Call) -> str:
    """Return the database's URL; SQLite's folder is made, as SQLite makes no folders."""
    from dify_host.settings import HostSettings

    settings = HostSettings.read(call.env)
    settings.make_data()
    return settings.database
