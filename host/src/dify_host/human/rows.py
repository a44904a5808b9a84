"""Rows of a run that waits for people, written in the transaction of its events: forms, pauses, jobs."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from dify_kernel.graph.events import Event, NodePaused, RunFinished, RunPaused, RunResumed

from dify_host.db.outbox import outbox
from dify_host.db.types import new_id, utc_now
from dify_host.db.writer import Group
from dify_host.human.records import ANSWERED, EXPIRED, WAITING
from dify_host.human.tables import human_input_forms
from dify_host.runs.context import RunContext
from dify_host.runs.pause_events import form_id_of
from dify_host.runs.recorder import moment
from dify_host.runs.tables import workflow_pause_reasons, workflow_pauses

__all__ = ["DELIVER_FORM", "EMAIL", "MAIL_QUEUE", "QUEUE", "RESUME_RUN", "FormRows"]

#: The job that goes on with a run that was answered, and where it waits.
RESUME_RUN: Final = "resume_run"
QUEUE: Final = "workflow"
#: The job that tells people of a form.
DELIVER_FORM: Final = "deliver_form"
MAIL_QUEUE: Final = "mail"
EMAIL: Final = "email"


class FormRows:
    """`human_input_forms`, `workflow_pauses` and `workflow_pause_reasons` of one run.

    There is one pause a run, under the run's id, and a reason for each form that is open.
    """

    def __init__(self, context: RunContext) -> None:
        self._run, self._context = context.run, context
        self._forms: dict[str, str] = {}
        self._paused = False

    def record(self, event: Event, group: Group) -> None:
        """Follow the run: a form for each node that waits, what became of it when the run goes on or ends."""
        if isinstance(event, NodePaused):
            self._ask(event, group)
        elif isinstance(event, RunPaused):
            self._pause(event, group)
        elif isinstance(event, RunResumed) and event.answers:
            self._resume(event, group)
        elif isinstance(event, RunFinished) and self._forms:
            self._end(group)

    def _ask(self, event: NodePaused, group: Group) -> None:
        run, form_id = self._run, form_id_of(self._run.run_id, event)
        self._forms[event.execution_id] = form_id
        place = {"tenant_id": run.tenant_id, "app_id": run.app_id, "workflow_run_id": run.run_id}
        group.insert(
            human_input_forms,
            {
                **place,
                "id": form_id,
                "node_execution_id": event.execution_id,
                "node_id": event.node_id,
                "node_title": event.title[:255],
                "form_definition": event.data,
                "rendered_content": event.data.get("form_content") or "",
                "status": WAITING,
                "expiration_time": None if event.expires_at is None else moment(event.expires_at),
                "created_at": moment(event.at),
                "updated_at": moment(event.at),
            },
        )
        reason = {"id": new_id(), "pause_id": run.run_id, "type": event.type[:32], "form_id": form_id, "message": ""}
        at = moment(event.at)
        group.insert(workflow_pause_reasons, {**reason, "node_id": event.node_id, "created_at": at, "updated_at": at})
        if any(method.get("type") == EMAIL for method in event.data.get("delivery_methods") or []):
            job = {"tenant_id": run.tenant_id, "form_id": form_id}
            group.insert(outbox, _job(DELIVER_FORM, job, MAIL_QUEUE, at))

    def _pause(self, event: RunPaused, group: Group) -> None:
        at, run_id = moment(event.at), self._run.run_id
        if self._paused:
            group.update(workflow_pauses, run_id, {"resumed_at": None, "updated_at": at})
        else:
            ids = {"id": run_id, "workflow_id": self._run.workflow_id, "workflow_run_id": run_id}
            nothing = {"resumed_at": None, "state_object_key": None}
            group.insert(workflow_pauses, {**ids, **nothing, "created_at": at, "updated_at": at})
        self._paused = True
        group.execute(self._resume_at_once(at))

    def _resume_at_once(self, at: datetime) -> sa.Insert:
        """A job, when somebody has answered while the run was still at work and nobody could take it up."""
        forms = human_input_forms
        job = _job(RESUME_RUN, {"tenant_id": self._run.tenant_id, "run_id": self._run.run_id}, QUEUE, at)
        answered = sa.exists().where(
            forms.c.workflow_run_id == self._run.run_id,
            forms.c.status.in_(ANSWERED),
            forms.c.resumed_at.is_(None),
        )
        values = [sa.literal(value, outbox.c[name].type) for name, value in job.items()]
        return outbox.insert().from_select(list(job), sa.select(*values).where(answered))

    def _resume(self, event: RunResumed, group: Group) -> None:
        at = moment(event.at)
        for execution_id in event.answers:
            form_id = self._forms.get(execution_id)
            if form_id is not None:
                group.update(human_input_forms, form_id, {"resumed_at": at, "updated_at": at})
                group.delete(workflow_pause_reasons.c.form_id, form_id)
        if self._paused:
            group.update(workflow_pauses, self._run.run_id, {"resumed_at": at, "updated_at": at})

    def _end(self, group: Group) -> None:
        """Nobody can answer any more."""
        forms = human_input_forms
        left = sa.update(forms).where(forms.c.workflow_run_id == self._run.run_id, forms.c.status == WAITING)
        group.execute(left.values(status=EXPIRED, updated_at=utc_now()))


def _job(actor: str, args: dict[str, Any], queue: str, at: datetime) -> dict[str, Any]:
    return {"id": new_id(), "queue": queue, "actor": actor, "args": args, "attempts": 0, "created_at": at}
