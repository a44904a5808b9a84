"""The metadata fields of a tenant's knowledge bases, and their values on documents.

A document holds its values by the names of the fields, as filters ask for them; a binding says which fields it has.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
import sqlalchemy as sa
from dify_kernel.errors import BadInput, NotFound
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.engine import Database
from dify_host.db.statements import insert_missing
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.tables import dataset_metadata_bindings, dataset_metadatas, datasets, documents

__all__ = ["BUILT_IN_FIELDS", "DocumentValues", "FieldValue", "MetadataField", "MetadataFields", "MetadataList"]

FieldType = Literal["string", "number", "time"]
#: The fields that every document has once they are switched on; see `metadata.built_in_values`.
BUILT_IN_FIELDS: Final[dict[str, FieldType]] = {
    "document_name": "string",
    "uploader": "string",
    "upload_date": "time",
    "last_update_date": "time",
    "source": "string",
}
#: What a document may be called besides; kept for those who did so.
DOCUMENT_TYPES: Final = (
    *("book", "web_page", "paper", "social_media_post", "wikipedia_entry", "personal_document", "business_document"),
    *("im_chat_log", "synced_from_notion", "synced_from_github", "others"),
)
_LONGEST: Final = 255
_bindings = dataset_metadata_bindings


class MetadataField(msgspec.Struct, frozen=True, kw_only=True):
    """A field; `count` is how many documents have it."""

    id: str
    type: str
    name: str
    count: int = 0


class MetadataList(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a knowledge base, oldest first, and whether the built-in ones count."""

    doc_metadata: list[MetadataField]
    built_in_field_enabled: bool


class FieldValue(msgspec.Struct, frozen=True, kw_only=True):
    """The value of a field on a document; a time is in epoch seconds. The id alone says which field it is."""

    id: str
    name: str
    value: str | int | float | None = None


class DocumentValues(msgspec.Struct, frozen=True, kw_only=True):
    """The values of a document; with `partial_update` those that are not named stay."""

    document_id: str
    metadata_list: list[FieldValue]
    partial_update: bool = False


class MetadataFields:
    """The fields of one tenant's knowledge bases."""

    def __init__(self, db: Database, tenant: Tenant) -> None:
        self._db = db
        self._rows = KnowledgeRepository(db, tenant)

    async def list(self, dataset_id: str) -> MetadataList:
        """Every field; DatasetNotFound."""
        counts = (
            sa.select(sa.func.count())
            .where(_bindings.c.metadata_id == dataset_metadatas.c.id, self._rows.owned(_bindings))
            .correlate(dataset_metadatas)
            .scalar_subquery()
        )
        columns = [dataset_metadatas.c[name] for name in ("id", "type", "name")]
        query = self._rows.scoped_select(dataset_metadatas, *columns, counts.label("count"))
        query = query.where(dataset_metadatas.c.dataset_id == dataset_id)
        async with self._db.read() as conn:
            dataset = await self._rows.dataset(conn, dataset_id)
            rows = await conn.execute(query.order_by(dataset_metadatas.c.created_at, dataset_metadatas.c.id))
            fields = [MetadataField(id=row.id, type=row.type, name=row.name, count=row.count) for row in rows]
        return MetadataList(doc_metadata=fields, built_in_field_enabled=dataset.built_in_field_enabled)

    async def create(self, dataset_id: str, name: str, type: FieldType, account_id: str) -> MetadataField:
        """Add a field; BadInput for a name that is taken, also by a built-in field."""
        row = {"id": new_id(), "dataset_id": dataset_id, "type": type, "name": name, "created_by": account_id}
        async with self._db.write() as conn:
            await self._rows.dataset(conn, dataset_id, lock=True)
            await self._refuse_taken(conn, dataset_id, name)
            await conn.execute(self._rows.scoped_insert(dataset_metadatas, row))
        return MetadataField(id=row["id"], type=type, name=name)

    async def rename(self, dataset_id: str, metadata_id: str, name: str, account_id: str) -> MetadataField | None:
        """Give a field another name, on every document too; None when there is no such field."""
        async with self._db.write() as conn:
            await self._rows.dataset(conn, dataset_id, lock=True)
            field = next(iter(await self._fields(conn, dataset_id, [metadata_id])), None)
            if field is None:
                return None
            if field.name != name:
                await self._refuse_taken(conn, dataset_id, name)
            change = self._rows.scoped_update(dataset_metadatas, {"name": name, "updated_by": account_id})
            await conn.execute(change.where(dataset_metadatas.c.id == metadata_id))
            for document_id, values in await self._holders(conn, metadata_id):
                renamed = {(name if key == field.name else key): value for key, value in values.items()}
                await self._write(conn, document_id, renamed)
        return MetadataField(id=field.id, type=field.type, name=name)

    async def delete(self, dataset_id: str, metadata_id: str) -> None:
        """Delete a field, on every document too; nothing happens when there is no such field."""
        async with self._db.write() as conn:
            await self._rows.dataset(conn, dataset_id, lock=True)
            for field in await self._fields(conn, dataset_id, [metadata_id]):
                for document_id, values in await self._holders(conn, metadata_id):
                    kept = {key: value for key, value in values.items() if key != field.name}
                    await self._write(conn, document_id, kept)
                await conn.execute(self._rows.scoped_delete(_bindings).where(_bindings.c.metadata_id == metadata_id))
                gone = self._rows.scoped_delete(dataset_metadatas)
                await conn.execute(gone.where(dataset_metadatas.c.id == metadata_id))

    async def switch_built_in(self, dataset_id: str, action: str) -> None:
        """enable or disable the built-in fields; they are told from the documents when a filter asks for them."""
        if action not in ("enable", "disable"):
            raise BadInput(f"Action {action!r} is unknown.", hint="Use enable or disable.", field="action")
        async with self._db.write() as conn:
            await self._rows.dataset(conn, dataset_id, lock=True)
            change = self._rows.scoped_update(datasets, {"built_in_field_enabled": action == "enable"})
            await conn.execute(change.where(datasets.c.id == dataset_id))

    async def set_kind(
        self, dataset_id: str, document_id: str, doc_type: str | None, values: dict[str, Any] | None
    ) -> None:
        """Say what kind of text a document is, with values by name; others stay. BadInput for an unknown kind."""
        if doc_type is not None and doc_type not in DOCUMENT_TYPES:
            known = ", ".join(DOCUMENT_TYPES)
            raise BadInput(f"doc_type {doc_type!r} is unknown.", hint=f"Use one of: {known}.", field="doc_type")
        async with self._db.write() as conn:
            document = await self._rows.document(conn, dataset_id, document_id, lock=True)
            kept = {**(document.doc_metadata or {}), **(values or {})}
            change = self._rows.scoped_update(documents, {"doc_type": doc_type, "doc_metadata": kept})
            await conn.execute(change.where(documents.c.id == document_id))

    async def assign(self, dataset_id: str, given: Sequence[DocumentValues], account_id: str) -> None:
        """Set values on documents: all of them or, on an error, none. DocumentNotFound, NotFound for a field."""
        wanted = sorted({value.id for item in given for value in item.metadata_list})
        async with self._db.write() as conn:
            await self._rows.dataset(conn, dataset_id, lock=True)
            names = {field.id: field.name for field in await self._fields(conn, dataset_id, wanted)}
            if missing := [field_id for field_id in wanted if field_id not in names]:
                raise NotFound("Metadata not found.", hint="Add the field first.", metadata_id=missing[0])
            for item in given:
                await self._assign(conn, dataset_id, item, names, account_id)

    # -- inside -----------------------------------------------------------------------------------------------

    async def _assign(
        self, conn: AsyncConnection, dataset_id: str, item: DocumentValues, names: dict[str, str], account_id: str
    ) -> None:
        document = await self._rows.document(conn, dataset_id, item.document_id, lock=True)
        kept = dict(document.doc_metadata or {}) if item.partial_update else {}
        set_now = {names[value.id]: value.value for value in item.metadata_list}
        await self._write(conn, document.id, {**kept, **set_now})
        if not item.partial_update:
            await conn.execute(self._rows.scoped_delete(_bindings).where(_bindings.c.document_id == document.id))
        rows = [
            {
                "id": new_id(),
                "tenant_id": document.tenant_id,
                "dataset_id": dataset_id,
                "metadata_id": metadata_id,
                "document_id": document.id,
                "created_by": account_id,
            }
            for metadata_id in dict.fromkeys(value.id for value in item.metadata_list)
        ]
        await insert_missing(conn, _bindings, rows, key=["metadata_id", "document_id"])

    async def _refuse_taken(self, conn: AsyncConnection, dataset_id: str, name: str) -> None:
        if not 0 < len(name) <= _LONGEST:
            raise BadInput(f"Metadata name must have 1 to {_LONGEST} characters.", field="name")
        if name in BUILT_IN_FIELDS:
            raise BadInput("Metadata name already exists in Built-in fields.", field="name")
        taken = self._rows.scoped_select(dataset_metadatas, dataset_metadatas.c.id).where(
            dataset_metadatas.c.dataset_id == dataset_id, dataset_metadatas.c.name == name
        )
        if (await conn.execute(taken)).first() is not None:
            raise BadInput("Metadata name already exists.", field="name")

    async def _fields(self, conn: AsyncConnection, dataset_id: str, ids: Sequence[str]) -> builtins.list[MetadataField]:
        query = self._rows.scoped_select(dataset_metadatas).where(
            dataset_metadatas.c.dataset_id == dataset_id, dataset_metadatas.c.id.in_(ids)
        )
        return [MetadataField(id=row.id, type=row.type, name=row.name) for row in await conn.execute(query)]

    async def _holders(self, conn: AsyncConnection, metadata_id: str) -> builtins.list[tuple[str, dict[str, Any]]]:
        """The documents that have a field, with their values."""
        holding = self._rows.scoped_select(_bindings, _bindings.c.document_id).where(
            _bindings.c.metadata_id == metadata_id
        )
        query = self._rows.scoped_select(documents, documents.c.id, documents.c.doc_metadata)
        rows = await conn.execute(query.where(documents.c.id.in_(holding)).with_for_update())
        return [(row.id, dict(row.doc_metadata or {})) for row in rows]

    async def _write(self, conn: AsyncConnection, document_id: str, values: dict[str, Any]) -> None:
        change = self._rows.scoped_update(documents, {"doc_metadata": values})
        await conn.execute(change.where(documents.c.id == document_id))
