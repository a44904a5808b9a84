"""Forms in the console: those who build an app see them, and answer those of drafts."""

from __future__ import annotations

import pytest

from ..console.console_house import Browser, Browsers
from ..service.service_house import House
from .forms import APPROVAL, approval
from .http_forms import Desk, work


@pytest.fixture
async def editor(browsers: Browsers, house: House) -> Browser:
    return await browsers.member(house, "editor")


async def test_a_draft_asks_and_its_author_answers(editor: Browser, house: House) -> None:
    app_id = await editor.draft(approval())
    said = await editor.stream(f"/apps/{app_id}/workflows/draft/run", {"inputs": APPROVAL})
    assert said[-1]["event"] == "workflow_paused"
    run_id = said[0]["workflow_run_id"]
    path = f"/apps/{app_id}/workflow-runs/{run_id}/forms"
    (form,) = (await editor.ok("GET", path))["data"]
    asked = said[-2]["data"]
    assert (form["form_id"], form["form_content"]) == (asked["form_id"], asked["form_content"])
    assert (form["status"], form["node_id"], form["action_id"], form["submitted_at"]) == ("waiting", "ask", None, None)
    refused = await editor("POST", f"{path}/{form['form_id']}", {"action": "approve", "inputs": {}})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_form_data")
    answer = {"action": "approve", "inputs": {"comment": "mine"}}
    assert await editor.ok("POST", f"{path}/{form['form_id']}", answer) == {}
    again = await editor("POST", f"{path}/{form['form_id']}", answer)
    assert (again.status_code, again.json()["code"]) == (412, "human_input_form_submitted")
    await work(house.platform)
    run = await editor.ok("GET", f"/apps/{app_id}/workflow-runs/{run_id}")
    assert (run["status"], run["outputs"]) == ("succeeded", {"comment": "mine"})
    (form,) = (await editor.ok("GET", path))["data"]
    assert (form["status"], form["submitted_data"]) == ("submitted", {"comment": "mine"})
    assert isinstance(form["submitted_at"], int)
    await house.platform.draft_runs.close()
    values = (await editor.ok("GET", f"/apps/{app_id}/workflows/draft/nodes/ask/variables"))["items"]
    assert {item["name"]: item["value"] for item in values}["comment"] == "mine"


async def test_runs_that_wait_are_listed(editor: Browser) -> None:
    app_id = await editor.draft(approval())
    await editor.stream(f"/apps/{app_id}/workflows/draft/run", {"inputs": APPROVAL})
    (run,) = (await editor.ok("GET", f"/apps/{app_id}/workflow-runs?status=paused"))["data"]
    assert run["status"] == "paused"


async def test_a_question_to_others_is_seen_and_not_answered(editor: Browser, house: House) -> None:
    desk = await Desk.open(house)
    asked = await desk.ask()
    path = f"/apps/{desk.app.app_id}/workflow-runs/{desk.run_id}/forms"
    (form,) = (await editor.ok("GET", path))["data"]
    answer = await editor("POST", f"{path}/{form['form_id']}", {"action": "approve", "inputs": {"comment": "x"}})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    other = await editor.app()
    wrong = await editor("GET", f"/apps/{other}/workflow-runs/{desk.run_id}/forms")
    assert wrong.status_code == 404
    elsewhere = f"/apps/{other}/workflow-runs/{desk.run_id}/forms/{asked['form_id']}"
    assert (await editor("POST", elsewhere, {"action": "approve"})).status_code == 404
    assert (await desk.get(asked["form_token"])).status_code == 200
