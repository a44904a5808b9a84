"""Starts runs, takes up those that were left, and keeps those of this process: one service for every kind of app."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from dify_kernel.contracts.node import Limits, RunInfo
from dify_kernel.contracts.ports import Ports
from dify_kernel.errors import BadInput, DifyError, NotFound, PlatformUnavailable, RunFenced
from dify_kernel.graph.engine import Engine, RunLimits, RunOutcome
from dify_kernel.graph.events import Event, NodeFinished, RunFinished, RunPaused, RunStarted, StreamChunk
from dify_kernel.graph.inputs import prepare_inputs
from dify_kernel.graph.pool import Pool
from dify_kernel.registry import Registry

from dify_host.apps.records import NO_CHAT, AppRecord, Variable
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.db.writer import Group
from dify_host.moderation.output_check import OutputCheck
from dify_host.runs.api_events import ApiEvents
from dify_host.runs.beginning import begin_message, fill_pool, set_environment, shown_inputs
from dify_host.runs.context import RunContext, lost_in_a_row, read_context, unanswered
from dify_host.runs.ending import MoreRows
from dify_host.runs.event_log import SqlRunLog, SqlRunLogStore
from dify_host.runs.handle import Elsewhere, RunHandle, Watcher
from dify_host.runs.last_word import LastWord, OutputChecks
from dify_host.runs.memory import ConversationMemory
from dify_host.runs.message_rows import MessageRows, MessageSpec
from dify_host.runs.pause_events import FormToken
from dify_host.runs.places import Places
from dify_host.runs.programs import Program
from dify_host.runs.recorder import Creator, RecordedLog, Rows, WorkflowRows
from dify_host.runs.request import RunRequest

__all__ = ["RunRequest", "RunService", "StartedRun"]

#: How often the process of a run may be lost without any node coming to an end, before the run itself is to blame.
_MOST_LOSSES = 5


class StartedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run under way: follow its handle, map its events. `check` judges its answer, where somebody does."""

    handle: RunHandle
    events: ApiEvents
    spec: MessageSpec | None
    created_at: float
    check: OutputCheck | None = None


class TooManyRequests(BadInput):
    """The app has as many runs as it may have at a time. Dify answers this with 400, too."""

    retryable = True


class LostTooOften(DifyError):
    """A run ends every process that takes it up."""

    code = "run_lost"


class ProgramsOf(Protocol):
    """Finds what a run runs again."""

    async def __call__(self, context: RunContext) -> Program:
        """The program of the version that the run began with; the errors of apps when it is gone."""
        ...


class RunService:
    """The runs of one process. `ports` builds what the nodes of a tenant's run may reach, for who started it.

    `more_rows` adds what other domains keep of a run; `watcher` is told of all that followers may see, `elsewhere`
    follows runs that this process had to let go. `form_token` makes the tokens of the forms that runs wait for.
    `checks` judges answers, `recovered` is told of each run that was lost and goes on here.

    `places` counts the runs of apps that may have only so many at a time: as the app says, or else `default_active`,
    and never more than `max_active`; 0 is any number.
    """

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
        default_active: int = 0,
        places: Places | None = None,
        checks: OutputChecks | None = None,
        recovered: Callable[[StartedRun, RunContext], None] = lambda _started, _context: None,
        programs: ProgramsOf | None = None,
        more_rows: MoreRows = lambda _context: [],
        watcher: Watcher | None = None,
        elsewhere: Elsewhere | None = None,
        form_token: FormToken | None = None,
    ) -> None:
        self._log_store, self._registry = log_store, registry
        self._ports, self._memory = ports, memory
        self._limits, self._run_limits = limits, run_limits
        self._owner, self._max_active, self._default_active = owner, max_active, default_active
        self._places, self._checks, self._recovered = places, checks, recovered
        self._programs, self._more_rows = programs, more_rows
        self._watcher, self._elsewhere = watcher, elsewhere
        self._form_token = form_token
        self._handles: dict[str, RunHandle] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    # -- start ------------------------------------------------------------------------------------------------

    async def start(self, program: Program, request: RunRequest, *, adopted: Sequence[NodeFinished] = ()) -> StartedRun:
        """Check the inputs, write nothing, begin to run; the run lives on without its caller.

        `adopted` are results of an earlier run of the version, which are not worked out again. Raises BadInput for
        inputs that do not fit, NotFound for a conversation of somebody else, TooManyRequests, RunFenced for a run that
        this process has begun already.
        """
        inputs = prepare_inputs(program.form, request.inputs)
        run_id, most = request.run_id or new_id(), self._most(request.app)
        await self._enter(request.app.id, run_id, most)
        try:
            return await self._begin(program, request, inputs, adopted, run_id=run_id, most=most)
        except BaseException:
            self._leave(request.app.id, run_id, most)
            raise

    async def _begin(
        self,
        program: Program,
        request: RunRequest,
        inputs: dict[str, Any],
        adopted: Sequence[NodeFinished],
        *,
        run_id: str,
        most: int,
    ) -> StartedRun:
        chat = request.app.mode not in NO_CHAT
        run = RunInfo(
            run_id=run_id,
            tenant_id=request.tenant.id,
            app_id=request.app.id,
            workflow_id=program.source_id,
            user_id=request.user_id,
            conversation_id=(request.conversation_id or new_id()) if chat else None,
            invoke_from=request.invoke_from,
            call_depth=request.call_depth,
        )
        created_at = time.time()
        memory = self._memory(request.tenant)
        spec, variables, missing = await begin_message(memory, program, request, run, inputs, created_at)
        pool = fill_pool(program, request, run, inputs, variables, spec)
        check = await self._check(run, request.app.mode, program)
        context = RunContext(
            run=run,
            mode=request.app.mode,
            creator=request.creator,
            version=program.version,
            root_id=request.root_id or "",
            is_workflow=program.is_workflow,
            triggered_from=request.triggered_from,
            spec=spec,
            judged=check is not None,
            names=request.names,
            most=most,
        )
        started = self._started(context, created_at, check)
        rows = self._rows(context, variables, missing, started.handle, program.graph)
        if run_id in self._handles:
            raise RunFenced(f"Run {run_id} is under way here.", run_id=run_id)
        created = self._log_store.create(run.run_id, self._owner, tenant_id=run.tenant_id)
        log = _recorded(created, rows, started)
        engine = self._engine(started.handle, program, pool, log, request.creator)
        shown = shown_inputs(pool, program.root_id)
        decided = request.run_id is not None
        work = engine.run(shown, context=context.encode(), adopted=adopted, recorded_first=decided)
        self._launch(started, log, work, most)
        return started

    # -- take up ----------------------------------------------------------------------------------------------

    async def take_up(self, run_id: str, *, answers: Mapping[str, dict[str, Any]] | None = None) -> StartedRun | None:
        """Go on with a run that no process has: one that was lost, or one that waited, with the answers it waited for.

        None when there is nothing to go on with: it has ended, it never began, it waits and no answer is given to what
        it still asks, or this process has it. RunFenced while another process has it. LogError when its log does not
        fit what it ran, the errors of apps and plugins when that is gone; the run is let go then.
        """
        if run_id in self._handles or self._programs is None:
            return None
        log = await self._log_store.open(run_id, self._owner)
        try:
            events = await self._log_store.load(run_id)
            last = events[-1] if events else None
            answers = {asked: answers[asked] for asked in unanswered(events) if asked in answers} if answers else {}
            if last is None or isinstance(last, RunFinished) or (isinstance(last, RunPaused) and not answers):
                log.let_wait() if last is not None else log.forget()
                return None
            if not answers and lost_in_a_row(events) >= _MOST_LOSSES:
                raise LostTooOften(f"Its process was lost {_MOST_LOSSES} times and no node came to an end meanwhile.")
            return await self._resume(run_id, log, events, answers)
        except BaseException as exc:
            log.release(in_order=_in_order(exc))
            raise

    async def _resume(
        self, run_id: str, log: SqlRunLog, events: list[Any], answers: Mapping[str, dict[str, Any]]
    ) -> StartedRun:
        context = read_context(events)
        begun: RunStarted = events[0]
        if self._programs is None:
            raise DifyError("Runs are not taken up here.", run_id=run_id)
        program = await self._programs(context)
        variables: list[Variable] = []
        if context.run.conversation_id is not None:
            memory = self._memory(context.tenant)
            variables, _ = await memory.variables(
                context.run.app_id, context.run.conversation_id, program.conversation_variables, fresh=False
            )
        pool = Pool.load(begun.variables)
        set_environment(pool, program)
        check = await self._check(context.run, context.mode, program) if context.judged else None
        started = self._started(context, context.spec.created_at if context.spec else begun.at, check)
        rows = self._rows(context, variables, set(), started.handle, None)
        written = Group()
        for event in events:
            started.events.convert(event)
            for part in rows:
                part.record(event, written)
        log.serve(context.run.tenant_id)
        recorded = _recorded(log, rows, started)
        engine = self._engine(started.handle, program, pool, recorded, context.creator, history=events)
        if context.most and self._places is not None:
            await self._places.take(context.run.app_id, run_id, 0)
        cause = "answered" if answers else "recovered"
        work = engine.resume(cause=cause, answers=answers, let_go=log.let_go)
        self._launch(started, recorded, work, context.most)
        if not answers:
            self._recovered(started, context)
        return started

    # -- parts ------------------------------------------------------------------------------------------------

    def events_of(self, context: RunContext, *, judged: bool | None = None) -> ApiEvents:
        """The mapping of a run onto the API's events, whoever has the run; `judged` false when the verdict is known."""
        run = context.run
        return ApiEvents(
            task_id=run.run_id,
            run_id=run.run_id,
            workflow_id=run.workflow_id,
            creator=context.creator,
            spec=context.spec,
            shows_workflow=context.is_workflow,
            form_token=self._form_token,
            judged=context.judged if judged is None else judged,
        )

    def _started(self, context: RunContext, created_at: float, check: OutputCheck | None) -> StartedRun:
        creator = context.creator.id
        handle = RunHandle(context.run, user_id=creator, held=True, watcher=self._watcher, elsewhere=self._elsewhere)
        events, spec = self.events_of(context), context.spec
        return StartedRun(handle=handle, events=events, spec=spec, created_at=created_at, check=check)

    async def _check(self, run: RunInfo, mode: str, program: Program) -> OutputCheck | None:
        return None if self._checks is None else await self._checks.of(run, mode, program.features)

    def _rows(
        self,
        context: RunContext,
        variables: list[Variable],
        missing: set[str],
        handle: RunHandle,
        graph: dict[str, Any] | None,
    ) -> list[Rows]:
        rows: list[Rows] = []
        if context.is_workflow:
            rows.append(
                WorkflowRows(
                    context.run,
                    context.creator,
                    mode=context.mode if context.mode in NO_CHAT else "chat",
                    version=context.version,
                    triggered_from=context.triggered_from,
                    graph=graph,
                )
            )
        if context.spec is not None:
            # What a judged run has said is in its end, as far as it may be kept.
            streamed = str if context.judged else handle.text
            rows.append(MessageRows(context.spec, variables, missing=missing, streamed=streamed, judged=context.judged))
        return [*rows, *self._more_rows(context)]

    def _engine(
        self,
        handle: RunHandle,
        program: Program,
        pool: Pool,
        log: RecordedLog,
        creator: Creator,
        *,
        history: Sequence[Event] = (),
    ) -> Engine:
        run = handle.run
        watched = self._registry.has_watchers("run_event")

        def sink(event: Event) -> None:
            handle.publish(event)
            if watched and not isinstance(event, StreamChunk):
                self._registry.notify("run_event", run=run, event=event)

        handle.engine = Engine(
            program.plan,
            pool,
            run=run,
            ports=self._ports(Tenant(run.tenant_id), run, creator),
            sink=sink,
            log=log,
            limits=self._limits,
            run_limits=self._run_limits,
            output_map=program.output_map,
            history=history,
        )
        return handle.engine

    def _launch(self, started: StartedRun, log: RecordedLog, work: Any, most: int) -> None:
        run_id = started.handle.run.run_id
        task: asyncio.Task[RunOutcome] = asyncio.create_task(work, name=f"run-{run_id}")
        self._handles[run_id] = started.handle
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(started, log, done, most))

    def _ended(self, started: StartedRun, log: RecordedLog, task: asyncio.Task[RunOutcome], most: int) -> None:
        handle = started.handle
        self._tasks.discard(task)
        self._handles.pop(handle.run.run_id, None)
        self._leave(handle.run.app_id, handle.run.run_id, most)
        if started.check is not None:
            started.check.stop()
        handle.finish(task)
        if handle.outcome is None:
            log.release(in_order=_in_order(handle.error))

    def _most(self, app: AppRecord) -> int:
        """How many runs the app may have at a time; 0 is any number."""
        bounds = [app.max_active_requests or self._default_active, self._max_active]
        return min((bound for bound in bounds if bound), default=0)

    async def _enter(self, app_id: str, run_id: str, most: int) -> None:
        if most and self._places is not None and not await self._places.take(app_id, run_id, most):
            raise TooManyRequests(
                "Too many requests. Please try again later. The current maximum concurrent requests allowed "
                f"for {app_id} is {most}."
            )

    def _leave(self, app_id: str, run_id: str, most: int) -> None:
        if most and self._places is not None:
            self._places.give_back(app_id, run_id)

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

    def find(self, task_id: str) -> RunHandle | None:
        """A run of this process, if it has it."""
        return self._handles.get(task_id)

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


def _in_order(error: BaseException | None) -> bool:
    """Whether a run is let go for a reason outside of it: its process ends, or the platform's database is away."""
    return isinstance(error, PlatformUnavailable | asyncio.CancelledError)


def _recorded(log: SqlRunLog, rows: list[Rows], started: StartedRun) -> RecordedLog:
    last_word = LastWord(started.check) if started.check is not None else None
    return RecordedLog(log, rows, durable=started.handle.durable, last_word=last_word)
