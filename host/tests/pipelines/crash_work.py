"""A worker to be killed: works off what waits in the outbox of the platform of its environment."""

from __future__ import annotations

import asyncio
import os

from dify_host.db.outbox import claim_batch
from dify_host.jobs.actors import ACTORS
from dify_host.platform import Platform


async def main() -> None:
    """Do every job, one after the other."""
    async with Platform.opened(dict(os.environ), role="worker") as platform:
        for job in await claim_batch(platform.db):
            await ACTORS[job.actor].run(platform, **job.args)


if __name__ == "__main__":
    asyncio.run(main())
