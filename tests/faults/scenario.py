"""One scenario: runs are started at a steady rate while things die, all comes to its end, and the evidence is taken."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress

import httpx
import msgspec
from dify_host.db.engine import Database
from dify_host.db.errors import DatabaseError
from dify_host.human.links import FormLinks
from dify_host.platform import Platform

from tests.faults.clients import Callers
from tests.faults.evidence import Evidence, Pictures, collect, open_forms, strikes, switch_schedules, unsettled
from tests.faults.killer import Kill, Killer
from tests.faults.shelves import Shelf, look
from tests.faults.stage import Stage
from tests.faults.writers import write

__all__ = ["Outcome", "play"]

_MINUTE = 60
#: How many of all calls have documents made.
_WRITE = 0.2


class Outcome(msgspec.Struct, kw_only=True):
    """What came of a scenario; `left` is what had not come to an end in time."""

    evidence: Evidence
    kills: list[Kill]
    callers: Callers
    changed: list[str]
    left: dict[str, int]
    drained: float
    seconds: float


async def play(stage: Stage, seed: int, seconds: float, *, rate: float, drain: float = 300) -> Outcome:
    """Play it with the chances of a seed; `rate` is in runs a second, `drain` in how many seconds all must end."""
    began = time.monotonic()
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    db, killer = Database(stage.database), Killer(stage, random.Random(seed))
    pictures, tasks = Pictures(db), asyncio.TaskGroup()
    await switch_schedules(db, on=True)
    # A minute without a strike of the clock is one whose job was delayed: it is waited for.
    struck = await strikes(db) + (seconds >= _MINUTE)
    async with httpx.AsyncClient(timeout=httpx.Timeout(600, connect=5), limits=limits, trust_env=False) as web:
        callers = Callers(stage=stage, web=web, random=random.Random(seed + 1))
        async with tasks:
            beside = [
                tasks.create_task(pictures.keep_taking()),
                tasks.create_task(killer.keep_alive()),
                tasks.create_task(_answer_forms(db, callers)),
            ]
            killing = tasks.create_task(killer.kill(seconds))
            calls = await _call(callers, f"s{seed}", seconds, rate)
            await killing
            over = time.monotonic()
            await _stop_the_clock(db, struck)
            left = await _drained(db, calls, over + drain)
            for task in [*beside, *calls]:
                task.cancel()
    evidence = await collect(db)
    await db.close()
    evidence.pictures, evidence.arrivals = pictures.rows, stage.effects.arrivals
    evidence.followed, evidence.told, evidence.hooked = callers.followed, callers.told, callers.hooked
    evidence.accepted, evidence.shelves = callers.accepted, await _shelves(stage)
    evidence.pieces = {stage.house.datasets[name]: item.pieces for name, item in stage.house.pipelines.items()}
    return Outcome(
        evidence=evidence,
        kills=killer.kills,
        callers=callers,
        changed=pictures.changed,
        left=left,
        drained=time.monotonic() - over,
        seconds=time.monotonic() - began,
    )


async def _call(callers: Callers, name: str, seconds: float, rate: float) -> list[asyncio.Task[None]]:
    """Start calls of apps and of pipelines at a steady rate, big and small in turn."""
    calls: list[asyncio.Task[None]] = []
    began = time.monotonic()
    while (now := time.monotonic() - began) < seconds:
        while len(calls) < now * rate:  # also those that a busy moment kept from starting in time
            word = f"{'big' if len(calls) % 2 else 'small'} {name}n{len(calls)}"
            call = write(callers, word) if callers.random.random() < _WRITE else callers.call(word)
            calls.append(asyncio.create_task(call))
        await asyncio.sleep(1 / rate)
    return calls


async def _shelves(stage: Stage) -> list[Shelf]:
    """The knowledge bases of the pipelines as they are now."""
    async with Platform.opened(stage.place.env, role="cli") as platform:
        return await look(platform, list(stage.house.datasets.values()))


async def _answer_forms(db: Database, callers: Callers) -> None:
    """Answer every form that waits, until cancelled."""
    links = FormLinks(callers.stage.place.env["SECRET_KEY"], "")
    while True:
        with suppress(DatabaseError, httpx.HTTPError):
            for form_id in await open_forms(db):
                await callers.answer_form(links.token(form_id), f"fine {form_id[-4:]}")
        await asyncio.sleep(0.5)


async def _stop_the_clock(db: Database, struck: int) -> None:
    """Once it struck so often no further schedule is due, so that there is an end to wait for."""
    until = time.monotonic() + 2 * _MINUTE
    while True:
        with suppress(DatabaseError):  # it comes back just now
            if await strikes(db) >= struck or time.monotonic() > until:
                return await switch_schedules(db, on=False)
        await asyncio.sleep(0.25)


async def _drained(db: Database, calls: list[asyncio.Task[None]], deadline: float) -> dict[str, int]:
    """Wait until nothing is left to do; what is left at the deadline."""
    while True:
        try:
            left = await unsettled(db)
        except DatabaseError:
            left = {"database": 1}  # it comes back just now
        if under_way := sum(not call.done() for call in calls):
            left["calls"] = under_way
        if not left or time.monotonic() > deadline:
            return left
        await asyncio.sleep(0.25)
