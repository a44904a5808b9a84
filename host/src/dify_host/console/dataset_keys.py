"""Keys of the knowledge API, and what a console needs to know before there is a knowledge base."""

from __future__ import annotations

from typing import Any

from litestar import Controller, delete, get, post
from litestar.params import FromPath, FromQuery

from dify_host.console.apps import key_view
from dify_host.console.shapes import base_url
from dify_host.http.callers import Call, platform_of
from dify_host.http.console_callers import ADMINS, DATASET_WRITERS, MEMBERS, WRITERS, ConsoleAccount
from dify_host.knowledge.access import Person
from dify_host.knowledge.errors import InvalidAction
from dify_host.knowledge.rules import ProcessRule
from dify_host.service.metadata import built_in_fields
from dify_host.service.shapes import IdInPath, Success

__all__ = ["DatasetKeyController", "KnowledgeSettingController"]


class DatasetKeyController(Controller):
    """Routes of keys: of the workspace, of one knowledge base, and whether that is open to them."""

    path = "/datasets"

    @get("/api-keys", opt=MEMBERS)
    async def listed(self, caller: ConsoleAccount) -> dict[str, Any]:
        """The keys, by their last four characters."""
        return {"data": [key_view(item) for item in await caller.workspace.api_keys.list("dataset")]}

    @post("/api-keys", status_code=200, opt=ADMINS)
    async def create(self, caller: ConsoleAccount) -> dict[str, Any]:
        """Make a key; this one answer shows it."""
        return key_view(await caller.workspace.api_keys.create("dataset"))

    @delete("/api-keys/{api_key_id:uuid}", status_code=204, opt=ADMINS)
    async def remove(self, api_key_id: IdInPath, caller: ConsoleAccount) -> None:
        """Delete a key; it is refused within two seconds."""
        await caller.workspace.api_keys.delete(str(api_key_id), type="dataset")

    @get("/api-base-info", opt=MEMBERS)
    async def base_info(self, caller: ConsoleAccount, request: Call) -> dict[str, Any]:
        """The address of the knowledge API."""
        return {"api_base_url": f"{base_url(request)}/v1"}

    @post("/{dataset_id:uuid}/api-keys/{status:str}", status_code=200, opt=DATASET_WRITERS)
    async def switch(self, dataset_id: IdInPath, status: FromPath[str], caller: ConsoleAccount) -> Success:
        """enable or disable the API of one knowledge base."""
        if status not in ("enable", "disable"):
            raise InvalidAction(f"Status {status!r} is unknown.", hint="Use enable or disable.")
        await caller.workspace.datasets.switch_api(str(dataset_id), status == "enable", caller.account_id)
        return Success()

    @get("/{dataset_id:uuid}/api-keys", opt=MEMBERS)
    async def of_one(self, dataset_id: IdInPath, caller: ConsoleAccount) -> dict[str, Any]:
        """Keys that open this knowledge base alone, by their last four characters."""
        found = await caller.workspace.api_keys.list("dataset", dataset_id=str(dataset_id))
        return {"data": [key_view(item) for item in found]}

    @post("/{dataset_id:uuid}/api-keys", status_code=201, opt=WRITERS)
    async def create_of_one(self, dataset_id: IdInPath, caller: ConsoleAccount) -> dict[str, Any]:
        """Make a key that opens this knowledge base alone; this one answer shows it."""
        return key_view(await caller.workspace.api_keys.create("dataset", dataset_id=str(dataset_id)))

    @delete("/{dataset_id:uuid}/api-keys/{api_key_id:uuid}", status_code=204, opt=ADMINS)
    async def remove_of_one(self, dataset_id: IdInPath, api_key_id: IdInPath, caller: ConsoleAccount) -> None:
        """Delete a key of this knowledge base; it is refused within two seconds."""
        await caller.workspace.api_keys.delete(str(api_key_id), type="dataset", dataset_id=str(dataset_id))


class KnowledgeSettingController(Controller):
    """What is the same for every knowledge base."""

    path = "/datasets"
    opt = MEMBERS

    @get("/retrieval-setting")
    async def methods(self, caller: ConsoleAccount, request: Call) -> dict[str, Any]:
        """The search methods of the store where new knowledge bases go."""
        stores = platform_of(request).vectors
        return {"retrieval_method": stores.search_methods(stores.default)}

    @get("/retrieval-setting/{vector_type:str}")
    async def methods_of(self, vector_type: FromPath[str], caller: ConsoleAccount, request: Call) -> dict[str, Any]:
        """The search methods of an installed store."""
        return {"retrieval_method": platform_of(request).vectors.search_methods(vector_type)}

    @get("/process-rule")
    async def process_rule(
        self, caller: ConsoleAccount, request: Call, document_id: FromQuery[str | None] = None
    ) -> dict[str, Any]:
        """The automatic rule, or the newest one of the knowledge base of a document."""
        rule = ProcessRule()
        lists = caller.workspace.knowledge.lists
        dataset_id = await lists.dataset_of(document_id) if document_id else None
        if dataset_id is not None:
            person = Person(account_id=caller.account_id, role=caller.role)
            await caller.workspace.datasets.access.require(dataset_id, person)
            rule = await lists.rule(dataset_id)
        longest = platform_of(request).knowledge_settings.indexing_max_segmentation_tokens_length
        limits = {"indexing_max_segmentation_tokens_length": longest}
        return {"mode": rule.mode, "rules": rule.effective, "limits": limits}

    @get("/metadata/built-in")
    async def built_in(self, caller: ConsoleAccount) -> dict[str, Any]:
        """The fields that every document has, once they are switched on."""
        return built_in_fields()
