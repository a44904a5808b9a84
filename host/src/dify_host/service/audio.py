"""Speech over the API: what users say becomes text, and texts and answers become sound."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
from dify_kernel.errors import BadInput, NotFound
from litestar import Controller, Response, post
from litestar.params import JSONBody
from litestar.response import Stream

from dify_host.files.errors import NoFileUploaded
from dify_host.http.callers import AppCaller, AppKey, Call, User, platform_of
from dify_host.runs.live_apps import LiveApp
from dify_host.runs.messages import answer_of
from dify_host.service.form_schema import FileForm
from dify_host.service.uploads import one_file
from dify_host.speech.errors import NoAudioPart

__all__ = ["SpeechController", "TranscriptController"]


class Transcript(msgspec.Struct, frozen=True, kw_only=True):
    """What was said."""

    text: str


class SpeechBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What to say: the answer of a message, which comes first, or a text. `streaming` changes nothing."""

    message_id: str | None = None
    text: str | None = None
    voice: str | None = None
    streaming: bool | None = None
    user: User | None = None


class TranscriptController(Controller):
    """Speech to text; its body may be larger than others."""

    path = "/"
    tags = ("Audio",)

    @post("/audio-to-text", status_code=200, operation_class=FileForm)
    async def to_text(self, caller: AppKey, request: Call) -> Transcript:
        """The text of a sound: multipart with `file` and `user`."""
        live = await _live(request, caller)
        try:
            form = await one_file(request)
        except NoFileUploaded as exc:
            raise NoAudioPart("The form has no part `file`.", field="file") from exc
        await caller.end_user(form.fields.get("user"))
        speech = caller.workspace.speech
        text = await speech.to_text(live.program.features, form.content, form.filename, form.mime_type)
        return Transcript(text=text)


class SpeechController(Controller):
    """Text to speech."""

    path = "/"
    tags = ("Audio",)

    @post("/text-to-audio", status_code=200)
    async def to_audio(self, data: JSONBody[SpeechBody], caller: AppKey, request: Call) -> Stream | Response[Any]:
        """The sound of a text, or of the answer of a message; JSON null for a message without any."""
        live = await _live(request, caller)
        await caller.end_user(data.user)
        text = data.text
        if data.message_id:
            text = await _answer(request, caller, data.message_id)
            if text is None:
                return Response(None, media_type="application/json")
        if not text:
            raise BadInput("Text is required", field="text")
        sound = await caller.workspace.speech.to_audio(live.program.features, text, data.voice)
        return Stream(sound, media_type="audio/mpeg")


async def _live(request: Call, caller: AppCaller) -> LiveApp:
    return await platform_of(request).live_apps.find(caller.workspace.app_repository, caller.app_id, "any")


async def _answer(request: Call, caller: AppCaller, message_id: str) -> str | None:
    """The answer of a message of this app; None when there is no such, or it has no answer."""
    try:
        message_id = str(uuid.UUID(message_id))
        return await answer_of(platform_of(request).db, caller.tenant, caller.app_id, message_id) or None
    except (ValueError, NotFound):
        return None
