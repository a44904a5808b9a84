"""Run as a program: one look for due schedules, killed just before or just after its transaction is committed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from dify_host.db.engine import Database
from dify_host.triggers.schedules import fire_due_schedules


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def main(url: str, when: str, now: str) -> None:
    db = Database(url)
    if when == "before":
        sa.event.listen(db._engine.sync_engine, "commit", die)
    else:
        db.on_jobs = die  # called when the transaction is durable
    await fire_due_schedules(db, grace=timedelta(hours=1), now=datetime.fromisoformat(now))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
