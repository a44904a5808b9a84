"""Knowledge that another service keeps: the registered APIs of a workspace, the datasets bound to them, questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from dify_kernel.contracts.http import HttpClient
from dify_kernel.errors import BadInput
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.engine import Database
from dify_host.db.repository import Page
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.identity.tenant_keys import TenantKeys
from dify_host.knowledge.errors import ExternalApiInUse, ExternalApiNotFound
from dify_host.knowledge.external_call import ExternalHit, ExternalQuestion, ask_external, check_external
from dify_host.knowledge.metadata import Conditions
from dify_host.knowledge.ranking import MOST_HITS
from dify_host.knowledge.records import Dataset
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.tables import datasets
from dify_host.knowledge.tables import external_knowledge_apis as apis
from dify_host.knowledge.tables import external_knowledge_bindings as bindings
from dify_host.net.crypto import mask_secret

__all__ = ["HIDDEN", "ExternalApi", "ExternalInfo", "ExternalKnowledge", "ExternalRetrieval", "read_external_retrieval"]

#: What a console sends back for a key that is to stay.
HIDDEN: Final = "[__HIDDEN__]"
_LONGEST_NAME: Final = 40
_LONGEST_ENDPOINT: Final = 2048


class ExternalRetrieval(msgspec.Struct, frozen=True, kw_only=True):
    """How an external knowledge base is asked; kept as the dataset's `retrieval_model`."""

    top_k: int = 4
    score_threshold: float | None = None
    score_threshold_enabled: bool = False

    @property
    def threshold(self) -> float:
        """What the API is told; 0 when every score counts."""
        return (self.score_threshold or 0.0) if self.score_threshold_enabled else 0.0


def read_external_retrieval(value: Mapping[str, Any] | None) -> ExternalRetrieval:
    """Read stored or posted settings, of which None values count as not given; BadInput says what is wrong."""
    given = {key: item for key, item in (value or {}).items() if item is not None}
    try:
        read = msgspec.convert(given, ExternalRetrieval)
    except msgspec.ValidationError as exc:
        raise BadInput(f"external_retrieval_model is not valid: {exc}.") from exc
    if not 1 <= read.top_k <= MOST_HITS:
        raise BadInput(f"top_k is {read.top_k}, and must be from 1 to {MOST_HITS}.", field="top_k")
    return read


class ExternalApi(msgspec.Struct, frozen=True, kw_only=True):
    """A registered API as responses show it; `settings` are endpoint and api_key, of which the last characters."""

    id: str
    tenant_id: str
    name: str
    description: str
    settings: dict[str, str]
    dataset_bindings: list[dict[str, str]]
    created_by: str
    created_at: datetime


class ExternalInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a dataset is bound to; the API's fields are empty when it is gone."""

    external_knowledge_id: str
    external_knowledge_api_id: str
    external_knowledge_api_name: str
    external_knowledge_api_endpoint: str


class ExternalKnowledge(KnowledgeRepository):
    """The external knowledge of one workspace. Keys are encrypted; an API is asked once before it is kept."""

    def __init__(self, db: Database, tenant: Tenant, keys: TenantKeys, http: HttpClient) -> None:
        super().__init__(db, tenant)
        self._keys, self._http = keys, http

    # -- registered APIs ---------------------------------------------------------------------------------------

    async def find(self, *, page: int = 1, limit: int = 20, keyword: str = "") -> Page[ExternalApi]:
        """A page of the registered APIs, newest first, at most 100."""
        page, limit = max(page, 1), min(max(limit, 1), 100)
        query = self.scoped_select(apis)
        if keyword:
            query = query.where(sa.func.lower(apis.c.name).contains(keyword.lower(), autoescape=True))
        newest = query.order_by(apis.c.created_at.desc(), apis.c.id.desc()).limit(limit).offset((page - 1) * limit)
        async with self.db.read() as conn:
            total = (await conn.execute(sa.select(sa.func.count()).select_from(query.subquery()))).scalar_one()
            rows = (await conn.execute(newest)).all()
            bound = await self._bound(conn, [row.id for row in rows])
        data = [await self._shown(row, bound.get(row.id, [])) for row in rows]
        return Page(data=data, page=page, limit=limit, total=total, has_more=page * limit < total)

    async def get(self, api_id: str) -> ExternalApi:
        """One registered API; ExternalApiNotFound."""
        async with self.db.read() as conn:
            row = await self._row(conn, api_id)
            bound = await self._bound(conn, [api_id])
        return await self._shown(row, bound.get(api_id, []))

    async def create(self, name: str, endpoint: str, api_key: str, user_id: str, description: str = "") -> ExternalApi:
        """Ask an API and register it; BadInput, or ExternalKnowledgeFailed when it does not answer as one."""
        row_id = new_id()
        values = await self._checked(row_id, name, endpoint, api_key)
        row = {**values, "id": row_id, "description": description, "created_by": user_id}
        async with self.db.write() as conn:
            await conn.execute(self.scoped_insert(apis, row))
        return await self.get(row_id)

    async def update(
        self, api_id: str, name: str, endpoint: str, api_key: str | None, user_id: str, description: str | None = None
    ) -> ExternalApi:
        """Ask and change a registered API; None leaves the description as it is, and so does the key as it was shown.

        A kept key does not go to another endpoint: BadInput.
        """
        async with self.db.read() as conn:
            row = await self._row(conn, api_id)
        known, key = await self._opened(row)
        if api_key not in (None, HIDDEN, mask_secret(key)):
            key = api_key or ""
        elif endpoint.strip().rstrip("/") != known:
            raise BadInput("api_key is required for another endpoint.", field="api_key")
        values = {**await self._checked(api_id, name, endpoint, key), "updated_by": user_id}
        if description is not None:
            values["description"] = description
        async with self.db.write() as conn:
            await conn.execute(self.scoped_update(apis, values).where(apis.c.id == api_id))
        return await self.get(api_id)

    async def uses(self, api_id: str) -> int:
        """How many datasets are bound to it; ExternalApiNotFound."""
        async with self.db.read() as conn:
            await self._row(conn, api_id)
            return len((await self._bound(conn, [api_id])).get(api_id, []))

    async def delete(self, api_id: str) -> None:
        """Forget a registered API; ExternalApiInUse while a dataset is bound to it."""
        async with self.db.write() as conn:
            await self._row(conn, api_id)
            bound = (await self._bound(conn, [api_id])).get(api_id, [])
            if bound:
                names = ", ".join(item["name"] for item in bound[:5])
                raise ExternalApiInUse(
                    f"The external knowledge API is used by {len(bound)} knowledge bases: {names}.",
                    hint="Delete or bind them elsewhere first.",
                    external_knowledge_api_id=api_id,
                )
            await conn.execute(self.scoped_delete(apis).where(apis.c.id == api_id))

    # -- bound datasets ----------------------------------------------------------------------------------------

    async def create_dataset(
        self,
        name: str,
        api_id: str,
        knowledge_id: str,
        user_id: str,
        *,
        description: str = "",
        retrieval: Mapping[str, Any] | None = None,
        permission: str = "only_me",
    ) -> str:
        """Make a dataset whose content the API holds under `knowledge_id`, and return its id."""
        dataset_id = new_id()
        settings = msgspec.to_builtins(read_external_retrieval(retrieval))
        row = {
            "id": dataset_id,
            "name": name,
            "description": description,
            "provider": "external",
            "permission": permission,
            "retrieval_model": settings,
            "created_by": user_id,
        }
        async with self.db.write() as conn:
            await self.claim_name(conn, name)
            await conn.execute(self.scoped_insert(datasets, row))
            await self.bind(conn, dataset_id, api_id, knowledge_id, user_id)
        return dataset_id

    async def bind(self, conn: AsyncConnection, dataset_id: str, api_id: str, knowledge_id: str, user_id: str) -> None:
        """Bind a dataset, or bind it anew; ExternalApiNotFound, BadInput without a knowledge id."""
        if not knowledge_id.strip():
            raise BadInput("external_knowledge_id is required.", field="external_knowledge_id")
        await self._row(conn, api_id)
        values = {"external_knowledge_api_id": api_id, "external_knowledge_id": knowledge_id.strip()}
        change = self.scoped_update(bindings, {**values, "updated_by": user_id})
        done = await conn.execute(change.where(bindings.c.dataset_id == dataset_id))
        if not done.rowcount:
            row = {**values, "id": new_id(), "dataset_id": dataset_id, "created_by": user_id}
            await conn.execute(self.scoped_insert(bindings, row))

    async def unbind(self, conn: AsyncConnection, dataset_id: str) -> None:
        """Forget what a dataset is bound to, as it is deleted."""
        await conn.execute(self.scoped_delete(bindings).where(bindings.c.dataset_id == dataset_id))

    async def infos(self, dataset_ids: Sequence[str]) -> dict[str, ExternalInfo]:
        """What datasets are bound to, by dataset id."""
        query = self.scoped_select(bindings).where(bindings.c.dataset_id.in_(dataset_ids))
        async with self.db.read() as conn:
            rows = (await conn.execute(query)).all()
            wanted = {row.external_knowledge_api_id for row in rows}
            found = await conn.execute(self.scoped_select(apis).where(apis.c.id.in_(wanted)))
            by_id = {row.id: row for row in found}
        infos = {}
        for row in rows:
            api = by_id.get(row.external_knowledge_api_id)
            infos[row.dataset_id] = ExternalInfo(
                external_knowledge_id=row.external_knowledge_id,
                external_knowledge_api_id=row.external_knowledge_api_id,
                external_knowledge_api_name=api.name if api else "",
                external_knowledge_api_endpoint=_settings(api)["endpoint"] if api else "",
            )
        return infos

    # -- questions ---------------------------------------------------------------------------------------------

    async def retrieve(
        self, dataset: Dataset, query: str, retrieval: ExternalRetrieval, conditions: Conditions | None = None
    ) -> list[ExternalHit]:
        """Ask the API that a dataset is bound to; its records as it gives them, the best first.

        How many, and from which score on, is the API's to obey. ExternalApiNotFound, ExternalKnowledgeFailed.
        """
        async with self.db.read() as conn:
            held = await conn.execute(self.scoped_select(bindings).where(bindings.c.dataset_id == dataset.id))
            binding = held.one_or_none()
            if binding is None:
                raise ExternalApiNotFound(
                    f"Knowledge base {dataset.name} is bound to no external API.",
                    hint="Choose one in its settings.",
                    dataset_id=dataset.id,
                )
            api = await self._row(conn, binding.external_knowledge_api_id)
        endpoint, key = await self._opened(api)
        question = ExternalQuestion(
            query=query,
            knowledge_id=binding.external_knowledge_id,
            top_k=retrieval.top_k,
            score_threshold=retrieval.threshold,
            conditions=conditions,
        )
        hits = await ask_external(self._http, endpoint, key, question)
        return sorted(hits, key=lambda hit: -hit.score)

    # -- inside ------------------------------------------------------------------------------------------------

    async def _row(self, conn: AsyncConnection, api_id: str) -> sa.Row[Any]:
        row: sa.Row[Any] | None = (
            await conn.execute(self.scoped_select(apis).where(apis.c.id == api_id))
        ).one_or_none()
        if row is None:
            raise ExternalApiNotFound("External knowledge API not found.", external_knowledge_api_id=api_id)
        return row

    async def _bound(self, conn: AsyncConnection, api_ids: Sequence[str]) -> dict[str, list[dict[str, str]]]:
        """The datasets of APIs (id and name), by the API's id."""
        query = (
            self.scoped_select(bindings, bindings.c.external_knowledge_api_id, datasets.c.id, datasets.c.name)
            .join(datasets, datasets.c.id == bindings.c.dataset_id)
            .where(bindings.c.external_knowledge_api_id.in_(api_ids))
            .order_by(datasets.c.created_at, datasets.c.id)
        )
        found: dict[str, list[dict[str, str]]] = {}
        for row in await conn.execute(query):
            found.setdefault(row.external_knowledge_api_id, []).append({"id": row.id, "name": row.name})
        return found

    async def _checked(self, row_id: str, name: str, endpoint: str, key: str) -> dict[str, Any]:
        name, endpoint = name.strip(), endpoint.strip().rstrip("/")
        if not 0 < len(name) <= _LONGEST_NAME:
            raise BadInput(f"name must have 1 to {_LONGEST_NAME} characters.", field="name")
        if not endpoint.startswith(("http://", "https://")) or len(endpoint) > _LONGEST_ENDPOINT:
            raise BadInput("endpoint must start with http:// or https://.", field="endpoint")
        if not key:
            raise BadInput("api_key is required.", field="api_key")
        await check_external(self._http, endpoint, key)
        sealed = (await self._keys.cipher(self.tenant)).encrypt(key, _place(row_id))
        return {"name": name, "settings": msgspec.json.encode({"endpoint": endpoint, "api_key": sealed}).decode()}

    async def _opened(self, row: sa.Row[Any]) -> tuple[str, str]:
        """The endpoint and the key in clear."""
        settings = _settings(row)
        cipher = await self._keys.cipher(self.tenant)
        return settings["endpoint"], cipher.decrypt(settings["api_key"], _place(row.id))

    async def _shown(self, row: sa.Row[Any], bound: list[dict[str, str]]) -> ExternalApi:
        endpoint, key = await self._opened(row)
        return ExternalApi(
            id=row.id,
            tenant_id=row.tenant_id,
            name=row.name,
            description=row.description,
            settings={"endpoint": endpoint, "api_key": mask_secret(key)},
            dataset_bindings=bound,
            created_by=row.created_by,
            created_at=row.created_at,
        )


def _settings(row: sa.Row[Any]) -> dict[str, str]:
    settings: dict[str, str] = msgspec.json.decode(row.settings)
    return settings


def _place(row_id: str) -> str:
    return f"external_knowledge_apis:{row_id}:api_key"
