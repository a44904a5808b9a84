"""Before the first account: the password of the installation; and consoles whose pages are on another origin."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from dify_host.app import create_app
from dify_host.db.types import new_id
from dify_host.platform import Platform

from .console_house import PASSWORD, Browsers

NEW_OWNER = {"email": "ada@example.com", "name": "Ada", "password": PASSWORD}
PAGES = "https://console.example"
Opened = Callable[..., AbstractAsyncContextManager[tuple[Browsers, Platform]]]


@pytest.fixture
def opened(env: dict[str, str]) -> Opened:
    """Opens browsers over a platform with more settings."""

    @asynccontextmanager
    async def open_with(**more: str) -> AsyncIterator[tuple[Browsers, Platform]]:
        async with Platform.opened({**env, **more}, role="api") as platform:
            browsers = Browsers(create_app(platform))
            yield browsers, platform
            await browsers.close()

    return open_with


async def test_the_password_of_the_installation_comes_first(opened: Opened) -> None:
    password = new_id()  # longer than those of others; and failures of one test are not another's
    async with opened(INIT_PASSWORD=password) as (browsers, _):
        browser, other = browsers.open(), browsers.open()
        assert await browser.ok("GET", "/init") == {"status": "not_started"}
        for path, method, body in (("/setup", "POST", NEW_OWNER), ("/account/profile", "GET", None)):
            refused = await browser(method, path, body)
            assert (refused.status_code, refused.json()["code"]) == (401, "not_init_validated")
        wrong = await browser("POST", "/init", {"password": password[:-1]})
        assert (wrong.status_code, wrong.json()["code"]) == (401, "init_validate_failed")
        entered = await browser("POST", "/init", {"password": password})
        assert (entered.status_code, entered.json()) == (201, {"result": "success"})
        assert "HttpOnly" in entered.headers["set-cookie"]
        assert password not in entered.headers["set-cookie"]
        assert await browser.ok("GET", "/init") == {"status": "finished"}
        assert (await browser("GET", "/account/profile")).json()["code"] == "not_setup"
        assert (await other("POST", "/setup", NEW_OWNER)).json()["code"] == "not_init_validated"
        await browser.ok("POST", "/setup", NEW_OWNER, status=201)
        assert await other.ok("GET", "/init") == {"status": "finished"}
        again = await other("POST", "/init", {"password": password})
        assert (again.status_code, again.json()["code"]) == (403, "already_setup")
        assert (await other("POST", "/setup", NEW_OWNER)).json()["code"] == "already_setup"
        assert (await other.login("ada@example.com")).json() == {"result": "success"}


async def test_a_pass_for_another_password_is_worth_nothing(opened: Opened) -> None:
    async with opened(INIT_PASSWORD="first") as (browsers, platform):
        shown = await platform.init_gate.enter("first", client=new_id())
    async with opened(INIT_PASSWORD="second") as (browsers, _):
        browser = browsers.open()
        for name, value in (("init_token", shown), ("init_token", "x"), ("access_token", shown)):
            browser.web.cookies.set(name, value, domain="dify.test")
            assert (await browser("POST", "/setup", NEW_OWNER)).json()["code"] == "not_init_validated"


async def test_guesses_are_counted(opened: Opened) -> None:
    async with opened(INIT_PASSWORD="right") as (_, platform):
        client = new_id()
        for number in range(5):
            with pytest.raises(Exception, match="Init validation failed"):
                await platform.init_gate.enter(str(number), client=client)
        with pytest.raises(Exception, match="Init validation failed"):
            await platform.init_gate.enter("right", client=client)
        assert await platform.init_gate.enter("right", client=new_id())


async def test_without_a_password_there_is_nothing_to_enter(opened: Opened) -> None:
    async with opened() as (browsers, _):
        browser = browsers.open()
        assert await browser.ok("GET", "/init") == {"status": "finished"}
        assert (await browser("POST", "/init", {"password": ""})).status_code == 201
        await browser.ok("POST", "/setup", NEW_OWNER, status=201)


@pytest.mark.parametrize(
    "setting", [{"CONSOLE_CORS_ALLOW_ORIGINS": f"https://other.example,{PAGES}"}, {"CONSOLE_WEB_URL": f"{PAGES}/sub"}]
)
async def test_pages_of_an_allowed_origin_call_with_cookies(opened: Opened, setting: dict[str, str]) -> None:
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-csrf-token"}
    async with opened(**setting) as (browsers, _):
        web = browsers.open().web
        asked = await web.options("/console/api/apps", headers={"Origin": PAGES, **asks})
        assert asked.status_code == 204
        assert asked.headers["access-control-allow-origin"] == PAGES
        assert asked.headers["access-control-allow-credentials"] == "true"
        allowed = asked.headers["access-control-allow-headers"].lower().replace(" ", "").split(",")
        assert {"content-type", "x-csrf-token"} <= {*allowed}
        for path in ("/console/api/setup", "/console/api/account/profile", "/console/api/nothing"):
            seen = await web.get(path, headers={"Origin": PAGES})
            assert seen.headers["access-control-allow-origin"] == PAGES, path
            assert (seen.headers["access-control-allow-credentials"], seen.headers["vary"]) == ("true", "Origin")


@pytest.mark.parametrize("origin", ["https://evil.example", f"{PAGES}.evil.example", "null", PAGES.replace("s:", ":")])
async def test_pages_of_other_origins_learn_nothing(opened: Opened, origin: str) -> None:
    async with opened(CONSOLE_CORS_ALLOW_ORIGINS=PAGES) as (browsers, _):
        web = browsers.open().web
        asks = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        assert (await web.options("/console/api/apps", headers=asks)).status_code == 400
        seen = await web.get("/console/api/setup", headers={"Origin": origin})
        assert not [name for name in seen.headers if name.startswith("access-control")]
        elsewhere = await web.get("/v1/", headers={"Origin": origin})  # any page may call an app with its key
        assert elsewhere.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in elsewhere.headers


async def test_every_origin_is_allowed_only_without_cookies(opened: Opened) -> None:
    async with opened(CONSOLE_CORS_ALLOW_ORIGINS="*") as (browsers, _):
        seen = await browsers.open().web.get("/console/api/setup", headers={"Origin": PAGES})
        assert seen.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in seen.headers
