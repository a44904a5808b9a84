"""Everything one tenant can do with knowledge, put together in one place."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from dify_kernel.contracts.http import HttpClient
from dify_kernel.contracts.ports import ModelsPort
from dify_kernel.contracts.storage import Storage
from redis.asyncio import Redis

from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.identity.tenant_keys import TenantKeys
from dify_host.knowledge.datasets import DatasetService, EmbeddingChoice
from dify_host.knowledge.document_sources import DocumentSources
from dify_host.knowledge.document_sync import DocumentSync
from dify_host.knowledge.documents import DocumentService
from dify_host.knowledge.estimate import Estimates
from dify_host.knowledge.external import ExternalKnowledge
from dify_host.knowledge.extract.extractor import Extractor
from dify_host.knowledge.extract.formats import extension_of
from dify_host.knowledge.index_writer import IndexWriter
from dify_host.knowledge.links import Links
from dify_host.knowledge.lists import KnowledgeLists
from dify_host.knowledge.metadata_fields import MetadataFields
from dify_host.knowledge.pipeline_index import PipelineIndexer
from dify_host.knowledge.recording import RetrievalLog
from dify_host.knowledge.remote import RemoteDocuments
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.retrieval import Asker, Retriever
from dify_host.knowledge.runtime import KnowledgeRuntime
from dify_host.knowledge.segment_batches import SegmentBatches
from dify_host.knowledge.segment_import import SegmentImport
from dify_host.knowledge.segments import SegmentService
from dify_host.knowledge.settings import KnowledgeSettings
from dify_host.knowledge.tasks import Tasks
from dify_host.knowledge.vectors import VectorStores

__all__ = ["Knowledge"]


class Knowledge(msgspec.Struct, frozen=True, kw_only=True):
    """The services of one tenant; cheap to make, so one a request will do. What it is made of is the process's."""

    db: Database
    tenant: Tenant
    storage: Storage
    stores: VectorStores
    models: ModelsPort
    settings: KnowledgeSettings = KnowledgeSettings()
    embedding_choice: EmbeddingChoice | None = None
    http: HttpClient | None = None
    keys: TenantKeys | None = None
    extractor: Extractor | None = None
    remote: RemoteDocuments | None = None
    redis: Redis | None = None
    log: RetrievalLog | None = None
    sign: Callable[[str], str] | None = None

    @property
    def datasets(self) -> DatasetService:
        """Knowledge bases."""
        return DatasetService(
            self.db,
            self.tenant,
            self.storage,
            self.stores,
            self.models,
            settings=self.settings,
            embedding_choice=self.embedding_choice,
            external=self.external if self.http and self.keys else None,
        )

    @property
    def documents(self) -> DocumentService:
        """Documents."""
        parts = self.db, self.tenant, self.storage, self.datasets, self._writer
        return DocumentService(*parts, settings=self.settings, admit=self._admit)

    @property
    def document_sources(self) -> DocumentSources:
        """Several documents at once."""
        links = Links(self.db, self.tenant)
        return DocumentSources(self._rows, links, self.datasets, self.documents, self._admit)

    @property
    def estimates(self) -> Estimates:
        """What indexing would make of files."""
        links, extractor = Links(self.db, self.tenant), self.extractor or Extractor()
        return Estimates(self._rows, links, self.storage, extractor, self.settings, self.models, self.remote)

    @property
    def document_sync(self) -> DocumentSync:
        """Documents of outside sources, read anew."""
        slots = self.settings.tenant_isolated_task_concurrency
        return DocumentSync(self._rows, Tasks(self.db, self.tenant, slots=slots))

    @property
    def segment_batches(self) -> SegmentBatches:
        """Several segments at once."""
        return SegmentBatches(self.segments)

    @property
    def segments(self) -> SegmentService:
        """Segments and child chunks."""
        return SegmentService(self.db, self.tenant, self._writer, settings=self.settings, sign=self.sign)

    @property
    def segment_import(self) -> SegmentImport:
        """Segments from CSV files; needs `redis`."""
        assert self.redis is not None
        tasks = Tasks(self.db, self.tenant, slots=self.settings.tenant_isolated_task_concurrency)
        return SegmentImport(self._rows, tasks, Links(self.db, self.tenant), self.redis)

    @property
    def lists(self) -> KnowledgeLists:
        """What is told about a knowledge base beside itself."""
        return KnowledgeLists(KnowledgeRepository(self.db, self.tenant), Links(self.db, self.tenant))

    @property
    def external(self) -> ExternalKnowledge:
        """Knowledge that other services keep; needs `http` and `keys`."""
        assert self.http is not None
        assert self.keys is not None
        return ExternalKnowledge(self.db, self.tenant, self.keys, self.http)

    @property
    def metadata_fields(self) -> MetadataFields:
        """Metadata fields, and their values on documents."""
        return MetadataFields(self.db, self.tenant)

    @property
    def retriever(self) -> Retriever:
        """Retrieval from one knowledge base, for the API and hit testing."""
        return Retriever(self.db, self.tenant, self.stores, self.models, self._asked, self.log, self.sign)

    async def recorded(self) -> None:
        """Return when all questions so far are in the database, for people who look at them next."""
        if self.log is not None:
            await self.log.flush()

    def runtime(self, asker: Asker) -> KnowledgeRuntime:
        """The knowledge port of a run."""
        indexer = PipelineIndexer(KnowledgeRepository(self.db, self.tenant), self._writer, self.datasets)
        parts = self.db, self.tenant, self.stores, self.models, asker, indexer, self._asked, self.log
        return KnowledgeRuntime(*parts, sign=self.sign)

    @property
    def _asked(self) -> ExternalKnowledge | None:
        """What asks external knowledge, where requests can be sent."""
        return self.external if self.http and self.keys else None

    @property
    def _admit(self) -> Callable[[str], str]:
        """Tells files that can be read; without an extractor, all formats that there are."""
        return self.extractor.admit if self.extractor else extension_of

    @property
    def _rows(self) -> KnowledgeRepository:
        return KnowledgeRepository(self.db, self.tenant)

    @property
    def _writer(self) -> IndexWriter:
        return IndexWriter(KnowledgeRepository(self.db, self.tenant), self.stores, self.models)
