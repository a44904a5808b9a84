"""What a run is about, as its first event keeps it: enough to take the run up in another process, weeks later."""

from __future__ import annotations

from typing import Any

import msgspec
from dify_kernel.contracts.node import RunInfo
from dify_kernel.errors import LogError
from dify_kernel.graph.events import Event, RunStarted

from dify_host.db.tenant import Tenant
from dify_host.runs.message_rows import MessageSpec
from dify_host.runs.recorder import Creator

__all__ = ["RunContext", "read_context"]


class RunContext(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whose run it is and what it runs; `spec` is the message that it answers, None for a workflow.

    A version is found again by `source_id`. A draft is not: `graph` is the one that ran.
    """

    run: RunInfo
    mode: str
    creator: Creator
    version: str
    root_id: str
    is_workflow: bool = True
    triggered_from: str = "app-run"
    max_active: int = 0
    spec: MessageSpec | None = None
    graph: dict[str, Any] | None = None

    @property
    def tenant(self) -> Tenant:
        """The workspace."""
        return Tenant(self.run.tenant_id)

    def encode(self) -> dict[str, Any]:
        """The context as plain data."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data


def read_context(events: list[Event]) -> RunContext:
    """The context in a run's log; LogError when there is none that can be read."""
    first = events[0] if events else None
    if not isinstance(first, RunStarted) or not first.context:
        raise LogError("The log of the run does not say what it runs.")
    try:
        return msgspec.convert(first.context, RunContext)
    except msgspec.ValidationError as exc:
        raise LogError(f"The log of the run does not say what it runs: {exc}.") from exc
