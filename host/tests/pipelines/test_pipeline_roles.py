"""Every route of pipelines serves whom the table says; another workspace's pipeline leads nowhere."""

from __future__ import annotations

from dify_host.identity.workspaces import ROLES
from dify_host.platform import Platform

from ..console.console_house import Browser, Browsers
from ..console.test_console_roles import filled
from ..service.service_house import House
from ..service.test_service_tenants import snapshot
from .pipeline_house import made
from .pipeline_table import PIPELINE_BODIES, PIPELINES

_ASKED = "?node_id=file"


async def test_each_role_may_what_the_table_says(browsers: Browsers, house: House) -> None:
    nobody = browsers.open()
    for role in ROLES:
        browser = await browsers.member(house, role)
        for method, path, allowed in PIPELINES:
            wanted = filled(path) + _ASKED
            answer = await browser(method, wanted, PIPELINE_BODIES.get(path, {}))
            if role in allowed:
                assert answer.status_code not in (401, 403), (role, method, path, answer.text)
                assert answer.status_code < 500, (role, method, path, answer.text)
            else:
                assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), (role, method, path)
            refused = await nobody(method, wanted, PIPELINE_BODIES.get(path, {}))
            assert refused.status_code == 401, (method, path)


async def test_a_pipeline_of_another_workspace_leads_nowhere(
    house: House, owner: Browser, stranger: Browser, platform: Platform
) -> None:
    pipeline = await made(house, owner, publish=True)
    app_id = await owner.app()
    before = await snapshot(platform)
    for method, path, _ in PIPELINES:
        if "{app_id}" not in path:
            continue
        for browser, own in ((stranger, pipeline.id), (owner, app_id)):  # an app is no pipeline either
            answer = await browser(
                method, filled(path, app_id=own, node_id="file") + _ASKED, PIPELINE_BODIES.get(path, {})
            )
            assert (answer.status_code, answer.json()["code"]) == (404, "pipeline_not_found"), (method, path)
    for method, path in (("GET", f"/apps/{pipeline.id}"), ("GET", f"/apps/{pipeline.id}/workflows/draft")):
        assert (await owner(method, path)).json()["code"] == "app_not_found"
    assert await snapshot(platform) == before
