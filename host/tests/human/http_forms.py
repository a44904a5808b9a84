"""Apps that ask people, over HTTP, and the worker's end of the queue."""

from __future__ import annotations

from typing import Any

import httpx
import sqlalchemy as sa
from dify_host.db.outbox import Job
from dify_host.human.tables import human_input_forms
from dify_host.jobs.actors import ACTORS
from dify_host.platform import Platform

from ..service.service_house import House, Key, events
from .forms import APPROVAL, approval, jobs_of

__all__ = ["Desk"]


class Desk:
    """One app that asks, and who answers it."""

    def __init__(self, house: House, app: Key) -> None:
        self.house, self.app, self.platform = house, app, house.platform
        self.said: list[dict[str, Any]] = []

    @classmethod
    async def open(cls, house: House, body: dict[str, Any] | None = None, mode: str = "workflow") -> Desk:
        """A published app; `approval` unless told otherwise."""
        return cls(house, await house.app(mode, body or approval()))

    async def ask(self, path: str = "/workflows/run", **body: Any) -> dict[str, Any]:
        """Run the app until it asks; the data of the question."""
        self.said = await self.app.stream(path, {"inputs": APPROVAL, **body})
        return self.asked()[0]

    def asked(self) -> list[dict[str, Any]]:
        """The questions of the last run."""
        return [item["data"] for item in self.said if item["event"] == "human_input_required"]

    @property
    def run_id(self) -> str:
        """The last run."""
        return str(self.said[0]["workflow_run_id"])

    async def get(self, token: str) -> httpx.Response:
        """The form, with the app's key."""
        return await self.app("GET", f"/form/human_input/{token}")

    async def answer(self, token: str, action: str = "approve", **inputs: Any) -> httpx.Response:
        """An answer, with the app's key."""
        body = {"inputs": inputs, "action": action, "user": "abc-123"}
        return await self.app("POST", f"/form/human_input/{token}", body)

    async def by_link(self, token: str, action: str = "approve", **inputs: Any) -> httpx.Response:
        """An answer, with the link alone."""
        return await self.house.web.post(f"/api/form/human_input/{token}", json={"inputs": inputs, "action": action})

    async def page(self, token: str, data: dict[str, Any] | None = None, files: Any = None) -> httpx.Response:
        """The page of a form; with data what it sends."""
        if data is None:
            return await self.house.web.get(f"/form/{token}")
        return await self.house.web.post(f"/form/{token}", data=data, files=files)

    async def work(self) -> list[Job]:
        """Do what was written for the workers about answered runs."""
        return await work(self.platform)

    async def detail(self) -> dict[str, Any]:
        """The last run as the API shows it."""
        answer = await self.app("GET", f"/workflows/run/{self.run_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def after(self) -> list[dict[str, Any]]:
        """All events of the last run, from its beginning."""
        query = "user=abc-123&include_state_snapshot=true&continue_on_pause=true"
        return events(await self.app("GET", f"/workflow/{self.run_id}/events?{query}"))

    async def forms(self) -> list[Any]:
        """The rows of its forms."""
        table = human_input_forms
        async with self.platform.db.read() as conn:
            query = sa.select(table).where(table.c.app_id == self.app.app_id)
            return list((await conn.execute(query.order_by(table.c.created_at, table.c.id))).all())


async def work(platform: Platform, actor: str = "resume_run") -> list[Job]:
    """Do the jobs of one kind, as a worker does."""
    jobs = await jobs_of(platform.db, actor)
    for job in jobs:
        await ACTORS[job.actor].run(platform, **job.args)
    return jobs
