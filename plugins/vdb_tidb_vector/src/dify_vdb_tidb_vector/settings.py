"""Where the database is."""

from __future__ import annotations

from typing import Annotated

from dify_kernel.families.sql_settings import DatabaseSettings
from dify_kernel.settings import Doc

__all__ = ["TidbVectorSettings"]


class TidbVectorSettings(DatabaseSettings, frozen=True, kw_only=True):
    """Settings of the TiDB store, prefix `TIDB_VECTOR_`."""

    port: Annotated[int, Doc("Its port.", ge=1, le=65535)] = 4000
    tls: Annotated[bool, Doc("Connect with TLS and check the server's certificate; TiDB Cloud asks for it.")] = True
