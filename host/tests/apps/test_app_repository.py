"""What the repository of apps keeps, hides and seals, on every engine."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from dify_host.apps.errors import (
    AppNotFound,
    NotAPublishedVersion,
    SiteNotFound,
    WorkflowNotFound,
    WorkflowNotPublished,
)
from dify_host.apps.records import AppRecord, ModelConfig, Variable, WorkflowRecord
from dify_host.apps.repository import DRAFT, AppRepository
from dify_host.apps.tables import workflows
from dify_host.db.types import new_id, utc_now
from dify_host.net.crypto import DecryptionFailed
from dify_kernel.errors import BadInput, Conflict

GRAPH: dict[str, Any] = {"nodes": [{"id": "b", "data": {"z": 1, "a": [None, "é\x00"]}}], "edges": []}
SECRET = "sk-very-secret"


async def add_app(repository: AppRepository, name: str = "App", mode: str = "workflow") -> AppRecord:
    async with repository.db.write() as conn:
        return await repository.create(conn, {"name": name, "mode": mode, "created_by": new_id()})


def version(app: AppRecord, name: str = DRAFT, **values: Any) -> WorkflowRecord:
    given: dict[str, Any] = {
        "id": new_id(),
        "tenant_id": app.tenant_id,
        "app_id": app.id,
        "type": app.mode,
        "version": name,
        "graph": GRAPH,
        "features": {"b": 1, "a": 2},
        "environment_variables": [
            Variable(id=new_id(), name="KEY", value_type="secret", value=SECRET, selector=["env", "KEY"]),
            Variable(id=new_id(), name="HOST", value_type="string", value="plain", selector=["env", "HOST"]),
        ],
        "conversation_variables": [Variable(id=new_id(), name="seen", value_type="array[string]", value=["x"])],
        "created_by": new_id(),
        "created_at": utc_now(),
    }
    return WorkflowRecord(**{**given, **values})


async def add_version(repository: AppRepository, record: WorkflowRecord, *, current: bool = False) -> WorkflowRecord:
    async with repository.db.write() as conn:
        await repository.insert_workflow(conn, record)
        if current:
            await repository.update(conn, record.app_id, {"workflow_id": record.id})
    return record


async def test_a_version_comes_back_as_it_went_in(repository: AppRepository) -> None:
    app = await add_app(repository)
    draft = await add_version(repository, version(app))
    found = await repository.draft_workflow(app.id)
    assert found is not None
    assert list(found.features) == ["b", "a"]
    assert found.environment_variables == draft.environment_variables
    assert found.conversation_variables == draft.conversation_variables
    assert found.created_at == draft.created_at
    assert await repository.draft_workflow(new_id()) is None


async def test_a_secret_is_sealed_at_rest_and_bound_to_its_place(repository: AppRepository) -> None:
    app = await add_app(repository)
    draft = await add_version(repository, version(app))
    async with repository.db.read() as conn:
        stored = (await conn.execute(sa.select(workflows.c.environment_variables))).scalar_one()
    assert SECRET not in str(stored)
    assert stored[1]["value"] == "plain"
    stored[0]["name"] = "OTHER"
    async with repository.db.write() as conn:
        await conn.execute(workflows.update().where(workflows.c.id == draft.id).values(environment_variables=stored))
    with pytest.raises(DecryptionFailed):
        await repository.draft_workflow(app.id)


async def test_the_published_version_and_why_there_is_none(repository: AppRepository) -> None:
    app = await add_app(repository)
    draft = await add_version(repository, version(app))
    with pytest.raises(WorkflowNotPublished, match=r"^Workflow not published$") as none:
        await repository.published_workflow(app.id)
    assert none.value.code == "invalid_param"
    first = await add_version(repository, version(app, "2026-01-01 00:00:00.000001"), current=True)
    second = await add_version(repository, version(app, "2026-01-02 00:00:00.000001"), current=True)
    assert (await repository.published_workflow(app.id)).id == second.id
    assert (await repository.published_workflow(app.id, first.id.upper())).id == first.id
    missing = new_id()
    with pytest.raises(WorkflowNotFound, match=f"^Workflow not found with id: {missing}$"):
        await repository.published_workflow(app.id, missing)
    for bad in (draft.id, "not-an-id"):
        with pytest.raises(NotAPublishedVersion) as refused:
            await repository.published_workflow(app.id, bad)
        assert (refused.value.code, refused.value.status) == ("bad_request", 400)
    with pytest.raises(AppNotFound):
        await repository.published_workflow(new_id())
    page = await repository.published_workflows(app.id, limit=1)
    assert ([item.id for item in page.data], page.total, page.has_more) == ([second.id], 2, True)


async def test_a_version_exists_once(repository: AppRepository) -> None:
    app = await add_app(repository)
    await add_version(repository, version(app))
    with pytest.raises(Conflict):
        await add_version(repository, version(app))


async def test_a_changed_version_keeps_who_made_it(repository: AppRepository) -> None:
    app = await add_app(repository)
    draft = await add_version(repository, version(app))
    changed = msgspec.structs.replace(draft, graph={"nodes": []}, created_by=new_id(), updated_by=new_id())
    async with repository.db.write() as conn:
        await repository.update_workflow(conn, changed)
    found = await repository.draft_workflow(app.id)
    assert found is not None
    assert (found.graph, found.created_by, found.updated_by) == ({"nodes": []}, draft.created_by, changed.updated_by)


async def test_lists_are_paged_and_filtered(repository: AppRepository, stranger: AppRepository) -> None:
    for name, mode in (("First", "workflow"), ("50%_off", "chat"), ("second", "chat")):
        await add_app(repository, name, mode)
    await add_app(stranger, "foreign", "chat")
    page = await repository.list(1, 2)
    assert ([app.name for app in page.data], page.total, page.has_more) == (["second", "50%_off"], 3, True)
    assert [app.name for app in (await repository.list(mode="chat", name="SEC")).data] == ["second"]
    assert [app.name for app in (await repository.list(name="%_")).data] == ["50%_off"]


async def test_nothing_of_another_tenant_can_be_seen_or_touched(
    repository: AppRepository, stranger: AppRepository
) -> None:
    app = await add_app(repository, mode="chat")
    await add_version(repository, version(app))
    published = await add_version(repository, version(app, "v"), current=True)
    async with repository.db.write() as conn:
        await repository.insert_site(conn, app, "abc", "en-US")
        await repository.insert_model_config(conn, ModelConfig(id=new_id(), app_id=app.id, model={}), None)
        await repository.set_datasets(conn, app.id, [new_id()])
    assert await stranger.draft_workflow(app.id) is None
    assert await stranger.model_config(app.id) is None
    assert await stranger.dataset_ids(app.id) == ()
    for call in (stranger.get, stranger.published_workflow, stranger.published_workflows):
        with pytest.raises(AppNotFound):
            await call(app.id)
    with pytest.raises(AppNotFound):
        await stranger.published_workflow(app.id, published.id)
    with pytest.raises(SiteNotFound):
        await stranger.site(app.id)
    async with stranger.db.write() as conn:
        with pytest.raises(AppNotFound):
            await stranger.update(conn, app.id, {"name": "stolen"})
        with pytest.raises(AppNotFound):
            await stranger.delete(conn, app.id)
        with pytest.raises(AppNotFound):
            await stranger.set_datasets(conn, app.id, [])
        with pytest.raises(SiteNotFound):
            await stranger.update_site(conn, app.id, {"title": "stolen"})
    assert (await repository.get(app.id)).name == "App"
    assert (await repository.site(app.id)).title == "App"


async def test_a_configuration_replaces_the_one_before(repository: AppRepository) -> None:
    app = await add_app(repository, mode="chat")
    assert await repository.model_config(app.id) is None
    config = ModelConfig(
        id=new_id(),
        app_id=app.id,
        model={"provider": "openai", "name": "m", "mode": "chat"},
        pre_prompt="Hello {{name}}",
        user_input_form=[{"text-input": {"label": "Name", "variable": "name"}}],
        retriever_resource={"enabled": False},
    )
    async with repository.db.write() as conn:
        await repository.insert_model_config(conn, config, new_id())
    assert await repository.model_config(app.id) == config
    newer = msgspec.structs.replace(config, id=new_id(), pre_prompt="")
    async with repository.db.write() as conn:
        await repository.insert_model_config(conn, newer, new_id())
    assert await repository.model_config(app.id) == newer


async def test_datasets_are_exactly_the_last_ones(repository: AppRepository) -> None:
    app = await add_app(repository)
    one, two, three = sorted(new_id() for _ in range(3))
    for wanted in ([one, two, "no id", two.upper()], [two, three], []):
        async with repository.db.write() as conn:
            await repository.set_datasets(conn, app.id, wanted)
        assert await repository.dataset_ids(app.id) == tuple(sorted({x for x in wanted if x in (one, two, three)}))


async def test_deleting_leaves_no_row(repository: AppRepository) -> None:
    app, other = await add_app(repository), await add_app(repository)
    for each in (app, other):
        await add_version(repository, version(each))
    async with repository.db.write() as conn:
        await repository.delete(conn, app.id)
    with pytest.raises(AppNotFound):
        await repository.get(app.id)
    async with repository.db.read() as conn:
        assert (await conn.execute(sa.select(workflows.c.app_id))).scalars().all() == [other.id]


async def test_a_text_that_is_no_id_is_bad_input(repository: AppRepository) -> None:
    with pytest.raises(BadInput):
        await repository.get("x' or 1=1 --")
