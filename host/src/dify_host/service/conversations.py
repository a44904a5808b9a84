"""Conversations of an app's user: list, rename, delete, and their variables."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, delete, get, post, put
from litestar.params import FromQuery, JSONBody, QueryParameter

from dify_host.http.callers import AppCaller, AppKey, Call, User, platform_of
from dify_host.runs.conversations import Conversation, ConversationPage, Conversations, SortBy, VariablePage
from dify_host.runs.conversations import VariableView as Variable
from dify_host.service.shapes import IdInPath, Limit

__all__ = ["ConversationController"]

VariableName = Annotated[str | None, QueryParameter(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9\-_.]+$")]


class UserBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A body that says who asks."""

    user: User | None = None


class NameBody(UserBody, kw_only=True, forbid_unknown_fields=True):
    """A new name, or the wish for an automatic one."""

    name: str | None = None
    auto_generate: bool = False


class ValueBody(UserBody, kw_only=True, forbid_unknown_fields=True):
    """A new value of a variable."""

    value: Any


class ConversationController(Controller):
    """Routes of conversations; they show what this user made through the API."""

    path = "/conversations"
    tags = ("Conversations",)

    @get("/")
    async def list_conversations(
        self,
        caller: AppKey,
        request: Call,
        user: FromQuery[str | None] = None,
        last_id: FromQuery[UUID | None] = None,
        limit: Limit = 20,
        sort_by: FromQuery[SortBy] = "-updated_at",
    ) -> ConversationPage:
        """A page of the user's conversations."""
        found = await _conversations(request, caller, user)
        return await found.list(last_id=str(last_id) if last_id else None, limit=limit, sort_by=sort_by)

    @delete("/{c_id:uuid}", status_code=204)
    async def remove(self, c_id: IdInPath, data: JSONBody[UserBody], caller: AppKey, request: Call) -> None:
        """Delete a conversation; an unknown one is no error."""
        await (await _conversations(request, caller, data.user)).delete(str(c_id))

    @post("/{c_id:uuid}/name", status_code=200)
    async def rename(self, c_id: IdInPath, data: JSONBody[NameBody], caller: AppKey, request: Call) -> Conversation:
        """Name a conversation; `auto_generate` lets a model name it by its first question."""
        found = await _conversations(request, caller, data.user)
        if data.auto_generate:
            return await found.name_anew(str(c_id), caller.workspace.asides.name)
        return await found.rename(str(c_id), data.name or "")

    @get("/{c_id:uuid}/variables")
    async def variables(
        self,
        c_id: IdInPath,
        caller: AppKey,
        request: Call,
        user: FromQuery[str | None] = None,
        last_id: FromQuery[UUID | None] = None,
        limit: Limit = 20,
        variable_name: VariableName = None,
    ) -> VariablePage:
        """The conversation's variables, oldest first."""
        found = await _conversations(request, caller, user)
        return await found.variables(
            str(c_id), last_id=str(last_id) if last_id else None, limit=limit, name=variable_name
        )

    @put("/{c_id:uuid}/variables/{variable_id:uuid}")
    async def set_variable(
        self, c_id: IdInPath, variable_id: IdInPath, data: JSONBody[ValueBody], caller: AppKey, request: Call
    ) -> Variable:
        """Change a variable."""
        found = await _conversations(request, caller, data.user)
        return await found.set_variable(str(c_id), str(variable_id), data.value)


async def _conversations(request: Call, caller: AppCaller, user: User | None) -> Conversations:
    platform = platform_of(request)
    await platform.live_apps.record(caller.workspace.app_repository, caller.app_id, "chat")
    creator = await caller.creator(user)
    return Conversations(platform.db, caller.tenant, app_id=caller.app_id, creator=creator)
