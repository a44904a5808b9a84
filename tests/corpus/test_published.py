"""Every published app is imported, or told what is wrong with it; what goes out comes in as the same plan."""

from __future__ import annotations

from pathlib import Path

import pytest
from dify_host.apps.dsl import AppDsl, PipelineDsl, parse, read
from dify_host.apps.old_forms.modern import modernised
from dify_host.apps.sharing import import_graph, node_data
from dify_host.apps.yaml_text import read_yaml
from dify_kernel.errors import DifyError, InvalidGraph, NotImplementedYet
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
    try:
        result = await workspace.apps.import_dsl(text, account_id=owner, confirmed=True)
    except InvalidGraph as exc:
        assert not check.valid
        _explained(exc, read(text).dsl, file)
        return
    except NotImplementedYet:
        assert (check.valid, check.kind) == (True, "rag_pipeline")
        return
    assert check.importable
    missing = {item.name for item in result.missing if item.kind == "node"}
    assert not missing & set(registry.names("nodes"))
    assert ("unknown_node" in {item.code for item in result.warnings}) == bool(missing)
    if missing and result.app_mode in ("workflow", "advanced-chat"):
        with pytest.raises(InvalidGraph):
            await workspace.apps.publish(str(result.app_id), owner)


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
        first = await workspace.apps.import_dsl(text, account_id=owner, confirmed=True)
    except DifyError:
        pytest.skip("not imported; the test above says why")
    exported = await workspace.apps.export(str(first.app_id), include_secret=True)
    second = await workspace.apps.import_dsl(exported, account_id=owner, confirmed=True)
    assert (second.status, second.changes) == ("completed", []), "what we write has the form of today"
    assert await workspace.apps.export(str(second.app_id), include_secret=True) == exported
    before, after = parse(text), parse(exported)
    assert before.model_config == after.model_config
    if before.workflow is None or after.workflow is None:
        return
    graph, _ = import_graph(before.workflow.graph, workspace.tenant.id)
    again, _ = import_graph(after.workflow.graph, workspace.tenant.id)
    assert shape_of(graph, registry) == shape_of(again, registry)
    assert before.workflow.features == after.workflow.features
    assert before.workflow.environment_variables == after.workflow.environment_variables
    assert before.workflow.conversation_variables == after.workflow.conversation_variables


async def test_old_forms_are_gone_after_one_reading(file: Path) -> None:
    document, _ = modernised(read_yaml(file.read_bytes()))
    assert modernised(document) == (document, [])
