"""Knowledge bases of a workspace."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import Controller, delete, get, patch, post
from litestar.params import FromQuery, JSONBody, QueryParameter

from dify_host.http.callers import OF_ONE, DatasetKey
from dify_host.knowledge.access import Person
from dify_host.knowledge.datasets import DatasetChanges, DatasetDetail, NewDataset
from dify_host.service.retrieve import RetrievalSettings
from dify_host.service.shapes import Deleted, IdInPath, PageNumber, deleted, page_body, shown

__all__ = ["DatasetChangesBody", "DatasetController", "NewDatasetBody", "PageSize", "dataset_body"]

PageSize = Annotated[int, QueryParameter(ge=1)]
"""How many items a page has; the service takes no more than 100."""
#: What is an object in every answer, with null members where there is nothing to tell.
_OBJECTS: Final = {
    "external_knowledge_info": (
        "external_knowledge_id",
        "external_knowledge_api_id",
        "external_knowledge_api_name",
        "external_knowledge_api_endpoint",
    ),
    "external_retrieval_model": ("top_k", "score_threshold", "score_threshold_enabled"),
    "icon_info": ("icon_type", "icon", "icon_background", "icon_url"),
}
Technique = Literal["high_quality", "economy"]
Permission = Literal["only_me", "all_team_members", "partial_members"]


class NewDatasetBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of a creation."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    description: Annotated[str, msgspec.Meta(max_length=400)] | None = None
    indexing_technique: Technique | None = None
    permission: Permission | None = None
    provider: Literal["vendor", "external"] = "vendor"
    external_knowledge_api_id: str | None = None
    external_knowledge_id: str | None = None
    embedding_model: str | None = None
    embedding_model_provider: str | None = None
    retrieval_model: RetrievalSettings | None = None

    def new(self) -> NewDataset:
        """As the service takes it."""
        return NewDataset(
            name=self.name,
            description=self.description or "",
            indexing_technique=self.indexing_technique,
            permission=self.permission or "only_me",
            provider=self.provider,
            embedding_model=self.embedding_model or None,
            embedding_model_provider=self.embedding_model_provider or None,
            retrieval_model=self.retrieval_model.given() if self.retrieval_model else None,
            external_knowledge_api_id=self.external_knowledge_api_id or None,
            external_knowledge_id=self.external_knowledge_id or None,
        )


class Member(msgspec.Struct, kw_only=True):
    """An account that may see a knowledge base."""

    user_id: str
    role: str | None = None


class DatasetChangesBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of a change; what is absent or null stays."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=40)] | None = None
    description: Annotated[str, msgspec.Meta(max_length=400)] | None = None
    indexing_technique: Technique | None = None
    permission: Permission | None = None
    embedding_model: str | None = None
    embedding_model_provider: str | None = None
    retrieval_model: RetrievalSettings | None = None
    partial_member_list: list[Member] | None = None
    external_retrieval_model: dict[str, Any] | None = None
    external_knowledge_id: str | None = None
    external_knowledge_api_id: str | None = None

    def changes(self) -> DatasetChanges:
        """The fields that are given."""
        apart = ("retrieval_model", "partial_member_list")
        names = [name for name in DatasetChanges.__struct_fields__ if name not in apart]
        given = {name: value for name in names if (value := getattr(self, name, None)) is not None}
        if self.retrieval_model is not None:
            given["retrieval_model"] = self.retrieval_model.given()
        if self.partial_member_list is not None:
            given["partial_member_list"] = [member.user_id for member in self.partial_member_list]
        return DatasetChanges(**given)


class DatasetController(Controller):
    """Routes of knowledge bases."""

    path = "/datasets"
    tags = ("Knowledge bases",)

    @get("/", opt=OF_ONE)
    async def list_datasets(
        self,
        caller: DatasetKey,
        page: PageNumber = 1,
        limit: PageSize = 20,
        keyword: FromQuery[str | None] = None,
        tag_ids: FromQuery[list[str] | None] = None,
        include_all: FromQuery[bool] = False,
    ) -> dict[str, Any]:
        """A page of the workspace's knowledge bases, newest first; with a key of one, that one."""
        found = await caller.workspace.datasets.find(
            page=page,
            limit=limit,
            keyword=keyword or "",
            tag_ids=tag_ids or (),
            ids=None if caller.dataset_id is None else [caller.dataset_id],
            person=Person(account_id=caller.owner_id),
            include_all=include_all or caller.dataset_id is not None,
        )
        return {**page_body(found), "data": [dataset_body(item) for item in found.data]}

    @post("/", status_code=200)
    async def create(self, data: JSONBody[NewDatasetBody], caller: DatasetKey) -> dict[str, Any]:
        """Make an empty knowledge base."""
        return dataset_body(await caller.workspace.datasets.create(data.new(), caller.owner_id))

    @get("/{dataset_id:uuid}")
    async def show(self, dataset_id: IdInPath, caller: DatasetKey) -> dict[str, Any]:
        """One knowledge base."""
        detail = await caller.workspace.datasets.get(str(dataset_id))
        return dataset_body(detail, members=detail.permission == "partial_members")

    @patch("/{dataset_id:uuid}")
    async def change(
        self, dataset_id: IdInPath, data: JSONBody[DatasetChangesBody], caller: DatasetKey
    ) -> dict[str, Any]:
        """Change a knowledge base; another technique or embedding model indexes its documents again."""
        changed = await caller.workspace.datasets.update(str(dataset_id), data.changes(), caller.owner_id)
        return dataset_body(changed, members=True)

    @delete("/{dataset_id:uuid}", status_code=200)
    async def remove(self, dataset_id: IdInPath, caller: DatasetKey) -> Deleted:
        """Delete a knowledge base with all it holds."""
        await caller.workspace.datasets.delete(str(dataset_id))
        return deleted()


def dataset_body(detail: DatasetDetail, *, members: bool = False) -> dict[str, Any]:
    """A knowledge base in an answer, with the account ids of its members when they are to be told."""
    body: dict[str, Any] = shown(detail)
    for field, names in _OBJECTS.items():
        body[field] = {**dict.fromkeys(names), **(body[field] or {})}
    listed = body.pop("partial_member_list")
    if members:
        body["partial_member_list"] = listed
    return body
