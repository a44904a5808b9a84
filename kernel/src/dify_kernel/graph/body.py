"""The inside of a container: each round a frame of its own, and rounds side by side speak one after another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from dify_kernel.contracts.node import NodeStatus, Round
from dify_kernel.graph.endings import FramePaused, NodeBroke
from dify_kernel.graph.frame import Frame, Send
from dify_kernel.graph.plan import PlanNode
from dify_kernel.graph.pool import Selector

__all__ = ["FrameBody"]


class FrameBody:
    """The nodes inside one container, as its node runs them; each round is a frame of its own."""

    def __init__(self, frame: Frame, node: PlanNode) -> None:
        self._frame, self._node = frame, node
        self._turns = _Turns(lambda selector, text: frame.output.say(node.index, selector, text))

    async def run(self, index: int, variables: Mapping[str, Any], *, isolated: bool) -> Round:
        """See the contract: `dify_kernel.contracts.node.Body`."""
        outer, node = self._frame, self._node
        pool = outer.pool.copy() if isolated else outer.pool
        map = outer.map.bodies[node.index]
        if not isolated:
            outer.shared.add(node.index)
            pool.remove(map.inner_ids)
        pool.update(node.id, variables)
        frame = Frame(
            outer.run,
            map,
            pool,
            self._turns.join(index),
            container=node,
            scope=(*outer.scope, (node.id, index)),
            outer=(outer.pool, *outer.outer) if isolated else outer.outer,
        )
        began, broke = time.monotonic(), None
        try:
            frame.replay()
            await frame.drive()
        except NodeBroke as exc:
            broke = exc
        finally:
            self._turns.leave(index)
        return Round(
            pool=pool,
            ran=frozenset(frame.ran),
            status=NodeStatus.FAILED if broke else NodeStatus.SUCCEEDED,
            error=broke.error if broke else "",
            error_type=broke.error_type if broke else "",
            usage=frame.usage,
            elapsed_time=time.monotonic() - began,
        )

    async def run_many(
        self, rounds: Sequence[Mapping[str, Any]], *, at_once: int, stop_at_failure: bool
    ) -> dict[int, Round]:
        """See the contract."""
        gate = asyncio.Semaphore(at_once)
        ends: dict[int, Round] = {}
        waits: FramePaused | None = None

        async def run(index: int, variables: Mapping[str, Any]) -> Round:
            async with gate:
                ends[index] = await self.run(index, variables, isolated=True)
            return ends[index]

        tasks = pending = {asyncio.create_task(run(index, variables)) for index, variables in enumerate(rounds)}
        try:
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    try:
                        failed = task.result().status is NodeStatus.FAILED
                    except FramePaused as exc:
                        waits, failed = exc, False
                    if failed and stop_at_failure:
                        return ends
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)  # also those that ended beside one that failed
        if waits is not None:
            raise waits
        return ends


class _Turns:
    """Rounds side by side speak in the order of their indexes: a later one waits until those before it are over."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._held: dict[int, list[tuple[Selector, str]]] = {}
        self._live: set[int] = set()

    def join(self, index: int) -> Send:
        """How the round of that index speaks."""
        self._held[index] = held = []
        self._live.add(index)

        def send(selector: Selector, text: str) -> None:
            if index == min(self._held):
                self._send(selector, text)
            else:
                held.append((selector, text))

        return send

    def leave(self, index: int) -> None:
        """The round is over; those behind it may say what they have held back, up to one that still goes on."""
        self._live.discard(index)
        while self._held:
            first = min(self._held)
            for selector, text in self._held[first]:
                self._send(selector, text)
            self._held[first].clear()
            if first in self._live:
                return
            del self._held[first]
