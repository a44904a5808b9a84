"""What callers see of an app."""

from __future__ import annotations

import pytest
from dify_host.apps import tables
from dify_host.apps.changes import AppChanges
from dify_host.apps.errors import AppNotFound, AppUnavailable
from dify_host.apps.service import AppService
from dify_host.db.types import new_id
from dify_host.identity.tables import accounts
from dify_kernel.errors import Forbidden

from . import sample_apps as sample

ME = new_id()
LIMITS = {
    "image_file_size_limit": 10,
    "video_file_size_limit": 100,
    "audio_file_size_limit": 50,
    "file_size_limit": 15,
    "workflow_file_upload_limit": 10,
}
UPLOAD = {
    "image": {
        "enabled": False,
        "number_limits": 3,
        "detail": "high",
        "transfer_methods": ["remote_url", "local_file"],
    }
}
OFF = {"enabled": False}


async def test_parameters_of_a_workflow_are_those_of_its_published_version(quick: AppService) -> None:
    result = await quick.import_dsl(sample.text("workflow"), account_id=ME)
    app_id = str(result.app_id)
    with pytest.raises(AppUnavailable) as refused:
        await quick.parameters(app_id)
    assert (refused.value.code, refused.value.status) == ("app_unavailable", 400)
    assert await quick.meta(app_id) == {"tool_icons": {}}
    await quick.publish(app_id, ME)
    assert await quick.parameters(app_id) == {
        "opening_statement": "Hi",
        "suggested_questions": [],
        "suggested_questions_after_answer": OFF,
        "speech_to_text": OFF,
        "text_to_speech": OFF,
        "retriever_resource": OFF,
        "annotation_reply": OFF,
        "more_like_this": OFF,
        "user_input_form": [{"text-input": {"type": "text-input", "variable": "city", "label": "City"}}],
        "sensitive_word_avoidance": {"enabled": False, "type": "", "configs": []},
        "file_upload": UPLOAD,
        "system_parameters": LIMITS,
    }


async def test_parameters_of_a_basic_app_are_its_configuration(quick: AppService) -> None:
    result = await quick.import_dsl(sample.text("chat"), account_id=ME)
    shown = await quick.parameters(str(result.app_id))
    assert shown["user_input_form"] == sample.FORM
    assert (shown["retriever_resource"], shown["more_like_this"]) == ({"enabled": True}, OFF)
    assert (shown["file_upload"], shown["opening_statement"]) == (UPLOAD, None)
    assert shown["system_parameters"] == LIMITS


async def test_info_names_author_and_tags(quick: AppService) -> None:
    repository = quick.repository
    result = await quick.import_dsl(sample.text("chat"), account_id=ME)
    app_id = str(result.app_id)
    assert (await quick.info(app_id))["author_name"] is None
    async with repository.db.write() as conn:
        await conn.execute(accounts.insert().values(id=ME, name="Ada", email="ada@example.com"))
        for name in ("second", "first"):
            tag = new_id()
            row = {"id": tag, "type": "app", "name": name, "created_by": ME}
            await conn.execute(repository.scoped_insert(tables.tags, row))
            binding = {"tag_id": tag, "target_id": app_id, "created_by": ME}
            await conn.execute(repository.scoped_insert(tables.tag_bindings, binding))
    assert await quick.info(app_id) == {
        "name": "Sample 🎉",
        "description": "d",
        "mode": "chat",
        "tags": ["first", "second"],
        "author_name": "Ada",
    }


async def test_meta_gives_each_tool_an_icon(quick: AppService) -> None:
    tools = [
        {"provider_type": "builtin", "provider_id": "time", "tool_name": "now", "tool_parameters": {}},
        {"provider_type": "api", "provider_id": new_id(), "tool_name": "weather", "tool_parameters": {}},
        {"dataset": {"enabled": True, "id": new_id()}},
    ]
    config = sample.document("chat")["model_config"] | {"agent_mode": {"enabled": True, "tools": tools}}
    result = await quick.import_dsl(sample.text("agent-chat", model_config=config), account_id=ME)
    icons = (await quick.meta(str(result.app_id)))["tool_icons"]
    assert icons["now"].endswith("/console/api/workspaces/current/tool-provider/builtin/time/icon")
    assert icons["weather"].keys() == {"background", "content"}
    assert len(icons) == 2


async def test_site_is_that_of_the_app_or_forbidden(quick: AppService) -> None:
    app = await quick.create("Page", "chat", account_id=ME, changes=AppChanges(description="About", icon="🎉"))
    shown = await quick.site(app.id)
    assert (shown["title"], shown["icon"], shown["icon_type"], shown["icon_url"]) == ("Page", "🎉", "emoji", None)
    assert (shown["description"], shown["default_language"], shown["show_workflow_steps"]) == ("About", "en-US", True)
    async with quick.repository.db.write() as conn:
        await quick.repository.update_site(conn, app.id, {"title": "Other", "copyright": "me"})
    assert (await quick.site(app.id))["title"] == "Other"
    async with quick.repository.db.write() as conn:
        await conn.execute(tables.sites.delete())
    with pytest.raises(Forbidden):
        await quick.site(app.id)
    with pytest.raises(AppNotFound):
        await quick.site(new_id())
