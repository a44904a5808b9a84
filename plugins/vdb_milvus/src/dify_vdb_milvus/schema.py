"""The collection of a space: its fields, its indices, and the dimension that it was made with."""

from __future__ import annotations

from typing import Any

from dify_kernel.contracts.vector import Space

from dify_vdb_milvus.rows import LONGEST, MOST_TOKENS

__all__ = ["create", "dimension_of"]


def create(vendor: Any, client: Any, name: str, space: Space, *, words: bool, timeout: float) -> None:
    """Make and load a collection; every read sees every write."""
    types = vendor.DataType
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", types.VARCHAR, max_length=36, is_primary=True)
    schema.add_field("partition", types.VARCHAR, max_length=64, is_partition_key=True)
    schema.add_field("ordering", types.INT64)
    schema.add_field("text", types.VARCHAR, max_length=LONGEST)
    schema.add_field("rest", types.ARRAY, element_type=types.VARCHAR, max_length=LONGEST, max_capacity=8)
    schema.add_field("metadata", types.VARCHAR, max_length=LONGEST)
    schema.add_field("tokens", types.ARRAY, element_type=types.VARCHAR, max_length=32, max_capacity=MOST_TOKENS)
    schema.add_field("vector", types.FLOAT_VECTOR, dim=space.dimension)
    indices = client.prepare_index_params()
    indices.add_index("vector", index_type="HNSW", metric_type="COSINE", params={"M": 16, "efConstruction": 128})
    if words:
        analyzer = {"tokenizer": "standard"}
        schema.add_field("words", types.VARCHAR, max_length=LONGEST, enable_analyzer=True, analyzer_params=analyzer)
        schema.add_field("sparse", types.SPARSE_FLOAT_VECTOR)
        schema.add_function(
            vendor.Function(
                name="bm25",
                input_field_names=["words"],
                output_field_names=["sparse"],
                function_type=vendor.FunctionType.BM25,
            )
        )
        indices.add_index(
            "sparse",
            index_type="SPARSE_INVERTED_INDEX",
            metric_type="BM25",
            params={"bm25_k1": 1.2, "bm25_b": 0.75, "inverted_index_algo": "DAAT_MAXSCORE"},
        )
    client.create_collection(name, schema=schema, index_params=indices, consistency_level="Strong", timeout=timeout)


def dimension_of(described: dict[str, Any]) -> tuple[int, bool]:
    """The dimension of a described collection, and whether its words are indexed."""
    fields = {field["name"]: field for field in described["fields"]}
    return int(fields["vector"]["params"]["dim"]), "sparse" in fields
