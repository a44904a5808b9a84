"""The store: the family's, in the dialect of Vastbase."""

from __future__ import annotations

from typing import Any

from dify_kernel.families.sql_array_store import ArrayVectorStore
from dify_kernel.families.sql_dialect import ArrayDialect

__all__ = ["VastbaseStore"]


class VastbaseStore(ArrayVectorStore):
    """Records in Vastbase with its type floatvector."""

    name = "Vastbase"
    prefix = "VASTBASE_"
    #: The answer has more lines, one with the version of the openGauss below: `(Vastbase G100 V2.2 (Build 11))`.
    versioned = "Vastbase"
    asks_version = "SELECT substring(vb_version() from 'V([0-9]+[.][0-9.]*)')"
    supported = ">=2.2,<4"
    dialect = ArrayDialect(
        vector_type="floatvector",
        operator_class="floatvector_cosine_ops",
        indexed_dimension=16_000,
        modern=False,
    )

    def client(self) -> tuple[Any, Any]:
        import psycopg
        import psycopg_pool

        return psycopg, psycopg_pool
