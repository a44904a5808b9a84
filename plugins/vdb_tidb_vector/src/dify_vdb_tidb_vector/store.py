"""The store: the family's, in the dialect of TiDB."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

from dify_kernel.contracts.vector import VectorCapabilities
from dify_kernel.families.sql_dialect import Condition
from dify_kernel.families.sql_text_dialect import TextDialect
from dify_kernel.families.sql_text_store import TextVectorStore

from dify_vdb_tidb_vector.settings import TidbVectorSettings

__all__ = ["TidbVectorStore"]


class TidbDialect(TextDialect):
    """Words as a JSON list under a multi-valued index: the engine's full text is in some regions of its cloud only."""

    distance = "VEC_COSINE_DISTANCE(embedding, %s)"
    words_type, words_text = "JSON", "CAST(words AS CHAR)"

    def find_words(self, table: str) -> str:
        return f"INDEX {table}_words ((CAST(words AS UNSIGNED ARRAY)))"

    def words(self, words: Iterable[Any]) -> str:
        return f"[{','.join(words)}]"

    def sharing(self, words: Sequence[Any]) -> Condition:
        return "JSON_OVERLAPS(words, %s)", [self.words(words)]


class TidbVectorStore(TextVectorStore):
    """Records in TiDB 8.4 or newer, or in TiDB Cloud."""

    capabilities = VectorCapabilities(full_text=True, hybrid=True, max_dimension=16_383)
    name = "TiDB"
    prefix = "TIDB_VECTOR_"
    versioned = "TiDB"
    asks_version = "SELECT SUBSTRING_INDEX(VERSION(), 'TiDB-v', -1)"
    #: Its cloud had vectors before it could be had elsewhere, in 8.4.
    supported = ">=7.5,<9"
    dialect = TidbDialect()
    #: Conflicts of writers, a schema that changed, and storage nodes that do not answer or are busy.
    states = {
        **dict.fromkeys((8002, 8005, 8022, 8028, 9007), "40001"),
        **dict.fromkeys((8027, 9001, 9002, 9003, 9004, 9005), "57P03"),
        8001: "53200",
    }

    def __init__(self, settings: TidbVectorSettings) -> None:
        super().__init__(settings)
        self._tls = settings.tls

    def client(self) -> ModuleType:
        import asyncmy

        return asyncmy

    def options(self) -> dict[str, Any]:
        return {"ssl": ssl.create_default_context()} if self._tls else {}
