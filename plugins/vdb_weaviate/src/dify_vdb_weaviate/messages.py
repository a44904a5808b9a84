"""The messages of Weaviate's gRPC interface that the store speaks: their fields by number and type, and their classes.

The vendor's own client keeps the gRPC and Protocol Buffers libraries of the whole installation at old versions, and
takes seconds to import; what the store needs of it are these few messages. They live in a pool of their own, so that
the client may be in the same process. A type is one of Protocol Buffers' or a message below; enumerations are numbers.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from typing import Any

__all__ = ["FIELDS", "METHODS", "load"]

METHODS = {
    "Search": ("SearchRequest", "SearchReply"),
    "BatchObjects": ("BatchObjectsRequest", "BatchObjectsReply"),
    "BatchDelete": ("BatchDeleteRequest", "BatchDeleteReply"),
    "Aggregate": ("AggregateRequest", "AggregateReply"),
}
"""The calls of the service `weaviate.v1.Weaviate`: what goes and what comes."""

FIELDS: dict[str, dict[str, tuple[int, str]]] = {
    # -- searching ---------------------------------------------------------------------------------------------------
    "SearchRequest": {
        "collection": (1, "string"),
        "tenant": (10, "string"),
        "properties": (20, "PropertiesRequest"),
        "metadata": (21, "MetadataRequest"),
        "limit": (30, "uint32"),
        "after": (33, "string"),
        "filters": (40, "Filters"),
        "bm25_search": (42, "BM25"),
        "near_vector": (43, "NearVector"),
        "uses_123_api": (100, "bool"),
        "uses_125_api": (101, "bool"),
        "uses_127_api": (102, "bool"),
    },
    "PropertiesRequest": {"non_ref_properties": (1, "repeated string")},
    "MetadataRequest": {"uuid": (1, "bool"), "vector": (2, "bool"), "distance": (5, "bool"), "score": (7, "bool")},
    "Filters": {
        "operator": (1, "int32"),
        "filters": (3, "repeated Filters"),
        "value_text": (4, "string"),
        "value_text_array": (9, "TextArray"),
        "target": (20, "FilterTarget"),
    },
    "TextArray": {"values": (1, "repeated string")},
    "FilterTarget": {"property": (1, "string")},
    "BM25": {"query": (1, "string"), "properties": (2, "repeated string")},
    "NearVector": {"vector_bytes": (4, "bytes")},
    "SearchReply": {"results": (2, "repeated SearchResult")},
    "SearchResult": {"properties": (1, "PropertiesResult"), "metadata": (2, "MetadataResult")},
    "MetadataResult": {
        "id": (1, "string"),
        "distance": (7, "float"),
        "score": (11, "float"),
        "vector_bytes": (19, "bytes"),
    },
    "PropertiesResult": {"non_ref_props": (11, "Properties")},
    "Properties": {"fields": (1, "repeated Properties.FieldsEntry")},
    "Properties.FieldsEntry": {"key": (1, "string"), "value": (2, "Value")},
    "Value": {"text_value": (13, "string")},
    # -- writing -----------------------------------------------------------------------------------------------------
    "BatchObjectsRequest": {"objects": (1, "repeated BatchObject")},
    "BatchObject": {
        "uuid": (1, "string"),
        "properties": (3, "BatchObject.Properties"),
        "collection": (4, "string"),
        "tenant": (5, "string"),
        "vector_bytes": (6, "bytes"),
    },
    "BatchObject.Properties": {
        "non_ref_properties": (1, "google.protobuf.Struct"),
        "text_array_properties": (6, "repeated TextArrayProperties"),
    },
    "google.protobuf.Struct": {"fields": (1, "repeated google.protobuf.Struct.FieldsEntry")},
    "google.protobuf.Struct.FieldsEntry": {"key": (1, "string"), "value": (2, "google.protobuf.Value")},
    "google.protobuf.Value": {"string_value": (3, "string")},
    "TextArrayProperties": {"values": (1, "repeated string"), "prop_name": (2, "string")},
    "BatchObjectsReply": {"errors": (2, "repeated BatchObjectsReply.BatchError")},
    "BatchObjectsReply.BatchError": {"index": (1, "int32"), "error": (2, "string")},
    # -- deleting and counting -----------------------------------------------------------------------------------------
    "BatchDeleteRequest": {"collection": (1, "string"), "filters": (2, "Filters"), "tenant": (6, "string")},
    "BatchDeleteReply": {"failed": (2, "int64"), "matches": (3, "int64"), "successful": (4, "int64")},
    "AggregateRequest": {
        "collection": (1, "string"),
        "tenant": (10, "string"),
        "objects_count": (20, "bool"),
        "filters": (40, "Filters"),
    },
    "AggregateReply": {"single_result": (2, "AggregateReply.Single")},
    "AggregateReply.Single": {"objects_count": (1, "int64")},
}


@cache
def load() -> Mapping[str, Any]:
    """The classes of the messages, by name; this imports Protocol Buffers."""
    descriptor_pb2, descriptor_pool, message_factory = (
        importlib.import_module(f"google.protobuf.{name}")
        for name in ("descriptor_pb2", "descriptor_pool", "message_factory")
    )
    described = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="dify_vdb_weaviate.proto", package="weaviate.v1", syntax="proto3")
    for name, fields in FIELDS.items():
        message = file.message_type.add(name=_flat(name))
        for field, (number, kind) in fields.items():
            repeated, kind = kind.startswith("repeated "), kind.removeprefix("repeated ")
            made = message.field.add(name=field, number=number)
            made.label = described.LABEL_REPEATED if repeated else described.LABEL_OPTIONAL
            if kind in FIELDS:
                made.type, made.type_name = described.TYPE_MESSAGE, f".weaviate.v1.{_flat(kind)}"
            else:
                made.type = described.Type.Value(f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"weaviate.v1.{_flat(name)}"))
        for name in FIELDS
    }


def _flat(name: str) -> str:
    """Messages within messages lie side by side here: their names are not sent."""
    return name.replace(".", "_")
