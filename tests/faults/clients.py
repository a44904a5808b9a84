"""Callers who do not give up: they try again where nobody answers, and take up a stream that broke off."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec

from tests.faults.basic_apps import FaultApp
from tests.faults.stage import Stage

__all__ = ["Accepted", "Callers", "Followed", "Seen", "Told"]

_AGAIN = 0.2
#: Of a stream's events, what replaces the text so far, and what adds to it.
REPLACES = {"text_replace": ("data", "text"), "message_replace": ("answer",)}
ADDS = {"text_chunk": ("data", "text"), "message": ("answer",), "agent_message": ("answer",)}


class Seen(msgspec.Struct, frozen=True):
    """One event as a client saw it."""

    id: str
    name: str
    data: dict[str, Any]


class Followed(msgspec.Struct, kw_only=True):
    """What one client saw of one run, over all its connections."""

    mode: str
    user: str
    run_id: str = ""
    seen: list[Seen] = []
    reconnects: int = 0
    ended: bool = False
    errors: list[str] = []

    def take(self, event: Seen) -> None:
        """Note an event; the last one of a run ends it."""
        self.run_id = self.run_id or str(event.data.get("task_id", ""))
        if event.name == "error" and not event.id:
            self.errors.append(json.dumps(event.data)[:300])
            return
        self.seen.append(event)
        last = "workflow_finished" if self.mode == "workflow" else "message_end"
        self.ended = event.name == last or (event.name == "error" and self.mode != "workflow")


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """How a blocking call was answered."""

    run_id: str
    status: str


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """A document that a caller was told of."""

    dataset_id: str
    document_id: str


class Callers(msgspec.Struct, kw_only=True):
    """All callers of one scenario, and what they were told."""

    stage: Stage
    web: httpx.AsyncClient
    random: random.Random
    followed: list[Followed] = []
    told: list[Told] = []
    hooked: list[str] = []
    accepted: list[Accepted] = []
    refused: list[str] = []
    #: Calls that have not come to an end: what they do, by their word.
    open: dict[str, str] = {}
    lost: int = 0
    asked: int = 0

    async def call(self, word: str) -> None:
        """Start one run, of an app and in a way that chance decides, and stay with it to its end."""
        self.asked += 1
        pace = self.pace()
        callable_ = [app for app in self.stage.house.apps.values() if app.started_by != "schedule"]
        app = self.random.choice(callable_)
        waits, leaves = self.random.random() < 0.4, self.random.random() < 0.3
        waits = waits and app.mode != "agent-chat"  # which only streams
        self.open[word] = f"{app.name} {'waits' if waits else 'follows'}"
        if app.started_by == "webhook":
            await self._hook(word, pace)
        elif waits:
            await self._wait(app, word, pace)
        else:
            await self._follow(app, word, pace, leaves=leaves)
        del self.open[word]

    def pace(self) -> str:
        """How slowly a model answers."""
        return f"DELAY:{self.random.choice((5, 20, 60, 120))}"

    async def answer_form(self, token: str, comment: str) -> None:
        """Answer a form by its link; harmless when somebody has."""
        body = {"inputs": {"comment": comment}, "action": "approve"}
        await self.web.post(f"{self._api()}/api/form/human_input/{token}", json=body, timeout=10)

    async def ask(self, name: str, path: str, key: str, **request: Any) -> httpx.Response | None:
        """Ask until there is an answer; None when it is a refusal. `name` is of what is asked.

        One whose connection is lost has started a run or not, and asks again; so does one that is told to.
        """
        headers = {"Authorization": f"Bearer {key}"}
        while True:
            try:
                answer = await self.web.post(f"{self._api()}{path}", headers=headers, **request)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                await asyncio.sleep(_AGAIN)
                continue
            except httpx.HTTPError:
                self.lost += 1
                continue
            if answer.is_success:
                return answer
            self.refused.append(f"{name} blocking: {answer.status_code} {answer.text[:300]}")
            if "retry-after" not in answer.headers:
                return None
            await asyncio.sleep(_AGAIN)

    # -- ways -------------------------------------------------------------------------------------------------

    async def _hook(self, word: str, pace: str) -> None:
        """A sender that repeats until it is told that the request was taken."""
        while True:
            url = f"{self._api()}/triggers/webhook/{self.stage.house.webhook_id}"
            try:
                answer = await self.web.post(url, json={"word": word, "pace": pace})
            except httpx.HTTPError:
                answer = None
            if answer is not None and answer.status_code == 200:
                self.hooked.append(word)
                return
            await asyncio.sleep(_AGAIN)

    async def _wait(self, app: FaultApp, word: str, pace: str) -> None:
        """A caller that waits for the end."""
        path, body = _request(app, word, pace, "blocking")
        answer = await self.ask(app.name, path, self.stage.house.keys[app.name], json=body)
        if answer is not None:
            told = answer.json()
            data = told.get("data") or {}
            self.told.append(Told(run_id=str(told["task_id"]), status=str(data.get("status", ""))))

    async def _follow(self, app: FaultApp, word: str, pace: str, *, leaves: bool) -> None:
        """A reader who takes the stream up again until the run has ended; some also leave on their own.

        Who was not told of a run asks again, unless it left.
        """
        followed = Followed(mode=app.mode, user=word, seen=[], errors=[])
        while not followed.run_id:
            path, body = _request(app, word, pace, "streaming")
            try:
                await self._read(followed, "POST", path, app, leaves, json=body)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                await asyncio.sleep(_AGAIN)
                continue
            except httpx.HTTPError:
                pass  # the connection is lost
            if not followed.run_id:
                self.refused += followed.errors
                self.lost += not followed.errors
                followed.errors = []
                if leaves:
                    return
        self.followed.append(followed)
        kind = "workflow" if app.mode == "workflow" else app.body(word, pace)[0]
        while not followed.ended:
            followed.reconnects += 1
            params = {"user": word, "continue_on_pause": "true"}
            try:
                await self._read(followed, "GET", f"/v1/{kind}/{followed.run_id}/events", app, leaves, params=params)
            except httpx.HTTPError:
                await asyncio.sleep(_AGAIN)

    async def _read(
        self, followed: Followed, method: str, path: str, app: FaultApp, leaves: bool, **request: Any
    ) -> None:
        """Read one connection to its end, or for a moment."""
        headers = self._key(app)
        if followed.seen:
            headers["Last-Event-ID"] = followed.seen[-1].id
        patience = self.random.uniform(0.2, 3) if leaves else 600
        try:
            async with (
                asyncio.timeout(patience),
                self.web.stream(method, f"{self._api()}{path}", headers=headers, **request) as answer,
            ):
                if answer.status_code != 200:
                    text = (await answer.aread()).decode("utf-8", "replace")
                    followed.errors.append(f"{app.name} {method}: {answer.status_code} {text[:300]}")
                    await asyncio.sleep(_AGAIN)
                    return
                async for event in _events(answer):
                    followed.take(event)
        except TimeoutError:
            return

    def _api(self) -> str:
        return self.random.choice(self.stage.apis)

    def _key(self, app: FaultApp) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.stage.house.keys[app.name]}"}


async def _events(answer: httpx.Response) -> AsyncIterator[Seen]:
    """Events with data; the id of one is the last that was sent before it."""
    last, fresh = "", False
    async for line in answer.aiter_lines():
        if line.startswith("id: "):
            last, fresh = line.removeprefix("id: "), True
        elif line.startswith("data: "):
            data = json.loads(line.removeprefix("data: "))
            yield Seen(last if fresh else "", str(data.get("event", "")), data)
            fresh = False


def _request(app: FaultApp, word: str, pace: str, mode: str) -> tuple[str, dict[str, Any]]:
    path, body = app.body(word, pace)
    return f"/v1/{path}", {"user": word, "response_mode": mode, **body}
