"""Run an app: workflows, chats, completions; blocking or streaming; and stop them."""

from __future__ import annotations

import uuid
from typing import Any, Final, Literal

import msgspec
from dify_kernel.errors import BadInput, DifyError
from dify_kernel.graph.events import RunFinished
from dify_kernel.graph.values import File
from litestar import Controller, Response, post
from litestar.params import FromPath, JSONBody
from litestar.response import Stream

from dify_host.files.rules import check_files, sent_rules, variable_rules
from dify_host.http.callers import AppCaller, AppKey, Call, User, platform_of
from dify_host.http.sse import event_stream
from dify_host.runs.api_events import run_error
from dify_host.runs.calls import AppCall
from dify_host.runs.commands import StopCommand
from dify_host.runs.live_apps import Audience, LiveApp
from dify_host.runs.service import RunRequest
from dify_host.service.shapes import FileObject, Success
from dify_host.service.trace import TRACE_HEADER, trace_id

__all__ = ["RunController"]

Mode = Literal["blocking", "streaming"]
_JSON: Final = "application/json; charset=utf-8"


class RunBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of `/workflows/run`."""

    inputs: dict[str, Any]
    user: User | None = None
    response_mode: Mode | None = None
    files: list[FileObject] | None = None
    trace_id: Any = None


class CompletionBody(RunBody, kw_only=True, forbid_unknown_fields=True):
    """Body of `/completion-messages`; `conversation_id`, which older clients send, counts for chats alone."""

    query: str | None = ""
    conversation_id: str | None = None
    retriever_from: str = "dev"


class ChatBody(CompletionBody, kw_only=True, forbid_unknown_fields=True):
    """Body of `/chat-messages`."""

    query: str
    auto_generate_name: bool = True
    workflow_id: str | None = None


class StopBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of the stop routes."""

    user: User | None = None


class RunFailed(BadInput):
    """A run that was waited for has failed; `code` is that of the model's error, where it was one."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code  # type: ignore[misc]


class RunController(Controller):
    """Routes that run an app, and those that stop it."""

    path = "/"
    tags = ("Runs",)

    @post("/workflows/run", status_code=200)
    async def run_workflow(self, data: JSONBody[RunBody], caller: AppKey, request: Call) -> Response[Any] | Stream:
        """Run the app's published workflow."""
        return await _run(request, caller, data, "workflow")

    @post("/workflows/{workflow_id:str}/run", status_code=200)
    async def run_version(
        self,
        workflow_id: FromPath[str],
        data: JSONBody[RunBody],
        caller: AppKey,
        request: Call,
    ) -> Response[Any] | Stream:
        """Run one published version."""
        return await _run(request, caller, data, "workflow", workflow_id=workflow_id)

    @post("/chat-messages", status_code=200)
    async def chat(self, data: JSONBody[ChatBody], caller: AppKey, request: Call) -> Response[Any] | Stream:
        """Send a message to a chat app."""
        return await _run(
            request, caller, data, "chat", workflow_id=data.workflow_id, conversation_id=data.conversation_id
        )

    @post("/completion-messages", status_code=200)
    async def complete(self, data: JSONBody[CompletionBody], caller: AppKey, request: Call) -> Response[Any] | Stream:
        """Run a completion app."""
        return await _run(request, caller, data, "completion")

    @post("/workflows/tasks/{task_id:str}/stop", status_code=200)
    async def stop_workflow(
        self,
        task_id: FromPath[str],
        data: JSONBody[StopBody],
        caller: AppKey,
        request: Call,
    ) -> Success:
        """Stop a run of this app; an unknown one is no error."""
        return await _stop(request, caller, data, task_id, "workflow")

    @post(["/chat-messages/{task_id:str}/stop"], status_code=200)
    async def stop_chat(
        self,
        task_id: FromPath[str],
        data: JSONBody[StopBody],
        caller: AppKey,
        request: Call,
    ) -> Success:
        """Stop a message of this user."""
        return await _stop(request, caller, data, task_id, "chat")

    @post("/completion-messages/{task_id:str}/stop", status_code=200)
    async def stop_completion(
        self,
        task_id: FromPath[str],
        data: JSONBody[StopBody],
        caller: AppKey,
        request: Call,
    ) -> Success:
        """Stop a completion of this user."""
        return await _stop(request, caller, data, task_id, "completion")


async def _run(
    request: Call, caller: AppCaller, data: RunBody, audience: Audience, **named: str | None
) -> Response[Any] | Stream:
    answer = await _answered(request, caller, data, audience, **named)
    trace = trace_id(request, data.trace_id)
    if trace is not None:
        answer.headers[TRACE_HEADER] = trace
    return answer


async def _answered(
    request: Call,
    caller: AppCaller,
    data: RunBody,
    audience: Audience,
    *,
    workflow_id: str | None = None,
    conversation_id: str | None = None,
) -> Response[Any] | Stream:
    platform = platform_of(request)
    repository = caller.workspace.app_repository
    live = await platform.live_apps.find(repository, caller.app_id, audience, workflow_id=workflow_id)
    streams = data.response_mode == "streaming"
    if live.program.is_agent and not streams:
        raise BadInput("Agent Chat App does not support blocking mode", field="response_mode")
    conversation_id = _conversation(conversation_id)
    creator = await caller.creator(data.user, required=True)
    files = await _files(caller, live, data.files or [])
    call = await platform.calls.start(
        live,
        RunRequest(
            tenant=caller.tenant,
            app=live.app,
            creator=creator,
            user_id=creator.name,
            inputs=await _inputs(caller, live, data.inputs),
            query=getattr(data, "query", "") or "",
            files=files,
            conversation_id=conversation_id,
        ),
        auto_name=getattr(data, "auto_generate_name", True),
        plays=streams,
    )
    if streams:
        return event_stream(call)
    finished = await call.wait()
    if call.spec is None:
        return Response(_workflow_answer(call, finished, live), media_type=_JSON)
    return Response(_message_answer(call, finished, live), media_type=_JSON)


async def _files(caller: AppCaller, live: LiveApp, given: list[FileObject]) -> list[File]:
    """The files of the call, as the app's uploads allow. Chats with uploads off leave them out, workflows take any."""
    found = await caller.workspace.files.resolve_all(given)
    rules = sent_rules(live.program.features.get("file_upload"))
    if rules is None:
        return found if live.app.mode == "workflow" else []
    check_files(rules, found)
    return found


async def _inputs(caller: AppCaller, live: LiveApp, given: dict[str, Any]) -> dict[str, Any]:
    """The inputs with file objects in the place of what names them."""
    values = dict(given)
    for item in live.program.form:
        value = values.get(item.variable)
        if item.type == "file" and isinstance(value, dict):
            file = await caller.workspace.files.resolve(value)
            check_files(variable_rules(item), [file])
            values[item.variable] = file
        elif item.type == "file-list" and isinstance(value, list):
            named = [part for part in value if isinstance(part, dict)]
            if len(named) == len(value):
                listed = await caller.workspace.files.resolve_all(named)
                check_files(variable_rules(item), listed)
                values[item.variable] = listed
    return values


def _conversation(conversation_id: str | None) -> str | None:
    if not conversation_id or not conversation_id.strip():
        return None
    try:
        return str(uuid.UUID(conversation_id.strip()))
    except ValueError as exc:
        raise BadInput("conversation_id must be a valid UUID", field="conversation_id") from exc


def _workflow_answer(call: AppCall, finished: RunFinished, live: LiveApp) -> dict[str, Any]:
    paused = {name: call.events.paused[name] for name in ("paused_nodes", "reasons")} if _waits(finished) else {}
    return {
        "task_id": call.task_id,
        "workflow_run_id": call.task_id,
        "data": {
            "id": call.task_id,
            "workflow_id": live.program.source_id,
            "status": finished.status,
            "outputs": finished.outputs,
            "error": finished.error or None,
            "elapsed_time": finished.elapsed_time,
            "total_tokens": finished.total_tokens,
            "total_steps": finished.total_steps,
            "created_at": int(call.created_at),
            "finished_at": None if paused else int(finished.at),
            **paused,
        },
    }


def _waits(finished: RunFinished) -> bool:
    """Whether the run is not over: it waits for somebody."""
    return finished.status == "paused"


def _message_answer(call: AppCall, finished: RunFinished, live: LiveApp) -> dict[str, Any]:
    if finished.status == "failed":
        error = run_error(finished, is_workflow=live.program.is_workflow)
        raise RunFailed(error.message, code=error.code)
    spec = call.spec
    if spec is None:
        raise DifyError("A message run has no message.", run_id=call.task_id)
    answer = {
        "event": "message",
        "task_id": call.task_id,
        "id": spec.message_id,
        "message_id": spec.message_id,
        "conversation_id": spec.conversation_id,
        "mode": live.app.mode,
        "answer": finished.outputs.get("answer", ""),
        "metadata": call.events.metadata(finished),
        "created_at": int(spec.created_at),
    }
    if live.app.mode == "completion":
        del answer["conversation_id"]
    if _waits(finished):
        told = {name: value for name, value in answer.items() if name not in ("event", "task_id")}
        data = {**told, **call.events.paused}
        return {**answer, "event": "workflow_paused", "workflow_run_id": call.task_id, "data": data}
    return answer


async def _stop(request: Call, caller: AppCaller, data: StopBody, task_id: str, audience: Audience) -> Success:
    platform = platform_of(request)
    await platform.live_apps.record(caller.workspace.app_repository, caller.app_id, audience)
    creator = await caller.creator(data.user, required=True)
    user_id = None if audience == "workflow" else creator.id
    await platform.commands.stop(StopCommand(task_id=task_id, app_id=caller.app_id, user_id=user_id))
    return Success()
