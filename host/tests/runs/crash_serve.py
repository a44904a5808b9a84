"""Run as a program: starts one run whose model never ends its answer, says which, and waits to be killed."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import msgspec
from dify_host.apps.records import AppRecord, ModelConfig, WorkflowRecord
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id, utc_now
from dify_host.platform import Platform
from dify_host.runs.programs import Program
from dify_host.runs.recorder import Creator
from dify_host.runs.service import RunRequest


def program(platform: Platform, plan: dict[str, Any]) -> Program:
    if plan["mode"] == "chat":
        return platform.programs.basic(ModelConfig(id=new_id(), app_id=plan["app"], model=plan["model"]), "chat")
    record = WorkflowRecord(
        id=new_id(),
        tenant_id=plan["tenant"],
        app_id=plan["app"],
        type="workflow",
        version="1",
        graph=plan["graph"],
        features={},
        created_at=utc_now(),
    )
    return platform.programs.workflow(record)


async def main(plan: dict[str, Any]) -> None:
    now = utc_now()
    app = AppRecord(
        id=plan["app"], tenant_id=plan["tenant"], name="An app", mode=plan["mode"], created_at=now, updated_at=now
    )
    async with Platform.opened(plan["env"], role="api") as platform:
        request = RunRequest(
            tenant=Tenant(plan["tenant"]),
            app=app,
            creator=Creator(role="end_user", id=new_id()),
            user_id="abc-123",
            inputs={},
            query="DELAY:20 TOKENS:100000",
        )
        started = await platform.runs.start(program(platform, plan), request)
        async for _ in started.handle.follow():
            written = await platform.run_logs.load(started.handle.run.run_id)
            if started.handle.text() and written:
                break
        sys.stdout.write(f"{started.handle.run.run_id}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(msgspec.json.decode(sys.argv[1])))
