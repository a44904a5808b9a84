"""How OpenSearch maps vectors, and is asked for the nearest: 2.14 and later."""

from __future__ import annotations

from dify_kernel.families.search_engine_queries import Json
from dify_kernel.families.search_engine_vectors import cosine_script

__all__ = ["OpenSearchDialect"]

_SCRIPT = "Math.max(0.0, 1.0 + cosineSimilarity(params.vector, doc['vector']))"


class OpenSearchDialect:
    """`knn_vector` in a graph of Lucene, which filters while it searches.

    The score that the engine itself gives for a cosine is another one before 2.19 and after: a script computes it.
    """

    settings: Json = {"knn": True}
    cosine_scores = True
    vectors_in_fields = False
    exact_up_to = 10_000

    def field(self, dimension: int) -> Json:
        method = {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"}
        return {"type": "knn_vector", "dimension": dimension, "method": method}

    def exact(self, vector: list[float], query: Json) -> Json:
        return cosine_script(vector, query, _SCRIPT)

    def near(self, vector: list[float], top_k: int, query: Json) -> Json:
        return cosine_script(vector, {"knn": {"vector": {"vector": vector, "k": top_k, "filter": query}}}, _SCRIPT)
