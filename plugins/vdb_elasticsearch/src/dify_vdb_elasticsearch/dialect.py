"""How Elasticsearch maps vectors, and is asked for the nearest: 8.12 and later."""

from __future__ import annotations

from dify_kernel.families.search_engine_queries import Json
from dify_kernel.families.search_engine_vectors import cosine_script

__all__ = ["ElasticsearchDialect"]

MOST_CANDIDATES = 10_000
_SCRIPT = "Math.max(0.0, 1.0 + cosineSimilarity(params.vector, 'vector'))"


class ElasticsearchDialect:
    """`dense_vector` with its full precision, so that no quantised graph stands between a record and its rank.

    Vectors are asked for as a field, because from 9.2 on they are no part of the source.
    """

    settings: Json = {}
    cosine_scores = True
    vectors_in_fields = True
    exact_up_to = 10_000

    def field(self, dimension: int) -> Json:
        graph = {"type": "hnsw"}
        return {"type": "dense_vector", "dims": dimension, "similarity": "cosine", "index_options": graph}

    def exact(self, vector: list[float], query: Json) -> Json:
        return cosine_script(vector, query, _SCRIPT)

    def near(self, vector: list[float], top_k: int, query: Json) -> Json:
        candidates = min(MOST_CANDIDATES, max(100, 2 * top_k))
        near = {"field": "vector", "query_vector": vector, "num_candidates": candidates, "filter": query}
        return cosine_script(vector, {"knn": near}, _SCRIPT)
