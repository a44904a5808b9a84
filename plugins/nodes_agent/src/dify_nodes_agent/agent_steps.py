"""The steps of an agent as clients follow them: rounds, what the model said in each, calls of tools."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from typing import Any

from dify_kernel.contracts.model import Usage
from dify_kernel.contracts.node import AgentLog, NodeContext
from dify_kernel.graph.values import plain

__all__ = ["Step", "Steps"]


class Steps:
    """All steps of one run of the node. A step is sent again, under the same id, as it gets on."""

    def __init__(self, ctx: NodeContext) -> None:
        self._ctx = ctx
        self._sent: dict[str, AgentLog] = {}
        self._children: Counter[str] = Counter()

    def open(self, label: str, *, parent: Step | None = None, provider: str = "", data: Any = None) -> Step:
        """A step that begins now. The n-th step in its place has the same id whoever runs the node again."""
        place = parent.id if parent else self._ctx.key
        self._children[place] += 1
        step_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{place}:{self._children[place]}"))
        step = Step(self, step_id, label, parent.id if parent else None, provider)
        step.update(data or {})
        return step

    def send(self, log: AgentLog) -> AgentLog:
        """Keep how a step stands."""
        self._sent[log.id] = log
        return log

    def entries(self) -> list[dict[str, Any]]:
        """How every step ended, in the order of their beginning."""
        return [
            {
                "id": log.id,
                "parent_id": log.parent_id,
                "error": log.error,
                "status": log.status,
                "data": log.data,
                "label": log.label,
                "metadata": log.metadata,
                "node_id": self._ctx.node_id,
            }
            for log in self._sent.values()
        ]


class Step:
    """One step; `log` is how it stands."""

    def __init__(self, steps: Steps, step_id: str, label: str, parent_id: str | None, provider: str) -> None:
        self.id = step_id
        self._steps, self._label, self._parent_id = steps, label, parent_id
        self._began = time.monotonic()
        self._metadata: dict[str, Any] = {"started_at": time.time()}
        if provider:
            self._metadata["provider"] = provider
        self.log: AgentLog

    def update(self, data: dict[str, Any]) -> AgentLog:
        """The step goes on, and knows this much."""
        return self._send("start", data, None, self._metadata)

    def close(self, data: dict[str, Any], *, usage: Usage | None = None, error: str = "") -> AgentLog:
        """The step has ended."""
        metadata = {**self._metadata, "finished_at": time.time(), "elapsed_time": time.monotonic() - self._began}
        if usage is not None:
            metadata |= {
                "total_tokens": usage.total_tokens,
                "total_price": usage.total_price,
                "currency": usage.currency,
                "prompt_tokens": usage.prompt_tokens,
                "prompt_unit_price": usage.prompt_unit_price,
                "prompt_price_unit": usage.prompt_price_unit,
                "completion_tokens": usage.completion_tokens,
                "completion_unit_price": usage.completion_unit_price,
                "completion_price_unit": usage.completion_price_unit,
            }
        return self._send("error" if error else "success", data, error or None, metadata)

    def _send(self, status: str, data: dict[str, Any], error: str | None, metadata: dict[str, Any]) -> AgentLog:
        self.log = self._steps.send(
            AgentLog(
                id=self.id,
                label=self._label,
                status=status,
                parent_id=self._parent_id,
                error=error,
                data=plain(data),
                metadata=metadata,
            )
        )
        return self.log
