"""A knowledge base as a tool: what was found as text with citations, of the workspace's own alone."""

from __future__ import annotations

import pytest
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.knowledge.tables import datasets
from dify_host.tools.errors import ToolParameterError, ToolProviderNotFound
from dify_kernel.contracts.tool import ResourcesMessage, TextMessage

from .tools_house import USER, ToolsHouse, said


@pytest.fixture
async def sky(house: ToolsHouse, tenant: Tenant) -> str:
    """The id of a knowledge base about planets."""
    dataset_id = new_id()
    row = {"id": dataset_id, "tenant_id": tenant.id, "name": "Sky", "created_by": USER, "retrieval_model": {"top_k": 1}}
    async with house.db.write() as conn:
        await conn.execute(datasets.insert().values(**row))
    house.knowledge.datasets[dataset_id] = ["Jupiter is the largest planet", "Mercury is a small planet"]
    return dataset_id


async def test_a_question_finds_text_and_citations(house: ToolsHouse, tenant: Tenant, sky: str) -> None:
    runtime = house.runtime(tenant)
    info = await runtime.describe("dataset-retrieval", sky, f"dataset_{sky}")
    assert (info.label, [item.name for item in info.parameters]) == ("Sky", ["query"])
    assert "Sky" in info.description
    cited, text = await said(runtime, "dataset-retrieval", sky, "dataset", query="which planet is the largest")
    assert text == TextMessage("Jupiter is the largest planet")
    assert isinstance(cited, ResourcesMessage)
    assert [item["dataset_id"] for item in cited.resources] == [sky]
    assert house.knowledge.requests[-1].top_k == 1
    with pytest.raises(ToolParameterError, match="query"):
        await said(runtime, "dataset-retrieval", sky, "dataset")


async def test_a_knowledge_base_of_somebody_else_is_no_tool(house: ToolsHouse, sky: str) -> None:
    with pytest.raises(ToolProviderNotFound):
        await house.runtime(await house.tenant()).describe("dataset-retrieval", sky, "dataset")
