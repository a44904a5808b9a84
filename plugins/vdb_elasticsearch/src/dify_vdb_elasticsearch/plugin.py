"""Offers the vector stores `elasticsearch` and `elasticsearch-ja`: words of any script are found in both."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

from dify_vdb_elasticsearch.settings import ElasticsearchSettings
from dify_vdb_elasticsearch.store import ElasticsearchVectorStore

__all__ = ["register_vector_stores"]


@hookimpl
def register_vector_stores(register: Callable[..., None]) -> None:
    for name in ("elasticsearch", "elasticsearch-ja"):
        register(name, ElasticsearchSettings, ElasticsearchVectorStore, prefix="ELASTICSEARCH_")
