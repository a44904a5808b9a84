"""Every published app is imported, or told what is wrong with it; what goes out comes in as the same plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dify_host.apps.changes import ImportResult
from dify_host.apps.dsl import AppDsl, PipelineDsl, read
from dify_host.apps.old_forms.modern import modernised
from dify_host.apps.sharing import import_graph, node_data
from dify_host.apps.yaml_text import read_yaml
from dify_host.pipelines.records import PipelineImport
from dify_host.workspace import Workspace
from dify_kernel.errors import DifyError, InvalidGraph
from dify_kernel.registry import Registry

from .conftest import Place
from .published import known
from .shapes import shape_of

pytestmark = pytest.mark.asyncio(loop_scope="session")
#: What the index calls odd and what Dify itself could not run.
_BROKEN = ("node-without-data-type", "edge-to-missing-node", "no-start")


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry()


async def test_it_is_imported_or_told_what_is_wrong(place: Place, file: Path, registry: Registry) -> None:
    workspace, owner = place
    text = file.read_bytes()
    check = await workspace.apps.check(text)
    service = _service(workspace, check.kind)
    try:
        result = await service.import_dsl(text, account_id=owner, confirmed=True)
    except InvalidGraph as exc:
        assert not check.valid
        _explained(exc, read(text).dsl, file)
        return
    assert check.importable
    missing = {item.name for item in result.missing if item.kind == "node"}
    assert not missing & set(registry.names("nodes"))
    assert ("unknown_node" in {item.code for item in result.warnings}) == bool(missing)
    if missing and check.mode in ("workflow", "advanced-chat", "rag-pipeline"):
        with pytest.raises(InvalidGraph):
            await service.publish(_id(result), owner)


def _service(workspace: Workspace, kind: str) -> Any:
    """What keeps apps, or knowledge pipelines."""
    return workspace.pipelines if kind == "rag_pipeline" else workspace.apps


def _id(result: ImportResult | PipelineImport) -> str:
    return str(result.app_id if isinstance(result, ImportResult) else result.pipeline_id)


def _explained(exc: InvalidGraph, dsl: AppDsl | PipelineDsl, file: Path) -> None:
    """An app is refused for what is named, and only if its makers meant to break it, or Dify could not run it."""
    ids = {node_id for node_id, _ in node_data(dsl.workflow.graph if dsl.workflow else {})}
    errors = [item for item in exc.problems if item.severity == "error"]
    assert errors
    assert all(item.message and (item.node_id is None or item.node_id in ids) for item in errors)
    about = known(file)
    odd = any(oddity.startswith(_BROKEN) for oddity in about.get("oddities", []))
    assert odd or about.get("deliberately_broken") or isinstance(dsl, PipelineDsl), [item.message for item in errors]


async def test_what_goes_out_comes_in_as_the_same_plan(place: Place, file: Path, registry: Registry) -> None:
    workspace, owner = place
    text = file.read_bytes()
    try:
        service = _service(workspace, read(text).dsl.kind)
        first = await service.import_dsl(text, account_id=owner, confirmed=True)
    except DifyError:
        pytest.skip("not imported; the test above says why")
    exported = await service.export(_id(first), include_secret=True)
    second = await service.import_dsl(exported, account_id=owner, confirmed=True)
    assert (second.status, second.changes) == ("completed", []), "what we write has the form of today"
    assert await service.export(_id(second), include_secret=True) == exported
    before, after = read(text).dsl, read(exported).dsl
    assert getattr(before, "model_config", None) == getattr(after, "model_config", None)
    if before.workflow is None or after.workflow is None:
        return
    graph, _ = import_graph(before.workflow.graph, workspace.tenant.id)
    again, _ = import_graph(after.workflow.graph, workspace.tenant.id)
    assert shape_of(graph, registry) == shape_of(again, registry)
    assert before.workflow.features == after.workflow.features
    assert before.workflow.environment_variables == after.workflow.environment_variables
    assert before.workflow.conversation_variables == after.workflow.conversation_variables
    assert before.workflow.rag_pipeline_variables == after.workflow.rag_pipeline_variables


async def test_old_forms_are_gone_after_one_reading(file: Path) -> None:
    document, _ = modernised(read_yaml(file.read_bytes()))
    assert modernised(document) == (document, [])
