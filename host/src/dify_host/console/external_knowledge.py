"""External knowledge: registered APIs, and knowledge bases over them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Controller, delete, get, patch, post
from litestar.params import FromQuery, JSONBody

from dify_host.http.console_callers import DATASET_WRITERS, MEMBERS, WRITERS, ConsoleAccount
from dify_host.knowledge.datasets import NewDataset
from dify_host.service.datasets import PageSize, dataset_body
from dify_host.service.shapes import IdInPath, PageNumber, page_body, shown

__all__ = ["ExternalApiController", "ExternalDatasetController"]


class ApiSettings(msgspec.Struct, kw_only=True):
    """Where an API is, and its key."""

    endpoint: str
    api_key: str = ""

    def __repr__(self) -> str:
        return f"ApiSettings(endpoint={self.endpoint!r})"


class ApiBody(msgspec.Struct, kw_only=True):
    """An API to register."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    settings: ApiSettings
    description: str | None = None


class ExternalDatasetBody(msgspec.Struct, kw_only=True):
    """A knowledge base whose content is elsewhere."""

    external_knowledge_api_id: str
    external_knowledge_id: str
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    description: Annotated[str, msgspec.Meta(max_length=400)] | None = None
    external_retrieval_model: dict[str, Any] | None = None


class ExternalApiController(Controller):
    """Routes of registered APIs."""

    path = "/datasets/external-knowledge-api"

    @get("/", opt=MEMBERS)
    async def listed(
        self,
        caller: ConsoleAccount,
        page: PageNumber = 1,
        limit: PageSize = 20,
        keyword: FromQuery[str | None] = None,
    ) -> dict[str, Any]:
        """A page of them, newest first; keys by their last four characters."""
        return page_body(await caller.workspace.knowledge.external.find(page=page, limit=limit, keyword=keyword or ""))

    @post("/", status_code=201, opt=DATASET_WRITERS)
    async def create(self, data: JSONBody[ApiBody], caller: ConsoleAccount) -> dict[str, Any]:
        """Ask an API and register it."""
        found: dict[str, Any] = shown(
            await caller.workspace.knowledge.external.create(
                data.name, data.settings.endpoint, data.settings.api_key, caller.account_id, data.description or ""
            )
        )
        return found

    @get("/{external_knowledge_api_id:uuid}", opt=MEMBERS)
    async def detail(self, external_knowledge_api_id: IdInPath, caller: ConsoleAccount) -> dict[str, Any]:
        """One of them."""
        found: dict[str, Any] = shown(await caller.workspace.knowledge.external.get(str(external_knowledge_api_id)))
        return found

    @patch("/{external_knowledge_api_id:uuid}", opt=DATASET_WRITERS)
    async def change(
        self, external_knowledge_api_id: IdInPath, data: JSONBody[ApiBody], caller: ConsoleAccount
    ) -> dict[str, Any]:
        """Ask and change one; a key that is sent back as it was shown stays."""
        found: dict[str, Any] = shown(
            await caller.workspace.knowledge.external.update(
                str(external_knowledge_api_id),
                data.name,
                data.settings.endpoint,
                data.settings.api_key,
                caller.account_id,
                data.description,
            )
        )
        return found

    @delete("/{external_knowledge_api_id:uuid}", status_code=204, opt=DATASET_WRITERS)
    async def remove(self, external_knowledge_api_id: IdInPath, caller: ConsoleAccount) -> None:
        """Forget one that no knowledge base uses."""
        await caller.workspace.knowledge.external.delete(str(external_knowledge_api_id))

    @get("/{external_knowledge_api_id:uuid}/use-check", opt=MEMBERS)
    async def use_check(self, external_knowledge_api_id: IdInPath, caller: ConsoleAccount) -> dict[str, Any]:
        """How many knowledge bases use it."""
        count = await caller.workspace.knowledge.external.uses(str(external_knowledge_api_id))
        return {"is_using": count > 0, "count": count}


class ExternalDatasetController(Controller):
    """The route that makes knowledge bases over registered APIs."""

    path = "/datasets"

    @post("/external", status_code=201, opt=WRITERS)
    async def create(self, data: JSONBody[ExternalDatasetBody], caller: ConsoleAccount) -> dict[str, Any]:
        """Make a knowledge base whose content is elsewhere."""
        new = NewDataset(
            name=data.name,
            description=data.description or "",
            provider="external",
            external_knowledge_api_id=data.external_knowledge_api_id,
            external_knowledge_id=data.external_knowledge_id,
            external_retrieval_model=data.external_retrieval_model,
        )
        return dataset_body(await caller.workspace.datasets.create(new, caller.account_id), members=True)
