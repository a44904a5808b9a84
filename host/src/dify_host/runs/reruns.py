"""Runs a failed run again from where it failed: the results of the nodes before are kept, not worked out again.

A published version runs as it was. A draft runs as it is today, so that a node can be mended and the run go on from it:
the results of nodes that were changed, and of all that follows them, are not kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from dify_kernel.errors import BadInput
from dify_kernel.graph.events import AnyEvent, NodeFinished, RunStarted
from dify_kernel.graph.values import File, Value, cast

from dify_host.apps.errors import WorkflowNotFound
from dify_host.apps.records import AppRecord, WorkflowRecord
from dify_host.apps.repository import DRAFT, AppRepository
from dify_host.db.tenant import Tenant
from dify_host.runs.context import RunContext, read_context
from dify_host.runs.request import RunRequest

__all__ = ["NotFailed", "Rerun", "kept_results", "prepare_rerun"]

_ENDED: Final = ("failed", "stopped")
_KEPT: Final = ("succeeded", "exception")


class NotFailed(BadInput):
    """Only a run that failed or was stopped is run again."""

    code = "run_not_failed"


class Rerun(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be started: the version, the request, and the results that it begins with."""

    version: WorkflowRecord
    request: RunRequest
    adopted: list[NodeFinished]


async def prepare_rerun(
    apps: AppRepository, app: AppRecord, run: Mapping[str, Any], events: Sequence[AnyEvent]
) -> Rerun:
    """A run (as `RunRecords.detail` gives it) with its log, as the request of another one, for whoever started it.

    Raises NotFailed, LogError when the log does not say what ran, WorkflowNotFound when its version is gone.
    """
    if run["status"] not in _ENDED:
        raise NotFailed(
            f"The run is {run['status']}.", hint="Only a run that failed or was stopped goes on.", run_id=run["id"]
        )
    context = read_context(events)
    version = await _version(apps, context)
    adopted = kept_results(events, run["graph"], version.graph)
    return Rerun(version=version, request=_request(apps.tenant, app, context, events), adopted=adopted)


def kept_results(events: Sequence[AnyEvent], before: Mapping[str, Any], now: Mapping[str, Any]) -> list[NodeFinished]:
    """The results of a run that hold in the graph of today, in their order."""
    changed = _changed(before, now)
    return [
        event
        for event in events
        if isinstance(event, NodeFinished)
        and not event.scope
        and event.status in _KEPT
        and event.node_id not in changed
    ]


async def _version(apps: AppRepository, context: RunContext) -> WorkflowRecord:
    if context.version != DRAFT:
        return await apps.published_workflow(context.run.app_id, context.run.workflow_id)
    draft = await apps.draft_workflow(context.run.app_id)
    if draft is None:
        raise WorkflowNotFound("The app has no draft any more.", app_id=context.run.app_id)
    return draft


def _request(tenant: Tenant, app: AppRecord, context: RunContext, events: Sequence[AnyEvent]) -> RunRequest:
    first = events[0]
    pool = first.variables if isinstance(first, RunStarted) else {}
    system = {name: _value(item).data for name, item in pool.get("sys", {}).items()}
    root = next((event.node_id for event in events if isinstance(event, NodeFinished)), context.root_id)
    inputs = {name: _value(item).data for name, item in pool.get(context.root_id or root, {}).items()}
    spec = context.spec
    return RunRequest(
        tenant=tenant,
        app=app,
        creator=context.creator,
        user_id=context.run.user_id,
        inputs=inputs,
        query=str(system.get("query") or ""),
        files=[file for file in system.get("files") or [] if isinstance(file, File)],
        conversation_id=context.run.conversation_id,
        invoke_from=context.run.invoke_from,
        from_source=spec.from_source if spec else "api",
        triggered_from=context.triggered_from,
        root_id=context.root_id or None,
    )


def _value(item: Sequence[Any]) -> Value:
    kind, data = item
    return cast(data, kind)


# -- what changed -------------------------------------------------------------------------------------------------


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> set[str]:
    """The nodes of today that are new or other than they were, their containers, and all that follows them."""
    old, new = _nodes(before), _nodes(now)
    old_edges, new_edges = _edges(before), _edges(now)
    stack = [node_id for node_id, data in new.items() if old.get(node_id) != data]
    stack += [target for _, target, _ in old_edges ^ new_edges]
    following: dict[str, set[str]] = {}
    for source, target, _ in new_edges:
        following.setdefault(source, set()).add(target)
    for node_id, (parent, _) in new.items():
        following.setdefault(node_id, set()).add(parent)
    found: set[str] = set()
    while stack:
        node_id = stack.pop()
        if node_id not in found:
            found.add(node_id)
            stack += following.get(node_id, ())
    return found


def _nodes(graph: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    """Node id -> the container that it stands in, and its data."""
    found = {}
    for item in graph.get("nodes") or []:
        if isinstance(item, dict) and item.get("type") != "custom-note":
            data = item.get("data") or {}
            parent = item.get("parentId") or data.get("iteration_id") or data.get("loop_id") or ""
            found[str(item.get("id"))] = (str(parent), {key: value for key, value in data.items() if key[:1] != "_"})
    return found


def _edges(graph: Mapping[str, Any]) -> set[tuple[str, str, str]]:
    return {
        (str(edge.get("source")), str(edge.get("target")), str(edge.get("sourceHandle") or "source"))
        for edge in graph.get("edges") or []
        if isinstance(edge, dict)
    }
