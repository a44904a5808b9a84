"""Metadata of documents, and trying a knowledge base: the same bodies and answers as in the Service API."""

from __future__ import annotations

from typing import Any

from litestar import Controller, delete, get, patch, post
from litestar.params import FromPath, JSONBody

from dify_host.http.console_callers import DATASET_WRITERS, MEMBERS, ConsoleAccount
from dify_host.knowledge.retrieval import Asker
from dify_host.service.metadata import FieldBody, FieldNameBody, ValuesBody, field_body
from dify_host.service.retrieve import RetrieveBody, external_hits, hits
from dify_host.service.shapes import IdInPath, Success, shown

__all__ = ["DatasetMetadataController", "HitTestController"]


class ConsoleQuestion(RetrieveBody, kw_only=True, forbid_unknown_fields=False):
    """A question, as the console sends it."""


class ConsoleValues(ValuesBody, kw_only=True, forbid_unknown_fields=False):
    """Values of documents, as the console sends them."""


class ConsoleField(FieldBody, kw_only=True, forbid_unknown_fields=False):
    """A new field, as the console sends it."""


class DatasetMetadataController(Controller):
    """Routes of metadata."""

    path = "/datasets/{dataset_id:uuid}"

    @get("/metadata", opt=MEMBERS)
    async def listed(self, dataset_id: IdInPath, caller: ConsoleAccount) -> dict[str, Any]:
        """The fields, each with how many documents have it."""
        found: dict[str, Any] = shown(await caller.workspace.metadata_fields.list(str(dataset_id)))
        return found

    @post("/metadata", status_code=201, opt=DATASET_WRITERS)
    async def create(
        self, dataset_id: IdInPath, data: JSONBody[ConsoleField], caller: ConsoleAccount
    ) -> dict[str, Any]:
        """Add a field."""
        fields = caller.workspace.metadata_fields
        return field_body(await fields.create(str(dataset_id), data.name, data.type, caller.account_id))

    @patch("/metadata/{metadata_id:uuid}", opt=DATASET_WRITERS)
    async def rename(
        self, dataset_id: IdInPath, metadata_id: IdInPath, data: JSONBody[FieldNameBody], caller: ConsoleAccount
    ) -> dict[str, Any]:
        """Give a field another name."""
        fields = caller.workspace.metadata_fields
        return field_body(await fields.rename(str(dataset_id), str(metadata_id), data.name, caller.account_id))

    @delete("/metadata/{metadata_id:uuid}", status_code=204, opt=DATASET_WRITERS)
    async def remove(self, dataset_id: IdInPath, metadata_id: IdInPath, caller: ConsoleAccount) -> None:
        """Delete a field with its values."""
        await caller.workspace.metadata_fields.delete(str(dataset_id), str(metadata_id))

    @post("/metadata/built-in/{action:str}", status_code=200, opt=DATASET_WRITERS)
    async def switch_built_in(self, dataset_id: IdInPath, action: FromPath[str], caller: ConsoleAccount) -> Success:
        """enable or disable the built-in fields."""
        await caller.workspace.metadata_fields.switch_built_in(str(dataset_id), action)
        return Success()

    @post("/documents/metadata", status_code=200, opt=DATASET_WRITERS)
    async def assign(self, dataset_id: IdInPath, data: JSONBody[ConsoleValues], caller: ConsoleAccount) -> Success:
        """Set values on documents."""
        await caller.workspace.metadata_fields.assign(str(dataset_id), data.operation_data, caller.account_id)
        return Success()


class HitTestController(Controller):
    """Routes that ask one knowledge base."""

    path = "/datasets/{dataset_id:uuid}"
    opt = MEMBERS

    @post("/hit-testing", status_code=200)
    async def hit_testing(
        self, dataset_id: IdInPath, data: JSONBody[ConsoleQuestion], caller: ConsoleAccount
    ) -> dict[str, Any]:
        """The segments that answer best, best first."""
        found = await hits(caller.workspace, str(dataset_id), data, Asker(user_id=caller.account_id))
        await caller.workspace.knowledge.recorded()
        return found

    @post("/external-hit-testing", status_code=200)
    async def external_hit_testing(
        self, dataset_id: IdInPath, data: JSONBody[ConsoleQuestion], caller: ConsoleAccount
    ) -> dict[str, Any]:
        """What the API of an external knowledge base answers."""
        found = await external_hits(caller.workspace, str(dataset_id), data, Asker(user_id=caller.account_id))
        await caller.workspace.knowledge.recorded()
        return found
