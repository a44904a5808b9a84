"""What callers may know about an app."""

from __future__ import annotations

from typing import Any

from litestar import Controller, get

from dify_host.http.callers import AppKey

__all__ = ["AppInfoController"]


class AppInfoController(Controller):
    """Routes that describe the app of the key."""

    path = "/"
    tags = ("App",)

    @get("/parameters")
    async def app_parameters(self, caller: AppKey) -> dict[str, Any]:
        """Features, input form, and the limits of uploads."""
        parameters = await caller.workspace.apps.parameters(caller.app_id)
        return {**parameters, "annotation_reply": await caller.workspace.annotations.shown(caller.app_id)}

    @get("/info")
    async def info(self, caller: AppKey) -> dict[str, Any]:
        """Name, description, tags and mode."""
        return await caller.workspace.apps.info(caller.app_id)

    @get("/meta")
    async def meta(self, caller: AppKey) -> dict[str, Any]:
        """The icons of its tools."""
        return await caller.workspace.apps.meta(caller.app_id)

    @get("/site")
    async def site(self, caller: AppKey) -> dict[str, Any]:
        """How its web page looks."""
        return await caller.workspace.apps.site(caller.app_id)
