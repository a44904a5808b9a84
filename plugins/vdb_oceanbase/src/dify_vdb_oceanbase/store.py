"""The store: the family's, in the dialect of OceanBase."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

from dify_kernel.families.sql_dialect import Condition
from dify_kernel.families.sql_text_dialect import TextDialect
from dify_kernel.families.sql_text_store import TextVectorStore

from dify_vdb_oceanbase.settings import OceanbaseSettings

__all__ = ["OceanbaseStore"]


class OceanbaseDialect(TextDialect):
    """Words under the engine's full text, split at spaces."""

    distance = "COSINE_DISTANCE(embedding, %s)"

    def find_words(self, table: str) -> str:
        return f"FULLTEXT INDEX {table}_words (words) WITH PARSER space"

    def sharing(self, words: Sequence[Any]) -> Condition:
        return "MATCH (words) AGAINST (%s IN NATURAL LANGUAGE MODE)", [self.words(words)]


class OceanbaseStore(TextVectorStore):
    """Records in OceanBase 4.3.5 or newer, or in seekdb."""

    name = "OceanBase"
    prefix = "OCEANBASE_VECTOR_"
    versioned = "OceanBase"
    asks_version = "SELECT @@version_comment"
    supported = ">=4.3.5,<5"
    dialect = OceanbaseDialect()
    #: The engine gives a statement ten seconds; a large knowledge base takes longer to delete.
    session = (
        "SET SESSION sql_mode = 'STRICT_TRANS_TABLES', SESSION ob_query_timeout = 600000000,"
        " SESSION ob_trx_timeout = 600000000"
    )
    #: A time limit, no memory, a lock, a leader that changes.
    states = {4012: "57014", 4013: "53200", 4023: "40001", 4038: "57P03", 6003: "40001", 6005: "40001", 7600: "22000"}

    def __init__(self, settings: OceanbaseSettings) -> None:
        super().__init__(settings.address)

    def client(self) -> ModuleType:
        import asyncmy

        return asyncmy
