"""The store: the family's, in the dialect of openGauss."""

from __future__ import annotations

from typing import Any

from dify_kernel.families.sql_array_store import ArrayVectorStore
from dify_kernel.families.sql_dialect import ArrayDialect

from dify_vdb_opengauss.settings import OpengaussSettings

__all__ = ["OpengaussStore"]


class OpengaussStore(ArrayVectorStore):
    """Records in openGauss with DataVec."""

    name = "openGauss"
    prefix = "OPENGAUSS_"
    #: `version()` and `server_version` tell of the PostgreSQL that it branched off; DataVec came with 6.0.3.
    versioned = "openGauss"
    asks_version = "SELECT opengauss_version()"
    supported = ">=6.0.3"
    dialect = ArrayDialect(modern=False)

    def __init__(self, settings: OpengaussSettings) -> None:
        super().__init__(settings)
        if settings.enable_pq:
            self.dialect = ArrayDialect(modern=False, index_options="m = 16, ef_construction = 64, enable_pq = on")

    def client(self) -> tuple[Any, Any]:
        import psycopg
        import psycopg_pool

        return psycopg, psycopg_pool
