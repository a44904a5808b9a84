"""Goes on with runs that were answered: in whichever process takes the job, however often it comes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from dify_kernel.errors import DifyError, RunFenced

from dify_host.db.repository import TenantRepository, to_struct
from dify_host.human.errors import RunBusy
from dify_host.human.records import ANSWERED, Form
from dify_host.human.tables import human_input_forms
from dify_host.runs.recovery import Recovery
from dify_host.runs.service import RunService, StartedRun

__all__ = ["FormRunner"]

log = logging.getLogger(__name__)


class FormRunner:
    """The answered runs of one workspace; a job waits `patience` seconds at most for what it has set going.

    `resumed` is told of each run that goes on here.
    """

    def __init__(
        self,
        forms: TenantRepository,
        runs: RunService,
        recovery: Recovery,
        *,
        patience: float,
        resumed: Callable[[StartedRun], None] = lambda _started: None,
    ) -> None:
        self._forms, self._runs, self._recovery = forms, runs, recovery
        self._patience, self._resumed = patience, resumed

    async def resume(self, run_id: str) -> None:
        """Give a run all answers that it did not get yet, and wait until it ends or waits again.

        Nothing when there are none. RunBusy while the run is at work somewhere: it is tried again, and the run asks
        for this job itself when it comes to wait. A run that cannot go on is ended as failed, with the reason.
        """
        started = await self.take_up(run_id)
        if started is None:
            return
        try:
            await asyncio.wait_for(started.handle.wait(), self._patience)
        except TimeoutError:
            log.warning("Run %s goes on without the job that took its answers to it.", run_id)
        except DifyError as exc:
            log.info("Run %s goes on in another process: %s", run_id, exc)

    async def take_up(self, run_id: str) -> StartedRun | None:
        """Set the run going here; None when there is no answer to give, or nobody asks for it any more."""
        answers = await self._answers(run_id)
        if not answers:
            return None
        if self._runs.find(run_id) is not None:
            raise RunBusy(f"Run {run_id} is at work here.", run_id=run_id)
        try:
            started = await self._runs.take_up(run_id, answers=answers)
        except RunFenced as exc:
            raise RunBusy(f"Run {run_id} is at work in another process.", run_id=run_id) from exc
        except DifyError as exc:
            if exc.retryable:
                raise
            log.warning("Run %s was answered and cannot go on: %s", run_id, exc)
            await self._recovery.give_up(run_id, "The run was answered", exc)
            return None
        if started is not None:
            self._resumed(started)
        return started

    async def _answers(self, run_id: str) -> dict[str, dict[str, Any]]:
        forms = human_input_forms
        query = self._forms.scoped_select(forms).where(
            forms.c.workflow_run_id == run_id, forms.c.status.in_(ANSWERED), forms.c.resumed_at.is_(None)
        )
        async with self._forms.db.read() as conn:
            rows = (await conn.execute(query.order_by(sa.asc(forms.c.created_at)))).all()
        found = [to_struct(row, Form) for row in rows]
        return {form.node_execution_id: form.answer for form in found}
