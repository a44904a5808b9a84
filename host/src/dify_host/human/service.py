"""The forms of one workspace: shown, listed, answered. An answer and the job that goes on with the run are one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

import sqlalchemy as sa
from dify_kernel.errors import BadInput, Forbidden, NotFound
from dify_kernel.graph.values import File

from dify_host.db.engine import Database, database_now
from dify_host.db.outbox import enqueue
from dify_host.db.repository import TenantRepository, to_struct
from dify_host.db.tenant import Tenant
from dify_host.files.service import FileService
from dify_host.human.answers import FileFinder, Submission, check_answer
from dify_host.human.errors import FormExpired, FormNotFound, FormSubmitted, NotForTheApi
from dify_host.human.records import SUBMITTED, WAITING, Form
from dify_host.human.rows import QUEUE, RESUME_RUN
from dify_host.human.tables import human_input_forms
from dify_host.runs.recorder import Creator
from dify_host.runs.tables import workflow_runs

__all__ = ["FormService", "tenant_of_form"]

_forms = human_input_forms


async def tenant_of_form(db: Database, form_id: str) -> Tenant:
    """The workspace of the form that a link leads to; FormNotFound."""
    async with db.read() as conn:
        found = (await conn.execute(sa.select(_forms.c.tenant_id).where(_forms.c.id == form_id))).scalar()
    if found is None:
        raise FormNotFound("Form not found")
    return Tenant(found)


class FormService(TenantRepository):
    """The forms of one workspace; a text of an answer has at most `longest` bytes."""

    def __init__(self, db: Database, tenant: Tenant, files: FileService, *, longest: int) -> None:
        super().__init__(db, tenant)
        self._files, self._longest = files, longest

    # -- looking ----------------------------------------------------------------------------------------------

    async def get(self, form_id: str, *, app_id: str | None = None, run_id: str | None = None) -> Form:
        """A form, whatever has become of it; FormNotFound, also when it is another app's or run's."""
        query = self.scoped_select(_forms).where(_forms.c.id == form_id)
        if app_id is not None:
            query = query.where(_forms.c.app_id == app_id)
        if run_id is not None:
            query = query.where(_forms.c.workflow_run_id == run_id)
        async with self.db.read() as conn:
            row = (await conn.execute(query)).first()
        if row is None:
            raise FormNotFound("Form not found")
        return to_struct(row, Form)

    async def open(self, form_id: str, *, app_id: str | None = None) -> Form:
        """A form that can be answered; FormNotFound, FormSubmitted, FormExpired."""
        form = await self.get(form_id, app_id=app_id)
        async with self.db.read() as conn:
            _check_open(form, await database_now(conn))
        return form

    async def of_app(self, form_id: str, app_id: str) -> Form:
        """A form that callers of the app's API may answer; NotForTheApi when it is sent to somebody by mail alone."""
        form = await self.open(form_id, app_id=app_id)
        if not form.shown_by_app:
            raise NotForTheApi("Form recipient type is invalid")
        return form

    async def of_run(self, app_id: str, run_id: str) -> list[Form]:
        """The forms of a run in the order in which they were asked."""
        query = self.scoped_select(_forms).where(_forms.c.app_id == app_id, _forms.c.workflow_run_id == run_id)
        async with self.db.read() as conn:
            rows = (await conn.execute(query.order_by(_forms.c.created_at, _forms.c.id))).all()
        return [to_struct(row, Form) for row in rows]

    async def creator_of(self, form: Form) -> Creator:
        """Who started the run."""
        runs = workflow_runs
        query = self.scoped_select(runs, runs.c.created_by_role, runs.c.created_by)
        async with self.db.read() as conn:
            row = (await conn.execute(query.where(runs.c.id == form.workflow_run_id))).first()
        if row is None:
            raise FormNotFound("Form not found")
        return Creator(role=row.created_by_role, id=row.created_by)

    async def check_run(self, app_id: str, run_id: str) -> None:
        """NotFound when the run is not the app's."""
        runs = workflow_runs
        query = self.scoped_select(runs, runs.c.id).where(runs.c.id == run_id, runs.c.app_id == app_id)
        async with self.db.read() as conn:
            if (await conn.execute(query)).first() is None:
                raise NotFound("Workflow run not found", run_id=run_id)

    async def check_draft(self, form: Form) -> None:
        """Forbidden when the run is not one of a draft."""
        runs = workflow_runs
        query = self.scoped_select(runs, runs.c.triggered_from).where(runs.c.id == form.workflow_run_id)
        async with self.db.read() as conn:
            found = (await conn.execute(query)).scalar()
        if found != "debugging":
            raise Forbidden("Only forms of draft runs are answered here.", hint="Use the link of the form.")

    # -- answering --------------------------------------------------------------------------------------------

    async def submit(self, form: Form, given: Submission, *, by: Creator | None = None, anybody: bool = False) -> None:
        """Take an answer, once; the run goes on soon after.

        `by` is who answers, where that is known. Who answers by a link (`anybody`) may name no uploads but those of
        whoever started the run. Raises InvalidFormData, FormSubmitted, FormExpired.
        """
        creator = await self.creator_of(form) if anybody else None
        find: FileFinder = partial(self._find, creator)
        inputs = await check_answer(form, given, find, longest=self._longest)
        account = by is not None and by.role == "account"
        values: dict[str, Any] = {
            "status": SUBMITTED,
            "selected_action_id": given.action,
            "submitted_data": inputs,
            "submission_user_id": by.id if by is not None and account else None,
            "submission_end_user_id": by.id if by is not None and not account else None,
        }
        mine = sa.and_(self.owned(_forms), _forms.c.id == form.id)
        async with self.db.write() as conn:
            now = await database_now(conn)
            in_time = sa.or_(_forms.c.expiration_time.is_(None), _forms.c.expiration_time > now)
            change = sa.update(_forms).where(mine, _forms.c.status == WAITING, in_time)
            won = (await conn.execute(change.values(**values, submitted_at=now))).rowcount == 1
            if won:
                job = {"tenant_id": self.tenant.id, "run_id": form.workflow_run_id}
                await enqueue(conn, RESUME_RUN, job, queue=QUEUE)
        if not won:
            await self.open(form.id)
            raise FormSubmitted(_submitted(form.id))

    async def _find(self, creator: Creator | None, mapping: Mapping[str, Any]) -> File:
        file = await self._files.resolve(mapping)
        if creator is not None and file.related_id is not None:
            upload = await self._files.get(file.related_id)
            if (upload.created_by_role, upload.created_by) != (creator.role, creator.id):
                raise BadInput(f"There is no file {upload.id}.", hint="Upload it first.", field="upload_file_id")
        return file


def _check_open(form: Form, now: datetime) -> None:
    if form.status == SUBMITTED:
        raise FormSubmitted(_submitted(form.id))
    if form.status != WAITING or (form.expiration_time is not None and form.expiration_time <= now):
        raise FormExpired(f"This form has expired, form_id={form.id}")


def _submitted(form_id: str) -> str:
    return f"This form has already been submitted by another user, form_id={form_id}"
