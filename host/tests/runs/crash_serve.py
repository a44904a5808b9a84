"""Run as a program: starts one run of a published app whose model takes its time, says which, waits to be killed."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import msgspec
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.platform import Platform
from dify_host.runs.recorder import Creator
from dify_host.runs.request import RunRequest


async def main(plan: dict[str, Any]) -> None:
    async with Platform.opened(plan["env"], role="api") as platform:
        workspace = await platform.workspace(Tenant(plan["tenant"]))
        live = await platform.live_apps.find(workspace.app_repository, plan["app"], "any")
        request = RunRequest(
            tenant=workspace.tenant,
            app=live.app,
            creator=Creator(role="end_user", id=plan.get("user") or new_id()),
            user_id="abc-123",
            inputs={},
            query=plan["query"],
            names=plan.get("names", False),
        )
        started = await platform.runs.start(live.program, request)
        async for _ in started.handle.follow():
            if started.handle.text():
                break
        sys.stdout.write(f"{started.handle.run.run_id}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(msgspec.json.decode(sys.argv[1])))
