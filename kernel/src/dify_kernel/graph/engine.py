"""Runs a plan, from its start or from its log: numbers its events, keeps its limits, and ends it exactly once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import Any, Final

import msgspec

from dify_kernel.contracts.model import Usage
from dify_kernel.contracts.node import Limits, RunInfo
from dify_kernel.contracts.ports import Ports
from dify_kernel.errors import LogError
from dify_kernel.graph.body import FrameBody
from dify_kernel.graph.endings import FramePaused, LogBroken, NodeBroke, RunEnded
from dify_kernel.graph.events import (
    Event,
    NodeFinished,
    NodeStarted,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
    Scope,
    StreamChunk,
)
from dify_kernel.graph.frame import Frame
from dify_kernel.graph.log import NullLog, RunLog
from dify_kernel.graph.output import OutputMap
from dify_kernel.graph.plan import Plan, PlanNode
from dify_kernel.graph.pool import HIDDEN, Pool, Selector
from dify_kernel.graph.replay import History
from dify_kernel.graph.values import plain

__all__ = ["Engine", "RunLimits", "RunOutcome"]

Sink = Callable[[Event], None]

#: Of every run that begins; nothing is added to it.
_NO_HISTORY: Final = History()


class RunLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one run: node starts, and seconds at work."""

    max_steps: int = 500
    max_time: float = 1200.0


class RunOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended, or that it waits for somebody; and what its nodes cited."""

    event: RunFinished | RunPaused
    usage: Usage
    resources: list[dict[str, Any]]


class Engine:
    """One run of a plan. Build it, then await `run()` or `resume()` once; `stop()` may come from anywhere on the loop.

    `sink` sees every event in order, chunks included; it must not block. The result of an effectful node is durable in
    the log before another effectful node starts, and the terminal event before it is shown. For `resume`, `history` is
    the whole log, and the pool is the one that it began with (`Pool.load` of the first event's variables).
    """

    def __init__(
        self,
        plan: Plan,
        pool: Pool,
        *,
        run: RunInfo,
        ports: Ports,
        sink: Sink,
        log: RunLog | None = None,
        limits: Limits | None = None,
        run_limits: RunLimits | None = None,
        output_map: OutputMap | None = None,
        history: Iterable[Event] = (),
    ) -> None:
        self.plan, self.pool, self.run_info = plan, pool, run
        self.ports, self.limits = ports, limits or Limits()
        self.history = History(history) if history else _NO_HISTORY
        self.usage = Usage()
        self.resources: list[dict[str, Any]] = []
        #: Execution ids of the nodes that wait for somebody, each with its scope.
        self.waiting: dict[str, Scope] = {}
        self._sink = sink
        self._log: RunLog = log or NullLog()
        self._run_limits = run_limits or RunLimits()
        self._seq = self._offset = self._effect = self._durable = 0
        self._steps, self._shown_steps = self.history.steps, self.history.shown_steps
        #: What ends the run, as soon as it is known.
        self.ending: RunEnded | LogBroken | None = None
        self._quiet = False
        self._said: list[str] = []
        self._began, self._worked = time.monotonic(), 0.0
        self._map = output_map or OutputMap(plan)
        #: There while it runs; a run that is over leaves no cycle for the garbage collector to find.
        self._frame: Frame | None = None
        self._alarm: asyncio.TimerHandle | None = None

    # -- the whole run ----------------------------------------------------------------------------------------

    async def run(
        self,
        inputs: Mapping[str, Any] | None = None,
        *,
        context: dict[str, Any] | None = None,
        adopted: Iterable[NodeFinished] = (),
        recorded_first: bool = False,
    ) -> RunOutcome:
        """Run to the end, or until nothing can happen without an answer; raises only when the log fails.

        `inputs` is shown in the first event; the values themselves are in the pool already. `context` is kept in it for
        whoever takes the run up later. `adopted` are results of another run of the plan that are not worked out again.
        With `recorded_first` nothing has an effect before the start of the run is durable: two that start the same run
        do not both.
        """
        self._began = time.monotonic()
        frame = self._open()
        variables = self.pool.dump()
        self.emit(RunStarted(inputs=self.show(dict(inputs or {})), variables=variables, context=context or {}))
        if recorded_first:
            self.owe_barrier()
        return await self._complete(frame, adopted)

    async def resume(
        self,
        *,
        cause: str = "recovered",
        answers: Mapping[str, dict[str, Any]] | None = None,
        let_go: bool = False,
    ) -> RunOutcome:
        """Go on from the log; LogError when it has ended. `answers` are for nodes that wait, by execution id."""
        history = self.history
        if not history.events or isinstance(history.events[-1], RunFinished):
            raise LogError(f"Run {self.run_info.run_id} has nothing to go on with: its log is empty, or has ended.")
        self._began, self._worked = time.monotonic(), history.seconds_at_work()
        self._seq = self._durable = history.events[-1].seq
        self.resources += history.resources
        history.answers |= dict(answers or {})
        frame = self._open()
        self._quiet = True
        try:
            frame.replay()
        finally:
            self._quiet = False
        self.emit(RunResumed(cause=cause, let_go=let_go, answers=dict(answers or {}), text="".join(self._said)))
        self.owe_barrier()  # that it is ours is sure before anything has an effect: reading the log may have taken long
        return await self._complete(frame)

    def _open(self) -> Frame:
        self._frame = Frame(self, self._map, self.pool, self._send_chunk)
        return self._frame

    async def _complete(self, frame: Frame, adopted: Iterable[NodeFinished] = ()) -> RunOutcome:
        last: RunFinished | RunPaused
        try:
            for event in adopted:
                frame.adopt(event)
            await frame.drive()
            last = self._finished(frame, "partial-succeeded" if frame.exceptions else "succeeded")
        except NodeBroke as exc:
            last = self._finished(frame, "failed", exc.error, exc.error_type)
        except RunEnded as exc:
            last = self._finished(frame, exc.status, exc.error, exc.error_type)
        except FramePaused:
            last = self._paused(frame)
        except LogBroken as exc:
            raise exc.cause from None
        finally:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = self._frame = None
        last.seq, last.at = self._seq + 1, time.time()
        self._log.append(last)
        await self._log.flush()
        self._sink(last)
        return RunOutcome(event=last, usage=self.usage, resources=self.resources)

    def stop(self, reason: str = "Stopped by user.", *, status: str = "stopped") -> None:
        """End the run soon; nodes that are running are cancelled. Harmless after the end."""
        self.end(RunEnded(reason, "Stopped", status))

    # -- what frames ask --------------------------------------------------------------------------------------

    def end(self, ending: RunEnded | LogBroken) -> None:
        """End the whole run from inside; the first reason counts."""
        self.ending = self.ending or ending
        if self._frame is not None:
            self._frame.wake()

    def check(self) -> None:
        """Raise what ends the run: a stop, a limit, a log that takes no more."""
        if self.ending is not None:
            raise self.ending
        elapsed, most = self._elapsed(), self._run_limits.max_time
        if elapsed > most:
            raise RunEnded(f"Maximum execution time exceeded: {elapsed:.2f}s > {most:g}s", "RunLimitError")

    def step(self, scope: Scope) -> int:
        """Count a node start or a further attempt, and return its number; clients see the count of those at the top."""
        self._steps = steps = self._steps + 1
        if not scope:
            self._shown_steps += 1
        if steps > (most := self._run_limits.max_steps):
            self.end(RunEnded(f"Maximum execution steps exceeded: {steps} > {most}", "RunLimitError"))
        return steps

    def stop_waiting(self, scope: Scope, container: str = "") -> None:
        """What was asked inside a scope, or inside a container of that scope, needs no answer any more: it is over."""
        depth = len(scope)
        for execution_id, place in list(self.waiting.items()):
            inside = place[:depth] == scope
            if inside and (not container or (len(place) > depth and place[depth][0] == container)):
                del self.waiting[execution_id]

    @property
    def owes_barrier(self) -> bool:
        """Whether the result of an effectful node is not durable yet."""
        return self._effect > self._durable

    def owe_barrier(self) -> None:
        """The last event is the result of an effectful node."""
        self._effect = self._seq

    async def barrier(self) -> None:
        """Return when every result so far is durable."""
        reached = self._seq
        try:
            await self._log.flush()
        except Exception as exc:
            raise LogBroken(exc) from exc
        self._durable = max(self._durable, reached)

    def idle(self) -> None:
        """Nothing else is to do just now: send events on their way, and look again when the run's time is up."""
        self._log.push()
        if self._alarm is None and self._frame is not None:
            left = max(self._run_limits.max_time - self._elapsed(), 0.0)
            self._alarm = asyncio.get_running_loop().call_later(left, self._frame.wake)

    def body(self, frame: Frame, node: PlanNode) -> FrameBody:
        """The inside of a container."""
        return FrameBody(frame, node)

    def id_prefix(self, scope: Scope) -> str:
        """The first four groups of the execution ids of a scope; the node's index is the last.

        The same node of the same run and round gets the same id whoever runs it and however often: a UUID of version 8
        (RFC 9562).
        """
        place = "/".join([f"{node_id}:{index}" for node_id, index in scope]) if scope else ""
        digest = blake2b(f"{self.run_info.run_id}/{place}".encode(), digest_size=10).hexdigest()
        return f"{digest[:8]}-{digest[8:12]}-8{digest[12:15]}-a{digest[15:18]}-"

    # -- events -----------------------------------------------------------------------------------------------

    def emit(self, event: Event) -> None:
        """Number an event, log it, show it; it is of now unless it says its time."""
        event.seq = self._seq = self._seq + 1
        self._offset = 0
        if not event.at:
            event.at = time.time()
        self._log.append(event)
        self._sink(event)

    def node_starts(self, node: PlanNode, execution_id: str, scope: Scope) -> NodeStarted:
        """Count the start of a node and tell of it."""
        event = NodeStarted(
            execution_id=execution_id, node_id=node.id, node_type=node.type, title=node.title, index=self.step(scope)
        )
        if scope:
            event.scope = scope
        if node.extras:
            event.extras = node.extras
        self.emit(event)
        return event

    def _send_chunk(self, selector: Selector, text: str) -> None:
        if self.pool.secrets:
            text = self.pool.mask(text)
        self._said.append(text)
        if self._quiet:
            return
        self._offset += 1
        self._sink(StreamChunk(seq=self._seq, offset=self._offset, at=time.time(), selector=selector, text=text))

    def show(self, data: Any) -> Any:
        """Data as events carry it: files as mappings, secrets masked."""
        if not data:
            return data
        return self.pool.mask(plain(data)) if self.pool.secrets else plain(data)

    def masking(self, data: Any) -> str:
        """Whether showing this hides secrets (`yes`), and beside texts that look like a hidden one (`ambiguous`)."""
        clear = plain(data)
        if self.pool.mask(clear) == clear:
            return ""
        return "ambiguous" if HIDDEN in str(clear) else "yes"

    # -- ends -------------------------------------------------------------------------------------------------

    def _elapsed(self) -> float:
        return self._worked + time.monotonic() - self._began

    def _outputs(self, frame: Frame) -> dict[str, Any]:
        """Ends in document order, later ones overwrite; answers concatenate in the order in which they streamed."""
        outputs: dict[str, Any] = {}
        map, results = frame.map, frame.results
        for index in sorted(results):
            if index not in map.answers:
                outputs.update(results[index])
        if map.answers or map.speakers:
            outputs |= self._answer(frame)
        shown: dict[str, Any] = self.show(outputs)
        return shown

    def _answer(self, frame: Frame) -> dict[str, Any]:
        answers: list[str] = []
        files: list[Any] = []
        results, order = frame.results, frame.output.order
        for index in [*order, *(index for index in sorted(results) if index not in order)]:
            if index in results and index in frame.map.answers:
                answers.append(str(results[index].get("answer", "")))
                files += results[index].get("files") or []
            answers += [text for _, text in frame.output.said(index)]
        return {"answer": "".join(answers), "files": files} if answers else {}

    def _paused(self, frame: Frame) -> RunPaused:
        return RunPaused(
            waiting=list(self.waiting),
            outputs=self._outputs(frame),
            elapsed_time=self._elapsed(),
            total_tokens=self.usage.total_tokens,
            total_steps=self._shown_steps,
        )

    def _finished(self, frame: Frame, status: str, error: str = "", error_type: str = "") -> RunFinished:
        return RunFinished(
            status=status,
            outputs=self._outputs(frame),
            error=error,
            error_type=error_type,
            elapsed_time=self._elapsed(),
            total_tokens=self.usage.total_tokens,
            total_steps=self._shown_steps,
            exceptions_count=frame.exceptions,
            usage=msgspec.to_builtins(self.usage),
        )
