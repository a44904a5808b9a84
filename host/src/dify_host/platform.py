"""The composition root: everything a process needs, opened once, and the services of one workspace."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import cached_property
from typing import Literal

import redis.asyncio as redis
from dify_kernel.contracts.model import ProviderPorts
from dify_kernel.contracts.node import RunInfo
from dify_kernel.contracts.ports import ModelsPort, Ports
from dify_kernel.contracts.storage import Storage
from dify_kernel.graph.engine import RunLimits
from dify_kernel.registry import Registry
from dify_kernel.settings import load_settings

from dify_host.annotations.index import AnnotationIndex
from dify_host.annotations.replies import AnnotationReplies
from dify_host.annotations.service import AnnotationService
from dify_host.apps.draft_variables import DraftVariables
from dify_host.apps.repository import AppRepository
from dify_host.datasources.services import DatasourceServices
from dify_host.db.engine import Database, PoolSettings
from dify_host.db.newest import is_newest
from dify_host.db.tenant import Tenant
from dify_host.db.writer import BatchWriter
from dify_host.files.links import FileLinks
from dify_host.files.service import FileService
from dify_host.human.links import FormLinks
from dify_host.human.mails import FormMails
from dify_host.human.rows import FormRows
from dify_host.human.runner import FormRunner
from dify_host.human.service import FormService
from dify_host.identity.authentication import AuthService
from dify_host.identity.gate import InitGate
from dify_host.identity.secret_key import read_secret_key
from dify_host.identity.tenant_keys import TenantKeys
from dify_host.identity.workspaces import Members
from dify_host.jobs.embedded import redis_url
from dify_host.knowledge.datasets import EmbeddingChoice
from dify_host.knowledge.emptying import Emptier
from dify_host.knowledge.extract.convert import Converter
from dify_host.knowledge.extract.extractor import Extractor
from dify_host.knowledge.indexing import Indexer
from dify_host.knowledge.picture_fetch import PictureFetcher
from dify_host.knowledge.query_cache import CachedQueries
from dify_host.knowledge.rebuild import Rebuilder
from dify_host.knowledge.recording import Asker, RetrievalLog
from dify_host.knowledge.segment_import import SegmentImporter
from dify_host.knowledge.services import Knowledge
from dify_host.knowledge.settings import KnowledgeSettings
from dify_host.knowledge.tasks import EMPTY, IMPORT, INDEX, REBUILD, RETIRE, SWITCH
from dify_host.knowledge.turns import TurnRunner
from dify_host.knowledge.vectors import VectorStores
from dify_host.models.runtime import ModelRuntime, ProviderPool
from dify_host.moderation.judge import Judge
from dify_host.moderation.rules import ModerationRules
from dify_host.net.client import GuardedClient, OutboundSettings
from dify_host.net.crypto import KeyRing
from dify_host.net.mail import Mailer, MailSettings
from dify_host.pipelines.rows import document_rows
from dify_host.runs.answered import Answers
from dify_host.runs.calls import AppCalls
from dify_host.runs.commands import RunCommands
from dify_host.runs.context import RunContext
from dify_host.runs.draft_runs import DraftRuns
from dify_host.runs.event_log import SqlRunLogStore
from dify_host.runs.follower import RunFollower
from dify_host.runs.last_word import OutputChecks
from dify_host.runs.live_apps import LiveApps
from dify_host.runs.memory import ConversationMemory
from dify_host.runs.owner import process_owner
from dify_host.runs.payloads import Payloads
from dify_host.runs.places import Places
from dify_host.runs.programs import Programs
from dify_host.runs.recorder import Creator, Rows
from dify_host.runs.recovery import Recovery
from dify_host.runs.run_streams import RunStreams
from dify_host.runs.service import RunService, StartedRun
from dify_host.runs.sources import ProgramSources
from dify_host.runs.stops import StopFlags
from dify_host.sandbox.chosen import sandbox_of
from dify_host.settings import HostSettings
from dify_host.tools.pool import ToolPool
from dify_host.tools.services import Tools
from dify_host.tools.workflow_runs import WorkflowCaller, WorkflowRunner
from dify_host.triggers.debug import DebugInbox
from dify_host.triggers.intake import WebhookIntake
from dify_host.workspace import Workspace

__all__ = ["Platform", "Role"]

Role = Literal["api", "worker", "beat", "cli"]


class Platform:
    """One process's parts. `opened` builds and closes them in order; nothing connects before it is used."""

    def __init__(self, env: Mapping[str, str], *, role: Role) -> None:
        self.env = dict(env)
        self.role = role
        self.settings = HostSettings.read(self.env)
        self.registry = Registry(disabled=self.settings.disabled_plugins)
        self.owner = process_owner()
        self._workspaces: OrderedDict[str, Workspace] = OrderedDict()
        self.storage: Storage
        self.db: Database
        self.redis: redis.Redis
        self.http: GuardedClient

    @classmethod
    @asynccontextmanager
    async def opened(cls, env: Mapping[str, str], *, role: Role) -> AsyncIterator[Platform]:
        """A platform whose database is at the newest version and whose parts are closed at the end."""
        platform = cls(env, role=role)
        async with AsyncExitStack() as stack:
            await platform._open(stack)
            yield platform

    async def _open(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        settings.make_data()
        self.env.setdefault("DIFY_DATA", str(settings.data))
        self.secret_key = read_secret_key(settings)
        self.keyring = KeyRing(self.secret_key)
        if settings.migration_enabled and not is_newest(settings.database):
            # Imported here: most processes never need it, and it weighs 12 MB and half a second.
            from dify_host.db.migrate import upgrade

            await upgrade(settings.database)
        self.db = Database(settings.database, _pool(settings))
        stack.push_async_callback(self.db.close)
        self.redis = redis.Redis.from_url(redis_url(settings))
        stack.push_async_callback(self.redis.aclose)
        self.http = await stack.enter_async_context(GuardedClient(load_settings(OutboundSettings, self.env)))
        self.storage = self.registry.get("storage", settings.storage_type).build(self.env)
        await self.storage.open()
        stack.push_async_callback(self.storage.close)
        self.vectors = VectorStores.from_registry(self.registry, self.env, default=settings.vector_store)
        stack.push_async_callback(self.vectors.close)
        self.sandbox = sandbox_of(settings)
        stack.push_async_callback(self.sandbox.close)
        self.provider_ports = ProviderPorts(http=self.http, data_dir=str(settings.data))
        self.providers = ProviderPool(self.registry, self.provider_ports)
        stack.push_async_callback(self.providers.close)
        self.writer = BatchWriter(self.db)
        self.writer.start()
        stack.push_async_callback(self.writer.close)
        self.retrieval_log = RetrievalLog(self.writer)
        stack.push_async_callback(self.retrieval_log.close)
        self.registry.start_watchers()
        stack.push_async_callback(self._close_runs)

    async def _close_runs(self) -> None:
        parts = ("recovery", "commands", "runs", "calls", "places", "draft_runs", "run_streams", "run_logs")
        for made in [self.__dict__[name] for name in parts if name in self.__dict__]:
            await made.close()

    # -- shared services --------------------------------------------------------------------------------------

    @cached_property
    def tenant_keys(self) -> TenantKeys:
        """The data keys of workspaces."""
        return TenantKeys(self.db, self.keyring)

    @cached_property
    def auth(self) -> AuthService:
        """Who is calling."""
        return AuthService(
            self.db, registry=self.registry, redis=self.redis, settings=self.settings, secret_key=self.secret_key
        )

    @cached_property
    def init_gate(self) -> InitGate:
        """Who may make the first account."""
        return InitGate(self.settings.init_password, self.secret_key, self.redis)

    @cached_property
    def programs(self) -> Programs:
        """Compiled apps."""
        return Programs(self.registry)

    @cached_property
    def live_apps(self) -> LiveApps:
        """Apps as their callers find them."""
        return LiveApps(self.programs)

    @cached_property
    def commands(self) -> RunCommands:
        """Stops for runs of any process."""
        return RunCommands(self.redis, self.runs, left=self.recovery.stop_left)

    @cached_property
    def knowledge_settings(self) -> KnowledgeSettings:
        """Settings of knowledge bases."""
        return load_settings(KnowledgeSettings, self.env)

    @cached_property
    def documents(self) -> Extractor:
        """Reads documents, for indexing and for nodes, so many at a time as the process may."""
        return Extractor(converter=Converter(self.settings.document_converter))

    @cached_property
    def indexer(self) -> Indexer:
        """Runs indexing jobs."""
        told, remote = self._document_indexed, self.datasources.documents
        parts = self.db, self.storage, self.vectors, self.models_of
        fetcher = PictureFetcher.of_settings(self.http, self.knowledge_settings)
        return Indexer(*parts, extractor=self.documents, notify=told, remote=remote, fetcher=fetcher)

    @cached_property
    def turns(self) -> TurnRunner:
        """Runs the tasks of knowledge bases."""
        slots = self.knowledge_settings.tenant_isolated_task_concurrency
        rebuilder = Rebuilder(self.db, self.vectors, self.models_of)
        handlers = {
            INDEX: self.indexer.task,
            REBUILD: rebuilder.document,
            SWITCH: rebuilder.switch,
            RETIRE: rebuilder.retire,
            EMPTY: Emptier(self.db, self.vectors, self.models_of).task,
            IMPORT: SegmentImporter(self.db, self.storage, self.vectors, self.models_of, self.redis).task,
        }
        return TurnRunner(self.db, handlers, slots=slots)

    @cached_property
    def payloads(self) -> Payloads:
        """The large values of all runs."""
        return Payloads(self.storage, limit=self.settings.workflow_payload_max_inline)

    @cached_property
    def run_logs(self) -> SqlRunLogStore:
        """The logs of all runs."""
        ttl = self.settings.workflow_run_lease_seconds
        return SqlRunLogStore(self.db, self.writer, ttl=ttl, payloads=self.payloads)

    @cached_property
    def runs(self) -> RunService:
        """The runs of this process."""
        settings = self.settings
        return RunService(
            log_store=self.run_logs,
            registry=self.registry,
            ports=self.ports,
            memory=lambda tenant: ConversationMemory(self.db, tenant),
            limits=settings.limits(),
            run_limits=self.run_limits,
            owner=self.owner,
            max_active=settings.app_max_active_requests,
            default_active=settings.app_default_active_requests,
            places=self.places,
            checks=OutputChecks(self._judge, buffer=settings.moderation_buffer_size),
            recovered=self._recovered,
            programs=ProgramSources(self.db, self.programs, self.workspace),
            more_rows=self._more_rows,
            form_token=self.form_links.token,
            watcher=self.run_streams,
            elsewhere=self.follower,
        )

    async def _judge(self, tenant: Tenant, app_id: str, rules: ModerationRules) -> Judge:
        return (await self.workspace(tenant)).before.judge(app_id, rules)

    def _recovered(self, started: StartedRun, context: RunContext) -> None:
        self.calls.recovered(started, context)
        self._watch_draft(started)

    def _watch_draft(self, started: StartedRun) -> None:
        if (run := started.handle.run).invoke_from == "debugger":
            self.draft_runs.watch(started, DraftVariables(self.db, Tenant(run.tenant_id)))

    @cached_property
    def places(self) -> Places:
        """Counts the runs of apps that may have only so many."""
        return Places(self.redis)

    @cached_property
    def run_streams(self) -> RunStreams:
        """Tells other processes of this one's runs."""
        return RunStreams(self.redis)

    @cached_property
    def follower(self) -> RunFollower:
        """Follows runs of all processes."""
        return RunFollower(self.redis, self.run_logs)

    def watch_runs(self) -> None:
        """Begin to obey stops of other processes, and to take up runs whose process is gone."""
        self.commands.start()
        self.recovery.start()

    @cached_property
    def recovery(self) -> Recovery:
        """Takes up runs whose process is gone."""
        settings = self.settings
        return Recovery(
            self.db,
            self.run_logs,
            self.runs,
            StopFlags(self.redis),
            owner=self.owner,
            every=settings.workflow_run_recovery_interval,
            grace=timedelta(seconds=settings.workflow_run_lease_seconds / 3),
            more_rows=self._more_rows,
        )

    def _more_rows(self, context: RunContext) -> list[Rows]:
        """What other domains keep of a run."""
        return [FormRows(context), *document_rows(context)]

    @cached_property
    def form_links(self) -> FormLinks:
        """Makes and reads links to forms."""
        settings = self.settings
        local = f"http://{settings.dify_bind_address}:{settings.dify_port}"
        return FormLinks(self.secret_key, settings.app_web_url or settings.console_api_url or local)

    def forms_of(self, tenant: Tenant) -> FormService:
        """The forms that a workspace's runs wait for."""
        return FormService(self.db, tenant, self.files_of(tenant), longest=self.settings.max_variable_size)

    def form_mails(self, tenant: Tenant) -> FormMails:
        """Tells people of a workspace's forms."""
        mailer = Mailer(load_settings(MailSettings, self.env))
        return FormMails(self.forms_of(tenant), self.form_links, Members(self.db, tenant), mailer)

    def form_runner(self, tenant: Tenant) -> FormRunner:
        """Goes on with answered runs of a workspace."""
        forms, patience = self.forms_of(tenant), self.settings.app_max_execution_time + 60
        return FormRunner(forms, self.runs, self.recovery, patience=patience, resumed=self._watch_draft)

    async def _apps_of(self, tenant: Tenant) -> AppRepository:
        return (await self.workspace(tenant)).app_repository

    @cached_property
    def debug_inbox(self) -> DebugInbox:
        """Draft runs that wait for a trigger."""
        return DebugInbox(self.redis)

    @cached_property
    def webhooks(self) -> WebhookIntake:
        """Requests to the webhooks of all workspaces."""

        async def works(tenant: Tenant) -> bool:
            return (await (await self.workspace(tenant)).standing()).status == "normal"

        return WebhookIntake(
            self.db, apps_of=self._apps_of, files_of=self.files_of, works=works, debug=self.debug_inbox
        )

    @property
    def run_limits(self) -> RunLimits:
        """The limits of one run."""
        settings = self.settings
        return RunLimits(
            max_steps=settings.workflow_max_execution_steps,
            max_time=min(settings.workflow_max_execution_time, settings.app_max_execution_time),
        )

    @cached_property
    def draft_runs(self) -> DraftRuns:
        """Runs of drafts."""
        return DraftRuns(self.runs)

    @cached_property
    def file_links(self) -> FileLinks:
        """Checks signed links to files."""
        return FileLinks(self.settings, self.secret_key)

    def models_of(self, tenant: Tenant) -> ModelRuntime:
        """The models of a workspace, with its credentials."""
        return ModelRuntime(
            self.db, tenant, self.registry, self.tenant_keys, self.providers, notify=self.registry.notify
        )

    def files_of(self, tenant: Tenant) -> FileService:
        """The files of a workspace."""
        return FileService(self.db, tenant, self.storage, self.settings, secret_key=self.secret_key, http=self.http)

    @cached_property
    def calls(self) -> AppCalls:
        """Calls of apps, with what comes before and after their runs."""
        return AppCalls(
            self.runs,
            Answers(self.writer, lambda tenant: ConversationMemory(self.db, tenant)),
            self.writer,
            rooms=self.workspace,
        )

    def annotation_index(self, tenant: Tenant) -> AnnotationIndex:
        """The vectors of a workspace's annotations."""
        return AnnotationIndex(self.db, self.vectors, self.models_of(tenant))

    def annotations_of(self, tenant: Tenant) -> AnnotationService:
        """The annotations of a workspace's apps."""
        return AnnotationService(self.db, tenant, self.annotation_index(tenant))

    def annotation_replies(self, tenant: Tenant) -> AnnotationReplies:
        """Switches annotation replies on and off."""
        index = self.annotation_index(tenant)
        return AnnotationReplies(self.db, tenant, index, store=self.vectors.default, redis=self.redis)

    @cached_property
    def tool_pool(self) -> ToolPool:
        """The installed tool families."""
        return ToolPool(self.registry, self.http)

    @cached_property
    def datasources(self) -> DatasourceServices:
        """Sources of knowledge that plugins offer."""
        parts = self.db, self.storage, self.registry, self.http, self.tenant_keys
        return DatasourceServices(*parts, most_bytes=self.settings.upload_file_size_limit * 1024 * 1024)

    def tools_of(self, tenant: Tenant, files: FileService, caller: WorkflowCaller | None = None) -> Tools:
        """The tools of a workspace; with a caller, workflows run as tools of its run."""
        runner = self._workflow_runner(tenant, caller) if caller else None
        return Tools(
            db=self.db,
            tenant=tenant,
            keys=self.tenant_keys,
            pool=self.tool_pool,
            http=self.http,
            files=files,
            programs=self.programs,
            runner=runner,
        )

    def _workflow_runner(self, tenant: Tenant, caller: WorkflowCaller) -> WorkflowRunner:
        most = self.settings.workflow_call_max_depth
        return WorkflowRunner(self.runs, tenant, caller, logs=self.run_logs, elsewhere=self.follower, max_depth=most)

    def knowledge_of(self, tenant: Tenant, models: ModelsPort, choice: EmbeddingChoice | None = None) -> Knowledge:
        """The knowledge bases of a workspace."""
        return Knowledge(
            db=self.db,
            tenant=tenant,
            storage=self.storage,
            stores=self.vectors,
            models=CachedQueries(models, self.redis),
            redis=self.redis,
            log=self.retrieval_log,
            settings=self.knowledge_settings,
            embedding_choice=choice,
            http=self.http,
            keys=self.tenant_keys,
            extractor=self.indexer.extractor,
            sign=self.files_of(tenant).signed_url,
            remote=self.datasources.documents(tenant),
        )

    def ports(self, tenant: Tenant, run: RunInfo, creator: Creator) -> Ports:
        """What the nodes of one run may reach."""
        models = self.models_of(tenant)
        asker = Asker(user_id=creator.id, role=creator.role, source="app", app_id=run.app_id)
        knowledge = self.knowledge_of(tenant, models).runtime(asker)
        files = self.files_of(tenant)
        caller = WorkflowCaller(creator=creator, user_id=run.user_id, invoke_from=run.invoke_from, depth=run.call_depth)
        return Ports(
            models=models,
            knowledge=knowledge,
            tools=self.tools_of(tenant, files, caller).runtime(knowledge),
            files=files,
            http=self.http,
            sandbox=self.sandbox,
            memory=ConversationMemory(self.db, tenant),
            documents=self.documents,
        )

    async def workspace(self, tenant: Tenant) -> Workspace:
        """The services of one workspace; kept for the most recent ones."""
        found = self._workspaces.get(tenant.id)
        if found is None:
            found = Workspace(self, tenant, await self.tenant_keys.cipher(tenant))
            self._workspaces[tenant.id] = found
            while len(self._workspaces) > 512:
                self._workspaces.popitem(last=False)
        self._workspaces.move_to_end(tenant.id)
        return found

    def _document_indexed(self, tenant_id: str, dataset_id: str, document_id: str, status: str) -> None:
        self.registry.notify(
            "document_indexed", tenant_id=tenant_id, dataset_id=dataset_id, document_id=document_id, status=status
        )


def _pool(settings: HostSettings) -> PoolSettings:
    return PoolSettings(
        pool_size=settings.sqlalchemy_pool_size,
        max_overflow=settings.sqlalchemy_max_overflow,
        pool_recycle=settings.sqlalchemy_pool_recycle,
        pool_pre_ping=settings.sqlalchemy_pool_pre_ping,
        pool_timeout=settings.sqlalchemy_pool_timeout,
    )
