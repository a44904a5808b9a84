"""Runs of drafts: started by those who build the app, and remembered value by value for the next try."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence

import msgspec
from dify_kernel.errors import DifyError
from dify_kernel.graph.events import Event, NodeFinished, RunFinished, RunPaused

from dify_host.apps.draft_variables import CONVERSATION, SYSTEM, DraftVariables, Remembered
from dify_host.runs.programs import Program
from dify_host.runs.service import RunRequest, RunService, StartedRun

__all__ = ["DraftRuns", "WatchedRun", "remembered"]

log = logging.getLogger(__name__)


class WatchedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A draft's run under way; `kept` is done when all its values are kept."""

    started: StartedRun
    kept: asyncio.Task[None]

    async def follow(self, *, idle: float) -> AsyncIterator[list[Event]]:
        """Its events in batches; whoever sees the end finds the values of the run kept."""
        async for batch in self.started.handle.follow(idle=idle):
            if batch and isinstance(batch[-1], RunFinished | RunPaused):
                await asyncio.wait((self.kept,))
            yield batch


class DraftRuns:
    """Starts drafts and keeps what their nodes gave. The values are kept when no client listens as well."""

    def __init__(self, runs: RunService) -> None:
        self._runs = runs
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(
        self,
        program: Program,
        request: RunRequest,
        variables: DraftVariables,
        *,
        adopted: Sequence[NodeFinished] = (),
    ) -> WatchedRun:
        """Begin to run; takes and raises what `RunService.start` does."""
        return self.watch(await self._runs.start(program, request, adopted=adopted), variables)

    def watch(self, started: StartedRun, variables: DraftVariables) -> WatchedRun:
        """Keep the values of a run that is under way here, such as one that goes on with an answer."""
        kept = asyncio.create_task(_keep(started, variables, started.handle.run.app_id), name="draft-values")
        self._tasks.add(kept)
        kept.add_done_callback(self._tasks.discard)
        return WatchedRun(started=started, kept=kept)

    async def close(self) -> None:
        """Return when the values of all runs so far are kept; the runs have to end first."""
        if self._tasks:
            await asyncio.wait(set(self._tasks))


async def _keep(started: StartedRun, variables: DraftVariables, app_id: str) -> None:
    """Keep values as they come. The run is not harmed when that fails: it is what its author looks at."""
    try:
        async for batch in started.handle.follow():
            await variables.remember(app_id, list(remembered(batch)))
    except DifyError as exc:
        log.warning("the values of the draft run %s are not all kept: %s", started.handle.run.run_id, exc)


def remembered(events: Iterable[Event]) -> Iterable[Remembered]:
    """What is kept of events: the outputs of nodes that stand in no container, and writes to the conversation."""
    for event in events:
        if not isinstance(event, NodeFinished) or event.status in ("failed", "paused"):
            continue
        for selector, value in event.updates:
            if selector[0] == CONVERSATION:
                yield Remembered(node_id=CONVERSATION, name=selector[1], value=value)
        if event.scope:
            continue
        for name, value in event.outputs.items():
            system = name.startswith(f"{SYSTEM}.")
            yield Remembered(
                node_id=SYSTEM if system else event.node_id,
                name=name.removeprefix(f"{SYSTEM}.") if system else name,
                value=value,
                value_type=event.types.get(name),
                node_execution_id=event.execution_id,
            )
