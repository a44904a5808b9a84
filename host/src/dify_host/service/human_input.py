"""Forms that runs of an app wait for, by the token of the event that told of them: shown, and answered."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody

from dify_host.http.callers import AppKey, Call, User, platform_of
from dify_host.human.answers import Submission

__all__ = ["HumanInputController"]


class SubmitBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of answering a form."""

    inputs: dict[str, Any]
    action: str
    user: User | None = None


class HumanInputController(Controller):
    """Routes of forms that are shown in the app."""

    path = "/form/human_input"
    tags = ("Human input",)

    @get("/{form_token:str}")
    async def form(self, form_token: FromPath[str], caller: AppKey, request: Call) -> dict[str, Any]:
        """The form, as long as it can be answered."""
        platform = platform_of(request)
        form_id = platform.form_links.form_id(form_token)
        return (await platform.forms_of(caller.tenant).of_app(form_id, caller.app_id)).view()

    @post("/{form_token:str}", status_code=200)
    async def submit(
        self, form_token: FromPath[str], data: JSONBody[SubmitBody], caller: AppKey, request: Call
    ) -> dict[str, Any]:
        """Answer the form, once; the run goes on."""
        platform = platform_of(request)
        forms = platform.forms_of(caller.tenant)
        form = await forms.of_app(platform.form_links.form_id(form_token), caller.app_id)
        by = await caller.creator(data.user, required=True)
        await forms.submit(form, Submission(action=data.action, inputs=data.inputs), by=by)
        return {}
