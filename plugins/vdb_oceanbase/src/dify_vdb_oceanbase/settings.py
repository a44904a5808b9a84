"""Where the database is."""

from __future__ import annotations

from typing import Annotated

import msgspec
from dify_kernel.families.sql_settings import DatabaseSettings
from dify_kernel.settings import Doc, Secret

__all__ = ["OceanbaseSettings"]


class OceanbaseSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the OceanBase store, prefix `OCEANBASE_`."""

    vector_host: Annotated[str, Doc("Host of the server, or the path of its socket.")]
    vector_port: Annotated[int, Doc("Its port.", ge=1, le=65535)] = 2881
    vector_user: Annotated[str, Doc("User that may make tables in the database, such as `root@tenant`.")]
    vector_password: Annotated[Secret, Doc("The user's password.")] = Secret()
    vector_database: Annotated[str, Doc("The database.")]
    vector_min_connection: Annotated[int, Doc("Connections that are kept open.", ge=1)] = 1
    vector_max_connection: Annotated[int, Doc("The most connections of one process.", ge=1)] = 5
    enable_hybrid_search: Annotated[bool, Doc("Without effect: words are always found.")] = False
    fulltext_parser: Annotated[str, Doc("Without effect: words of every script are found without a parser.")] = "ik"

    @property
    def address(self) -> DatabaseSettings:
        """The same as the family has it."""
        return DatabaseSettings(
            host=self.vector_host,
            port=self.vector_port,
            user=self.vector_user,
            password=self.vector_password,
            database=self.vector_database,
            min_connection=self.vector_min_connection,
            max_connection=self.vector_max_connection,
        )
