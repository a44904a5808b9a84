"""Crawls that the console starts: a job reads the pages into one object of the storage, for documents to be made of.

The object `website_files/<workspace>/<job>.json` holds how far a crawl is and its pages. A crawl whose process dies
begins again when its job is delivered again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from dify_kernel.contracts.datasource import WebPage
from dify_kernel.contracts.storage import Storage
from dify_kernel.errors import DifyError, NotFound, ObjectNotFound

from dify_host.datasources.installed import InstalledDatasources
from dify_host.datasources.parameters import parameters_of
from dify_host.datasources.pool import website_of
from dify_host.db.engine import Database
from dify_host.db.outbox import enqueue
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id

__all__ = ["CRAWL_WEBSITE", "QUEUE", "CrawlState", "Crawls"]

#: The job of a crawl, and where it waits.
CRAWL_WEBSITE: Final = "crawl_website"
QUEUE: Final = "dataset"
_SAVED_EVERY: Final = 2.0


class CrawlState(msgspec.Struct, frozen=True, kw_only=True):
    """How far a crawl is. `pages` are those that came, `error` says why it failed."""

    job_id: str
    provider: str
    url: str
    options: dict[str, Any]
    status: Literal["active", "completed", "failed"] = "active"
    total: int = 0
    pages: list[WebPage] = []
    error: str = ""
    seconds: float = 0.0


class Crawls:
    """The crawls of one workspace."""

    def __init__(self, db: Database, tenant: Tenant, storage: Storage, installed: InstalledDatasources) -> None:
        self._db, self._tenant, self._storage, self._installed = db, tenant, storage, installed

    async def start(self, provider: str, url: str, options: Mapping[str, Any]) -> str:
        """Queue a crawl and return its id.

        DatasourceNotFound, DatasourceCredentialsMissing, BadInput for an option that does not fit.
        """
        found, _ = await self._installed.opened(provider)
        wish = {**options, "url": url}
        parameters_of(website_of(found).Parameters, wish)
        state = CrawlState(job_id=new_id(), provider=provider, url=url, options=wish)
        await self._save(state)
        async with self._db.write() as conn:
            args = {"tenant_id": self._tenant.id, "job_id": state.job_id}
            await enqueue(conn, CRAWL_WEBSITE, args, queue=QUEUE, key=f"{CRAWL_WEBSITE}:{state.job_id}")
        return state.job_id

    async def run(self, job_id: str) -> None:
        """Do a crawl; nothing when it has ended. What goes wrong with the site ends in its state."""
        state = await self.get(job_id)
        if state.status != "active":
            return
        began = saved = time.monotonic()
        state = msgspec.structs.replace(state, pages=[], total=0)
        try:
            provider, credentials = await self._installed.opened(state.provider)
            site = website_of(provider)
            async for message in site.crawl(parameters_of(site.Parameters, state.options), credentials):
                pages = [*state.pages, *message.pages]
                state = msgspec.structs.replace(state, pages=pages, total=message.total)
                if time.monotonic() - saved >= _SAVED_EVERY:
                    saved = time.monotonic()
                    await self._save(msgspec.structs.replace(state, seconds=saved - began))
            state = msgspec.structs.replace(state, status="completed", total=len(state.pages))
        except DifyError as exc:
            state = msgspec.structs.replace(state, status="failed", error=str(exc))
        await self._save(msgspec.structs.replace(state, seconds=time.monotonic() - began))

    async def get(self, job_id: str, provider: str | None = None) -> CrawlState:
        """How far a crawl is; NotFound for an unknown one, or one of another provider."""
        try:
            data = await self._storage.load(self._key(job_id))
        except ObjectNotFound as exc:
            raise _unknown(job_id) from exc
        state = msgspec.json.decode(data, type=CrawlState)
        if provider is not None and state.provider != provider:
            raise _unknown(job_id)
        return state

    async def page(self, job_id: str, url: str) -> WebPage | None:
        """A page that a crawl read; None when it is not there."""
        try:
            state = await self.get(job_id)
        except NotFound:
            return None
        return next((page for page in state.pages if page.source_url == url), None)

    async def _save(self, state: CrawlState) -> None:
        await self._storage.save(self._key(state.job_id), msgspec.json.encode(state))

    def _key(self, job_id: str) -> str:
        try:
            return f"website_files/{self._tenant.id}/{UUID(job_id)}.json"
        except ValueError as exc:
            raise _unknown(job_id) from exc


def _unknown(job_id: str) -> NotFound:
    return NotFound("There is no such crawl.", hint="Start it again.", job_id=job_id)
