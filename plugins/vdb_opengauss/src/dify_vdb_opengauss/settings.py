"""Where the database is."""

from __future__ import annotations

from typing import Annotated

from dify_kernel.families.sql_settings import DatabaseSettings
from dify_kernel.settings import Doc

__all__ = ["OpengaussSettings"]


class OpengaussSettings(DatabaseSettings, frozen=True, kw_only=True):
    """Settings of the openGauss store, prefix `OPENGAUSS_`."""

    host: Annotated[str, Doc("Host of the server.")] = "localhost"
    port: Annotated[int, Doc("Its port.", ge=1, le=65535)] = 6600
    user: Annotated[str, Doc("User that may make tables in the database.")] = "postgres"
    database: Annotated[str, Doc("The database.")] = "dify"
    enable_pq: Annotated[bool, Doc("Compress the vectors in indexes of large partitions (product quantization).")] = (
        False
    )
