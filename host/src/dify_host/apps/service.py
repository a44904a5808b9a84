"""Everything that changes an app, each in one transaction: import, export, drafts, publishing, creation, deletion."""

from __future__ import annotations

import asyncio
import secrets
import string
from collections.abc import Callable
from typing import Any, Final, cast

import msgspec
from dify_kernel.errors import BadInput, Forbidden
from dify_kernel.graph.plan import Problem
from dify_kernel.registry import Registry
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.apps import public_view, sharing, validation
from dify_host.apps.changes import AppChanges, Check, ImportResult
from dify_host.apps.dsl import (
    CONFIG_DEFAULTS,
    WORKFLOW_MODES,
    AppDsl,
    AppHead,
    PipelineDsl,
    dump,
    import_status,
    no_app,
    read,
    read_model_config,
    write_model_config,
)
from dify_host.apps.errors import (
    AppUnavailable,
    SiteNotFound,
    WorkflowNotPublished,
)
from dify_host.apps.needs import Missing
from dify_host.apps.records import AppMode, AppRecord, ModelConfig, WorkflowRecord
from dify_host.apps.repository import AppRepository
from dify_host.apps.workflow_service import WorkflowService
from dify_host.db.engine import Database
from dify_host.db.outbox import enqueue
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.net.crypto import TenantCipher
from dify_host.settings import HostSettings
from dify_host.triggers.sync import TriggerSync

__all__ = ["AppChanges", "AppService", "ImportResult"]

_CODE_LENGTH: Final = 16
_LANGUAGE: Final = "en-US"
_ROBOT: Final = ("\N{ROBOT FACE}", "#FFEAD5")


class AppService(WorkflowService[AppRepository]):
    """The apps of one workspace. `icon_link` signs the address of an uploaded icon."""

    def __init__(
        self,
        db: Database,
        tenant: Tenant,
        cipher: TenantCipher,
        registry: Registry,
        *,
        settings: HostSettings,
        icon_link: Callable[[str], str] | None = None,
    ) -> None:
        super().__init__(AppRepository(db, tenant, cipher), registry, settings)
        self._icon_link = icon_link
        self._triggers = TriggerSync(db, tenant)

    # -- text in and out --------------------------------------------------------------------------------------

    async def import_dsl(
        self,
        text: str | bytes,
        *,
        account_id: str,
        name: str | None = None,
        app_id: str | None = None,
        changes: AppChanges | None = None,
        publish: bool = False,
        confirmed: bool = False,
    ) -> ImportResult:
        """Make an app of its text, or overwrite the workflow app `app_id`; all of it, or nothing when this raises.

        `name` and `changes` go before the text's. Raises InvalidDsl, as for a knowledge pipeline, TooLarge, and
        InvalidGraph with every problem.
        """
        reading = await asyncio.to_thread(read, text, max_variable_size=self._settings.max_variable_size)
        dsl = reading.dsl
        if isinstance(dsl, PipelineDsl):
            raise no_app()
        status, import_id = import_status(dsl.version), new_id()
        if status == "pending" and not confirmed:
            return ImportResult(id=import_id, status=status, app_mode=dsl.app.mode, imported_dsl_version=dsl.version)
        dsl, warnings = self._checked(dsl, publish=publish)
        head = _head_values(dsl.app, changes or AppChanges())
        if name:
            head["name"] = name
        head = AppChanges(**head).given()
        async with self._db.write() as conn:
            if app_id:
                app = await self._overwrite(conn, app_id, dsl.app.mode, head, account_id)
            else:
                app = await self._insert(conn, dsl.app.mode, head, account_id)
            if dsl.workflow is not None:
                draft = await self._replace_draft(conn, app, dsl.workflow, account_id)
                if publish:
                    await self._publish(conn, app, draft, account_id, "", "")
            else:
                await self._replace_config(conn, app, dsl.model_config or {}, account_id)
        return ImportResult(
            id=import_id,
            status="completed" if confirmed else status,
            app_id=app.id,
            app_mode=dsl.app.mode,
            imported_dsl_version=dsl.version,
            warnings=warnings,
            missing=self._checker.missing(dsl),
            missing_plugins=self._checker.missing_plugins(dsl),
            changes=reading.changes,
        )

    async def check(self, text: str | bytes) -> Check:
        """What a text is and everything that is wrong with it, without keeping it; InvalidDsl, TooLarge."""
        reading = await asyncio.to_thread(read, text, max_variable_size=self._settings.max_variable_size)
        return self._checker.check(reading)

    async def export(self, app_id: str, include_secret: bool = False, *, workflow_id: str | None = None) -> str:
        """The app as text: a named version, else the draft, else what is published."""
        app = await self.repository.get(app_id)
        image = app.icon_type == "image"
        head = AppHead(
            name=app.name,
            mode=cast(AppMode, app.mode),
            description=app.description or "",
            icon=_ROBOT[0] if image else app.icon or "",
            icon_type="emoji" if image else app.icon_type or "emoji",
            icon_background=_ROBOT[1] if image else app.icon_background or "#FFFFFF",
            use_icon_as_answer_icon=app.use_icon_as_answer_icon,
        )
        if app.mode in WORKFLOW_MODES:
            record = await self._exported_version(app_id, workflow_id)
            dsl = AppDsl(
                app=head,
                workflow=self._shared_workflow(record, include_secret),
                dependencies=sharing.export_dependencies(record.graph),
            )
        else:
            config = await self.repository.model_config(app_id)
            values = write_model_config(config) if config else CONFIG_DEFAULTS
            dsl = AppDsl(app=head, model_config=sharing.export_config(values))
        return await asyncio.to_thread(dump, dsl)

    def _checked(self, dsl: AppDsl, *, publish: bool) -> tuple[AppDsl, list[Problem]]:
        """The app with readable ids, and its warnings; InvalidGraph when it has errors."""
        warnings: list[Problem] = []
        if dsl.workflow is not None:
            workflow, warnings = self._readable(dsl.workflow)
            dsl = msgspec.structs.replace(dsl, workflow=workflow)
        problems = self._checker.problems(dsl)
        validation.refuse_errors(problems, finished=publish)
        return dsl, warnings + problems

    async def problems(self, app_id: str) -> list[Problem]:
        """Everything that is wrong with the app as it stands (its draft, or its configuration), errors first."""
        app = await self.repository.get(app_id)
        if app.mode not in WORKFLOW_MODES:
            config = await self.repository.model_config(app_id)
            config = config or _config_record(CONFIG_DEFAULTS, "", app_id)
            return self._checker.config(config, app.mode)
        return await super().problems(app_id)

    async def missing(self, app_id: str) -> list[Missing]:
        """What the app needs as it stands and nothing installed offers."""
        app = await self.repository.get(app_id)
        if app.mode in WORKFLOW_MODES:
            return await super().missing(app_id)
        config = await self.repository.model_config(app_id)
        return self._checker.missing_for({}, write_model_config(config) if config else {})

    async def save_model_config(self, app_id: str, config: dict[str, Any], account_id: str) -> ModelConfig:
        """Give a chat, agent-chat or completion app its configuration; InvalidGraph when it has errors."""
        whole = read_model_config(config)
        app = await self.repository.get(app_id)
        if app.mode in WORKFLOW_MODES:
            raise BadInput("A workflow app has no model_config.", hint="Save its draft.", app_id=app_id)
        problems = self._checker.config(_config_record(whole, "", app_id), app.mode)
        validation.refuse_errors(problems)
        async with self._db.write() as conn:
            return await self._replace_config(conn, app, whole, account_id)

    # -- apps -------------------------------------------------------------------------------------------------

    async def create(
        self, name: str, mode: AppMode, *, account_id: str, changes: AppChanges | None = None
    ) -> AppRecord:
        """Make an app with a web page and the API on; it has no draft, or a configuration without a model."""
        values = _head_values(AppHead(name=name, mode=mode), changes or AppChanges())
        async with self._db.write() as conn:
            app = await self._insert(conn, mode, AppChanges(**values).given(), account_id)
            if mode not in WORKFLOW_MODES:
                await self._replace_config(conn, app, dict(CONFIG_DEFAULTS), account_id)
            return await self.repository.get(app.id, conn=conn)

    async def update(self, app_id: str, changes: AppChanges, account_id: str) -> AppRecord:
        """Change how an app is called and drawn."""
        async with self._db.write() as conn:
            return await self.repository.update(conn, app_id, {**changes.given(), "updated_by": account_id})

    async def enable_api(self, app_id: str, enabled: bool, account_id: str | None = None) -> AppRecord:
        """Switch the app's API."""
        async with self._db.write() as conn:
            return await self.repository.update(conn, app_id, {"enable_api": enabled, "updated_by": account_id})

    async def enable_site(self, app_id: str, enabled: bool, account_id: str | None = None) -> AppRecord:
        """Switch the app's web page."""
        async with self._db.write() as conn:
            return await self.repository.update(conn, app_id, {"enable_site": enabled, "updated_by": account_id})

    async def delete(self, app_id: str) -> None:
        """Remove the app at once, and its runs, conversations and keys by the job `delete_app`."""
        async with self._db.write() as conn:
            await self.repository.delete(conn, app_id)
            args = {"tenant_id": self._tenant.id, "app_id": app_id}
            await enqueue(conn, "delete_app", args, queue="app_deletion", key=f"delete_app:{app_id}")

    # -- what callers may know --------------------------------------------------------------------------------

    async def parameters(self, app_id: str) -> dict[str, Any]:
        """The body of `/parameters`; AppUnavailable when the app cannot run yet."""
        source = await self._running(await self.repository.get(app_id))
        if source is None:
            raise AppUnavailable("App unavailable, please check your app configurations.", app_id=app_id)
        return public_view.app_parameters(source, self._settings)

    async def info(self, app_id: str) -> dict[str, Any]:
        """The body of `/info`."""
        app = await self.repository.get(app_id)
        author, _ = await self.repository.author(app.created_by)
        tags = list(await self.repository.tag_names(app_id))
        shown = {"name": app.name, "description": app.description, "mode": app.mode}
        return {**shown, "tags": tags, "author_name": author or None}

    async def meta(self, app_id: str) -> dict[str, Any]:
        """The body of `/meta`."""
        source = await self._running(await self.repository.get(app_id))
        return public_view.tool_icons(source, self._settings.console_api_url)

    async def site(self, app_id: str) -> dict[str, Any]:
        """The body of `/site`; Forbidden when the app has no web page."""
        app = await self.repository.get(app_id)
        try:
            site = await self.repository.site(app_id)
        except SiteNotFound as exc:
            raise Forbidden("The app has no web page.", app_id=app_id) from exc
        link = self._icon_link(site.icon) if self._icon_link and site.icon and site.icon_type == "image" else None
        return public_view.site_view(site, app, link)

    async def _running(self, app: AppRecord) -> WorkflowRecord | ModelConfig | None:
        """What the app runs with now; None when there is nothing yet."""
        if app.mode not in WORKFLOW_MODES:
            return await self.repository.model_config(app.id)
        try:
            return await self.repository.published_workflow(app.id)
        except WorkflowNotPublished:
            return None

    # -- inside a transaction ---------------------------------------------------------------------------------

    async def _owner(self, conn: AsyncConnection, app_id: str) -> AppRecord:
        app = await self.repository.get(app_id, conn=conn, lock=True)
        if app.mode not in WORKFLOW_MODES:
            raise BadInput("Only workflow and advanced-chat apps have a draft.", app_id=app_id)
        return app

    def _type(self, owner: AppRecord) -> str:
        return "workflow" if owner.mode == "workflow" else "chat"

    def _wrong(self, record: WorkflowRecord, owner: AppRecord) -> list[Problem]:
        return self._checker.workflow(record, owner.mode)

    async def _drafted(self, conn: AsyncConnection, owner: AppRecord, record: WorkflowRecord, account_id: str) -> None:
        if owner.mode == "workflow":
            await self._triggers.drafted(conn, owner.id, record.graph, account_id)

    async def _made_current(
        self, conn: AsyncConnection, owner: AppRecord, record: WorkflowRecord, account_id: str
    ) -> None:
        await self.repository.update(conn, owner.id, {"workflow_id": record.id, "updated_by": account_id})
        await self.repository.set_datasets(conn, owner.id, sharing.graph_datasets(record.graph))
        if owner.mode == "workflow":
            await self._triggers.published(conn, owner.id, record.graph, account_id)

    async def _insert(self, conn: AsyncConnection, mode: AppMode, head: dict[str, Any], account_id: str) -> AppRecord:
        switches = {"enable_site": True, "enable_api": True, "created_by": account_id, "updated_by": account_id}
        app = await self.repository.create(conn, {**head, **switches, "mode": mode})
        _, language = await self.repository.author(account_id, conn=conn)
        code = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(_CODE_LENGTH))
        await self.repository.insert_site(conn, app, code, language or _LANGUAGE)
        return app

    async def _overwrite(
        self, conn: AsyncConnection, app_id: str, mode: AppMode, head: dict[str, Any], account_id: str
    ) -> AppRecord:
        app = await self.repository.get(app_id, conn=conn, lock=True)
        if app.mode not in WORKFLOW_MODES:
            raise BadInput("Only workflow or advanced chat apps can be overwritten", app_id=app_id)
        if app.mode != mode:
            raise BadInput(f"The app is of mode {app.mode}, the text of {mode}.", hint="Import it as a new app.")
        await self.repository.delete_draft_variables(conn, app_id)
        return await self.repository.update(conn, app_id, {**head, "updated_by": account_id})

    async def _replace_config(
        self, conn: AsyncConnection, app: AppRecord, config: dict[str, Any], account_id: str
    ) -> ModelConfig:
        record = _config_record(config, new_id(), app.id)
        await self.repository.insert_model_config(conn, record, account_id)
        await self.repository.set_datasets(conn, app.id, sharing.config_datasets(config))
        return record


def _head_values(head: AppHead, changes: AppChanges) -> dict[str, Any]:
    values = {name: getattr(head, name) for name in AppHead.__struct_fields__ if name != "mode"}
    return values | changes.given()


def _config_record(config: dict[str, Any], config_id: str, app_id: str) -> ModelConfig:
    return msgspec.convert({**config, "id": config_id, "app_id": app_id}, ModelConfig)
