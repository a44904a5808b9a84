"""Forms that runs of an app wait for: listed for those who build it, and answered where a draft is tried."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Controller, get, post
from litestar.params import JSONBody

from dify_host.console.shapes import ANY_WORKFLOW, app_of
from dify_host.http.callers import Call, platform_of
from dify_host.http.console_callers import MEMBERS, WRITERS, ConsoleAccount
from dify_host.human.answers import Submission
from dify_host.human.records import Form
from dify_host.service.shapes import IdInPath, shown

__all__ = ["FormController"]


class AnswerBody(msgspec.Struct, kw_only=True):
    """Body of answering a form."""

    inputs: dict[str, Any] = {}
    action: str


class FormController(Controller):
    """Routes of the forms of one run."""

    path = "/apps/{app_id:uuid}/workflow-runs/{run_id:uuid}/forms"

    @get("/", opt=MEMBERS)
    async def listed(
        self, app_id: IdInPath, run_id: IdInPath, caller: ConsoleAccount, request: Call
    ) -> dict[str, list[dict[str, Any]]]:
        """The forms of a run in the order in which they were asked, with their answers."""
        app = await app_of(caller, app_id, ANY_WORKFLOW)
        forms = platform_of(request).forms_of(caller.tenant)
        await forms.check_run(app.id, str(run_id))
        return {"data": [_view(form) for form in await forms.of_run(app.id, str(run_id))]}

    @post("/{form_id:uuid}", status_code=200, opt=WRITERS)
    async def answer(
        self,
        app_id: IdInPath,
        run_id: IdInPath,
        form_id: IdInPath,
        data: JSONBody[AnswerBody],
        caller: ConsoleAccount,
        request: Call,
    ) -> dict[str, Any]:
        """Answer a form of a draft's run, once; the run goes on."""
        app, platform = await app_of(caller, app_id, ANY_WORKFLOW), platform_of(request)
        forms = platform.forms_of(caller.tenant)
        form = await forms.get(str(form_id), app_id=app.id, run_id=str(run_id))
        await forms.check_draft(form)
        form = await forms.open(form.id)
        by = await caller.creator(platform)
        await forms.submit(form, Submission(action=data.action, inputs=data.inputs), by=by)
        return {}


def _view(form: Form) -> dict[str, Any]:
    """A form with where it stands; whoever is sent the link gets it otherwise."""
    return {
        "form_id": form.id,
        "node_id": form.node_id,
        "node_title": form.node_title,
        "node_execution_id": form.node_execution_id,
        **form.view(),
        "status": form.status,
        "action_id": form.selected_action_id,
        "submitted_data": form.submitted_data,
        "submitted_at": shown(form.submitted_at),
        "created_at": shown(form.created_at),
    }
