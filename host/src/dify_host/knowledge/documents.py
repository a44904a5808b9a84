"""Documents of one tenant: create, replace, show, list, switch, delete. Each row is written with its indexing job."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, Final, Literal

import msgspec
import sqlalchemy as sa
from dify_kernel.contracts.storage import Storage
from dify_kernel.errors import BadInput
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.engine import Database
from dify_host.db.repository import Page, to_struct
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id, utc_now
from dify_host.knowledge.datasets import DatasetService
from dify_host.knowledge.document_change import DocForm, DocumentChange, changed_values
from dify_host.knowledge.document_views import (
    DocumentDetail,
    DocumentFilter,
    DocumentView,
    DocumentViews,
    IndexingStatus,
)
from dify_host.knowledge.emptying import forget_later
from dify_host.knowledge.errors import (
    ArchivedDocumentImmutable,
    DocumentIndexing,
    DocumentNotFound,
    InvalidAction,
)
from dify_host.knowledge.extract.formats import extension_of
from dify_host.knowledge.index_writer import IndexWriter
from dify_host.knowledge.links import Links
from dify_host.knowledge.pictures import DocumentPictures
from dify_host.knowledge.pipeline_documents import CREATED_FROM, SourceItem
from dify_host.knowledge.records import Dataset, Document
from dify_host.knowledge.remote import UPLOAD_FILE
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.rules import ProcessRule, check_rule
from dify_host.knowledge.settings import KnowledgeSettings
from dify_host.knowledge.source_files import SourceFiles
from dify_host.knowledge.tables import (
    child_chunks,
    dataset_metadata_bindings,
    dataset_process_rules,
    datasets,
    document_questions,
    document_segments,
    documents,
    segment_attachment_bindings,
)
from dify_host.knowledge.tasks import INDEX, Tasks
from dify_host.pipelines.of_datasets import PipelinesOfDatasets

__all__ = ["DocumentCreated", "DocumentOptions", "DocumentService", "DocumentText", "new_batch"]

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
_NOTHING_ELSE: Final = DocumentChange()
_OF_DOCUMENT = (
    segment_attachment_bindings,
    child_chunks,
    document_segments,
    document_questions,
    dataset_metadata_bindings,
)


class DocumentOptions(msgspec.Struct, kw_only=True):
    """How to index a document. What is not given comes from the dataset."""

    indexing_technique: Literal["high_quality", "economy"] | None = None
    process_rule: ProcessRule | None = None
    doc_form: DocForm = "text_model"
    doc_language: str = "English"
    embedding_model: str | None = None
    embedding_model_provider: str | None = None
    retrieval_model: dict[str, Any] | None = None
    created_from: Literal["api", "web"] = "api"
    batch: str | None = None


class DocumentText(msgspec.Struct, kw_only=True):
    """A document given as text."""

    name: Name
    text: str


class DocumentCreated(msgspec.Struct, kw_only=True):
    """The document, and the batch to ask `indexing_status` for."""

    document: DocumentView
    batch: str


def new_batch() -> str:
    """The name of a batch: the second, and six digits by chance."""
    return time.strftime("%Y%m%d%H%M%S") + str(100_000 + secrets.randbelow(900_000))


class DocumentService:
    """The documents of one tenant. `storage` keeps texts until they are indexed, beside uploaded files.

    `admit` gives the extension of a file that can be read, and raises for another.
    """

    def __init__(
        self,
        db: Database,
        tenant: Tenant,
        storage: Storage,
        datasets: DatasetService,
        writer: IndexWriter,
        *,
        settings: KnowledgeSettings | None = None,
        admit: Callable[[str], str] = extension_of,
    ) -> None:
        self._db = db
        self._admit = admit
        self._datasets = datasets
        self._writer = writer
        self._settings = settings or KnowledgeSettings()
        self._rows = KnowledgeRepository(db, tenant)
        self._links = Links(db, tenant)
        self._files = SourceFiles(db, tenant, storage)
        self._pictures = DocumentPictures(db, tenant, storage)
        self._tasks = Tasks(db, tenant, slots=self._settings.tenant_isolated_task_concurrency)
        self._views = DocumentViews(self._rows, self._links)

    # -- create and replace ------------------------------------------------------------------------------------

    async def create_by_text(
        self, dataset_id: str, text: DocumentText, options: DocumentOptions, user_id: str
    ) -> DocumentCreated:
        """Keep the text and queue its indexing. A first document needs an indexing technique and a process rule."""
        await self._require(dataset_id)
        upload_id = await self._files.keep_text(text.name, text.text, user_id)
        async with self.unless_refused(upload_id):
            return await self._create(dataset_id, _uploaded(upload_id, text.name), options, user_id)

    async def create_by_file(
        self, dataset_id: str, upload_file_id: str, options: DocumentOptions, user_id: str
    ) -> DocumentCreated:
        """Queue the indexing of an uploaded file; UnsupportedFileType when its extension cannot be read."""
        async with self._db.read() as conn:
            upload = await self._links.upload(conn, upload_file_id)
        self._admit(f"file.{upload.extension}")
        return await self._create(dataset_id, _uploaded(upload.id, upload.name), options, user_id)

    async def create_by_source(
        self, dataset_id: str, kind: str, item: SourceItem, options: DocumentOptions, user_id: str
    ) -> DocumentCreated:
        """Queue the reading and indexing of a page or document of an outside source."""
        return await self._create(dataset_id, item, options, user_id, kind=kind)

    async def update(self, dataset_id: str, document_id: str, change: DocumentChange, user_id: str) -> DocumentCreated:
        """Change a document and index it again; DocumentIndexing while it is being indexed."""
        async with self._db.write() as conn:
            document = await self._rows.document(conn, dataset_id, document_id, lock=True)
            _refuse_archived(document)
            if document.indexing_status not in ("completed", "error"):
                raise DocumentIndexing("The document is being indexed.", hint="Wait.", document_id=document_id)
            rule_id, form = document.dataset_process_rule_id, change.doc_form or document.doc_form
            if change.process_rule is not None:
                rule_id = await self._rule_id(conn, dataset_id, change.process_rule, form, user_id)
            elif form != document.doc_form:
                self._check(await self._rows.process_rule(conn, rule_id), form)
            await self._change(conn, document_id, changed_values(document, change, rule_id))
            if change.upload_id is not None:
                await self._links.use_upload(conn, change.upload_id, user_id)
            await self._tasks.add(conn, INDEX, dataset_id, [document_id])
            created = await self._created(conn, dataset_id, document_id)
        await self._files.drop_unused([document.file_id])
        return created

    async def update_by_text(
        self,
        dataset_id: str,
        document_id: str,
        text: DocumentText,
        user_id: str,
        change: DocumentChange = _NOTHING_ELSE,
    ) -> DocumentCreated:
        """`update` with a new text and its name."""
        await self._require(dataset_id, document_id)
        upload_id = await self._files.keep_text(text.name, text.text, user_id)
        change = msgspec.structs.replace(change, upload_id=upload_id, name=text.name)
        async with self.unless_refused(upload_id):
            return await self.update(dataset_id, document_id, change, user_id)

    async def update_by_file(
        self,
        dataset_id: str,
        document_id: str,
        upload_file_id: str,
        user_id: str,
        change: DocumentChange = _NOTHING_ELSE,
    ) -> DocumentCreated:
        """`update` with an uploaded file, whose name it takes unless another is given."""
        async with self._db.read() as conn:
            upload = await self._links.upload(conn, upload_file_id)
        self._admit(f"file.{upload.extension}")
        change = msgspec.structs.replace(change, upload_id=upload.id, name=change.name or upload.name)
        return await self.update(dataset_id, document_id, change, user_id)

    def unless_refused(self, upload_id: str) -> AbstractAsyncContextManager[None]:
        """Within it, an error deletes the file, which was kept for this alone and which no document has."""
        return self._files.unless_refused(upload_id)

    # -- show --------------------------------------------------------------------------------------------------

    async def find(
        self,
        dataset_id: str,
        *,
        page: int = 1,
        limit: int = 20,
        keyword: str = "",
        status: str | None = None,
        sort: str = "",
    ) -> Page[DocumentView]:
        """List newest first; `status` is a display status, `sort` hit_count or created_at, with `-` descending."""
        wanted = DocumentFilter(keyword=keyword, status=status, sort=sort)
        async with self._db.read() as conn:
            await self._rows.dataset(conn, dataset_id)
            return await self._views.find(conn, dataset_id, wanted, page=page, limit=limit)

    async def get(self, dataset_id: str, document_id: str) -> DocumentDetail:
        """Show one with its rules and figures."""
        async with self._db.read() as conn:
            return await self._views.detail(conn, await self._rows.document(conn, dataset_id, document_id))

    async def indexing_status(self, dataset_id: str, batch: str) -> list[IndexingStatus]:
        """How far the documents of a batch are; DocumentNotFound for an unknown batch."""
        query = self._rows.scoped_select(documents).where(
            documents.c.dataset_id == dataset_id, documents.c.batch == batch
        )
        async with self._db.read() as conn:
            rows = await conn.execute(query.order_by(documents.c.position, documents.c.id))
            found = [to_struct(row, Document) for row in rows]
            if not found:
                raise DocumentNotFound("Documents not found.", batch=batch)
            return await self._views.statuses(conn, found)

    # -- switch ------------------------------------------------------------------------------------------------

    async def set_status(self, dataset_id: str, action: str, document_ids: Sequence[str], user_id: str) -> None:
        """enable, disable, archive or un_archive; all of the documents or, on an error, none.

        Searches look at the row, so the change counts at once and the index is not touched.
        """
        now = utc_now()
        changes: dict[str, dict[str, Any]] = {
            "enable": {"enabled": True, "disabled_at": None, "disabled_by": None},
            "disable": {"enabled": False, "disabled_at": now, "disabled_by": user_id},
            "archive": {"archived": True, "archived_at": now, "archived_by": user_id},
            "un_archive": {"archived": False, "archived_at": None, "archived_by": None},
        }
        if action not in changes:
            raise InvalidAction(f"Action {action!r} is unknown.", hint=f"Use one of: {', '.join(changes)}.")
        async with self._db.write() as conn:
            for document_id in document_ids:
                document = await self._rows.document(conn, dataset_id, document_id, lock=True)
                if document.indexing_status != "completed" and action in ("disable", "archive"):
                    raise DocumentIndexing(
                        f"Document {document.name} is not completed.", hint="Try again later.", document_id=document_id
                    )
                await self._change(conn, document_id, changes[action])

    async def pause(self, dataset_id: str, document_id: str, user_id: str) -> None:
        """Stop indexing at the next step; InvalidAction when it has ended."""
        async with self._db.write() as conn:
            document = await self._rows.document(conn, dataset_id, document_id, lock=True)
            if document.indexing_status in ("completed", "error"):
                raise InvalidAction("The document is not being indexed.", document_id=document_id)
            await self._change(conn, document_id, {"is_paused": True, "paused_by": user_id, "paused_at": utc_now()})

    async def resume(self, dataset_id: str, document_id: str) -> None:
        """Go on indexing where it was paused; InvalidAction when it was not."""
        async with self._db.write() as conn:
            document = await self._rows.document(conn, dataset_id, document_id, lock=True)
            if not document.is_paused:
                raise InvalidAction("The document is not paused.", document_id=document_id)
            await self._change(conn, document_id, {"is_paused": False, "paused_by": None, "paused_at": None})
            await self._tasks.add(conn, INDEX, dataset_id, [document_id])

    async def retry(self, dataset_id: str, document_id: str) -> None:
        """Try a failed document again: from its segments where it has them, else from the file, or by its pipeline."""
        async with self._db.write() as conn:
            document = await self._rows.document(conn, dataset_id, document_id, lock=True)
            # One of which some children have no vector is completed, and says so.
            faulty = sa.or_(document_segments.c.status == "error", document_segments.c.error.is_not(None))
            failed = document_segments.c.document_id == document_id, faulty
            fresh = {"status": "waiting", "error": None, "stopped_at": None}
            again = self._rows.scoped_update(document_segments, fresh).where(*failed)
            repeated = (await conn.execute(again)).rowcount
            if document.indexing_status != "error" and not (repeated and document.indexing_status == "completed"):
                raise InvalidAction("The document has not failed.", document_id=document_id)
            status = "indexing" if document.splitting_completed_at else "waiting"
            if document.created_from == CREATED_FROM:
                await PipelinesOfDatasets(self._db, self._rows.tenant).run_again(conn, document_id)
                status = "waiting"
            else:
                await self._tasks.add(conn, INDEX, dataset_id, [document_id])
            await self._change(conn, document_id, {"indexing_status": status, "error": None, "stopped_at": None})

    async def process(self, dataset_id: str, document_id: str, action: str, user_id: str) -> None:
        """pause or resume; InvalidAction for another word."""
        if action == "pause":
            await self.pause(dataset_id, document_id, user_id)
        elif action == "resume":
            await self.resume(dataset_id, document_id)
        else:
            raise InvalidAction(f"Action {action!r} is unknown.", hint="Use pause or resume.")

    async def retry_all(self, dataset_id: str, document_ids: Sequence[str]) -> None:
        """Try failed documents again; those that have not failed, and those that are gone, are passed over."""
        for document_id in dict.fromkeys(document_ids):
            with contextlib.suppress(InvalidAction, DocumentNotFound):
                await self.retry(dataset_id, document_id)

    async def delete_all(self, dataset_id: str, document_ids: Sequence[str]) -> None:
        """Delete documents: what keeps one of them from it is told before any is deleted."""
        async with self._db.read() as conn:
            found = [await self._rows.document(conn, dataset_id, item) for item in dict.fromkeys(document_ids)]
        for document in found:
            _refuse_archived(document)
        for document in found:
            await self.delete(dataset_id, document.id)

    async def rename(self, dataset_id: str, document_id: str, name: str) -> DocumentView:
        """Give the document another name of 1 to 255 characters."""
        if not 0 < len(name) <= 255:
            raise BadInput("name must have 1 to 255 characters.")
        async with self._db.write() as conn:
            await self._rows.document(conn, dataset_id, document_id, lock=True)
            await self._change(conn, document_id, {"name": name})
            return (await self._views.views(conn, [await self._rows.document(conn, dataset_id, document_id)]))[0]

    async def delete(self, dataset_id: str, document_id: str) -> None:
        """Delete a document with its segments and file; work on it stops at its next step.

        ArchivedDocumentImmutable for an archived one.
        """
        async with self._db.read() as conn:
            dataset = await self._rows.dataset(conn, dataset_id)
            document = await self._rows.document(conn, dataset_id, document_id)
            held = await self._tasks.in_hand(conn, target_id=document_id)
        _refuse_archived(document)
        await self._writer.remove_document(dataset, document_id)
        async with self._db.write() as conn:
            # The row goes first: who writes beside this has locked it, and is waited for.
            await conn.execute(self._rows.scoped_delete(documents).where(documents.c.id == document_id))
            for table in _OF_DOCUMENT:
                await conn.execute(self._rows.scoped_delete(table).where(table.c.document_id == document_id))
            await forget_later(conn, self._tasks, dataset_id, document_id, held=held)
        await self._files.drop_unused([document.file_id])
        await self._pictures.drop(dataset_id, document_id)

    # -- inside ------------------------------------------------------------------------------------------------

    async def _require(self, dataset_id: str, document_id: str | None = None) -> None:
        """Refuse early, before anything is stored."""

        async def found(conn: AsyncConnection) -> None:
            await self._rows.dataset(conn, dataset_id)
            if document_id is not None:
                await self._rows.document(conn, dataset_id, document_id)

        await self._db.read_inline(found)

    async def _create(
        self, dataset_id: str, item: SourceItem, options: DocumentOptions, user_id: str, *, kind: str = UPLOAD_FILE
    ) -> DocumentCreated:
        dataset = await self._db.read_inline(lambda conn: self._rows.dataset(conn, dataset_id))
        if dataset.provider == "external":
            raise BadInput("External datasets are not supported.", dataset_id=dataset_id)
        model = await self._first_model(dataset, options)

        async def create(conn: AsyncConnection) -> DocumentCreated:
            dataset = await self._rows.dataset(conn, dataset_id, lock=True)
            await self._initialise(conn, dataset, options, model, kind)
            rule_id = await self._rule_id(conn, dataset_id, options.process_rule, options.doc_form, user_id)
            values = {
                "id": new_id(),
                "dataset_id": dataset_id,
                "position": await self._next_position(conn, dataset_id),
                "data_source_type": kind,
                "data_source_info": item.info,
                "file_id": item.upload_id,
                "dataset_process_rule_id": rule_id,
                "batch": options.batch or new_batch(),
                "name": item.name,
                "created_from": options.created_from,
                "created_by": user_id,
                "doc_form": options.doc_form,
                "doc_language": options.doc_language,
            }
            await conn.execute(self._rows.scoped_insert(documents, values))
            if item.upload_id:
                await self._links.use_upload(conn, item.upload_id, user_id)
            await self._tasks.add(conn, INDEX, dataset_id, [str(values["id"])])
            return await self._created(conn, dataset_id, str(values["id"]))

        return await self._db.write_inline(create)

    async def _created(self, conn: AsyncConnection, dataset_id: str, document_id: str) -> DocumentCreated:
        document = await self._rows.document(conn, dataset_id, document_id)
        (view,) = await self._views.views(conn, [document])
        return DocumentCreated(document=view, batch=document.batch)

    async def _first_model(self, dataset: Dataset, options: DocumentOptions) -> tuple[str, str] | None:
        """The embedding model that the first document brings to a dataset without technique."""
        if dataset.indexing_technique is not None or options.indexing_technique != "high_quality":
            return None
        return await self._datasets.embedding_model(options.embedding_model_provider, options.embedding_model)

    async def _initialise(
        self,
        conn: AsyncConnection,
        dataset: Dataset,
        options: DocumentOptions,
        model: tuple[str, str] | None,
        kind: str,
    ) -> None:
        """Give a dataset without source or technique that of its first document."""
        if dataset.data_source_type is None:
            first = self._rows.scoped_update(datasets, {"data_source_type": kind})
            await conn.execute(first.where(datasets.c.id == dataset.id))
        if dataset.indexing_technique is not None:
            return
        if options.indexing_technique is None:
            raise BadInput("indexing_technique is required.", hint="Use high_quality or economy.")
        values = await self._datasets.technique_values(conn, options.indexing_technique, model)
        if options.retrieval_model is not None:
            values["retrieval_model"] = options.retrieval_model
        await conn.execute(self._rows.scoped_update(datasets, values).where(datasets.c.id == dataset.id))

    async def _rule_id(
        self, conn: AsyncConnection, dataset_id: str, rule: ProcessRule | None, doc_form: str, user_id: str
    ) -> str:
        """Keep a new rule; without one, the dataset's latest, which must suit the form."""
        if rule is None:
            latest = await self._rows.latest_rule_id(conn, dataset_id)
            if latest is None:
                raise BadInput("process_rule is required.", hint="The first document of a dataset brings the rule.")
            self._check(await self._rows.process_rule(conn, latest), doc_form)
            return latest
        self._check(rule, doc_form)
        values = {
            "id": new_id(),
            "dataset_id": dataset_id,
            "mode": rule.mode,
            "rules": msgspec.to_builtins(rule.effective),
            "created_by": user_id,
        }
        await conn.execute(dataset_process_rules.insert().values(values))
        return str(values["id"])

    def _check(self, rule: ProcessRule, doc_form: str) -> None:
        check_rule(rule, doc_form=doc_form, max_length=self._settings.indexing_max_segmentation_tokens_length)

    async def _next_position(self, conn: AsyncConnection, dataset_id: str) -> int:
        highest = self._rows.scoped_select(documents, sa.func.max(documents.c.position))
        return ((await conn.execute(highest.where(documents.c.dataset_id == dataset_id))).scalar_one() or 0) + 1

    async def _change(self, conn: AsyncConnection, document_id: str, values: dict[str, Any]) -> None:
        await conn.execute(self._rows.scoped_update(documents, values).where(documents.c.id == document_id))


def _uploaded(upload_id: str, name: str) -> SourceItem:
    return SourceItem(name=name, info={"upload_file_id": upload_id}, upload_id=upload_id)


def _refuse_archived(document: Document) -> None:
    if document.archived:
        raise ArchivedDocumentImmutable("The archived document is not editable.", document_id=document.id)
