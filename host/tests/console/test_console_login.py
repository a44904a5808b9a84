"""Sessions: what logs in, what the cookies are, what a change needs, and how a session goes on and ends."""

from __future__ import annotations

import httpx
import pytest
from dify_host.db.types import new_id
from dify_host.http.cookies import SessionCookies
from dify_host.identity.authentication import MAX_FAILED_LOGINS
from dify_host.identity.workspaces import Members
from dify_host.platform import Platform
from dify_host.settings import HostSettings

from ..service.service_house import House, Workshop
from .console_house import PASSWORD, Browser, Browsers, encoded

NEW_OWNER = {"email": "ada@example.com", "name": "Ada", "password": PASSWORD, "language": "de-DE"}


def set_cookies(answer: httpx.Response) -> dict[str, str]:
    """What an answer sets, by name."""
    return {text.partition("=")[0]: text for text in answer.headers.get_list("set-cookie")}


async def test_the_first_account_is_made_once_and_logs_in(browsers: Browsers) -> None:
    browser = browsers.open()
    assert await browser.ok("GET", "/setup") == {"step": "not_started"}
    refused = await browser("GET", "/account/profile")
    assert (refused.status_code, refused.json()["code"]) == (401, "not_setup")
    assert (await browser.login("ada@example.com")).json()["code"] == "not_setup"
    weak = await browser("POST", "/setup", {**NEW_OWNER, "password": "short"})
    assert (weak.status_code, weak.json()["code"]) == (400, "invalid_password")
    assert await browser.ok("POST", "/setup", NEW_OWNER, status=201) == {"result": "success"}
    assert (await browser.ok("GET", "/setup"))["step"] == "finished"
    again = await browser("POST", "/setup", {**NEW_OWNER, "email": "eve@example.com"})
    assert (again.status_code, again.json()["code"]) == (403, "already_setup")
    assert (await browser.login("Ada@example.com")).json() == {"result": "success"}
    profile = await browser.ok("GET", "/account/profile")
    assert (profile["email"], profile["name"], profile["interface_language"]) == ("ada@example.com", "Ada", "de-DE")
    assert (profile["is_password_set"], "password" in profile) == (True, False)
    current = await browser.ok("POST", "/workspaces/current")
    assert (current["role"], current["name"]) == ("owner", "Ada's Workspace")
    (listed,) = (await browser.ok("GET", "/workspaces"))["workspaces"]
    assert (listed["id"], listed["current"]) == (current["id"], True)


async def test_the_cookies_of_a_session(browsers: Browsers, house: House) -> None:
    browser = await browsers.member(house, "editor", password=PASSWORD)
    answer = await browser.login(browser.email)
    cookies = set_cookies(answer)
    assert set(cookies) == {"access_token", "refresh_token", "csrf_token"}
    for name, text in cookies.items():
        assert "SameSite=lax" in text.replace("Lax", "lax")
        assert "Path=/" in text
        assert ("HttpOnly" in text) is (name != "csrf_token")
    settings = house.platform.settings
    assert f"Max-Age={settings.access_token_expire_minutes * 60}" in cookies["access_token"]
    assert f"Max-Age={int(settings.refresh_token_expire_days * 86400)}" in cookies["refresh_token"]
    assert "token" not in answer.text


@pytest.mark.parametrize(
    ("web", "api", "domain", "name"),
    [
        ("https://dify.test", "https://api.dify.test", "", "__Host-access_token"),
        ("https://dify.test", "https://api.dify.test", "dify.test", "access_token"),
        ("http://dify.test", "https://api.dify.test", "", "access_token"),
        ("", "", "", "access_token"),
    ],
)
def test_browsers_keep_https_cookies_to_the_host(web: str, api: str, domain: str, name: str) -> None:
    settings = HostSettings(console_web_url=web, console_api_url=api, cookie_domain=domain)
    assert SessionCookies(settings).access == name


async def test_wrong_passwords_say_the_same_and_lock_the_address(browsers: Browsers, house: House) -> None:
    email = (await browsers.member(house, "normal", password=PASSWORD)).email
    browser = browsers.open()
    said = set()
    for address in (email, f"{new_id()}@example.com"):
        answer = await browser.login(address, "wrong horse 1")
        assert answer.status_code == 401
        said.add(answer.text)
    assert len(said) == 1
    garbled = await browser("POST", "/login", {"email": email, "password": "not base64!"})
    assert (garbled.status_code, garbled.json()["code"]) == (401, "authentication_failed")
    for _ in range(MAX_FAILED_LOGINS):
        locked = await browser.login(email, "wrong horse 1")
    assert (locked.status_code, locked.json()["code"]) == (429, "email_code_login_limit")
    assert (await browser.login(email)).status_code == 429
    assert not browser.web.cookies


async def test_a_change_by_cookie_needs_the_csrf_token_of_the_session(
    browsers: Browsers, owner: Browser, editor: Browser
) -> None:
    body = {"name": "App", "mode": "workflow"}
    foreign = editor.web.cookies["csrf_token"]
    for token in ("", "x", foreign):
        refused = await owner("POST", "/apps", body, headers={"X-CSRF-Token": token})
        assert (refused.status_code, refused.json()["message"]) == (401, "CSRF token is missing or invalid.")
    # A cookie of its own making does not help either: the token is signed for an account.
    mine = owner.web.cookies["csrf_token"]
    owner.web.cookies.delete("csrf_token")
    owner.web.cookies.set("csrf_token", foreign, domain="dify.test")
    refused = await owner("POST", "/apps", body)
    assert refused.status_code == 401
    owner.web.cookies.delete("csrf_token")
    owner.web.cookies.set("csrf_token", mine, domain="dify.test")
    assert (await owner("POST", "/apps", body)).status_code == 201
    assert (await owner("GET", "/apps", headers={"X-CSRF-Token": ""})).status_code == 200


async def test_a_window_that_closes_saves_its_draft_without_headers(editor: Browser) -> None:
    app_id = await editor.app()
    text = '{"graph":{"nodes":[],"edges":[]},"features":{}}'
    headers = {"X-CSRF-Token": "", "Content-Type": "text/plain;charset=UTF-8"}
    saved = await editor("POST", f"/apps/{app_id}/workflows/draft", content=text, headers=headers)
    assert saved.status_code == 200, saved.text
    refused = await editor("POST", f"/apps/{app_id}/workflows/publish", {}, headers={"X-CSRF-Token": ""})
    assert refused.status_code == 401


async def test_a_bearer_token_is_a_session_without_cookies(browsers: Browsers, owner: Browser) -> None:
    token = owner.web.cookies["access_token"]
    other = browsers.open()
    headers = {"Authorization": f"Bearer {token}"}
    assert (await other("GET", "/account/profile", headers=headers)).json()["email"] == owner.email
    made = await other("POST", "/apps", {"name": "App", "mode": "chat"}, headers=headers)
    assert made.status_code == 201
    for wrong in (f"Basic {token}", "Bearer", "Bearer x", f"Bearer {owner.web.cookies['csrf_token']}"):
        assert (await other("GET", "/account/profile", headers={"Authorization": wrong})).status_code == 401


async def test_a_refresh_token_is_good_for_one_time(browsers: Browsers, owner: Browser) -> None:
    first = owner.web.cookies["refresh_token"]
    owner.web.cookies.delete("access_token")
    assert (await owner("GET", "/account/profile")).status_code == 401
    assert await owner.ok("POST", "/refresh-token") == {"result": "success"}
    assert owner.web.cookies["refresh_token"] != first
    assert (await owner("GET", "/account/profile")).status_code == 200
    thief = browsers.open()
    thief.web.cookies.set("refresh_token", first, domain="dify.test")
    refused = await thief("POST", "/refresh-token")
    assert (refused.status_code, refused.json()["result"]) == (401, "fail")
    assert (await browsers.open()("POST", "/refresh-token")).status_code == 401


async def test_logging_out_takes_the_cookies_and_the_refresh_token(browsers: Browsers, owner: Browser) -> None:
    refresh = owner.web.cookies["refresh_token"]
    assert await owner.ok("POST", "/logout") == {"result": "success"}
    assert not owner.web.cookies
    assert (await owner("GET", "/account/profile")).status_code == 401
    owner.web.cookies.set("refresh_token", refresh, domain="dify.test")
    assert (await owner("POST", "/refresh-token")).status_code == 401
    assert (await browsers.open()("POST", "/logout")).status_code == 200


async def test_what_a_browser_may_know_before_the_login(browsers: Browsers, platform: Platform) -> None:
    browser = browsers.open()
    assert await browser.ok("GET", "/ping") == {"result": "pong"}
    assert (await browser.ok("GET", "/system-features"))["enable_email_password_login"] is True
    assert (await browser.ok("GET", "/version?current_version=1.0.0"))["version"]
    assert await browser.ok("GET", "/init") == {"status": "finished"}
    wrong = await browser("POST", "/login", {"email": "a@b.c"})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_param")
    assert encoded("pass") not in wrong.text


async def test_a_role_counts_from_the_moment_it_is_given(browsers: Browsers, owner: Browser, house: House) -> None:
    editor = await browsers.member(house, "editor", password=PASSWORD)
    account = await editor.ok("GET", "/account/profile")
    members = Members(house.platform.db, house.workspace.tenant)
    await members.change_role(account["id"], "normal", by=house.owner_id)
    assert (await editor("POST", "/apps", {"name": "App", "mode": "chat"})).status_code == 403
    assert (await editor("GET", "/apps")).status_code == 200
    await members.remove(account["id"], by=house.owner_id)
    assert (await editor("GET", "/apps")).status_code == 403
    left = await browsers.open().login(editor.email)
    assert (left.status_code, left.json()["result"]) == (200, "fail")
    assert "set-cookie" not in left.headers


async def test_an_account_works_in_one_workspace_at_a_time(
    browsers: Browsers, house: House, workshop: Workshop
) -> None:
    browser = await browsers.member(house, "editor")
    account = await browser.ok("GET", "/account/profile")
    other = await workshop.open("Other")
    foreign = {"tenant_id": other.workspace.tenant.id}
    assert (await browser("POST", "/workspaces/switch", foreign)).status_code == 404
    await Members(house.platform.db, other.workspace.tenant).add(account["id"], "normal")
    here = await browser.app()
    assert (await browser.ok("POST", "/workspaces/switch", foreign))["new_tenant"]["name"] == "Other"
    assert (await browser.ok("POST", "/workspaces/current"))["role"] == "normal"
    assert (await browser("GET", f"/apps/{here}")).status_code == 404
    assert (await browser("POST", "/apps", {"name": "App", "mode": "chat"})).status_code == 403
    listed = (await browser.ok("GET", "/workspaces"))["workspaces"]
    assert {item["name"]: item["current"] for item in listed} == {"House": False, "Other": True}
