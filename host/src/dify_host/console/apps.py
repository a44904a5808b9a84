"""Apps: list, make, look at, change, switch, delete; and the keys of their API."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from dify_kernel.errors import BadInput, NotImplementedYet
from litestar import Controller, delete, get, post, put
from litestar.params import FromQuery, JSONBody

from dify_host.apps.changes import AppChanges
from dify_host.apps.directory import AppDirectory, AppFilter
from dify_host.apps.records import AppMode
from dify_host.console.shapes import IconBody, app_of, base_url, icon_links
from dify_host.http.callers import Call, platform_of
from dify_host.http.console_callers import ADMINS, MEMBERS, WRITERS, ConsoleAccount, ConsoleCaller
from dify_host.service.shapes import IdInPath, Limit, PageNumber, Success, shown

__all__ = ["ApiKeyController", "AppController", "app_view", "key_view"]

ListedMode = Literal["completion", "chat", "advanced-chat", "workflow", "agent-chat", "channel", "all"]


class NewApp(IconBody, kw_only=True):
    """Body of `POST /apps`."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    mode: AppMode


class ChangedApp(IconBody, kw_only=True):
    """Body of `PUT /apps/{app_id}`."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    use_icon_as_answer_icon: bool | None = None
    max_active_requests: Annotated[int, msgspec.Meta(ge=0)] | None = None


class NameBody(msgspec.Struct, kw_only=True):
    """Body of `/name`."""

    name: Annotated[str, msgspec.Meta(min_length=1)]


class SiteSwitch(msgspec.Struct, kw_only=True):
    """Body of `/site-enable`."""

    enable_site: bool


class ApiSwitch(msgspec.Struct, kw_only=True):
    """Body of `/api-enable`."""

    enable_api: bool


class TracingSwitch(msgspec.Struct, kw_only=True):
    """Body of `/trace`."""

    enabled: bool
    tracing_provider: str | None = None


class AppController(Controller):
    """Routes of apps."""

    path = "/apps"

    @get("/", opt=MEMBERS)
    async def listed(
        self,
        caller: ConsoleAccount,
        request: Call,
        page: PageNumber = 1,
        limit: Limit = 20,
        mode: FromQuery[ListedMode] = "all",
        name: FromQuery[str | None] = None,
        tag_ids: FromQuery[list[str] | None] = None,
        is_created_by_me: FromQuery[bool | None] = None,
    ) -> dict[str, Any]:
        """The apps of the workspace, newest first."""
        wanted = AppFilter(
            mode=None if mode == "all" else mode,
            name=name,
            tag_ids=[part for item in tag_ids or [] for part in item.split(",") if part],
            created_by=caller.account_id if is_created_by_me else None,
        )
        found = await _directory(caller, request).page(wanted, page=page, limit=limit, icon_link=icon_links(caller))
        view: dict[str, Any] = shown(found)
        return view

    @post("/", status_code=201, opt=WRITERS)
    async def create(self, data: JSONBody[NewApp], caller: ConsoleAccount, request: Call) -> dict[str, Any]:
        """Make an app."""
        changes = data.changes()
        app = await caller.workspace.apps.create(data.name, data.mode, account_id=caller.account_id, changes=changes)
        return await app_view(caller, request, app.id)

    @get("/{app_id:uuid}", opt=MEMBERS)
    async def detail(self, app_id: IdInPath, caller: ConsoleAccount, request: Call) -> dict[str, Any]:
        """One app with its configuration and web page."""
        app = await app_of(caller, app_id)
        return await app_view(caller, request, app.id)

    @put("/{app_id:uuid}", opt=WRITERS)
    async def change(
        self, app_id: IdInPath, data: JSONBody[ChangedApp], caller: ConsoleAccount, request: Call
    ) -> dict[str, Any]:
        """Change how an app is called and drawn, and how much it may run."""
        more: dict[str, Any] = {"max_active_requests": data.max_active_requests or None}
        if data.use_icon_as_answer_icon is not None:
            more["use_icon_as_answer_icon"] = data.use_icon_as_answer_icon
        return await _changed(caller, request, app_id, AppChanges(**{**data.changes().given(), **more}))

    @delete("/{app_id:uuid}", status_code=204, opt=WRITERS)
    async def remove(self, app_id: IdInPath, caller: ConsoleAccount, request: Call) -> None:
        """Delete an app and everything that hangs on it."""
        app = await app_of(caller, app_id)
        await caller.workspace.apps.delete(app.id)
        platform_of(request).live_apps.forget(app.id)

    @post("/{app_id:uuid}/name", status_code=200, opt=WRITERS)
    async def rename(
        self, app_id: IdInPath, data: JSONBody[NameBody], caller: ConsoleAccount, request: Call
    ) -> dict[str, Any]:
        """Give an app another name."""
        return await _changed(caller, request, app_id, AppChanges(name=data.name))

    @post("/{app_id:uuid}/icon", status_code=200, opt=WRITERS)
    async def redraw(
        self, app_id: IdInPath, data: JSONBody[IconBody], caller: ConsoleAccount, request: Call
    ) -> dict[str, Any]:
        """Give an app another icon."""
        names = ("icon_type", "icon", "icon_background")
        given = {key: value for key, value in data.changes().given().items() if key in names}
        return await _changed(caller, request, app_id, AppChanges(**given))

    @post("/{app_id:uuid}/site-enable", status_code=200, opt=WRITERS)
    async def switch_site(
        self, app_id: IdInPath, data: JSONBody[SiteSwitch], caller: ConsoleAccount, request: Call
    ) -> dict[str, Any]:
        """Switch the web page of an app."""
        app = await app_of(caller, app_id)
        await caller.workspace.apps.enable_site(app.id, data.enable_site, caller.account_id)
        return await app_view(caller, request, app.id)

    @post("/{app_id:uuid}/api-enable", status_code=200, opt=ADMINS)
    async def switch_api(
        self, app_id: IdInPath, data: JSONBody[ApiSwitch], caller: ConsoleAccount, request: Call
    ) -> dict[str, Any]:
        """Switch the API of an app."""
        app = await app_of(caller, app_id)
        await caller.workspace.apps.enable_api(app.id, data.enable_api, caller.account_id)
        platform_of(request).live_apps.forget(app.id)
        return await app_view(caller, request, app.id)

    @get("/{app_id:uuid}/trace", opt=MEMBERS)
    async def tracing(self, app_id: IdInPath, caller: ConsoleAccount) -> dict[str, Any]:
        """Whether runs are sent to a tracing service; none is connected here."""
        await app_of(caller, app_id)
        return {"enabled": False, "tracing_provider": None}

    @post("/{app_id:uuid}/trace", status_code=200, opt=WRITERS)
    async def switch_tracing(self, app_id: IdInPath, data: JSONBody[TracingSwitch], caller: ConsoleAccount) -> Success:
        """Switch tracing: off, as long as no tracing service can be connected."""
        await app_of(caller, app_id)
        if data.enabled:
            raise NotImplementedYet(
                "Runs are not sent to tracing services yet.", hint="Each run has a trace of its own."
            )
        return Success()


class ApiKeyController(Controller):
    """Routes of the keys of an app."""

    path = "/apps/{app_id:uuid}/api-keys"

    @get("/", opt=MEMBERS)
    async def listed(self, app_id: IdInPath, caller: ConsoleAccount) -> dict[str, Any]:
        """The keys, by their last four characters."""
        app = await app_of(caller, app_id)
        found = await caller.workspace.api_keys.list("app", app.id)
        return {"data": [key_view(item) for item in found]}

    @post("/", status_code=201, opt=WRITERS)
    async def create(self, app_id: IdInPath, caller: ConsoleAccount) -> dict[str, Any]:
        """Make a key; this one answer shows it."""
        app = await app_of(caller, app_id)
        return key_view(await caller.workspace.api_keys.create("app", app.id))

    @delete("/{api_key_id:uuid}", status_code=204, opt=ADMINS)
    async def remove(self, app_id: IdInPath, api_key_id: IdInPath, caller: ConsoleAccount) -> None:
        """Delete a key; it is refused within two seconds."""
        app = await app_of(caller, app_id)
        await caller.workspace.api_keys.delete(str(api_key_id), app_id=app.id)


async def app_view(caller: ConsoleCaller, request: Call, app_id: str) -> dict[str, Any]:
    """An app with its configuration and web page, and the addresses of its API and page."""
    view: dict[str, Any] = shown(await _directory(caller, request).detail(app_id, icon_link=icon_links(caller)))
    address = base_url(request)
    view["api_base_url"] = f"{address}/v1"
    if view["site"] is not None:
        view["site"]["app_base_url"] = address
    return view


async def _changed(caller: ConsoleCaller, request: Call, app_id: object, changes: AppChanges) -> dict[str, Any]:
    app = await app_of(caller, app_id)
    if not changes.given():
        raise BadInput("Nothing to change is given.")
    await caller.workspace.apps.update(app.id, changes, caller.account_id)
    platform_of(request).live_apps.forget(app.id)
    return await app_view(caller, request, app.id)


def _directory(caller: ConsoleCaller, request: Call) -> AppDirectory:
    return AppDirectory(platform_of(request).db, caller.tenant)


def key_view(key: Any) -> dict[str, Any]:
    shown_key = {name: getattr(key, name, None) for name in ("id", "type", "token", "last_used_at", "created_at")}
    return {name: shown(value) for name, value in shown_key.items()}
