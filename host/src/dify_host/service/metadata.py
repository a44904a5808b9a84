"""Metadata fields of knowledge bases, and their values on documents."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from litestar import Controller, delete, get, patch, post
from litestar.params import FromPath, JSONBody

from dify_host.http.callers import DatasetKey
from dify_host.knowledge.metadata_fields import BUILT_IN_FIELDS, DocumentValues, MetadataField
from dify_host.service.shapes import Deleted, IdInPath, Success, deleted, shown

__all__ = ["FieldBody", "FieldNameBody", "MetadataController", "ValuesBody", "built_in_fields", "field_body"]

FieldName = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class FieldBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A new field."""

    type: Literal["string", "number", "time"]
    name: FieldName


class FieldNameBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Another name of a field."""

    name: FieldName


class ValuesBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Values of documents."""

    operation_data: list[DocumentValues]


class MetadataController(Controller):
    """Routes of metadata."""

    path = "/datasets/{dataset_id:uuid}"
    tags = ("Metadata",)

    @get("/metadata")
    async def listed(self, dataset_id: IdInPath, caller: DatasetKey) -> dict[str, Any]:
        """The fields of a knowledge base, each with how many documents have it."""
        found: dict[str, Any] = shown(await caller.workspace.metadata_fields.list(str(dataset_id)))
        return found

    @post("/metadata", status_code=201)
    async def create(self, dataset_id: IdInPath, data: JSONBody[FieldBody], caller: DatasetKey) -> dict[str, Any]:
        """Add a field."""
        fields = caller.workspace.metadata_fields
        return field_body(await fields.create(str(dataset_id), data.name, data.type, caller.owner_id))

    @patch("/metadata/{metadata_id:uuid}")
    async def rename(
        self, dataset_id: IdInPath, metadata_id: IdInPath, data: JSONBody[FieldNameBody], caller: DatasetKey
    ) -> dict[str, Any]:
        """Give a field another name; of an unknown one the answer has null everywhere."""
        fields = caller.workspace.metadata_fields
        return field_body(await fields.rename(str(dataset_id), str(metadata_id), data.name, caller.owner_id))

    @delete("/metadata/{metadata_id:uuid}", status_code=200)
    async def remove(self, dataset_id: IdInPath, metadata_id: IdInPath, caller: DatasetKey) -> Deleted:
        """Delete a field with its values; one that is not there is deleted already."""
        await caller.workspace.metadata_fields.delete(str(dataset_id), str(metadata_id))
        return deleted()

    @get("/metadata/built-in")
    async def built_in(self, dataset_id: IdInPath, caller: DatasetKey) -> dict[str, Any]:
        """The fields that every document has, once they are switched on."""
        return built_in_fields()

    @post("/metadata/built-in/{action:str}", status_code=200)
    async def switch_built_in(self, dataset_id: IdInPath, action: FromPath[str], caller: DatasetKey) -> Success:
        """enable or disable the built-in fields."""
        await caller.workspace.metadata_fields.switch_built_in(str(dataset_id), action)
        return Success()

    @post("/documents/metadata", status_code=200)
    async def assign(self, dataset_id: IdInPath, data: JSONBody[ValuesBody], caller: DatasetKey) -> Success:
        """Set values on documents: all of them or, on an error, none."""
        await caller.workspace.metadata_fields.assign(str(dataset_id), data.operation_data, caller.owner_id)
        return Success()


def built_in_fields() -> dict[str, Any]:
    """The built-in fields as the API lists them."""
    return {"fields": [{"name": name, "type": type} for name, type in BUILT_IN_FIELDS.items()]}


def field_body(field: MetadataField | None) -> dict[str, Any]:
    """A field in an answer; null everywhere when there is none."""
    return {name: getattr(field, name, None) for name in ("id", "type", "name")}
