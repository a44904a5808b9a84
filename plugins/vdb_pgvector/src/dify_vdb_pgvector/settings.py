"""Where the database is."""

from __future__ import annotations

from typing import Annotated

import msgspec
from dify_kernel.settings import Doc, Secret

__all__ = ["PgvectorSettings"]


class PgvectorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the pgvector store, prefix `PGVECTOR_`."""

    host: Annotated[str, Doc("Host of the PostgreSQL server.")]
    port: Annotated[int, Doc("Its port.", ge=1, le=65535)] = 5433
    user: Annotated[str, Doc("User that may make tables in the database.")]
    password: Annotated[Secret, Doc("The user's password.")] = Secret()
    database: Annotated[str, Doc("The database; the extension `vector` is made in it if the user may.")]
    min_connection: Annotated[int, Doc("Connections that are kept open.", ge=1)] = 1
    max_connection: Annotated[int, Doc("The most connections of one process.", ge=1)] = 5
    pg_bigm: Annotated[bool, Doc("Without effect: words of every script are found without the extension.")] = False
