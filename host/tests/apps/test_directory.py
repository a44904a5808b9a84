"""The list of apps on every engine: found by tag, author and name, with what belongs to each."""

from __future__ import annotations

import pytest
from dify_host.apps.directory import AppDirectory, AppFilter
from dify_host.apps.errors import AppNotFound
from dify_host.apps.repository import AppRepository
from dify_host.apps.service import AppService
from dify_host.apps.tables import tag_bindings, tags
from dify_host.db.types import new_id
from dify_host.identity.accounts import insert_account
from dify_kernel.errors import BadInput


def link(file_id: str) -> str:
    return f"https://files.test/{file_id}"


async def tag(repository: AppRepository, name: str, *app_ids: str) -> str:
    """A tag of the workspace on these apps."""
    tag_id, account = new_id(), new_id()
    async with repository.db.write() as conn:
        row = {"id": tag_id, "tenant_id": repository.tenant.id, "type": "app", "name": name, "created_by": account}
        await conn.execute(tags.insert().values(row))
        for app_id in app_ids:
            bound = {"tenant_id": repository.tenant.id, "tag_id": tag_id, "target_id": app_id, "created_by": account}
            await conn.execute(tag_bindings.insert().values(bound))
    return tag_id


async def test_apps_are_found_by_tag_author_and_name(service: AppService, stranger: AppRepository) -> None:
    repository = service.repository
    async with repository.db.write() as conn:
        ada = await insert_account(conn, email="ada@example.com", name="Ada", password=None)
    first = await service.create("First", "chat", account_id=ada)
    second = await service.create("Second 100%", "workflow", account_id=new_id())
    red, blue = await tag(repository, "red", first.id, second.id), await tag(repository, "blue", first.id)
    directory = AppDirectory(repository.db, repository.tenant)

    async def found(wanted: AppFilter) -> list[str]:
        return [item["name"] for item in (await directory.page(wanted, page=1, limit=9, icon_link=link)).data]

    assert await found(AppFilter()) == ["Second 100%", "First"]
    assert await found(AppFilter(tag_ids=[blue])) == ["First"]
    assert await found(AppFilter(tag_ids=[red, blue])) == ["Second 100%", "First"]
    assert await found(AppFilter(tag_ids=[red], mode="workflow", name="100%")) == ["Second 100%"]
    assert await found(AppFilter(created_by=ada)) == ["First"]
    with pytest.raises(BadInput):
        await found(AppFilter(tag_ids=["no id"]))
    page = await directory.page(AppFilter(), page=2, limit=1, icon_link=link)
    (item,) = page.data
    assert (page.total, page.has_more) == (2, False)
    assert [each["name"] for each in item["tags"]] == ["blue", "red"]
    assert (item["author_name"], item["workflow"]) == ("Ada", None)
    assert item["model_config"]["pre_prompt"] == ""
    theirs = AppDirectory(stranger.db, stranger.tenant)
    assert (await theirs.page(AppFilter(tag_ids=[red]), page=1, limit=9, icon_link=link)).total == 0
    with pytest.raises(AppNotFound):
        await theirs.detail(first.id, icon_link=link)


async def test_an_uploaded_icon_has_a_link(service: AppService) -> None:
    app = await service.create("App", "workflow", account_id=new_id())
    async with service.repository.db.write() as conn:
        await service.repository.update(conn, app.id, {"icon_type": "image", "icon": "file-1"})
    directory = AppDirectory(service.repository.db, service.repository.tenant)
    assert (await directory.detail(app.id, icon_link=link))["icon_url"] == "https://files.test/file-1"
