"""How clients are told of containers: their start, rounds and end, where other nodes start and finish."""

from __future__ import annotations

from typing import Any

from dify_kernel.graph.events import (
    ContainerBegun,
    Event,
    NodeFinished,
    NodeRetried,
    NodeStarted,
    RoundBegun,
    Scope,
)

__all__ = ["ApiContainers"]

#: Kept in the metadata of a container's end for the `steps` of its last event.
_STEPS = "steps"
_KINDS = frozenset(("iteration", "loop"))


class ApiContainers:
    """The containers of one run; events are called by the node's type: `iteration_started`, `loop_next` …"""

    def __init__(self) -> None:
        self._begun: dict[str, ContainerBegun] = {}
        self._types: dict[str, str] = {}

    def told(self, event: Event) -> tuple[str, dict[str, Any]] | None:
        """The name and data of the event that stands for this one; None when it is no container's."""
        if isinstance(event, ContainerBegun):
            self._begun[event.execution_id] = event
            self._types[event.node_id] = event.node_type
            return f"{event.node_type}_started", _started(event)
        if isinstance(event, RoundBegun):
            data = {**_place(event), "index": event.index, "created_at": int(event.at), "extras": {}}
            return f"{event.node_type}_next", data | ({"pre_loop_output": {}} if event.node_type == "loop" else {})
        if isinstance(event, NodeFinished) and event.execution_id in self._begun:
            return f"{event.node_type}_completed", _completed(event, self._begun.pop(event.execution_id))
        return None

    def hides(self, event: Event) -> bool:
        """Whether the start or end of a node is left out: nobody hears of a container that has nothing to do."""
        return isinstance(event, NodeStarted | NodeFinished) and event.node_type in _KINDS

    def inside(self, event: Event) -> dict[str, str]:
        """`iteration_id` and `loop_id` of a node inside containers, those of the innermost of each kind."""
        found = {}
        scope: Scope = event.scope if isinstance(event, NodeStarted | NodeFinished | NodeRetried) else ()
        for node_id, _ in scope:
            found[f"{self._types.get(node_id, 'iteration')}_id"] = node_id
        return found


def _place(event: ContainerBegun | RoundBegun | NodeFinished) -> dict[str, Any]:
    return {"id": event.node_id, "node_id": event.node_id, "node_type": event.node_type, "title": event.title}


def _started(event: ContainerBegun) -> dict[str, Any]:
    return {
        **_place(event),
        "created_at": int(event.at),
        "extras": {},
        "metadata": event.metadata,
        "inputs": event.inputs,
        "inputs_truncated": False,
    }


def _completed(event: NodeFinished, begun: ContainerBegun) -> dict[str, Any]:
    metadata = dict(event.metadata)
    steps = metadata.pop(_STEPS, 0)
    return {
        **_place(event),
        "outputs": event.outputs or None,
        "outputs_truncated": False,
        "created_at": int(begun.at),
        "extras": {},
        "inputs": begun.inputs,
        "inputs_truncated": False,
        "status": "failed" if event.status == "failed" else "succeeded",
        "error": None,
        "elapsed_time": event.elapsed_time,
        "total_tokens": metadata.get("total_tokens", 0),
        "execution_metadata": metadata,
        "finished_at": int(event.at),
        "steps": steps,
    }
