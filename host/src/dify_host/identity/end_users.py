"""End users: the people behind an app's API, as its caller names them."""

from __future__ import annotations

import uuid
from typing import Any, Final
from weakref import WeakKeyDictionary

import msgspec
import sqlalchemy as sa
from dify_kernel.errors import BadInput, NotFound

from dify_host.apps.tables import apps
from dify_host.db.engine import Database
from dify_host.db.repository import TenantRepository, to_struct
from dify_host.db.statements import insert_missing
from dify_host.identity.tables import end_users
from dify_host.lru import Lru

__all__ = ["DEFAULT_USER", "EndUser", "EndUsers"]

DEFAULT_USER: Final = "DEFAULT-USER"
_NAMESPACE: Final = uuid.UUID("5f0f4c1e-6c0a-4f0e-9f57-0d3c6f9a7b21")
_REMEMBERED: Final = 20_000  # end users a process remembers, some 300 bytes each
_MAX_SESSION: Final = 255  # characters, as the column has

_Key = tuple[str, str | None, str, str]
_remembered: WeakKeyDictionary[Database, Lru[_Key, EndUser]] = WeakKeyDictionary()


class EndUser(msgspec.Struct, frozen=True, kw_only=True):
    """One end user of an app. `session_id` is the caller's name for it."""

    id: str
    tenant_id: str
    app_id: str | None = None
    type: str
    session_id: str
    is_anonymous: bool
    external_user_id: str | None = None
    name: str | None = None


class EndUsers(TenantRepository):
    """The end users of one workspace's apps."""

    async def get_or_create(self, app_id: str, session_id: str | None, *, type: str = "service_api") -> EndUser:
        """The end user of that name, made on first sight; `DEFAULT-USER` for None. NotFound for a foreign app.

        The id of a new one follows from its names, so two processes that make it at once make the same row.
        """
        name = DEFAULT_USER if session_id is None else session_id
        if len(name) > _MAX_SESSION:
            raise BadInput(f"user has {len(name)} characters and may have {_MAX_SESSION}.", field="user")
        cache = _remembered.setdefault(self.db, Lru(_REMEMBERED))
        key = (self.tenant.id, app_id, type, name)
        known = cache.get(key)
        if known is not None:
            return known
        user = await self._find(app_id, name, type) or await self._create(app_id, name, type)
        cache.put(key, user)
        return user

    async def get(self, end_user_id: str) -> EndUser:
        """One end user by id; NotFound."""
        async with self.db.read() as conn:
            row = (await conn.execute(self.scoped_select(end_users).where(end_users.c.id == end_user_id))).first()
        if row is None:
            raise NotFound("End user not found.", end_user=end_user_id)
        return to_struct(row, EndUser)

    async def _find(self, app_id: str, name: str, type: str) -> EndUser | None:
        async with self.db.read() as conn:
            own = self.scoped_select(apps, apps.c.id).where(apps.c.id == app_id)
            if (await conn.execute(own)).first() is None:
                raise NotFound("App not found.", app=app_id)
            row = (await conn.execute(self._named(app_id, name, type))).first()
        return None if row is None else to_struct(row, EndUser)

    async def _create(self, app_id: str, name: str, type: str) -> EndUser:
        row: dict[str, Any] = {
            "id": str(uuid.uuid5(_NAMESPACE, "\0".join((self.tenant.id, app_id, type, name)))),
            "tenant_id": self.tenant.id,
            "app_id": app_id,
            "type": type,
            "session_id": name,
            "external_user_id": name,
            "is_anonymous": name == DEFAULT_USER,
        }
        async with self.db.write() as conn:
            await insert_missing(conn, end_users, [row], key=["id"])
            found = (await conn.execute(self._named(app_id, name, type))).first()
        if found is None:
            raise NotFound("End user not found.", end_user=row["id"])
        return to_struct(found, EndUser)

    def _named(self, app_id: str, name: str, type: str) -> sa.Select[Any]:
        columns = (end_users.c.app_id == app_id, end_users.c.session_id == name, end_users.c.type == type)
        return self.scoped_select(end_users).where(*columns).order_by(end_users.c.created_at, end_users.c.id).limit(1)
