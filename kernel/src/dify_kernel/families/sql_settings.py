"""Where a database is, and how long its clients wait for it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from dify_kernel.settings import Doc, Secret

__all__ = ["WAIT", "DatabaseSettings"]

WAIT = 10.0
"""Seconds until a connection is made, or free."""


class DatabaseSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where a database is; a plugin gives the port and what else differs."""

    host: Annotated[str, Doc("Host of the server.")]
    port: Annotated[int, Doc("Its port.", ge=1, le=65535)] = 5432
    user: Annotated[str, Doc("User that may make tables in the database.")]
    password: Annotated[Secret, Doc("The user's password.")] = Secret()
    database: Annotated[str, Doc("The database.")]
    min_connection: Annotated[int, Doc("Connections that are kept open.", ge=1)] = 1
    max_connection: Annotated[int, Doc("The most connections of one process.", ge=1)] = 5
