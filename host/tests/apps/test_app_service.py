"""Import, export, drafts, publishing and deletion of apps: whole, or not at all."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
import yaml
from dify_host.apps import tables
from dify_host.apps.changes import AppChanges
from dify_host.apps.dsl import parse
from dify_host.apps.errors import (
    AppNotFound,
    DraftWorkflowNotExist,
    DraftWorkflowNotSync,
    InvalidDsl,
    WorkflowNotPublished,
)
from dify_host.apps.records import WorkflowRecord
from dify_host.apps.service import AppService
from dify_host.apps.sharing import decrypt_dataset_id
from dify_host.db.engine import Database
from dify_host.db.errors import DatabaseError
from dify_host.db.outbox import outbox
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.net.crypto import KeyRing
from dify_host.settings import HostSettings
from dify_kernel.errors import BadInput, DifyError, InvalidGraph, TooLarge
from dify_kernel.registry import Registry

from . import sample_apps as sample

ME = new_id()
MODES = ("workflow", "advanced-chat", "chat", "agent-chat", "completion")


async def counts(db: Database) -> dict[str, int]:
    """How many rows each table of this domain has, and the outbox."""
    found = {}
    async with db.read() as conn:
        for table in (tables.apps, tables.sites, tables.workflows, tables.app_model_configs, outbox):
            found[table.name] = (await conn.execute(sa.select(sa.func.count()).select_from(table))).scalar_one()
    return found


async def add(service: AppService, mode: str = "workflow", **options: Any) -> str:
    result = await service.import_dsl(sample.text(mode), account_id=ME, **options)
    assert result.app_id
    return result.app_id


@pytest.mark.parametrize("mode", MODES)
async def test_an_app_goes_out_as_it_came_in(service: AppService, mode: str) -> None:
    first = await service.import_dsl(sample.text(mode), account_id=ME)
    assert (first.status, first.app_mode, first.error, first.imported_dsl_version) == ("completed", mode, "", "0.5.0")
    assert first.app_id
    app = await service.repository.get(first.app_id)
    assert (app.name, app.enable_api, app.enable_site, app.created_by) == ("Sample 🎉", True, True, ME)
    exported = await service.export(first.app_id, include_secret=True)
    second = await service.import_dsl(exported, account_id=ME)
    assert second.app_id not in (None, first.app_id)
    assert await service.export(str(second.app_id), include_secret=True) == exported
    site = await service.repository.site(first.app_id)
    assert (site.title, len(site.code)) == ("Sample 🎉", 16)


async def test_secrets_leave_only_when_asked(quick: AppService) -> None:
    app_id = await add(quick)
    for wanted in (False, True):
        text = await quick.export(app_id, include_secret=wanted)
        assert ("sk-secret" in text) is wanted
        key = yaml.safe_load(text)["workflow"]["environment_variables"][0]
        assert key["value"] == ("sk-secret" if wanted else "")


async def test_knowledge_bases_open_in_their_own_workspace_alone(
    quick: AppService, tenant: Tenant, sqlite_database: Database, registry: Registry
) -> None:
    app_id = await add(quick)
    text = await quick.export(app_id)
    assert sample.DATASET not in text
    written = parse(text).workflow
    assert written is not None
    (encrypted,) = written.graph["nodes"][1]["data"]["dataset_ids"]
    assert decrypt_dataset_id(encrypted, tenant.id) == sample.DATASET
    other = Tenant(new_id())
    ring = KeyRing("a secret key for tests only")
    cipher = ring.unwrap(ring.new_tenant_key(other.id), other.id)
    elsewhere = AppService(sqlite_database, other, cipher, registry, settings=HostSettings())
    result = await elsewhere.import_dsl(text, account_id=ME)
    assert [(item.code, item.node_id) for item in result.warnings][:1] == [("missing_dataset", "kb")]
    draft = await elsewhere.repository.draft_workflow(str(result.app_id))
    assert draft is not None
    assert draft.graph["nodes"][1]["data"]["dataset_ids"] == []
    with pytest.raises(AppNotFound):
        await elsewhere.export(app_id)
    with pytest.raises(AppNotFound):
        await elsewhere.publish(app_id, ME)
    with pytest.raises(AppNotFound):
        await elsewhere.import_dsl(text, account_id=ME, app_id=app_id)
    with pytest.raises(AppNotFound):
        await elsewhere.delete(app_id)


CYCLE = sample.graph(sample.START, sample.node("a", "answer", answer="x"), sample.node("b", "answer", answer="x"))
CYCLE["edges"].append(sample.edge("b", "a"))
DANGLING = sample.graph(sample.START, sample.END)
DANGLING["edges"].append(sample.edge("start", "ghost"))


@pytest.mark.parametrize(
    ("graph", "code", "node_id"),
    [
        (CYCLE, "cycle", "a"),
        (DANGLING, "missing_node", "start"),
        (sample.graph(sample.START, sample.node("e", "end", outputs="all")), "invalid_node", "e"),
        (sample.graph(sample.START, sample.END, sample.node("end", "end", outputs=[])), "duplicate_node", "end"),
        (sample.graph(sample.START, {"id": "n", "type": "custom"}), "invalid_node", "n"),
        ({"nodes": {"a": 1}}, "invalid_graph", None),
    ],
)
async def test_a_broken_graph_is_named_and_leaves_no_row(
    quick: AppService, sqlite_database: Database, graph: dict[str, Any], code: str, node_id: str | None
) -> None:
    before = await counts(sqlite_database)
    with pytest.raises(InvalidGraph) as refused:
        await quick.import_dsl(sample.text("workflow", workflow={"graph": graph}), account_id=ME)
    assert (refused.value.code, refused.value.status) == ("invalid_graph", 400)
    found = [problem for problem in refused.value.problems if problem.severity == "error"]
    assert (code, node_id) in [(problem.code, problem.node_id) for problem in found]
    assert node_id is None or node_id in refused.value.message
    assert await counts(sqlite_database) == before


async def test_a_node_type_that_is_not_installed_waits_as_a_draft(quick: AppService) -> None:
    text = sample.workflow_text(sample.START, sample.node("x", "teleport"), sample.END)
    result = await quick.import_dsl(text, account_id=ME)
    assert ("unknown_node", "x", "warning") in [(p.code, p.node_id, p.severity) for p in result.warnings]
    assert [msgspec.to_builtins(item) for item in result.missing] == [
        {"kind": "node", "name": "teleport", "distribution": "dify-nodes-teleport", "node_ids": ["x"]}
    ]
    draft = await quick.repository.draft_workflow(str(result.app_id))
    assert draft is not None
    with pytest.raises(InvalidGraph, match="node type 'teleport'") as refused:
        await quick.publish(str(result.app_id), ME)
    assert ("unknown_node", "error") in [(p.code, p.severity) for p in refused.value.problems]
    with pytest.raises(InvalidGraph):
        await quick.import_dsl(text, account_id=ME, publish=True)


async def test_an_unknown_node_type_names_its_likely_distribution(quick: AppService) -> None:
    text = sample.workflow_text(sample.START, sample.node("x", "if-els"), sample.END)
    result = await quick.import_dsl(text, account_id=ME)
    assert any("Did you mean 'if-else' of dify-nodes-core" in problem.message for problem in result.warnings)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"user_input_form": [{"text-input": {"label": "x", "variable": "1x"}}]}, "must be a name"),
        ({"user_input_form": [{"slider": {}}]}, "one key of"),
        ({"user_input_form": [{"text-input": {"variable": "x"}}]}, "needs a `label`"),
        ({"user_input_form": [*sample.FORM, *sample.FORM]}, "twice"),
        ({"user_input_form": [{"select": {"label": "", "variable": "s", "options": ["a"], "default": "b"}}]}, "among"),
        ({"chat_prompt_config": {"prompt": [{"role": "user", "text": ""}] * 11}}, "at most 10"),
        ({"chat_prompt_config": {"prompt": [{"role": "robot", "text": ""}]}}, "needs a role"),
        ({"prompt_type": "magic"}, "`prompt_type` must be"),
        ({"model": {"provider": "p", "name": "m", "completion_params": {"stop": list("abcde")}}}, "at most 4"),
        ({"sensitive_word_avoidance": {"enabled": True}}, "type` is required"),
        ({"sensitive_word_avoidance": {"enabled": True, "type": "keywords", "config": {}}}, "keywords is required"),
        ({"speech_to_text": {"enabled": "perhaps"}}, "features cannot be read"),
        ({"dataset_configs": {"datasets": {"datasets": [{"dataset": {"id": "x"}}]}}}, "Dataset query variable"),
    ],
)
async def test_a_broken_configuration_is_named_and_leaves_no_row(
    quick: AppService, sqlite_database: Database, config: dict[str, Any], message: str
) -> None:
    base = sample.document("completion")["model_config"]
    with pytest.raises(InvalidGraph) as refused:
        await quick.import_dsl(sample.text("completion", model_config=base | config), account_id=ME)
    assert message in refused.value.message
    assert not any((await counts(sqlite_database)).values())


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a: [1", InvalidDsl),
        ("", InvalidDsl),
        (sample.text("workflow", version="soon"), InvalidDsl),
        (sample.text("workflow", version=True), InvalidDsl),
        ("x: " + "y" * 20_000_000, TooLarge),
        (sample.text("workflow", app={"mode": "workflow", "name": "x" * 256}), BadInput),
    ],
    ids=["yaml", "empty", "version", "boolean", "20MB", "name"],
)
async def test_a_broken_text_leaves_no_row(
    quick: AppService, sqlite_database: Database, text: str, error: type[DifyError]
) -> None:
    with pytest.raises(error):
        await quick.import_dsl(text, account_id=ME)
    assert not any((await counts(sqlite_database)).values())


async def test_a_failure_at_the_last_write_undoes_the_first(quick: AppService, sqlite_database: Database) -> None:
    app_id = await add(quick)
    before = await counts(sqlite_database)
    async with sqlite_database.write() as conn:
        await conn.execute(sa.text("DROP TABLE app_dataset_joins"))
    with pytest.raises(DatabaseError):
        await quick.import_dsl(sample.text("workflow"), account_id=ME, publish=True)
    with pytest.raises(DatabaseError):
        await quick.publish(app_id, ME)
    assert await counts(sqlite_database) == before
    with pytest.raises(WorkflowNotPublished):
        await quick.repository.published_workflow(app_id)


async def test_of_editors_at_the_same_time_one_wins(service: AppService) -> None:
    app = await service.create("New", "workflow", account_id=ME)
    hash_then: str | None = None
    for _ in range(2):  # the first draft, then a change of it
        saves = [
            service.save_draft(app.id, graph={"by": new_id()}, features={}, account_id=ME, hash=hash_then)
            for _ in range(4)
        ]
        results = await asyncio.gather(*saves, return_exceptions=True)
        saved = [result for result in results if isinstance(result, WorkflowRecord)]
        assert len(saved) == 1
        assert sum(isinstance(result, DraftWorkflowNotSync) for result in results) == 3
        stored = await service.repository.draft_workflow(app.id)
        assert stored is not None
        assert stored.graph == saved[0].graph
        hash_then = stored.hash


async def test_a_newer_text_waits_until_it_is_confirmed(quick: AppService, sqlite_database: Database) -> None:
    newer = sample.text("workflow", version="0.9.0")
    waiting = await quick.import_dsl(newer, account_id=ME)
    assert (waiting.status, waiting.app_id, waiting.imported_dsl_version) == ("pending", None, "0.9.0")
    assert not any((await counts(sqlite_database)).values())
    done = await quick.import_dsl(newer, account_id=ME, confirmed=True)
    assert (done.status, done.current_dsl_version) == ("completed", "0.5.0")
    assert done.app_id
    older = await quick.import_dsl(sample.text("workflow", version="0.1.5"), account_id=ME, name="Mine")
    assert older.status == "completed-with-warnings"
    assert (await quick.repository.get(str(older.app_id))).name == "Mine"


async def test_an_import_says_which_plugins_are_missing(quick: AppService) -> None:
    needs = ["langgenius/openai:1.0.0@aa", "somebody/teleporter:0.1@bb"]
    listed = [{"type": "marketplace", "value": {"marketplace_plugin_unique_identifier": name}} for name in needs]
    result = await quick.import_dsl(sample.text("workflow", dependencies=listed), account_id=ME)
    assert result.missing_plugins == ["somebody/teleporter"]


async def test_overwriting_keeps_the_app_and_its_secrets(quick: AppService) -> None:
    app_id = await add(quick, publish=True)
    published = await quick.repository.published_workflow(app_id)
    text = await quick.export(app_id)
    again = await quick.import_dsl(text, account_id=ME, app_id=app_id, name="Renamed")
    assert again.app_id == app_id
    draft = await quick.repository.draft_workflow(app_id)
    assert draft is not None
    assert draft.environment_variables[0].value == "sk-secret"
    assert (await quick.repository.get(app_id)).name == "Renamed"
    assert (await quick.repository.published_workflow(app_id)).id == published.id
    with pytest.raises(BadInput, match="of mode workflow"):
        await quick.import_dsl(sample.text("advanced-chat"), account_id=ME, app_id=app_id)
    chat = await add(quick, "chat")
    with pytest.raises(BadInput, match="Only workflow or advanced chat apps can be overwritten"):
        await quick.import_dsl(text, account_id=ME, app_id=chat)


async def test_publishing_makes_a_version_each_time(service: AppService, database: Database) -> None:
    app_id = await add(service)
    first = await service.publish(app_id, ME, marked_name="one")
    second = await service.publish(app_id, ME)
    assert first.version < second.version
    assert first.version[:4].isdigit()
    assert first.version == str(first.created_at)
    now = await service.repository.published_workflow(app_id)
    assert (now.id, now.graph) == (second.id, first.graph)
    assert now.environment_variables[0].value == "sk-secret"
    assert (await service.repository.published_workflow(app_id, first.id)).marked_name == "one"
    assert await service.repository.dataset_ids(app_id) == (sample.DATASET,)
    draft = await service.repository.draft_workflow(app_id)
    assert draft is not None
    await service.save_draft(
        app_id, graph=sample.graph(sample.START, sample.END), features={}, account_id=ME, hash=draft.hash
    )
    assert await service.repository.dataset_ids(app_id) == (sample.DATASET,)
    await service.publish(app_id, ME)
    assert await service.repository.dataset_ids(app_id) == ()
    assert (await counts(database))["workflows"] == 4


async def test_what_cannot_run_is_kept_as_a_draft_and_not_published(quick: AppService) -> None:
    empty = await quick.import_dsl(sample.text("workflow", workflow={"graph": {}}), account_id=ME)
    assert [problem.code for problem in empty.warnings] == ["empty_graph"]
    app_id = str(empty.app_id)
    with pytest.raises(InvalidGraph, match="no nodes"):
        await quick.publish(app_id, ME)
    with pytest.raises(InvalidGraph):
        await quick.import_dsl(sample.text("workflow", workflow={"graph": {}}), account_id=ME, publish=True)
    draft = await quick.repository.draft_workflow(app_id)
    assert draft is not None
    await quick.save_draft(app_id, graph=CYCLE, features={}, account_id=ME, hash=draft.hash)
    found = [problem for problem in await quick.problems(app_id) if problem.severity == "error"]
    assert {problem.node_id for problem in found} == {"a", "b"}
    with pytest.raises(InvalidGraph, match="cycle"):
        await quick.publish(app_id, ME)


async def test_two_editors_do_not_overwrite_each_other(quick: AppService) -> None:
    app = await quick.create("New", "workflow", account_id=ME)
    with pytest.raises(DraftWorkflowNotExist):
        await quick.publish(app.id, ME)
    with pytest.raises(DraftWorkflowNotExist):
        await quick.export(app.id)
    graph = sample.graph(sample.START, sample.END, extra={"kept": True})
    first = await quick.save_draft(
        app.id, graph=graph, features={}, account_id=ME, environment_variables=[sample.SECRET]
    )
    second = await quick.save_draft(app.id, graph={**graph, "n": 2}, features={}, account_id=new_id(), hash=first.hash)
    assert second.hash != first.hash
    for stale in (first.hash, None):
        with pytest.raises(DraftWorkflowNotSync) as refused:
            await quick.save_draft(app.id, graph=graph, features={}, account_id=ME, hash=stale)
        assert (refused.value.code, refused.value.status) == ("draft_workflow_not_sync", 400)
    hidden = {**sample.SECRET, "value": "[__HIDDEN__]"}
    third = await quick.save_draft(
        app.id, graph=graph, features={}, account_id=ME, hash=second.hash, environment_variables=[hidden]
    )
    assert third.environment_variables[0].value == "sk-secret"
    stored = await quick.repository.draft_workflow(app.id)
    assert stored is not None
    assert (stored.graph, stored.hash, stored.created_by) == (graph, third.hash, ME)


async def test_a_basic_app_gets_a_new_configuration(quick: AppService) -> None:
    app = await quick.create("Chat", "chat", account_id=ME)
    assert [problem.code for problem in await quick.problems(app.id)] == ["model_missing"]
    assert (await quick.import_dsl(await quick.export(app.id), account_id=ME)).status == "completed"
    datasets = {"datasets": {"datasets": [{"dataset": {"enabled": True, "id": sample.DATASET}}]}}
    config = sample.document("chat")["model_config"] | {"dataset_configs": datasets}
    saved = await quick.save_model_config(app.id, config, ME)
    assert await quick.repository.model_config(app.id) == saved
    assert await quick.repository.dataset_ids(app.id) == (sample.DATASET,)
    with pytest.raises(BadInput, match="no model_config"):
        await quick.save_model_config(await add(quick), config, ME)
    with pytest.raises(BadInput, match="have a draft"):
        await quick.save_draft(app.id, graph={}, features={}, account_id=ME)


async def test_an_agent_is_imported_and_its_missing_tools_are_named(quick: AppService) -> None:
    tool = {"provider_type": "builtin", "provider_id": "a/b/pager", "tool_name": "page", "tool_parameters": {}}
    for mode in ("agent-chat", "chat"):
        config = sample.document("chat")["model_config"] | {"agent_mode": {"enabled": True, "tools": [tool]}}
        result = await quick.import_dsl(sample.text(mode, model_config=config), account_id=ME)
        assert [(item.kind, item.name) for item in result.missing] == [("tool", "pager")]
        assert "missing_tool" in [problem.code for problem in result.warnings]


async def test_changes_and_switches(quick: AppService) -> None:
    app_id = await add(quick)
    changed = await quick.update(app_id, AppChanges(name="Other", max_active_requests=3), ME)
    assert (changed.name, changed.max_active_requests, changed.description) == ("Other", 3, "d")
    assert not (await quick.enable_api(app_id, False)).enable_api
    assert not (await quick.enable_site(app_id, False)).enable_site
    with pytest.raises(BadInput, match="`icon` has 300"):
        await quick.update(app_id, AppChanges(icon="x" * 300), ME)


async def test_deleting_takes_the_rows_and_leaves_one_job(service: AppService, database: Database) -> None:
    app_id, kept = await add(service, publish=True), await add(service, "chat")
    await service.delete(app_id)
    with pytest.raises(AppNotFound):
        await service.repository.get(app_id)
    with pytest.raises(AppNotFound):
        await service.delete(app_id)
    assert await counts(database) == {"apps": 1, "sites": 1, "workflows": 0, "app_model_configs": 1, "outbox": 1}
    assert (await service.repository.get(kept)).mode == "chat"
    async with database.read() as conn:
        job = (await conn.execute(sa.select(outbox))).one()
    assert (job.actor, job.queue) == ("delete_app", "app_deletion")
    assert job.args == {"tenant_id": service.repository.tenant.id, "app_id": app_id}
