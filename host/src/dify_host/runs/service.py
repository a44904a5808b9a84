"""Starts runs and keeps those of this process: one service for every kind of app."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec
from dify_kernel.contracts.node import Limits, RunInfo
from dify_kernel.contracts.ports import Ports
from dify_kernel.errors import DifyError, NotFound
from dify_kernel.graph.engine import Engine, RunLimits
from dify_kernel.graph.events import Event, StreamChunk
from dify_kernel.graph.inputs import prepare_inputs
from dify_kernel.graph.pool import Pool
from dify_kernel.graph.values import File, Value, ValueType, cast, infer
from dify_kernel.registry import Registry

from dify_host.apps.records import AppRecord, Variable
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.runs.api_events import ApiEvents
from dify_host.runs.event_log import SqlRunLogStore
from dify_host.runs.handle import RunHandle
from dify_host.runs.memory import ConversationMemory
from dify_host.runs.message_rows import MessageRows, MessageSpec
from dify_host.runs.programs import Program
from dify_host.runs.recorder import Creator, RecordedLog, Rows, WorkflowRows

__all__ = ["RunRequest", "RunService", "StartedRun"]

#: A run that is still going after this long is written down as running, without waiting for its first barrier.
_FIRST_PUSH = 0.05


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller asks for. `user_id` is the caller's own name of its user; files are resolved already."""

    tenant: Tenant
    app: AppRecord
    creator: Creator
    user_id: str
    inputs: dict[str, Any]
    query: str = ""
    files: list[File] = []
    conversation_id: str | None = None
    invoke_from: str = "service-api"
    from_source: str = "api"
    triggered_from: str = "app-run"
    introduction: str = ""


class StartedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run under way: follow its handle, map its events."""

    handle: RunHandle
    events: ApiEvents
    spec: MessageSpec | None
    created_at: float


class TooManyRequests(DifyError):
    """The app has as many runs as it may have at a time."""

    code = "rate_limit_error"
    status = 429
    retryable = True


class RunService:
    """The runs of one process. `ports` builds what the nodes of a tenant's run may reach, for who started it."""

    def __init__(
        self,
        *,
        log_store: SqlRunLogStore,
        registry: Registry,
        ports: Callable[[Tenant, RunInfo, Creator], Ports],
        memory: Callable[[Tenant], ConversationMemory],
        limits: Limits,
        run_limits: RunLimits,
        owner: str,
        max_active: int = 0,
    ) -> None:
        self._log_store, self._registry = log_store, registry
        self._ports, self._memory = ports, memory
        self._limits, self._run_limits = limits, run_limits
        self._owner, self._max_active = owner, max_active
        self._handles: dict[str, RunHandle] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._active: dict[str, int] = {}

    # -- start ------------------------------------------------------------------------------------------------

    async def start(self, program: Program, request: RunRequest) -> StartedRun:
        """Check the inputs, write nothing, begin to run; the run lives on without its caller.

        Raises BadInput for inputs that do not fit, NotFound for a conversation of somebody else, TooManyRequests.
        """
        inputs = prepare_inputs(program.form, request.inputs)
        self._enter(request.app)
        try:
            return await self._begin(program, request, inputs)
        except BaseException:
            self._leave(request.app.id)
            raise

    async def _begin(self, program: Program, request: RunRequest, inputs: dict[str, Any]) -> StartedRun:
        chat = request.app.mode != "workflow"
        run = RunInfo(
            run_id=new_id(),
            tenant_id=request.tenant.id,
            app_id=request.app.id,
            workflow_id=program.source_id,
            user_id=request.user_id,
            conversation_id=(request.conversation_id or new_id()) if chat else None,
            invoke_from=request.invoke_from,
        )
        created_at = time.time()
        spec, variables, missing = await self._message(program, request, run, inputs, created_at)
        pool = _fill_pool(program, request, run, inputs, variables, spec)
        rows: list[Rows] = []
        if program.is_workflow:
            mode = "workflow" if request.app.mode == "workflow" else "chat"
            rows.append(
                WorkflowRows(
                    run, request.creator, mode=mode, version=program.version, triggered_from=request.triggered_from
                )
            )
        handle = RunHandle(run, user_id=request.creator.id)
        if spec is not None:
            rows.append(MessageRows(spec, variables, missing=missing, streamed=handle.text))
        self._launch(handle, program, pool, rows, request)
        events = ApiEvents(
            task_id=run.run_id,
            run_id=run.run_id,
            workflow_id=program.source_id,
            creator=request.creator,
            spec=spec,
            shows_workflow=program.is_workflow,
        )
        return StartedRun(handle=handle, events=events, spec=spec, created_at=created_at)

    async def _message(
        self, program: Program, request: RunRequest, run: RunInfo, inputs: dict[str, Any], created_at: float
    ) -> tuple[MessageSpec | None, list[Variable], set[str]]:
        if run.conversation_id is None:
            return None, [], set()
        memory = self._memory(request.tenant)
        fresh = not request.conversation_id
        count = 0
        if not fresh:
            found = await memory.find(request.app.id, run.conversation_id, request.creator)
            count = found.dialogue_count
        variables, missing = await memory.variables(
            request.app.id, run.conversation_id, program.conversation_variables, fresh=fresh
        )
        spec = MessageSpec(
            # Without a workflow run to point at, the message itself has the id of its run.
            message_id=new_id() if program.is_workflow else run.run_id,
            conversation_id=run.conversation_id,
            fresh=fresh,
            app_id=request.app.id,
            mode=request.app.mode,
            query=request.query,
            inputs=msgspec.to_builtins(inputs),
            creator=request.creator,
            invoke_from=request.invoke_from,
            from_source=request.from_source,
            created_at=created_at,
            dialogue_count=count + 1,
            workflow_run_id=run.run_id if program.is_workflow else None,
            model_provider=program.model.get("provider"),
            model_id=program.model.get("name"),
            introduction=request.introduction,
            shows_citations=program.shows_citations,
            files=request.files,
        )
        return spec, variables, missing

    def _launch(self, handle: RunHandle, program: Program, pool: Pool, rows: list[Rows], request: RunRequest) -> None:
        run = handle.run
        log = RecordedLog(self._log_store.create(run.run_id, self._owner), rows)
        watched = self._registry.has_watchers("run_event")

        def sink(event: Event) -> None:
            handle.publish(event)
            if watched and not isinstance(event, StreamChunk):
                self._registry.notify("run_event", run=run, event=event)

        engine = Engine(
            program.plan,
            pool,
            run=run,
            ports=self._ports(request.tenant, run, request.creator),
            sink=sink,
            log=log,
            limits=self._limits,
            run_limits=self._run_limits,
            output_map=program.output_map,
        )
        handle.engine = engine
        shown = _shown_inputs(pool, program.root_id)
        task = asyncio.create_task(engine.run(shown), name=f"run-{run.run_id}")
        asyncio.get_running_loop().call_later(_FIRST_PUSH, log.push)
        self._handles[run.run_id] = handle
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(handle, log, done))

    def _ended(self, handle: RunHandle, log: RecordedLog, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._handles.pop(handle.run.run_id, None)
        self._leave(handle.run.app_id)
        handle.finish(task)
        if handle.outcome is None:
            log.release()

    def _enter(self, app: AppRecord) -> None:
        """Count a run of the app before anything is awaited, so that many at once do not slip through."""
        limit = app.max_active_requests or self._max_active
        if limit and self._active.get(app.id, 0) >= limit:
            raise TooManyRequests(
                "Too many requests. Please try again later. The current maximum concurrent requests allowed "
                f"for {app.id} is {limit}."
            )
        self._active[app.id] = self._active.get(app.id, 0) + 1

    def _leave(self, app_id: str) -> None:
        left = self._active.get(app_id, 1) - 1
        if left:
            self._active[app_id] = left
        else:
            self._active.pop(app_id, None)

    # -- while it runs ----------------------------------------------------------------------------------------

    def stop(self, task_id: str, *, user_id: str | None = None, app_id: str | None = None) -> bool:
        """End a run of this process when it is the user's (or the app's); says whether there was one."""
        handle = self._handles.get(task_id)
        if handle is None or (user_id is not None and handle.user_id != user_id):
            return False
        if app_id is not None and handle.run.app_id != app_id:
            return False
        handle.stop()
        return True

    def get(self, task_id: str) -> RunHandle:
        """A run of this process; NotFound otherwise."""
        handle = self._handles.get(task_id)
        if handle is None:
            raise NotFound(f"No run {task_id} is under way here.", task_id=task_id)
        return handle

    async def close(self, *, grace: float = 10.0) -> None:
        """Let running runs end for `grace` seconds, then cancel them; their log lets another process go on."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=grace)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.sleep(0)  # their ends are noted in callbacks


def _fill_pool(
    program: Program,
    request: RunRequest,
    run: RunInfo,
    inputs: dict[str, Any],
    variables: list[Variable],
    spec: MessageSpec | None,
) -> Pool:
    pool = Pool()
    pool.update(program.root_id, inputs)
    files = Value(ValueType.ARRAY_FILE, list(request.files))
    system: dict[str, Any] = {
        "files": files,
        "user_id": request.user_id,
        "app_id": run.app_id,
        "workflow_id": run.workflow_id,
        "workflow_run_id": run.run_id,
    }
    if spec is None:
        system["timestamp"] = int(time.time())
    else:
        system |= {
            "query": request.query,
            "conversation_id": run.conversation_id,
            "dialogue_count": spec.dialogue_count,
        }
    pool.update("sys", system)
    for item in program.environment_variables:
        pool.set("env", item.name, _declared(item))
    for variable in variables:
        pool.set("conversation", variable.name, _declared(variable))
    return pool


def _declared(item: Variable) -> Value:
    """The value under its declared type; what does not fit keeps the type it has."""
    try:
        return cast(item.value, item.value_type)
    except ValueError:
        return infer(item.value)


def _shown_inputs(pool: Pool, root_id: str) -> dict[str, Any]:
    """The inputs as the first event shows them."""
    shown = {name: value.data for name, value in pool.node(root_id).items()}
    hidden = ("conversation_id", "timestamp")
    return shown | {f"sys.{name}": value.data for name, value in pool.node("sys").items() if name not in hidden}
