"""The typed events of a run, numbered; the host maps them onto the API's server-sent events.

Logged events carry `seq` 1, 2, 3 … without gaps. A StreamChunk is not logged: it carries the seq of the last logged
event and its `offset` (1, 2, …) behind it, so that (seq, offset) orders everything a client sees.
"""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = [
    "AgentLogged",
    "AnyEvent",
    "ContainerBegun",
    "Event",
    "NodeFinished",
    "NodePaused",
    "NodeRetried",
    "NodeStarted",
    "Resources",
    "RoundBegun",
    "RunFinished",
    "RunPaused",
    "RunResumed",
    "RunStarted",
    "Scope",
    "StreamChunk",
    "decode_event",
    "decode_events",
    "encode_event",
]


Scope = tuple[tuple[str, int], ...]
"""Where a node stands: the containers around it, outermost first, each with the index of its round."""


class Event(msgspec.Struct, kw_only=True, tag_field="event", gc=False, omit_defaults=True):
    """Base of every event. `at` is Unix time in seconds."""

    seq: int = 0
    at: float = 0.0


class RunStarted(Event, kw_only=True, tag="run_started", gc=False, omit_defaults=True):
    """The run has begun; `variables` is the pool as it was, enough to begin again.

    `context` is the host's: what it needs to take the run up on another process.
    """

    inputs: dict[str, Any] = {}
    variables: dict[str, dict[str, Any]] = {}
    context: dict[str, Any] = {}


class NodeStarted(Event, kw_only=True, tag="node_started", gc=False, omit_defaults=True):
    """A node has begun. `index` counts starts from 1; `execution_id` stays the same over retries and crashes.

    `extras` is what the node tells of itself (`Node.extras`).
    """

    execution_id: str
    node_id: str
    node_type: str
    title: str = ""
    index: int = 1
    scope: Scope = ()
    extras: dict[str, Any] = {}


class StreamChunk(Event, kw_only=True, tag="stream_chunk", gc=False, omit_defaults=True):
    """A piece of the answer, in the order of its template. `selector` is where the text comes from."""

    selector: tuple[str, ...]
    text: str
    offset: int = 0


class Resources(Event, kw_only=True, tag="resources", gc=False, omit_defaults=True):
    """Citations that a node found."""

    node_id: str
    execution_id: str
    resources: list[dict[str, Any]]
    scope: Scope = ()


class AgentLogged(Event, kw_only=True, tag="agent_log", gc=False, omit_defaults=True):
    """A step of an agent node."""

    node_id: str
    execution_id: str
    log: dict[str, Any]
    scope: Scope = ()


class NodeRetried(Event, kw_only=True, tag="node_retry", gc=False, omit_defaults=True):
    """An attempt failed and the node will be tried again; `retry_index` counts from 1."""

    execution_id: str
    node_id: str
    node_type: str
    title: str = ""
    index: int = 1
    scope: Scope = ()
    inputs: dict[str, Any] = {}
    process_data: dict[str, Any] = {}
    outputs: dict[str, Any] = {}
    error: str = ""
    error_type: str = ""
    retry_index: int = 1
    started_at: float = 0.0
    elapsed_time: float = 0.0


class NodeFinished(Event, kw_only=True, tag="node_finished", gc=False, omit_defaults=True):
    """A node has ended: `succeeded`, `failed` (the run fails with it) or `exception` (its error strategy took over).

    `handle`, `updates` and `types` repeat what the run did with the result, so that a replay does the same: `types`
    names the type of an output where its data does not tell it (of an update under `@owner.name`), `masked` tells that
    secrets are hidden in them (`yes`), or might be mistaken for what a user wrote (`ambiguous`). `said` is what answers
    inside a container have streamed. `left` is there for a container whose rounds share the values outside: what stands
    under its id beside its outputs.
    """

    execution_id: str
    node_id: str
    node_type: str
    title: str = ""
    index: int = 1
    scope: Scope = ()
    status: str = "succeeded"
    inputs: dict[str, Any] = {}
    process_data: dict[str, Any] = {}
    outputs: dict[str, Any] = {}
    error: str = ""
    error_type: str = ""
    metadata: dict[str, Any] = {}
    handle: str = "source"
    updates: list[tuple[tuple[str, ...], Any]] = []
    types: dict[str, str] = {}
    masked: str = ""
    said: list[tuple[tuple[str, ...], str]] = []
    left: dict[str, Any] | None = None
    usage: dict[str, Any] = {}
    retries: int = 0
    started_at: float = 0.0
    elapsed_time: float = 0.0


class ContainerBegun(Event, kw_only=True, tag="container_begun", gc=False, omit_defaults=True):
    """A container knows what it goes over; clients see the container from here to its `node_finished`."""

    execution_id: str
    node_id: str
    node_type: str
    title: str = ""
    inputs: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    scope: Scope = ()


class RoundBegun(Event, kw_only=True, tag="round_begun", gc=False, omit_defaults=True):
    """A round of a container is due."""

    execution_id: str
    node_id: str
    node_type: str
    title: str = ""
    index: int = 0
    scope: Scope = ()


class NodePaused(Event, kw_only=True, tag="node_paused", gc=False, omit_defaults=True):
    """A node waits for somebody. `expires_at` is Unix time; then the host answers for them."""

    execution_id: str
    node_id: str
    node_type: str
    title: str = ""
    scope: Scope = ()
    type: str = ""
    data: dict[str, Any] = {}
    expires_at: float | None = None


class RunPaused(Event, kw_only=True, tag="run_paused", gc=False, omit_defaults=True):
    """Nothing more can happen until somebody answers; `waiting` are the execution ids of the nodes that wait.

    `elapsed_time` are the seconds that the run was at work since it began.
    """

    waiting: list[str] = []
    outputs: dict[str, Any] = {}
    elapsed_time: float = 0.0
    total_tokens: int = 0
    total_steps: int = 0


class RunResumed(Event, kw_only=True, tag="run_resumed", gc=False, omit_defaults=True):
    """The run goes on, from its log: it was `answered` (execution id -> answer), or `recovered` from a lost process.

    `text` is what its answers have streamed up to here; what a client saw beyond that is taken back. `let_go` says that
    the process before let it go, as it ended in order or the platform was away: that was no fault of the run.
    """

    cause: str = "recovered"
    let_go: bool = False
    answers: dict[str, dict[str, Any]] = {}
    text: str = ""


class RunFinished(Event, kw_only=True, tag="run_finished", gc=False, omit_defaults=True):
    """The one terminal event: `succeeded`, `partial-succeeded`, `failed` or `stopped`."""

    status: str
    outputs: dict[str, Any] = {}
    error: str = ""
    error_type: str = ""
    elapsed_time: float = 0.0
    total_tokens: int = 0
    total_steps: int = 0
    exceptions_count: int = 0
    usage: dict[str, Any] = {}


AnyEvent = (
    RunStarted
    | NodeStarted
    | StreamChunk
    | Resources
    | AgentLogged
    | NodeRetried
    | NodeFinished
    | ContainerBegun
    | RoundBegun
    | NodePaused
    | RunPaused
    | RunResumed
    | RunFinished
)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_list_decoder: msgspec.json.Decoder[list[AnyEvent]] = msgspec.json.Decoder(list[AnyEvent])


def encode_event(event: Event) -> bytes:
    """The event as JSON, for the log."""
    return _encoder.encode(event)


def decode_event(data: bytes) -> AnyEvent:
    """The event that `encode_event` wrote."""
    return _decoder.decode(data)


def decode_events(data: bytes) -> list[AnyEvent]:
    """The events of a JSON array."""
    return _list_decoder.decode(data)
