"""The job that indexes one document: extract, clean, cut, embed; resumable after a crash at any point.

waiting -> parsing -> cleaning -> splitting -> indexing -> completed, or error. Every change of state is a
compare-and-set on the row: of two runs of one document (a queue may deliver twice) one goes on and the other stops.
Before the segments exist the work starts over, as nothing was written; their rows and the state `indexing` are one
transaction; after it, only segments that are not completed are worked on.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import sqlalchemy as sa
from dify_kernel.contracts.ports import ModelsPort
from dify_kernel.contracts.storage import Storage
from dify_kernel.errors import BadInput, DifyError

from dify_host.db.engine import Database
from dify_host.db.errors import DatabaseError
from dify_host.db.repository import to_struct
from dify_host.db.tenant import Tenant
from dify_host.db.types import utc_now
from dify_host.knowledge.attachments import MOST_ATTACHMENTS
from dify_host.knowledge.chunk import chunk_texts
from dify_host.knowledge.clean import clean
from dify_host.knowledge.document_run import DocumentRun, Stopped
from dify_host.knowledge.emptying import forget_missing
from dify_host.knowledge.errors import DatasetNotFound, DocumentNotFound, ExtractionFailed
from dify_host.knowledge.extract.extractor import Extractor, Illustrated, illustrated_text
from dify_host.knowledge.index_writer import IndexWriter
from dify_host.knowledge.kept_questions import KeptQuestions
from dify_host.knowledge.links import Links
from dify_host.knowledge.patience import Patience, Told
from dify_host.knowledge.picture_fetch import PictureFetcher
from dify_host.knowledge.pictures import DocumentPictures, pictures_in
from dify_host.knowledge.questions import Questions
from dify_host.knowledge.records import Dataset, Document
from dify_host.knowledge.remote import RemoteDocuments, is_remote
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.rules import ProcessRule
from dify_host.knowledge.tables import documents
from dify_host.knowledge.tasks import Task, Tasks
from dify_host.knowledge.vectors import VectorStores

__all__ = ["Indexer"]

BEFORE_SEGMENTS = ("waiting", "parsing", "cleaning", "splitting")

Notify = Callable[[str, str, str, str], None]


class Indexer:
    """Runs indexing jobs of every tenant; one per process.

    `models` gives the models of a tenant, `remote` what reads its documents of outside sources, `fetcher` the pictures
    that documents link to. `notify` is called with tenant, dataset and document id and the final status, when a
    document is completed or has failed.
    """

    def __init__(
        self,
        db: Database,
        storage: Storage,
        stores: VectorStores,
        models: Callable[[Tenant], ModelsPort],
        *,
        extractor: Extractor | None = None,
        notify: Notify | None = None,
        patience: Patience | None = None,
        remote: Callable[[Tenant], RemoteDocuments] | None = None,
        fetcher: PictureFetcher | None = None,
    ) -> None:
        self._db = db
        self._fetcher = fetcher
        self._remote = remote
        self._storage = storage
        self._stores = stores
        self._models = models
        self._extractor = extractor or Extractor()
        self._notify = notify
        self._patience = patience or Patience()

    @property
    def extractor(self) -> Extractor:
        """What reads documents, so many at a time in a process."""
        return self._extractor

    async def run(self, document_id: str, *, until: float = math.inf, told: Told | None = None) -> bool:
        """Bring the document to `completed` or `error`; harmless when it is there, paused or gone.

        False when `until` (of the monotonic clock) came first: another call goes on. `told` hears what it waits for.

        What is wrong with the document, model or store ends in the row, not in an exception. Raises when the database
        fails, so that the job is delivered again, and for a fault of ours, which stands in the row too.
        """
        document = await self._load(document_id)
        return document is None or await self._bring(document, until, told)

    async def _bring(self, document: Document, until: float, told: Told | None) -> bool:
        if document.is_paused or document.indexing_status in ("completed", "error"):
            return True
        tenant = Tenant(document.tenant_id)
        rows = KnowledgeRepository(self._db, tenant)
        models = self._models(tenant)
        writer = IndexWriter(rows, self._stores, models, patience=self._patience, told=told)
        questions = Questions(models, document.doc_language or "", patience=self._patience, told=told)
        remote = self._remote(tenant) if self._remote else None
        parts = self._storage, self._extractor, self._patience, questions, remote, self._fetcher
        run = _Run(rows, writer, document, *parts)
        try:
            if not await run.work(until):
                return False
        except (Stopped, DatasetNotFound, DocumentNotFound):
            if await self._load(document.id) is None:
                await run.forget()
            return True
        except DatabaseError:
            raise
        except DifyError as exc:
            await run.fail(str(exc))
        except Exception as exc:  # a fault of ours: the document must say so, and not wait for ever
            await run.fail(f"{type(exc).__name__}: {exc}")
            raise
        final = await self._load(document.id)
        if final is None:
            await run.forget()
        elif self._notify and final.indexing_status in ("completed", "error"):
            self._notify(final.tenant_id, final.dataset_id, final.id, final.indexing_status)
        return True

    async def task(self, task: Task, until: float) -> bool:
        """Do the task of a document: the handler of its purpose for `TurnRunner`. One that is gone leaves its index."""
        tenant = Tenant(task.tenant_id)
        told = partial(Tasks(self._db, tenant).note, task.purpose, task.target_id)
        document = await self._load(task.target_id)
        if document is None:
            rows = KnowledgeRepository(self._db, tenant)
            writer = IndexWriter(rows, self._stores, self._models(tenant))
            await forget_missing(rows, writer, task.dataset_id, task.target_id)
            await DocumentPictures(self._db, tenant, self._storage).drop(task.dataset_id, task.target_id)
            return True
        return await self._bring(document, until, told)

    async def _load(self, document_id: str) -> Document | None:
        query = sa.select(documents).where(documents.c.id == document_id)
        row = await self._db.run_read(lambda conn: conn.execute(query).one_or_none())
        return to_struct(row, Document) if row is not None else None


class _Run(DocumentRun):
    """One run of one document, from its file."""

    def __init__(
        self,
        rows: KnowledgeRepository,
        writer: IndexWriter,
        document: Document,
        storage: Storage,
        extractor: Extractor,
        patience: Patience,
        questions: Questions,
        remote: RemoteDocuments | None,
        fetcher: PictureFetcher | None,
    ) -> None:
        super().__init__(rows, writer, document, patience)
        self._fetcher = fetcher
        self._remote = remote
        self._questions = questions
        self._storage = storage
        self._extractor = extractor
        self._links = Links(rows.db, rows.tenant)
        self._pictures = DocumentPictures(rows.db, rows.tenant, storage)
        self._shown: set[str] = set()

    async def work(self, until: float) -> bool:
        """Do what is left to do; False when the time is up before."""
        dataset, rule = await self._db.run_read(
            lambda conn: (
                self._rows.dataset_now(conn, self._document.dataset_id),
                self._rows.rule_now(conn, self._document.dataset_process_rule_id),
            )
        )
        self._dataset = dataset
        if self._document.indexing_status != "indexing" and not await self._prepare(dataset, rule):
            return True
        if not await self.index(dataset, until=until):
            return False
        await self.finish()
        return True

    async def forget(self) -> None:
        """Take out what this run wrote for a document, or a dataset, that was deleted meanwhile; its pictures, too."""
        await super().forget()
        await self._pictures.drop(self._document.dataset_id, self._document.id)

    # -- the steps ---------------------------------------------------------------------------------------------

    async def _prepare(self, dataset: Dataset, rule: ProcessRule) -> bool:
        """From the file to the rows of its segments; False when the source is what is indexed already."""
        started = self._document.processing_started_at or utc_now()
        await self.advance(BEFORE_SEGMENTS, "parsing", processing_started_at=started)
        texts, more = await self._source()
        if texts is None:
            await self.keep(**more)
            return False
        words = sum(len(text) for text in texts)
        await self.advance(("parsing",), "cleaning", parsing_completed_at=utc_now(), word_count=words)
        cleaned = await asyncio.to_thread(lambda: [clean(text, rule.effective) for text in texts])
        await self.advance(("cleaning",), "splitting", cleaning_completed_at=utc_now())
        chunks = await asyncio.to_thread(chunk_texts, cleaned, rule, self._document.doc_form)
        for chunk in chunks if self._shown else ():
            chunk.attachments = [id for id in pictures_in(chunk.content) if id in self._shown][:MOST_ATTACHMENTS]
        if not chunks:
            raise ExtractionFailed(
                "No text was found in the document.",
                hint="A scanned document needs text recognition first.",
                document_id=self._document.id,
            )
        if self._document.doc_form == "qa_model":
            if dataset.indexing_technique != "high_quality":
                raise BadInput(
                    "Questions and answers need a high-quality knowledge base.",
                    hint="Change its indexing technique.",
                    document_id=self._document.id,
                )
            chunks = await self._questions.of(chunks, KeptQuestions(self._rows, self._document))
        await self.replace(dataset, chunks, ("splitting",), splitting_completed_at=utc_now(), **more)
        return True

    async def _source(self) -> tuple[list[str] | None, dict[str, Any]]:
        """The texts, None when they are those that are indexed, and columns of the document to write with them."""
        if not is_remote(self._document):
            return await self._extract(), {}
        if self._remote is None:
            raise BadInput("Documents of outside sources cannot be read here.", document_id=self._document.id)
        remote, kind, info = self._remote, self._document.data_source_type, self._document.data_source_info or {}
        whole = await self.is_whole()
        fetched = await self.patiently(lambda: remote.fetch(kind, info, unless_unchanged=whole))
        if fetched is None:
            return None, {}
        file = fetched.file
        if fetched.is_known:
            return None, {"data_source_info": fetched.info}
        if file is None:
            read = await asyncio.to_thread(illustrated_text, fetched.text)
        else:
            read = await self._extractor.illustrated(file.data, file.name)
        return await self._pictured(read), {"data_source_info": fetched.info}

    async def _extract(self) -> list[str]:
        """The texts of the uploaded file."""
        info = self._document.data_source_info or {}
        upload_id = info.get("upload_file_id")
        if self._document.data_source_type != "upload_file" or not upload_id:
            raise BadInput(
                f"Documents of source {self._document.data_source_type} have no file to read.",
                document_id=self._document.id,
            )
        upload = await self._db.read_inline(lambda conn: self._links.upload(conn, upload_id))
        data = await self.patiently(lambda: self._storage.load(upload.key))
        return await self._pictured(await self._extractor.illustrated(data, f"file.{upload.extension}"))

    async def _pictured(self, read: Illustrated) -> list[str]:
        """The texts of what was read, with links to its pictures, which are kept."""
        fetched = await self._fetcher.fetch(read.linked) if self._fetcher else {}
        texts, self._shown = await self.patiently(lambda: self._pictures.keep(self._document, read, fetched))
        return texts
