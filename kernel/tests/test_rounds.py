"""Rounds side by side: every end of one is looked at, also of those that end beside one that fails."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping
from typing import Any

from dify_kernel.contracts.model import Usage
from dify_kernel.contracts.node import NodeStatus, Round
from dify_kernel.graph.body import FrameBody
from dify_kernel.graph.endings import FramePaused


class Both(FrameBody):
    """The first round fails in the moment in which the others begin to wait."""

    def __init__(self) -> None:
        pass

    async def run(self, index: int, variables: Mapping[str, Any], *, isolated: bool) -> Round:
        """Fail or wait."""
        if index:
            raise FramePaused
        return Round(pool=None, ran=frozenset(), status=NodeStatus.FAILED, usage=Usage())  # type: ignore[arg-type]


async def test_a_round_that_waits_beside_one_that_fails_is_not_complained_of() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    ends = await Both().run_many([{} for _ in range(40)], at_once=40, stop_at_failure=True)
    assert set(ends) == {0}
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []
