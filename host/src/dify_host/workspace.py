"""The services of one workspace: every one is bound to its tenant, made when it is first asked for."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING

from dify_kernel.contracts.model import ModelType

from dify_host.annotations.imports import AnnotationImports
from dify_host.annotations.replies import AnnotationReplies
from dify_host.annotations.service import AnnotationService
from dify_host.apps.repository import AppRepository
from dify_host.apps.service import AppService
from dify_host.apps.tags import Tags
from dify_host.datasources.bindings import KeyBindings
from dify_host.datasources.chosen import PluginDatasources
from dify_host.datasources.crawls import Crawls
from dify_host.datasources.documents import SourceDocuments
from dify_host.datasources.installed import InstalledDatasources
from dify_host.db.tenant import Tenant
from dify_host.extensions.service import ApiExtensions
from dify_host.files.service import FileService
from dify_host.identity.api_keys import ApiKeys
from dify_host.identity.end_users import EndUsers
from dify_host.identity.workspaces import Members, Standing
from dify_host.knowledge.datasets import DatasetService
from dify_host.knowledge.documents import DocumentService
from dify_host.knowledge.metadata_fields import MetadataFields
from dify_host.knowledge.pipeline_datasets import PipelineDatasets
from dify_host.knowledge.pipeline_documents import PipelineDocuments
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.retrieval import Retriever
from dify_host.knowledge.segments import SegmentService
from dify_host.knowledge.services import Knowledge
from dify_host.models.providers import ProviderService
from dify_host.models.runtime import ModelRuntime
from dify_host.net.crypto import TenantCipher
from dify_host.net.limits import RateLimiter
from dify_host.pipelines.datasources import Datasources
from dify_host.pipelines.repository import PipelineRepository
from dify_host.pipelines.runner import PipelineRunner
from dify_host.pipelines.service import PipelineService
from dify_host.pipelines.starting import PipelineStarter
from dify_host.pipelines.templates import PipelineTemplates
from dify_host.runs.asides import Asides
from dify_host.runs.before import Before
from dify_host.runs.memory import ConversationMemory
from dify_host.speech.service import Speech
from dify_host.tools.services import Tools
from dify_host.triggers.runner import TriggerRunner
from dify_host.triggers.service import TriggerService

if TYPE_CHECKING:
    from dify_host.platform import Platform

__all__ = ["Workspace"]


class Workspace:
    """The services of one workspace; every one is bound to its tenant."""

    def __init__(self, platform: Platform, tenant: Tenant, cipher: TenantCipher) -> None:
        self.tenant = tenant
        self.cipher = cipher
        self._platform = platform
        self._standing: tuple[float, Standing] | None = None

    async def standing(self) -> Standing:
        """Whether the workspace works; a change is seen after a second."""
        now = time.monotonic()
        if self._standing is None or self._standing[0] < now:
            self._standing = (now + 1.0, await Members(self._platform.db, self.tenant).standing())
        return self._standing[1]

    @cached_property
    def app_repository(self) -> AppRepository:
        """Apps as the rest of the host sees them."""
        return AppRepository(self._platform.db, self.tenant, self.cipher)

    @cached_property
    def apps(self) -> AppService:
        """Import, export, publish."""
        return AppService(
            self._platform.db, self.tenant, self.cipher, self._platform.registry, settings=self._platform.settings
        )

    @cached_property
    def triggers(self) -> TriggerService:
        """Webhooks and schedules of apps."""
        platform = self._platform
        base = platform.settings.trigger_url or platform.settings.console_api_url
        return TriggerService(platform.db, self.tenant, inbox=platform.debug_inbox, base_url=base)

    @cached_property
    def trigger_runner(self) -> TriggerRunner:
        """Runs what triggers have queued."""
        platform = self._platform
        return TriggerRunner(
            platform.db,
            self.tenant,
            apps=self.app_repository,
            programs=platform.programs,
            runs=platform.runs,
            patience=platform.settings.app_max_execution_time + 60,
        )

    @cached_property
    def models(self) -> ModelRuntime:
        """Model calls."""
        return self._platform.models_of(self.tenant)

    @cached_property
    def providers(self) -> ProviderService:
        """Model providers and their credentials."""
        platform = self._platform
        return ProviderService(platform.db, self.tenant, platform.registry, platform.tenant_keys, platform.providers)

    @cached_property
    def tools(self) -> Tools:
        """Tools of plugins, described APIs, MCP servers and published workflows."""
        return self._platform.tools_of(self.tenant, self.files)

    @cached_property
    def files(self) -> FileService:
        """Uploads."""
        return self._platform.files_of(self.tenant)

    @cached_property
    def end_users(self) -> EndUsers:
        """The callers' users."""
        return EndUsers(self._platform.db, self.tenant)

    @cached_property
    def api_keys(self) -> ApiKeys:
        """App and dataset keys."""
        return ApiKeys(self._platform.db, self.tenant, forget=self._platform.auth.forget_key)

    @cached_property
    def memory(self) -> ConversationMemory:
        """Conversations as runs read them."""
        return ConversationMemory(self._platform.db, self.tenant)

    @cached_property
    def knowledge(self) -> Knowledge:
        """What can be done with knowledge."""
        return self._platform.knowledge_of(self.tenant, self.models, self._embedding)

    @cached_property
    def extensions(self) -> ApiExtensions:
        """API-based extensions."""
        return ApiExtensions(self._platform.db, self.tenant, self._platform.tenant_keys, self._platform.http)

    @cached_property
    def before(self) -> Before:
        """What happens before a run."""
        return Before(
            models=self.models, providers=self.providers, extensions=self.extensions, annotations=self.annotations
        )

    @cached_property
    def asides(self) -> Asides:
        """What chats ask beside their answers."""
        return Asides(self.models, self.providers)

    @cached_property
    def speech(self) -> Speech:
        """Speech to text and back."""
        return Speech(self.models)

    @cached_property
    def annotations(self) -> AnnotationService:
        """Annotations of apps."""
        return self._platform.annotations_of(self.tenant)

    @cached_property
    def annotation_imports(self) -> AnnotationImports:
        """Annotations from files."""
        redis, settings = self._platform.redis, self._platform.settings
        return AnnotationImports(self.annotations, redis=redis, limiter=RateLimiter(redis), settings=settings)

    @cached_property
    def annotation_replies(self) -> AnnotationReplies:
        """Switches annotation replies on and off."""
        return self._platform.annotation_replies(self.tenant)

    @cached_property
    def datasets(self) -> DatasetService:
        """Knowledge bases."""
        return self.knowledge.datasets

    @cached_property
    def documents(self) -> DocumentService:
        """Documents of knowledge bases."""
        return self.knowledge.documents

    @cached_property
    def segments(self) -> SegmentService:
        """Segments of documents."""
        return self.knowledge.segments

    @cached_property
    def metadata_fields(self) -> MetadataFields:
        """Metadata of documents."""
        return self.knowledge.metadata_fields

    @cached_property
    def tags(self) -> Tags:
        """Tags of apps and knowledge bases."""
        return Tags(self._platform.db, self.tenant)

    @cached_property
    def pipeline_repository(self) -> PipelineRepository:
        """Knowledge pipelines as the rest of the host sees them."""
        return PipelineRepository(self._platform.db, self.tenant, self.cipher)

    @cached_property
    def pipelines(self) -> PipelineService:
        """Import, export and publish knowledge pipelines."""
        platform = self._platform
        return PipelineService(self.pipeline_repository, self.pipeline_datasets, platform.registry, platform.settings)

    @cached_property
    def pipeline_datasets(self) -> PipelineDatasets:
        """Knowledge bases that own a pipeline."""
        return PipelineDatasets(KnowledgeRepository(self._platform.db, self.tenant), self.datasets)

    @cached_property
    def pipeline_templates(self) -> PipelineTemplates:
        """Pipelines to begin with."""
        return PipelineTemplates(self._platform.db, self.tenant)

    @cached_property
    def datasources(self) -> Datasources:
        """The data sources of installed plugins, as pipelines use them."""
        most = self._platform.datasources.most_bytes
        return PluginDatasources(self.installed_datasources, self.files, most_bytes=most)

    @cached_property
    def installed_datasources(self) -> InstalledDatasources:
        """The data sources of installed plugins, and the credentials for them."""
        return self._platform.datasources.installed(self.tenant)

    @cached_property
    def key_bindings(self) -> KeyBindings:
        """Websites connected by a key."""
        return KeyBindings(self.installed_datasources)

    @cached_property
    def source_documents(self) -> SourceDocuments:
        """Reads documents of outside sources."""
        return self._platform.datasources.documents(self.tenant)

    @cached_property
    def crawls(self) -> Crawls:
        """Crawls of websites."""
        return self._platform.datasources.crawls(self.tenant)

    @cached_property
    def pipeline_starter(self) -> PipelineStarter:
        """Starts pipelines."""
        documents = PipelineDocuments(KnowledgeRepository(self._platform.db, self.tenant))
        return PipelineStarter(self.pipeline_repository, self.pipeline_datasets, documents, self.files)

    @cached_property
    def pipeline_runner(self) -> PipelineRunner:
        """Runs pipelines over documents."""
        platform = self._platform
        return PipelineRunner(
            self.pipeline_repository,
            KnowledgeRepository(platform.db, self.tenant),
            self.pipeline_datasets,
            sources=self.datasources,
            programs=platform.programs,
            runs=platform.runs,
            patience=platform.settings.app_max_execution_time + 60,
        )

    @cached_property
    def retrieval(self) -> Retriever:
        """Search in one knowledge base."""
        return self.knowledge.retriever

    async def _embedding(self, provider: str | None, model: str | None) -> tuple[str, str] | None:
        if provider and model:
            await self.models.require(provider, model, ModelType.TEXT_EMBEDDING)
            return provider, model
        found = await self.providers.default(ModelType.TEXT_EMBEDDING)
        return (found.provider, found.model) if found else None
