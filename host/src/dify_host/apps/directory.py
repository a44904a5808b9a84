"""Apps as those who build them see them: lists and details with authors, tags, configuration and web page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.apps import tables
from dify_host.apps.errors import AppNotFound
from dify_host.apps.tables import app_model_configs, apps, sites, workflows
from dify_host.db.repository import TenantRepository
from dify_host.identity.tables import accounts

__all__ = ["AppDirectory", "AppFilter", "AppPage"]

_HEAD: Final = (
    "id", "name", "max_active_requests", "description", "mode", "icon_type", "icon", "icon_background",
    "use_icon_as_answer_icon", "created_by", "created_at", "updated_by", "updated_at",
)  # fmt: skip
_MADE: Final = ("created_by", "created_at", "updated_by", "updated_at")
_CONFIG: Final = (
    "opening_statement", "suggested_questions", "suggested_questions_after_answer", "speech_to_text", "text_to_speech",
    "retriever_resource", "more_like_this", "sensitive_word_avoidance", "external_data_tools", "model",
    "user_input_form", "dataset_query_variable", "pre_prompt", "agent_mode", "prompt_type", "chat_prompt_config",
    "completion_prompt_config", "dataset_configs", "file_upload", *_MADE,
)  # fmt: skip
_SITE: Final = (
    "code", "title", "icon_type", "icon", "icon_background", "description", "default_language", "chat_color_theme",
    "chat_color_theme_inverted", "customize_domain", "copyright", "privacy_policy", "custom_disclaimer",
    "customize_token_strategy", "prompt_public", "show_workflow_steps", "use_icon_as_answer_icon", *_MADE,
)  # fmt: skip


class AppFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which apps are wanted; `created_by` is an account."""

    mode: str | None = None
    name: str | None = None
    tag_ids: Sequence[str] = ()
    created_by: str | None = None


class AppPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of apps, newest first; times in `data` are datetimes."""

    data: list[dict[str, Any]]
    page: int
    limit: int
    total: int
    has_more: bool


class AppDirectory(TenantRepository):
    """Reads the apps of one workspace. `icon_link` signs the address of an uploaded icon."""

    async def page(self, wanted: AppFilter, *, page: int, limit: int, icon_link: Callable[[str], str]) -> AppPage:
        """The apps that fit, newest first."""
        query = self._wanted(wanted)
        counted = sa.select(sa.func.count()).select_from(query.subquery())
        newest = query.order_by(apps.c.created_at.desc(), apps.c.id.desc())
        async with self.db.read() as conn:
            total = (await conn.execute(counted)).scalar_one()
            rows = (await conn.execute(newest.limit(limit).offset((page - 1) * limit))).all()
            data = await self._views(conn, rows, icon_link)
        return AppPage(data=data, page=page, limit=limit, total=total, has_more=page * limit < total)

    async def detail(self, app_id: str, *, icon_link: Callable[[str], str]) -> dict[str, Any]:
        """One app with its whole configuration and its web page; AppNotFound."""
        async with self.db.read() as conn:
            row = (await conn.execute(self.scoped_select(apps).where(apps.c.id == app_id))).one_or_none()
            if row is None:
                raise AppNotFound("App not found.", app_id=app_id)
            (view,) = await self._views(conn, [row], icon_link, whole=True)
            owned = self.reached_through(sites.c.app_id, root=apps)
            site = (await conn.execute(sa.select(sites).where(sites.c.app_id == app_id, owned))).first()
        switches = {name: getattr(row, name) for name in ("enable_site", "enable_api", "tracing")}
        return {**view, **switches, "deleted_tools": [], "site": _site(site, icon_link) if site else None}

    def _wanted(self, wanted: AppFilter) -> sa.Select[Any]:
        query = self.scoped_select(apps)
        if wanted.mode:
            query = query.where(apps.c.mode == wanted.mode)
        if wanted.name:
            query = query.where(apps.c.name.icontains(wanted.name, autoescape=True))
        if wanted.created_by:
            query = query.where(apps.c.created_by == wanted.created_by)
        if wanted.tag_ids:
            bound = tables.tag_bindings
            tagged = sa.select(bound.c.target_id).where(bound.c.tag_id.in_(wanted.tag_ids), self.owned(bound))
            query = query.where(apps.c.id.in_(tagged))
        return query

    async def _views(
        self,
        conn: AsyncConnection,
        rows: Sequence[sa.Row[Any]],
        icon_link: Callable[[str], str],
        *,
        whole: bool = False,
    ) -> list[dict[str, Any]]:
        ids = [row.id for row in rows]
        authors = await self._authors(conn, (row.created_by for row in rows))
        tags = await self._tags(conn, ids)
        configs = await self._configs(conn, rows)
        versions = await self._workflows(conn, rows)
        return [
            {
                **{name: getattr(row, name) for name in _HEAD},
                "mode": _mode(row.mode, configs.get(row.app_model_config_id)),
                "icon_url": icon_link(row.icon) if row.icon_type == "image" and row.icon else None,
                "model_config": _config(configs.get(row.app_model_config_id), whole=whole),
                "workflow": versions.get(row.workflow_id),
                "tags": tags.get(row.id, []),
                "access_mode": None,
                "create_user_name": authors.get(row.created_by),
                "author_name": authors.get(row.created_by),
                "has_draft_trigger": None,
            }
            for row in rows
        ]

    async def _authors(self, conn: AsyncConnection, ids: Iterable[str | None]) -> dict[str | None, str]:
        wanted = {each for each in ids if each}
        query = sa.select(accounts.c.id, accounts.c.name).where(accounts.c.id.in_(wanted))
        return {row.id: row.name for row in await conn.execute(query)} if wanted else {}

    async def _tags(self, conn: AsyncConnection, ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        tags, bound = tables.tags, tables.tag_bindings
        query = (
            self.scoped_select(tags, tags.c.id, tags.c.name, tags.c.type, bound.c.target_id)
            .join(bound, bound.c.tag_id == tags.c.id)
            .where(tags.c.type == "app", bound.c.target_id.in_(ids), self.owned(bound))
            .order_by(tags.c.name)
        )
        found: dict[str, list[dict[str, Any]]] = {}
        for row in await conn.execute(query) if ids else []:
            found.setdefault(row.target_id, []).append({"id": row.id, "name": row.name, "type": row.type})
        return found

    async def _configs(self, conn: AsyncConnection, rows: Sequence[sa.Row[Any]]) -> dict[str | None, sa.Row[Any]]:
        wanted = [row.app_model_config_id for row in rows if row.app_model_config_id]
        owned = self.reached_through(app_model_configs.c.app_id, root=apps)
        query = sa.select(app_model_configs).where(app_model_configs.c.id.in_(wanted), owned)
        return {row.id: row for row in await conn.execute(query)} if wanted else {}

    async def _workflows(self, conn: AsyncConnection, rows: Sequence[sa.Row[Any]]) -> dict[str | None, dict[str, Any]]:
        wanted = [row.workflow_id for row in rows if row.workflow_id]
        columns = [workflows.c[name] for name in ("id", *_MADE)]
        query = self.scoped_select(workflows, *columns).where(workflows.c.id.in_(wanted))
        return {row.id: dict(row._mapping) for row in await conn.execute(query)} if wanted else {}


def _mode(mode: str, config: sa.Row[Any] | None) -> str:
    """A chat that was made an agent before agents were a mode of their own is told as one."""
    agent = (config.agent_mode or {}) if config is not None else {}
    return "agent-chat" if mode == "chat" and agent.get("enabled") else mode


def _config(row: sa.Row[Any] | None, *, whole: bool) -> dict[str, Any] | None:
    if row is None:
        return None
    names = _CONFIG if whole else ("model", "pre_prompt", *_MADE)
    found = {name: getattr(row, name) for name in names}
    return {**found, "annotation_reply": {"enabled": False}} if whole else found


def _site(row: sa.Row[Any], icon_link: Callable[[str], str]) -> dict[str, Any]:
    found = {name: getattr(row, name) for name in _SITE}
    link = icon_link(row.icon) if row.icon_type == "image" and row.icon else None
    return {**found, "access_token": row.code, "icon_url": link}
