"""The account that is logged in, and the workspace it works in."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Controller, get, post
from litestar.params import JSONBody

from dify_host.http.callers import Call, platform_of
from dify_host.http.console_callers import MEMBERS, ConsoleAccount, ConsoleCaller
from dify_host.identity.accounts import Accounts
from dify_host.identity.workspaces import Members, Workspace, Workspaces
from dify_host.platform import Platform
from dify_host.service.shapes import shown

__all__ = ["AccountController", "WorkspaceController"]


class SwitchBody(msgspec.Struct, kw_only=True):
    """Body of `/workspaces/switch`."""

    tenant_id: str


class AccountController(Controller):
    """Routes of the own account."""

    path = "/account"
    opt = MEMBERS

    @get("/profile")
    async def profile(self, caller: ConsoleAccount, request: Call) -> dict[str, Any]:
        """Who is logged in."""
        account = await Accounts(platform_of(request).db).get(caller.account_id)
        hidden = ("status", "last_active_at")
        view: dict[str, Any] = {key: value for key, value in shown(account).items() if key not in hidden}
        return {**view, "avatar_url": _address(account.avatar)}


class WorkspaceController(Controller):
    """Routes of the account's workspaces."""

    path = "/workspaces"
    opt = MEMBERS

    @get("/")
    async def mine(self, caller: ConsoleAccount, request: Call) -> dict[str, Any]:
        """The workspaces that the account belongs to."""
        found = await Workspaces(platform_of(request).db).list(caller.account_id)
        listed = [{key: value for key, value in shown(item).items() if key != "role"} for item in found]
        for item in listed:
            item["current"] = item["id"] == caller.tenant.id
        return {"workspaces": listed}

    @post("/current", status_code=200)
    async def current(self, caller: ConsoleAccount, request: Call) -> dict[str, Any]:
        """The workspace that the account works in."""
        return await _current(platform_of(request), caller)

    @get("/current/members")
    async def members(self, caller: ConsoleAccount, request: Call) -> dict[str, Any]:
        """Who belongs to the workspace, in the order of joining."""
        return {"accounts": await _members(platform_of(request), caller)}

    @get("/current/dataset-operators")
    async def dataset_operators(self, caller: ConsoleAccount, request: Call) -> dict[str, Any]:
        """Those who see the knowledge bases that are shared with them, and nothing else."""
        found = await _members(platform_of(request), caller)
        return {"accounts": [item for item in found if item["role"] == "dataset_operator"]}

    @post("/switch", status_code=200)
    async def switch(self, data: JSONBody[SwitchBody], caller: ConsoleAccount, request: Call) -> dict[str, Any]:
        """Work in another workspace of the account's."""
        found = await Workspaces(platform_of(request).db).switch(caller.account_id, data.tenant_id)
        return {"result": "success", "new_tenant": _view(found)}


async def _members(platform: Platform, caller: ConsoleCaller) -> list[dict[str, Any]]:
    found = await Members(platform.db, caller.tenant).list()
    views = [{key: value for key, value in shown(member).items() if key != "tenant_id"} for member in found]
    return [{**view, "avatar_url": _address(view["avatar"])} for view in views]


async def _current(platform: Platform, caller: ConsoleCaller) -> dict[str, Any]:
    found = await Workspaces(platform.db).list(caller.account_id)
    return next((_view(item) for item in found if item.id == caller.tenant.id), {})


def _address(avatar: str | None) -> str | None:
    """Where the picture of an account is, when that is an address."""
    return avatar if (avatar or "").startswith("http") else None


def _view(workspace: Workspace) -> dict[str, Any]:
    view: dict[str, Any] = {key: value for key, value in shown(workspace).items() if key != "current"}
    nothing = ("in_trial", "trial_end_reason", "trial_credits", "trial_credits_used", "next_credit_reset_date")
    custom = {"remove_webapp_brand": False, "replace_webapp_logo": None}
    return {**view, **dict.fromkeys(nothing), "custom_config": custom}
