"""Judges the answer of a run before its end is written: what is kept, and told to anybody, is what the judge let pass.

The verdict is a part of the run. It is reached whoever listens, and a process that is lost before has left a run that
another one takes up and judges.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from dify_kernel.contracts.node import RunInfo
from dify_kernel.errors import DifyError, PlatformUnavailable
from dify_kernel.graph.events import RunFinished, RunPaused

from dify_host.apps.records import NO_CHAT
from dify_host.db.tenant import Tenant
from dify_host.db.types import encode_json
from dify_host.moderation.judge import Judge
from dify_host.moderation.output_check import OutputCheck
from dify_host.moderation.rules import ModerationRules, read_rules

__all__ = ["LastWord", "OutputChecks"]


class OutputChecks:
    """Makes the checks of answers. `judge` gives who judges for an app of a workspace by its rules."""

    def __init__(self, judge: Callable[[Tenant, str, ModerationRules], Awaitable[Judge]], *, buffer: int) -> None:
        self._judge, self._buffer = judge, buffer

    async def of(self, run: RunInfo, mode: str, features: Mapping[str, Any]) -> OutputCheck | None:
        """The check of a run's answer; None where nobody judges it. Workflow apps are not judged, as in Dify."""
        rules = read_rules(features.get("sensitive_word_avoidance"))
        if rules is None or not rules.outputs.enabled or mode in NO_CHAT:
            return None
        return OutputCheck(await self._judge(Tenant(run.tenant_id), run.app_id, rules), buffer=self._buffer)


class LastWord:
    """Has the last word on one run. An answer that cannot be judged is not kept, and fails the run."""

    def __init__(self, check: OutputCheck) -> None:
        self._check = check

    async def __call__(self, event: RunFinished | RunPaused) -> None:
        """Put into an end, or a pause, that nobody has seen yet what stands in the place of its answer."""
        answer = event.outputs.get("answer", "")
        try:
            instead = await self._check.finish(answer if isinstance(answer, str) else encode_json(answer))
        except PlatformUnavailable:
            raise  # it can be judged when that is back, and nobody has seen the end yet
        except DifyError as exc:
            event.outputs = {**event.outputs, "answer": ""}
            if isinstance(event, RunFinished) and event.status != "failed":
                event.status, event.error, event.error_type = "failed", exc.description, type(exc).__name__
            return
        if instead is not None:
            event.outputs = {**event.outputs, "answer": instead}
