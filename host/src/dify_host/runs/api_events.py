"""Maps the events of a run onto the API's server-sent events, field by field as clients of Dify expect them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from dify_kernel.graph.events import (
    AgentLogged,
    Event,
    NodeFinished,
    NodeRetried,
    NodeStarted,
    Resources,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
    StreamChunk,
)
from dify_kernel.graph.values import plain

from dify_host.runs.agent_thoughts import AgentThoughts
from dify_host.runs.api_containers import ApiContainers
from dify_host.runs.follower import TextReplaced
from dify_host.runs.message_rows import Citations, MessageSpec
from dify_host.runs.pause_events import FormToken, PauseEvents
from dify_host.runs.recorder import Creator
from dify_host.runs.well_formed import well_formed

__all__ = ["PING", "ApiEvents", "ErrorEvent", "event_id", "run_error", "server_sent"]

PING = b"event: ping\n\n"
_encode = msgspec.json.Encoder().encode


class ErrorEvent(msgspec.Struct, kw_only=True):
    """What ends a stream that cannot go on."""

    event: str = "error"
    code: str = "internal_server_error"
    message: str = ""
    status: int = 500


class _Message(msgspec.Struct, kw_only=True):
    event: str
    conversation_id: str | msgspec.UnsetType = msgspec.UNSET
    message_id: str
    created_at: int
    task_id: str
    id: str
    answer: str
    from_variable_selector: tuple[str, ...] | msgspec.UnsetType | None = None


class _Chunk(msgspec.Struct, kw_only=True):
    event: str = "text_chunk"
    workflow_run_id: str
    task_id: str
    data: dict[str, Any]


def server_sent(event: Any, event_id: str = "") -> bytes:
    """One event on the wire. Its id goes before it in a ping, which every client of Dify knows and skips.

    By the rules of server-sent events that is the same as an id of the event; and clients that take a block for one
    line of data, of which there are many, do not stumble over it.
    """
    try:
        data = _encode(event)
    except UnicodeEncodeError:
        data = _encode(well_formed(msgspec.to_builtins(event)))
    if not event_id:
        return b"data: %b\n\n" % data
    return b"event: ping\nid: %b\n\ndata: %b\n\n" % (event_id.encode(), data)


def event_id(event: Event, items: int = 0) -> str:
    """The place of an event in its run, by which a client takes the stream up again (`Last-Event-ID`).

    `items` counts those of its items that are sent, when more are to follow.
    """
    place = f"{event.seq}-{event.offset}" if isinstance(event, StreamChunk) else f"{event.seq}-0"
    return f"{place}.{items}" if items else place


class ApiEvents:
    """The mapping of one run. `spec` is its message (chat and completion), None for a workflow.

    `shows_workflow` adds the events of the graph (workflow and advanced-chat); without it the steps of an agent are
    told as thoughts. Node inputs and outputs are never cut. `form_token` makes the tokens of the forms of a run that
    waits. `judged` says that an end may have another answer than was told on the way: then it tells the whole of it.
    """

    def __init__(
        self,
        *,
        task_id: str,
        run_id: str,
        workflow_id: str,
        creator: Creator,
        spec: MessageSpec | None = None,
        shows_workflow: bool = True,
        annotation: dict[str, Any] | None = None,
        form_token: FormToken | None = None,
        judged: bool = False,
    ) -> None:
        self._task_id, self._run_id, self._workflow_id = task_id, run_id, workflow_id
        self._creator, self._spec, self._shows = creator, spec, shows_workflow
        self._annotation = annotation
        self._started = self._skipped = 0
        self._judged, self._said = judged, ""
        self._replacement: dict[str, Any] | None = None
        self._citations = Citations()
        self._containers = ApiContainers()
        self._pauses = PauseEvents(run_id, form_token)
        self._thoughts = AgentThoughts(spec.message_id) if spec is not None and not shows_workflow else None
        self._envelope: dict[str, Any] = {"task_id": task_id}
        if spec is not None:
            self._envelope |= {"message_id": spec.message_id, "created_at": int(spec.created_at)}
            if spec.mode != "completion":
                self._envelope["conversation_id"] = spec.conversation_id

    def beside(self, name: str, **fields: Any) -> dict[str, Any]:
        """An event that no event of the run stands for, such as a piece of speech, in the envelope of the rest."""
        envelope = self._envelope if self._spec is not None else {**self._envelope, "workflow_run_id": self._run_id}
        return {"event": name, **envelope, **fields}

    def replace(self, answer: str) -> dict[str, Any]:
        """The event by which the verdict on an answer takes the place of what was told of it."""
        self._said = answer
        return self.beside("message_replace", answer=answer, reason="output_moderation")

    def encode(self, events: Iterable[Event]) -> bytes:
        """What a batch of events puts on the wire, each item with its id; may be empty.

        A replacement has none: it comes again for a client that has the item before it.
        """
        out = []
        for event in events:
            items = self.convert(event)
            count, number = sum(item is not self._replacement for item in items), 0
            for item in items:
                number += item is not self._replacement
                if item is self._replacement:
                    out.append(server_sent(item))
                elif number > self._skipped:
                    out.append(server_sent(item, event_id(event, number if number < count else 0)))
            self._skipped = 0
        return b"".join(out)

    def skip(self, items: int) -> None:
        """Leave out so many items of the next event: the client has them."""
        self._skipped = items

    def convert(self, event: Event) -> list[Any]:
        """The API events of one event, in order."""
        if isinstance(event, StreamChunk):
            return [self._chunk(event)]
        if isinstance(event, Resources):
            self._citations.add(event.resources)
            return []
        if isinstance(event, AgentLogged) and self._thoughts is not None:
            return [{**told, **self._envelope} for told in self._thoughts.shown(event)]
        if isinstance(event, RunStarted):
            self._started = int(event.at)
        waits = [self._wrap(*told) for told in self._pauses.convert(event)] if self._shows else []
        graph = [self._graph(event)] if self._shows else []
        if isinstance(event, RunPaused):
            return [*self._verdict(event), *waits]
        if isinstance(event, RunFinished) and self._spec is not None:
            graph += [*self._verdict(event), *self._end(event)]
        elif isinstance(event, RunResumed | TextReplaced):
            graph += self._replaced(event)
        return [item for item in [*waits, *graph] if item is not None]

    @property
    def paused(self) -> dict[str, Any]:
        """What clients were last told of the run as one that waits; empty when it never did."""
        return self._pauses.last

    # -- text -------------------------------------------------------------------------------------------------

    def _chunk(self, event: StreamChunk) -> Any:
        spec = self._spec
        if self._judged:
            self._said += event.text
        if spec is None:
            data = {"text": event.text, "from_variable_selector": event.selector}
            return _Chunk(workflow_run_id=self._run_id, task_id=self._task_id, data=data)
        by_agent = self._thoughts is not None and self._thoughts.any
        return _Message(
            event="agent_message" if by_agent else "message",
            conversation_id=msgspec.UNSET if spec.mode == "completion" else spec.conversation_id,
            message_id=spec.message_id,
            created_at=int(spec.created_at),
            task_id=self._task_id,
            id=spec.message_id,
            answer=event.text,
            from_variable_selector=msgspec.UNSET if by_agent else event.selector if self._shows else None,
        )

    def _replaced(self, event: RunResumed | TextReplaced) -> list[Any]:
        """The text from its beginning, when a client may have seen more, or less; an answered run is where it was.

        One whose answer is judged tells the whole of it at its end.
        """
        if self._judged or (isinstance(event, RunResumed) and event.cause != "recovered"):
            return []
        if self._spec is None:
            return [self._wrap("text_replace", {"text": event.text})]
        return [self.beside("message_replace", answer=event.text, reason="")]

    def _verdict(self, event: RunFinished | RunPaused) -> list[dict[str, Any]]:
        """The whole answer, when it is another than was told; a run that failed without one has none."""
        answer = str(event.outputs.get("answer", ""))
        failed = isinstance(event, RunFinished) and event.status == "failed"
        if not self._judged or answer == self._said or (failed and not answer):
            return []
        self._replacement = self.replace(answer)
        return [self._replacement]

    # -- graph ------------------------------------------------------------------------------------------------

    def _graph(self, event: Event) -> dict[str, Any] | None:
        told = self._containers.told(event)
        if told is not None:
            return self._wrap(*told)
        if self._containers.hides(event):
            return None
        inside = self._containers.inside(event)
        if isinstance(event, NodeStarted):
            return self._wrap("node_started", {**_node_started(event), **inside})
        if isinstance(event, NodeFinished):
            return self._wrap("node_finished", {**_node_finished(event), **inside})
        if isinstance(event, NodeRetried):
            retried = {"status": "retry", "retry_index": event.retry_index}
            return self._wrap("node_retry", {**_node_finished(event), **retried, **inside})
        if isinstance(event, AgentLogged):
            return self._wrap(
                "agent_log", {"node_execution_id": event.execution_id, "node_id": event.node_id, **event.log}
            )
        if isinstance(event, RunStarted):
            data = {
                "id": self._run_id,
                "workflow_id": self._workflow_id,
                "inputs": event.inputs,
                "created_at": int(event.at),
            }
            return self._wrap("workflow_started", data)
        if isinstance(event, RunFinished):
            return self._wrap("workflow_finished", self._finished(event))
        return None

    def _wrap(self, name: str, data: dict[str, Any]) -> dict[str, Any]:
        return {"event": name, **self._envelope, "workflow_run_id": self._run_id, "data": data}

    def _finished(self, event: RunFinished) -> dict[str, Any]:
        creator = self._creator
        by = (
            {"id": creator.id, "name": creator.name, "email": creator.email}
            if creator.role == "account"
            else {"id": creator.id, "user": creator.name}
        )
        return {
            "id": self._run_id,
            "workflow_id": self._workflow_id,
            "status": event.status,
            "outputs": event.outputs,
            "error": event.error or None,
            "elapsed_time": event.elapsed_time,
            "total_tokens": event.total_tokens,
            "total_steps": event.total_steps,
            "created_by": by,
            "created_at": self._started,
            "finished_at": int(event.at),
            "exceptions_count": event.exceptions_count,
            "files": _files(event.outputs),
        }

    # -- end of a message -------------------------------------------------------------------------------------

    def cite(self, resources: list[dict[str, Any]]) -> None:
        """Take citations that did not come as events (a run that was waited for)."""
        self._citations.add(resources)

    def metadata(self, event: RunFinished) -> dict[str, Any]:
        """The metadata of the finished message."""
        shows = self._spec is not None and self._spec.shows_citations
        return {
            "annotation_reply": self._annotation,
            "retriever_resources": self._citations.items if shows else [],
            "usage": event.usage,
        }

    def _end(self, event: RunFinished) -> list[Any]:
        if event.status == "failed":
            error = run_error(event, is_workflow=self._shows)
            return [{**_conversation_part(self._envelope), **msgspec.to_builtins(error)}]
        spec = self._spec
        made = plain(self._thoughts.files) if self._thoughts is not None else []
        return [
            {
                "event": "message_end",
                **self._envelope,
                "id": spec.message_id if spec else "",
                "metadata": self.metadata(event),
                "files": [*(event.outputs.get("files") or []), *made] or None,
            }
        ]


#: Codes of model errors by what the node noted; every other one of the family is a failed completion.
_CODES = {"ProviderTokenNotInitError": "provider_not_initialize", "PluginNotFound": "provider_not_initialize"}


def run_error(event: RunFinished, *, is_workflow: bool) -> ErrorEvent:
    """The error that a failed run shows to a chat client; model errors of plain chats keep their code."""
    if not is_workflow:
        code = _CODES.get(event.error_type)
        if code is None and event.error_type.startswith("Invoke"):
            code = "completion_request_error"
        if code is not None:
            return ErrorEvent(code=code, message=event.error, status=400)
    return ErrorEvent(code="invalid_param", message=f"Run failed: {event.error}", status=400)


def _conversation_part(envelope: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in envelope.items() if key != "task_id"}


def _node_base(event: NodeStarted | NodeFinished | NodeRetried) -> dict[str, Any]:
    return {
        "id": event.execution_id,
        "node_id": event.node_id,
        "node_type": event.node_type,
        "title": event.title,
        "index": 1,
        "predecessor_node_id": None,
        "inputs": None,
        "inputs_truncated": False,
        "iteration_id": None,
        "loop_id": None,
    }


def _node_started(event: NodeStarted) -> dict[str, Any]:
    strategy = event.extras.get("agent_strategy")
    extras = {name: value for name, value in event.extras.items() if name != "agent_strategy"}
    return {**_node_base(event), "created_at": int(event.at), "extras": extras, "agent_strategy": strategy}


def _node_finished(event: NodeFinished | NodeRetried) -> dict[str, Any]:
    status, metadata = (event.status, event.metadata) if isinstance(event, NodeFinished) else ("retry", {})
    return {
        **_node_base(event),
        "inputs": event.inputs or None,
        "process_data": event.process_data or None,
        "process_data_truncated": False,
        "outputs": event.outputs or None,
        "outputs_truncated": False,
        "status": status,
        "error": event.error or None,
        "elapsed_time": event.elapsed_time,
        "execution_metadata": metadata or None,
        "created_at": int(event.started_at),
        "finished_at": int(event.at),
        "files": _files(event.outputs),
    }


def _files(outputs: dict[str, Any]) -> list[Any]:
    """Every file among the outputs, one level deep."""
    found = []
    for value in outputs.values():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict) and item.get("dify_model_identity") == "__dify__file__":
                found.append(item)
    return found
