"""`dify kb move`: a knowledge base goes to another vector store while it answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click
import msgspec
from dify_kernel.errors import DifyError

from dify_host.cli.call import Call, takes_call

if TYPE_CHECKING:
    from dify_host.knowledge.move import Mover, MoveState
    from dify_host.platform import Platform
    from dify_host.workspace import Workspace

__all__ = ["move"]

_LOOK_SECONDS = 0.2


class MoveFailed(DifyError):
    """A knowledge base could not be moved; its old store goes on answering."""

    code = "move_failed"


@click.command()
@click.argument("base", metavar="NAME|ID")
@click.option("--to", "store", required=True, metavar="STORE", help="Name of an installed vector store.")
@click.option("--dry-run", is_flag=True, help="Check that it can be done, and say what would be.")
@takes_call
def move(call: Call, base: str, store: str, dry_run: bool) -> None:
    """Move a knowledge base to another vector store while it answers.

    Writes go to both stores meanwhile. The new one is asked when it was compared with the old one, which is emptied
    then. The same command goes on with a move that was interrupted; naming the old store ends one.
    """
    call.run(_move(call, base, store, dry_run))


async def _move(call: Call, base: str, store: str, dry_run: bool) -> None:
    from dify_host.cli.knowledge import find_base
    from dify_host.jobs.broker import workers_answer
    from dify_host.jobs.relay import announce_jobs
    from dify_host.knowledge.move import Mover

    async with call.workspace() as (platform, workspace, owner):
        dataset = await find_base(workspace, base)
        mover = Mover(platform.db, workspace.tenant, platform.vectors, settings=platform.knowledge_settings)
        plan = await mover.plan(dataset.id, store)
        shown = msgspec.structs.asdict(plan)
        if dry_run:
            call.out.done(f"{plan.records} records of {plan.name} can go from {plan.source} to {plan.target}.")
            call.out.result({**shown, "dry_run": True})
            return
        has_worker = await workers_answer(platform.redis)
        if has_worker:
            announce_jobs(platform.db, platform.redis)
        await mover.begin(dataset.id, store, owner.id)
        state = await _follow(call, platform, workspace, mover, dataset.id, here=not has_worker)
    if state.error:
        raise MoveFailed(f"{plan.name} stays in {state.store}: {state.error}" if state.moving else state.error)
    call.out.done(f"{plan.name} is in {state.store}.")
    call.out.result({**shown, "store": state.store})


async def _follow(
    call: Call, platform: Platform, workspace: Workspace, mover: Mover, dataset_id: str, *, here: bool
) -> MoveState:
    """Follow the move to its end, done by a worker or `here`, with a bar for people."""
    from rich.progress import BarColumn, Progress, TextColumn

    state = await mover.state(dataset_id)
    total = state.documents_left
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"))
    with Progress(*columns, console=call.out.console(), disable=not call.out.live, transient=True) as progress:
        bar = progress.add_task("documents", total=total or None, state="")
        while not state.done and not state.error:
            if not here or not await platform.turns.run_here(workspace.tenant.id):
                await asyncio.sleep(_LOOK_SECONDS)
            state = await mover.state(dataset_id)
            phase = "copied" if state.documents_left else "compared" if state.moving else "emptied"
            progress.update(bar, completed=total - state.documents_left, state=phase)
    return state
