"""People in front of the console: browsers with cookies, members of workspaces in any role, and drafts to try."""

from __future__ import annotations

import base64
from typing import Any, Final

import httpx
from dify_host.db.types import new_id
from dify_host.identity.accounts import Accounts
from dify_host.identity.workspaces import Members
from dify_kernel.contracts.auth import Principal
from litestar import Litestar

from ..service.service_house import House, edge, events, graph, node

__all__ = ["PASSWORD", "Browser", "Browsers", "encoded", "greeting"]

PASSWORD: Final = "correct horse 1"


def encoded(password: str = PASSWORD) -> str:
    """A password as the login page sends it."""
    return base64.b64encode(password.encode()).decode()


class Browser:
    """One browser: it keeps cookies, and sends the CSRF token as the console's pages do."""

    def __init__(self, web: httpx.AsyncClient, email: str = "") -> None:
        self.web, self.email = web, email

    async def __call__(self, method: str, path: str, json: Any = None, **more: Any) -> httpx.Response:
        """One request below `/console/api`."""
        headers = {"X-CSRF-Token": self.web.cookies.get("csrf_token") or "", **more.pop("headers", {})}
        if json is not None:
            more["json"] = json
        return await self.web.request(method, f"/console/api{path}", headers=headers, **more)

    async def login(self, email: str, password: str = PASSWORD) -> httpx.Response:
        """Send the login page."""
        self.email = email
        return await self("POST", "/login", {"email": email, "password": encoded(password)})

    async def ok(self, method: str, path: str, json: Any = None, *, status: int = 200) -> Any:
        """The body of an answer with that status."""
        answer = await self(method, path, json)
        assert answer.status_code == status, (method, path, answer.status_code, answer.text)
        return answer.json() if answer.content else None

    async def stream(self, path: str, json: Any) -> list[dict[str, Any]]:
        """The events of a streaming POST."""
        return events(await self("POST", path, json))

    async def app(self, mode: str = "workflow", name: str = "App") -> str:
        """A new app's id."""
        return str((await self.ok("POST", "/apps", {"name": name, "mode": mode}, status=201))["id"])

    async def draft(self, body: dict[str, Any], mode: str = "workflow", **more: Any) -> str:
        """A new app with that draft."""
        app_id = await self.app(mode)
        await self.save(app_id, body, **more)
        return app_id

    async def save(self, app_id: str, body: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Save a draft."""
        saved: dict[str, Any] = await self.ok(
            "POST", f"/apps/{app_id}/workflows/draft", {"graph": body, "features": {}, **more}
        )
        return saved


class Browsers:
    """Browsers over one application, and the accounts in front of them."""

    def __init__(self, app: Litestar) -> None:
        self._app = app
        self._opened: list[httpx.AsyncClient] = []

    def open(self, email: str = "") -> Browser:
        """A browser without cookies."""
        transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://dify.test")
        self._opened.append(client)
        return Browser(client, email)

    async def member(self, house: House, role: str, *, password: str | None = None) -> Browser:
        """A member of a workspace in that role, with a session; the owner is the one it has.

        Only with a password can it log in by itself: hashing one takes most of the time of a short test.
        """
        accounts = Accounts(house.platform.db)
        if role == "owner":
            account = await accounts.get(house.owner_id)
        else:
            account = await accounts.create(email=f"{new_id()}@example.com", name=role.title(), password=password)
            await Members(house.platform.db, house.workspace.tenant).add(account.id, role)
        tenant_id = house.workspace.tenant.id
        principal = Principal(kind="account", id=account.id, tenant_id=tenant_id, role=role)
        session = await house.platform.auth.sessions.open(principal)
        browser = self.open(account.email)
        for name in ("access_token", "refresh_token", "csrf_token"):
            browser.web.cookies.set(name, getattr(session, name), domain="dify.test")
        return browser

    async def close(self) -> None:
        """Close every browser."""
        for client in self._opened:
            await client.aclose()


def greeting(template: str = "Hello {{ name }}") -> dict[str, Any]:
    """start -> template -> end, with the input `name`."""
    return graph(
        node("start", "start", variables=[{"variable": "name", "type": "text-input", "required": True}]),
        node(
            "greet",
            "template-transform",
            template=template,
            variables=[{"variable": "name", "value_selector": ["start", "name"]}],
        ),
        node("end", "end", outputs=[{"variable": "text", "value_selector": ["greet", "output"]}]),
        edges=[edge("start", "greet"), edge("greet", "end")],
    )
