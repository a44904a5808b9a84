"""Forms behind links: who holds one may read and answer that form, once; as JSON for pages, and as a page."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from dify_kernel.errors import BadInput, DifyError
from litestar import Controller, Response, Router, get, post
from litestar.datastructures import UploadFile
from litestar.params import FromPath, JSONBody

from dify_host.http.callers import Call, platform_of, require_json
from dify_host.human.answers import Submission
from dify_host.human.errors import FormExpired, FormNotFound, FormSubmitted, InvalidFormData
from dify_host.human.records import Form
from dify_host.human.service import FormService, tenant_of_form
from dify_host.settings import HostSettings
from dify_host.web.form_page import form_page, message_page

__all__ = ["form_routes"]

_ACTION: Final = "__action"
_FILES: Final = ("file", "file-list")
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_CLOSED: Final[dict[type[DifyError], tuple[str, str]]] = {
    FormNotFound: ("There is no such form", "The link is not complete, or it is not one of ours."),
    FormSubmitted: ("This form is answered", "Somebody has answered it already. There is nothing left to do."),
    FormExpired: ("This form is closed", "Its time is up, or nobody needs an answer any more."),
}


class AnswerBody(msgspec.Struct, kw_only=True):
    """Body of answering a form by its link."""

    inputs: dict[str, Any] = {}
    action: str


def form_routes(settings: HostSettings) -> Router:
    """The routes of links to forms; the page takes a file."""
    kinds = (
        settings.upload_file_size_limit,
        settings.upload_image_file_size_limit,
        settings.upload_video_file_size_limit,
        settings.upload_audio_file_size_limit,
    )
    most = (max(kinds) + 1) * 1024 * 1024
    page = Router("/", route_handlers=[shown_page, answered_page], request_max_body_size=most)
    return Router("/", route_handlers=[FormLinkController, page], include_in_schema=False)


class FormLinkController(Controller):
    """The form as JSON, for pages that draw it themselves."""

    path = "/api/form/human_input"
    guards = (require_json,)

    @get("/{token:str}")
    async def form(self, token: FromPath[str], request: Call) -> Response[dict[str, Any]]:
        """The form, as long as it can be answered."""
        _, form = await _opened(request, token)
        return Response(form.view(), headers={"Cache-Control": "no-store"})

    @post("/{token:str}", status_code=200)
    async def answer(self, token: FromPath[str], data: JSONBody[AnswerBody], request: Call) -> dict[str, Any]:
        """Answer the form, once; the run goes on."""
        forms, form = await _opened(request, token)
        await forms.submit(form, Submission(action=data.action, inputs=data.inputs), anybody=True)
        return {}


@get("/form/{token:str}")
async def shown_page(token: FromPath[str], request: Call) -> Response[str]:
    """The page of a form."""
    try:
        _, form = await _opened(request, token)
    except (FormNotFound, FormSubmitted, FormExpired) as exc:
        return _closed(exc)
    return _html(form_page(form))


@post("/form/{token:str}", status_code=200)
async def answered_page(token: FromPath[str], request: Call) -> Response[str]:
    """What the page sent: thanks, or the page again with what was wrong."""
    filled: dict[str, str] = {}
    try:
        forms, form = await _opened(request, token)
        try:
            action, filled, files = await _sent(request, form)
            uploaded = await _uploaded(request, forms, form, files)
            await forms.submit(form, Submission(action=action, inputs={**filled, **uploaded}), anybody=True)
        except BadInput as exc:
            field = str(exc.where.get("field") or "")
            return _html(form_page(form, error=exc.description, field=field, filled=filled), exc.status)
    except (FormNotFound, FormSubmitted, FormExpired) as exc:
        return _closed(exc)
    return _html(message_page("Thank you", "Your answer has been taken."))


async def _opened(request: Call, token: str) -> tuple[FormService, Form]:
    """The form of a link and its workspace's service; FormNotFound, FormSubmitted, FormExpired."""
    platform = platform_of(request)
    form_id = platform.form_links.form_id(token)
    tenant = await tenant_of_form(platform.db, form_id)
    if (await (await platform.workspace(tenant)).standing()).status != "normal":
        raise FormNotFound("Form not found")
    forms = platform.forms_of(tenant)
    return forms, await forms.open(form_id)


async def _sent(request: Call, form: Form) -> tuple[str, dict[str, str], dict[str, list[UploadFile]]]:
    """The button, the texts and the files of a sent page. Browsers end lines as on a typewriter."""
    texts: dict[str, str] = {}
    kinds = {str(item.get("output_variable_name")): item.get("type") for item in form.inputs}
    files: dict[str, list[UploadFile]] = {name: [] for name, kind in kinds.items() if kind == "file-list"}
    for name, value in (await request.form()).multi_items():
        if isinstance(value, UploadFile):
            if value.filename:
                files.setdefault(name, []).append(value)
        elif kinds.get(name) not in _FILES:
            texts.setdefault(name, str(value).replace("\r\n", "\n"))
    return texts.pop(_ACTION, ""), texts, files


async def _uploaded(
    request: Call, forms: FormService, form: Form, sent: dict[str, list[UploadFile]]
) -> dict[str, dict[str, str] | list[dict[str, str]]]:
    """Keep what was sent with the form, as files of whoever started the run."""
    items = {str(item.get("output_variable_name")): item for item in form.inputs}
    found: dict[str, dict[str, str] | list[dict[str, str]]] = {}
    for name, files in sent.items():
        item = items.get(name, {})
        most = 1 if item.get("type") == "file" else int(item.get("number_limits") or 0)
        if item.get("type") not in _FILES or (most and len(files) > most):
            raise InvalidFormData(f"{name} does not take so many files.", field=name)
    if not sent:
        return found
    creator, keep = await forms.creator_of(form), platform_of(request).files_of(forms.tenant)
    for name, files in sent.items():
        kept = [
            await keep.upload(
                await file.read(),
                file.filename,
                file.content_type,
                created_by_role="account" if creator.role == "account" else "end_user",
                created_by=creator.id,
            )
            for file in files
        ]
        named = [{"transfer_method": "local_file", "upload_file_id": upload.id} for upload in kept]
        found[name] = named[0] if items[name].get("type") == "file" else named
    return found


def _closed(exc: DifyError) -> Response[str]:
    return _html(message_page(*_CLOSED[type(exc)]), exc.status)


def _html(page: str, status: int = 200) -> Response[str]:
    return Response(page, status_code=status, media_type="text/html", headers=_HEADERS)
