"""The typed events of a run, numbered; the host maps them onto the API's server-sent events.

Logged events carry `seq` 1, 2, 3 … without gaps. A StreamChunk is not logged: it carries the seq of the last logged
event and its `offset` (1, 2, …) behind it, so that (seq, offset) orders everything a client sees.
"""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = [
    "AgentLogged",
    "Event",
    "NodeFinished",
    "NodeRetried",
    "NodeStarted",
    "Resources",
    "RunFinished",
    "RunStarted",
    "StreamChunk",
    "decode_event",
    "decode_events",
    "encode_event",
]


class Event(msgspec.Struct, kw_only=True, tag_field="event", gc=False):
    """Base of every event. `at` is Unix time in seconds."""

    seq: int = 0
    at: float = 0.0


class RunStarted(Event, kw_only=True, tag="run_started", gc=False):
    """The run has begun; `variables` is the pool as it was, enough to begin again."""

    inputs: dict[str, Any] = {}
    variables: dict[str, dict[str, Any]] = {}


class NodeStarted(Event, kw_only=True, tag="node_started", gc=False):
    """A node has begun. `index` counts starts from 1; `execution_id` stays the same over retries and crashes."""

    execution_id: str
    node_id: str
    node_type: str
    title: str = ""
    index: int = 1


class StreamChunk(Event, kw_only=True, tag="stream_chunk", gc=False):
    """A piece of the answer, in the order of its template. `selector` is where the text comes from."""

    selector: tuple[str, ...]
    text: str
    offset: int = 0


class Resources(Event, kw_only=True, tag="resources", gc=False):
    """Citations that a node found."""

    node_id: str
    execution_id: str
    resources: list[dict[str, Any]]


class AgentLogged(Event, kw_only=True, tag="agent_log", gc=False):
    """A step of an agent node."""

    node_id: str
    execution_id: str
    log: dict[str, Any]


class NodeRetried(Event, kw_only=True, tag="node_retry", gc=False):
    """An attempt failed and the node will be tried again; `retry_index` counts from 1."""

    execution_id: str
    node_id: str
    node_type: str
    title: str = ""
    index: int = 1
    inputs: dict[str, Any] = {}
    process_data: dict[str, Any] = {}
    outputs: dict[str, Any] = {}
    error: str = ""
    error_type: str = ""
    retry_index: int = 1
    started_at: float = 0.0
    elapsed_time: float = 0.0


class NodeFinished(Event, kw_only=True, tag="node_finished", gc=False):
    """A node has ended: `succeeded`, `failed` (the run fails with it) or `exception` (its error strategy took over).

    `handle` and `updates` repeat what the run did with the result, so that a replay does the same.
    """

    execution_id: str
    node_id: str
    node_type: str
    title: str = ""
    index: int = 1
    status: str = "succeeded"
    inputs: dict[str, Any] = {}
    process_data: dict[str, Any] = {}
    outputs: dict[str, Any] = {}
    error: str = ""
    error_type: str = ""
    metadata: dict[str, Any] = {}
    handle: str = "source"
    updates: list[tuple[tuple[str, ...], Any]] = []
    retries: int = 0
    started_at: float = 0.0
    elapsed_time: float = 0.0


class RunFinished(Event, kw_only=True, tag="run_finished", gc=False):
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


AnyEvent = RunStarted | NodeStarted | StreamChunk | Resources | AgentLogged | NodeRetried | NodeFinished | RunFinished

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
