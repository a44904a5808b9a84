"""Where the database is."""

from __future__ import annotations

from typing import Annotated

from dify_kernel.families.sql_settings import DatabaseSettings
from dify_kernel.settings import Doc

__all__ = ["PgvectorSettings"]


class PgvectorSettings(DatabaseSettings, frozen=True, kw_only=True):
    """Settings of the pgvector store, prefix `PGVECTOR_`."""

    port: Annotated[int, Doc("Its port.", ge=1, le=65535)] = 5433
    pg_bigm: Annotated[bool, Doc("Without effect: words of every script are found without the extension.")] = False
