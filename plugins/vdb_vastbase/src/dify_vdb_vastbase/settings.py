"""Where the database is."""

from __future__ import annotations

from typing import Annotated

from dify_kernel.families.sql_settings import DatabaseSettings
from dify_kernel.settings import Doc

__all__ = ["VastbaseSettings"]


class VastbaseSettings(DatabaseSettings, frozen=True, kw_only=True):
    """Settings of the Vastbase store, prefix `VASTBASE_`."""

    host: Annotated[str, Doc("Host of the server.")] = "localhost"
    port: Annotated[int, Doc("Its port.", ge=1, le=65535)] = 5432
    user: Annotated[str, Doc("User that may make tables in the database.")] = "dify"
    database: Annotated[str, Doc("The database.")] = "dify"
