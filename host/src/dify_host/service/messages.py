"""Messages of an app's user, and what users thought of them."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
from dify_kernel.errors import BadInput
from litestar import Controller, get, post
from litestar.params import FromQuery, JSONBody, QueryParameter

from dify_host.http.callers import AppCaller, AppKey, Call, User, platform_of
from dify_host.runs.live_apps import Audience
from dify_host.runs.messages import AppFeedback, Feedbacks, MessagePage, Messages
from dify_host.service.shapes import IdInPath, Limit, PageNumber, Success

__all__ = ["MessageController"]

_TURNS: Final = 3  # of a conversation, that suggestions are made of


class FeedbackBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A rating; null takes it back."""

    rating: Literal["like", "dislike"] | None = None
    content: str | None = None
    user: User | None = None


class SuggestedQuestions(msgspec.Struct, frozen=True, kw_only=True):
    """Questions that may come next."""

    result: str = "success"
    data: list[str]


class SuggestionsDisabled(BadInput):
    """The app suggests nothing after its answers."""

    code = "bad_request"


class FeedbackList(msgspec.Struct, frozen=True, kw_only=True):
    """The feedback of an app."""

    data: list[AppFeedback]


class MessageController(Controller):
    """Routes of messages and feedback."""

    path = "/"
    tags = ("Messages",)

    @get("/messages")
    async def list_messages(
        self,
        caller: AppKey,
        request: Call,
        conversation_id: FromQuery[UUID],
        user: FromQuery[str | None] = None,
        first_id: FromQuery[UUID | None] = None,
        limit: Limit = 20,
    ) -> MessagePage:
        """The newest messages of a conversation, or those before `first_id`; oldest first inside the page."""
        found = await _messages(request, caller, user, "chat")
        return await found.list(str(conversation_id), first_id=str(first_id) if first_id else None, limit=limit)

    @post("/messages/{message_id:uuid}/feedbacks", status_code=200)
    async def rate(self, message_id: IdInPath, data: JSONBody[FeedbackBody], caller: AppKey, request: Call) -> Success:
        """Rate a message, or take the rating back."""
        found = await _messages(request, caller, data.user, "any", required=True)
        await found.rate(str(message_id), data.rating, data.content)
        return Success()

    @get("/messages/{message_id:uuid}/suggested")
    async def suggested(
        self, message_id: IdInPath, caller: AppKey, request: Call, user: FromQuery[str | None] = None
    ) -> SuggestedQuestions:
        """Questions to ask next, by the workspace's default model; none when it gives none."""
        found = await _messages(request, caller, user, "chat", required=True)
        message = await found.get(str(message_id))
        live = await platform_of(request).live_apps.find(caller.workspace.app_repository, caller.app_id, "chat")
        feature = live.program.features.get("suggested_questions_after_answer") or {}
        if not feature.get("enabled"):
            raise SuggestionsDisabled("Suggested Questions Is Disabled.")
        turns = await caller.workspace.memory.history(message.conversation_id, limit=_TURNS)
        return SuggestedQuestions(data=await caller.workspace.asides.questions(turns))

    @get("/app/feedbacks")
    async def feedbacks(
        self,
        caller: AppKey,
        request: Call,
        page: PageNumber = 1,
        limit: Annotated[int, QueryParameter(ge=1, le=101)] = 20,
    ) -> FeedbackList:
        """All feedback of the app, newest first."""
        feedbacks = Feedbacks(platform_of(request).db, caller.tenant)
        return FeedbackList(data=await feedbacks.list(caller.app_id, page=page, limit=limit))


async def _messages(
    request: Call, caller: AppCaller, user: User | None, audience: Audience, *, required: bool = False
) -> Messages:
    platform = platform_of(request)
    await platform.live_apps.record(caller.workspace.app_repository, caller.app_id, audience)
    creator = await caller.creator(user, required=required)
    return Messages(platform.db, caller.tenant, caller.workspace.files, app_id=caller.app_id, creator=creator)
