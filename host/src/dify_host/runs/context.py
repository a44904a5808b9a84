"""What a run is about, as its first event keeps it: enough to take the run up in another process, weeks later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from dify_kernel.contracts.node import RunInfo
from dify_kernel.errors import LogError
from dify_kernel.graph.events import Event, NodeFinished, NodePaused, RunResumed, RunStarted

from dify_host.db.tenant import Tenant
from dify_host.runs.message_rows import MessageSpec
from dify_host.runs.recorder import Creator

__all__ = ["RunContext", "lost_in_a_row", "read_context", "unanswered"]


class RunContext(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whose run it is and what it runs; `spec` is the message that it answers, None for a workflow.

    `judged` says that its answer is judged before it is kept, `names` that it finds a name for the conversation that
    it begins; `most` is how many runs the app may have at a time, 0 any number. The version is found again by the run's
    `workflow_id`; the graph of a draft is in the row of the run.
    """

    run: RunInfo
    mode: str
    creator: Creator
    version: str
    root_id: str
    is_workflow: bool = True
    triggered_from: str = "app-run"
    spec: MessageSpec | None = None
    judged: bool = False
    names: bool = False
    most: int = 0

    @property
    def tenant(self) -> Tenant:
        """The workspace."""
        return Tenant(self.run.tenant_id)

    def encode(self) -> dict[str, Any]:
        """The context as plain data."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data


def read_context(events: Sequence[Event]) -> RunContext:
    """The context in a run's log; LogError when there is none that can be read."""
    first = events[0] if events else None
    if not isinstance(first, RunStarted) or not first.context:
        raise LogError("The log of the run does not say what it runs.")
    try:
        return msgspec.convert(first.context, RunContext)
    except msgspec.ValidationError as exc:
        raise LogError(f"The log of the run does not say what it runs: {exc}.") from exc


def lost_in_a_row(events: Sequence[Event]) -> int:
    """How often the run was taken up from a lost process since a node last came to an end, one that let it go aside."""
    count = 0
    for event in reversed(events):
        if isinstance(event, NodeFinished):
            break
        count += isinstance(event, RunResumed) and event.cause == "recovered" and not event.let_go
    return count


def unanswered(events: Sequence[Event]) -> list[str]:
    """The executions that wait for somebody and got no answer yet, in the order in which they asked."""
    asked: dict[str, None] = {}
    for event in events:
        if isinstance(event, NodePaused):
            asked[event.execution_id] = None
        elif isinstance(event, RunResumed):
            for execution_id in event.answers:
                asked.pop(execution_id, None)
    return list(asked)
