"""Ask one knowledge base."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from litestar import Controller, post
from litestar.params import JSONBody

from dify_host.http.callers import DatasetKey
from dify_host.knowledge.metadata import read_conditions
from dify_host.knowledge.ranking import RerankModel, Weights, read_retrieval_model
from dify_host.knowledge.retrieval import Asker, Found
from dify_host.service.shapes import IdInPath, shown
from dify_host.workspace import Workspace

__all__ = ["RetrievalSettings", "RetrieveBody", "RetrieveController", "external_hits", "hits"]

SearchMethod = Literal["semantic_search", "full_text_search", "hybrid_search", "keyword_search"]
_NOT_SHOWN = ("updated_by", "updated_at", "child_chunks", "attachments")


class RetrievalSettings(msgspec.Struct, kw_only=True):
    """How a knowledge base is searched."""

    search_method: SearchMethod
    reranking_enable: bool
    top_k: Annotated[int, msgspec.Meta(ge=1, le=100)]
    score_threshold_enabled: bool
    reranking_model: RerankModel | None = None
    reranking_mode: str | None = None
    score_threshold: float | None = None
    weights: Weights | None = None
    metadata_filtering_conditions: dict[str, Any] | None = None

    def given(self) -> dict[str, Any]:
        """As it is stored; BadInput for what no search could follow."""
        values: dict[str, Any] = msgspec.to_builtins(self)
        if values["metadata_filtering_conditions"] is None:
            del values["metadata_filtering_conditions"]
        read_conditions(self.metadata_filtering_conditions)
        read_retrieval_model(values)
        return {**values, "reranking_mode": values["reranking_mode"] or None}


class RetrieveBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A question; without settings, the knowledge base's own are used."""

    query: str
    retrieval_model: dict[str, Any] | None = None
    external_retrieval_model: dict[str, Any] | None = None
    attachment_ids: list[str] | None = None
    metadata_filtering_conditions: dict[str, Any] | None = None


class RetrieveController(Controller):
    """The route that finds segments."""

    path = "/datasets/{dataset_id:uuid}"
    tags = ("Retrieval",)

    @post(["/retrieve", "/hit-testing"], status_code=200)
    async def retrieve(self, dataset_id: IdInPath, data: JSONBody[RetrieveBody], caller: DatasetKey) -> dict[str, Any]:
        """The segments that answer best, best first; of external knowledge, what its API answers."""
        asker = Asker(user_id=caller.owner_id)
        if await caller.workspace.datasets.is_external(str(dataset_id)):
            return await external_hits(caller.workspace, str(dataset_id), data, asker)
        return await hits(caller.workspace, str(dataset_id), data, asker)


async def hits(workspace: Workspace, dataset_id: str, data: RetrieveBody, asker: Asker) -> dict[str, Any]:
    """The answer to a question to a knowledge base of our own."""
    model = {key: value for key, value in (data.retrieval_model or {}).items() if value is not None}
    found = await workspace.retrieval.retrieve(dataset_id, data.query, asker, model or None, data.attachment_ids or ())
    return {"query": {"content": data.query}, "records": [_record(item) for item in found]}


async def external_hits(workspace: Workspace, dataset_id: str, data: RetrieveBody, asker: Asker) -> dict[str, Any]:
    """The answer to a question to an external knowledge base: [{content, title, score, metadata}]."""
    conditions = data.metadata_filtering_conditions
    if conditions is None:
        conditions = (data.retrieval_model or {}).get("metadata_filtering_conditions")
    found = await workspace.retrieval.retrieve_external(
        dataset_id, data.query, asker, data.external_retrieval_model, conditions
    )
    return {"query": {"content": data.query}, "records": shown(found)}


def _record(found: Found) -> dict[str, Any]:
    segment = {key: value for key, value in shown(found.segment).items() if key not in _NOT_SHOWN}
    return {
        "segment": {**segment, "document": shown(found.document)},
        "child_chunks": shown(found.child_chunks),
        "score": found.score,
        "tsne_position": None,
        "files": None,
    }
