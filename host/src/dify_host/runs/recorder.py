"""Turns the events of a run into its rows, in the same batch as the events: the run, its nodes, its log entry."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec
from dify_kernel.contracts.node import RunInfo
from dify_kernel.graph.events import (
    Event,
    NodeFinished,
    NodePaused,
    NodeStarted,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
)
from dify_kernel.graph.log import RunLog

from dify_host.db.types import new_id
from dify_host.db.writer import Group
from dify_host.runs.event_log import SqlRunLog
from dify_host.runs.tables import workflow_app_logs, workflow_node_executions, workflow_runs

__all__ = ["Creator", "RecordedLog", "Rows", "WorkflowRows", "moment", "node_values"]


class Creator(msgspec.Struct, frozen=True, kw_only=True):
    """Who started a run: an end user of the API, or an account."""

    role: str
    id: str
    name: str = ""
    email: str = ""


class Rows(Protocol):
    """Watches a run's events and puts what follows from them into the group that is written with them."""

    def record(self, event: Event, group: Group) -> None:
        """Add or change rows."""
        ...


class RecordedLog(RunLog):
    """A run log whose events also become rows; both are durable together. `durable` is told up to which event.

    `last_word` may change an end, or a pause, before it is written.
    """

    def __init__(
        self,
        log: SqlRunLog,
        rows: list[Rows],
        *,
        durable: Callable[[int], None] = lambda _seq: None,
        last_word: Callable[[RunFinished | RunPaused], Awaitable[None]] | None = None,
    ) -> None:
        self._log = log
        self._rows = rows
        self._durable = durable
        self._last_word = last_word
        self._last: RunFinished | RunPaused | None = None

    def append(self, event: Event) -> None:
        """Keep the event and what follows from it."""
        if self._last_word is not None and isinstance(event, RunFinished | RunPaused):
            self._last = event
            return
        self._keep(event)

    async def flush(self) -> None:
        """Return when everything is durable."""
        self.push()
        if self._last_word is not None and self._last is not None:
            await self._last_word(self._last)
            self._keep(self._last)
            self._last = None
            self.push()
        await self._log.flush()

    def push(self) -> None:
        """Send what has gathered without waiting."""
        written, last = self._log.push(), self._log.last

        def told(done: asyncio.Future[None]) -> None:
            if not done.cancelled() and done.exception() is None:
                self._durable(last)

        if written is not None:
            written.add_done_callback(told)

    def release(self, *, in_order: bool = False) -> None:
        """Let the run go before its end; another process may take it over. `in_order`: the run did not cause it."""
        self._log.release(in_order=in_order)

    def _keep(self, event: Event) -> None:
        self._log.append(event)
        for rows in self._rows:
            rows.record(event, self._log.group)


def moment(at: float) -> datetime:
    """Unix seconds as the database keeps time: naive UTC."""
    return datetime.fromtimestamp(at, UTC).replace(tzinfo=None)


class WorkflowRows:
    """`workflow_runs`, `workflow_node_executions` and `workflow_app_logs` of one run.

    `graph` is kept with the run when it is a draft's, which nothing else keeps.
    """

    def __init__(
        self,
        run: RunInfo,
        creator: Creator,
        *,
        mode: str,
        version: str,
        triggered_from: str,
        graph: dict[str, Any] | None = None,
    ) -> None:
        self._run, self._creator = run, creator
        self._mode, self._version, self._triggered_from = mode, version, triggered_from
        self._graph = graph
        self._open: dict[str, NodeStarted] = {}
        self._waiting: set[str] = set()

    def record(self, event: Event, group: Group) -> None:
        """Follow the run: its row and its log entry at the start, a row a node that ends or waits, the end."""
        if isinstance(event, NodeFinished):
            self._open.pop(event.execution_id, None)
            self._keep(event, group)
        elif isinstance(event, NodeStarted):
            self._open[event.execution_id] = event
        elif isinstance(event, NodePaused):
            self._wait(event, group)
        elif isinstance(event, RunPaused):
            values = {"status": "paused", "outputs": event.outputs, "elapsed_time": event.elapsed_time}
            counts = {"total_tokens": event.total_tokens, "total_steps": event.total_steps}
            group.update(workflow_runs, self._run.run_id, {**values, **counts})
        elif isinstance(event, RunResumed):
            group.update(workflow_runs, self._run.run_id, {"status": "running"})
        elif isinstance(event, RunStarted):
            group.insert(workflow_runs, self._run_row(event))
            if self._triggered_from == "app-run":
                group.insert(workflow_app_logs, self._app_log_row(event))
        elif isinstance(event, RunFinished):
            self._end(event, group)

    def _keep(self, event: NodeFinished, group: Group) -> None:
        row = self._node_row(event)
        if event.execution_id in self._waiting:
            self._waiting.discard(event.execution_id)
            group.update(workflow_node_executions, row.pop("id"), row)
        else:
            group.insert(workflow_node_executions, row)

    def _wait(self, event: NodePaused, group: Group) -> None:
        """A node that waits has a row; asked again, it has it already."""
        started = self._open.get(event.execution_id)
        if started is None or event.execution_id in self._waiting:
            return
        self._waiting.add(event.execution_id)
        row = self._node_row(_abandoned(started, status="paused", at=event.at))
        group.insert(workflow_node_executions, {**row, "finished_at": None})

    def _run_row(self, event: RunStarted) -> dict[str, Any]:
        return {
            "id": self._run.run_id,
            "tenant_id": self._run.tenant_id,
            "app_id": self._run.app_id,
            "workflow_id": self._run.workflow_id,
            "type": self._mode,
            "triggered_from": self._triggered_from,
            "version": self._version,
            "graph": self._graph,
            "inputs": event.inputs,
            "status": "running",
            "outputs": None,
            "error": None,
            "elapsed_time": 0.0,
            "total_tokens": 0,
            "total_steps": 0,
            "exceptions_count": 0,
            "created_by_role": self._creator.role,
            "created_by": self._creator.id,
            "created_at": moment(event.at),
            "finished_at": None,
        }

    def _node_row(self, event: NodeFinished) -> dict[str, Any]:
        own = {
            "id": event.execution_id,
            "tenant_id": self._run.tenant_id,
            "triggered_from": "workflow-run",
            "workflow_run_id": self._run.run_id,
        }
        return {**own, **node_values(self._run, self._creator, event)}

    def _end(self, event: RunFinished, group: Group) -> None:
        for started in self._open.values():
            self._keep(_abandoned(started, status="failed", at=event.at, error=event.error or event.status), group)
        group.update(
            workflow_runs,
            self._run.run_id,
            {
                "status": event.status,
                "outputs": event.outputs,
                "error": event.error or None,
                "elapsed_time": event.elapsed_time,
                "total_tokens": event.total_tokens,
                "total_steps": event.total_steps,
                "exceptions_count": event.exceptions_count,
                "finished_at": moment(event.at),
            },
        )

    def _app_log_row(self, event: RunStarted) -> dict[str, Any]:
        return {
            "id": new_id(),
            "tenant_id": self._run.tenant_id,
            "app_id": self._run.app_id,
            "workflow_id": self._run.workflow_id,
            "workflow_run_id": self._run.run_id,
            "created_from": self._run.invoke_from,
            "created_by_role": self._creator.role,
            "created_by": self._creator.id,
            "created_at": moment(event.at),
        }


def node_values(run: RunInfo, creator: Creator, event: NodeFinished) -> dict[str, Any]:
    """The columns of a node's row that its end tells, whether it was of a run or was tried alone."""
    began = moment(event.started_at)
    return {
        "app_id": run.app_id,
        "workflow_id": run.workflow_id,
        "index": event.index,
        "predecessor_node_id": None,
        "node_execution_id": event.execution_id,
        "node_id": event.node_id,
        "node_type": event.node_type,
        "title": event.title[:255],
        "inputs": event.inputs or None,
        "process_data": event.process_data or None,
        "outputs": event.outputs or None,
        "status": event.status,
        "error": event.error or None,
        "elapsed_time": event.elapsed_time,
        "execution_metadata": event.metadata or None,
        "created_by_role": creator.role,
        "created_by": creator.id,
        "created_at": began,
        "finished_at": began + timedelta(seconds=event.elapsed_time),
    }


def _abandoned(started: NodeStarted, *, status: str, at: float, error: str = "") -> NodeFinished:
    """A node that has no end: it waits, or its run ended around it and it is kept as failed with the run's error."""
    return NodeFinished(
        execution_id=started.execution_id,
        node_id=started.node_id,
        node_type=started.node_type,
        title=started.title,
        index=started.index,
        scope=started.scope,
        status=status,
        error=error,
        started_at=started.at,
        elapsed_time=max(at - started.at, 0.0),
    )
