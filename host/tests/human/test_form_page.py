"""The page of a form: whoever has the link can read and answer it, and nothing in it is markup but its own."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from ..service.service_house import House
from .forms import approval
from .http_forms import Desk

EVIL = '</p><script>alert(1)</script><img src=x onerror="x"> & \'"'
CLOSED = {"answered": "This form is answered", "unknown": "There is no such form", "stopped": "This form is closed"}


class Page(HTMLParser):
    """What a page is made of: its tags, its controls by name, its labels, and its text."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.controls: dict[str, dict[str, str | None]] = {}
        self.buttons: list[dict[str, str | None]] = []
        self.labels: list[str | None] = []
        self.text = ""
        self.feed(answer.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        if tag in ("input", "textarea", "select"):
            self.controls[values["name"] or ""] = {"tag": tag, **values}
        elif tag == "button":
            self.buttons.append(values)
        elif tag == "label":
            self.labels.append(values["for"])

    def handle_data(self, data: str) -> None:
        self.text += data


def checked(answer: httpx.Response, status: int = 200) -> Page:
    """A page with the headers that every one has."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} <= set(policy)
    assert "script-src" not in answer.headers["content-security-policy"]
    assert (answer.headers["referrer-policy"], answer.headers["cache-control"]) == ("no-referrer", "no-store")
    page = Page(answer)
    assert "script" not in page.tags
    assert "img" not in page.tags
    return page


@pytest.fixture
async def desk(house: House) -> Desk:
    """A form with every field but files, and text that would like to be more."""
    fields: list[dict[str, Any]] = [
        {"type": "text-input", "output_variable_name": "name", "default": {"type": "constant", "value": EVIL}},
        {"type": "paragraph", "output_variable_name": "comment"},
        {
            "type": "select",
            "output_variable_name": "level",
            "option_source": {"type": "constant", "value": [EVIL, "b"]},
        },
    ]
    actions = [
        {"id": "approve", "title": EVIL[:40], "button_style": "primary"},
        {"id": "reject", "title": "Reject", "button_style": "ghost"},
    ]
    content = "Look: {{#start.draft#}}\n{{#$output.comment#}}\nThank you."
    return await Desk.open(house, approval(inputs=fields, user_actions=actions, form_content=content, title=EVIL))


async def test_the_page_shows_the_form_and_takes_the_answer(desk: Desk) -> None:
    token = (await desk.ask(inputs={"draft": EVIL}))["form_token"]
    page = checked(await desk.page(token))
    assert list(page.controls) == ["comment", "name", "level"]  # the one that stands in the text comes first
    assert page.labels == [control["id"] for control in page.controls.values()]
    assert page.controls["name"]["value"] == EVIL
    assert f"Look: {EVIL}" in page.text
    assert "Thank you." in page.text
    assert "{{#" not in page.text
    assert [(button["name"], button["value"]) for button in page.buttons] == [
        ("__action", "approve"),
        ("__action", "reject"),
    ]
    sent = {"__action": "approve", "name": "Ada", "comment": "a\r\nb", "level": "b"}
    assert "Your answer has been taken" in checked(await desk.page(token, sent)).text
    (form,) = await desk.forms()
    assert form.submitted_data == {"name": "Ada", "comment": "a\nb", "level": "b"}
    assert (form.submission_user_id, form.submission_end_user_id) == (None, None)
    await desk.work()
    assert (await desk.detail())["status"] == "succeeded"


async def test_what_was_wrong_is_said_and_what_was_typed_is_kept(desk: Desk) -> None:
    token = (await desk.ask())["form_token"]
    sent = {"__action": "approve", "name": EVIL, "comment": EVIL, "level": "nothing of these"}
    page = checked(await desk.page(token, sent), 400)
    assert "level is none of its options." in page.text
    assert page.controls["name"]["value"] == EVIL
    assert EVIL in page.text
    assert (page.controls["level"]["aria-invalid"], page.controls["level"]["aria-describedby"]) == ("true", "error")
    assert "aria-invalid" not in page.controls["name"]
    without_button = checked(await desk.page(token, {"name": "x", "comment": "x", "level": "b"}), 400)
    assert "Invalid action" in without_button.text
    assert await desk.work() == []


@pytest.mark.parametrize("end", CLOSED)
async def test_a_form_that_cannot_be_answered_says_why(desk: Desk, end: str) -> None:
    token = (await desk.ask())["form_token"]
    if end == "answered":
        await desk.by_link(token, name="x", comment="x", level="b")
    elif end == "stopped":
        await desk.app("POST", f"/workflows/tasks/{desk.run_id}/stop", {"user": "abc-123"})
    else:
        token = "A" * len(token)
    sent = {"__action": "approve", "name": "x", "comment": "x", "level": "b"}
    for answer in (await desk.page(token), await desk.page(token, sent)):
        page = checked(answer, 404 if end == "unknown" else 412)
        assert CLOSED[end] in page.text
        assert page.buttons == []


async def test_a_link_of_a_workspace_that_is_closed_leads_nowhere(desk: Desk, house: House) -> None:
    from dify_host.identity.tables import tenants

    token = (await desk.ask())["form_token"]
    async with house.platform.db.write() as conn:
        await conn.execute(tenants.update().where(tenants.c.id == house.workspace.tenant.id).values(status="archive"))
    house.workspace._standing = None
    checked(await desk.page(token), 404)
    assert (await desk.by_link(token)).status_code == 404


async def test_the_json_of_a_link_is_the_form(desk: Desk) -> None:
    token = (await desk.ask())["form_token"]
    shown = await desk.house.web.get(f"/api/form/human_input/{token}")
    assert (shown.status_code, shown.json()) == (200, (await desk.get(token)).json())
    plain = await desk.house.web.post(f"/api/form/human_input/{token}", content="{}")
    assert plain.status_code == 415
