"""Tables of knowledge bases: datasets, documents, segments, their metadata and what indexing needs."""

from __future__ import annotations

import sqlalchemy as sa

from dify_host.db.schema import (
    bare_table,
    big_integer,
    blob,
    flag,
    index,
    integer,
    json,
    json_text,
    long_text,
    moment,
    real,
    ref,
    string,
    table,
    unique,
)

__all__ = [
    "child_chunks",
    "dataset_collection_bindings",
    "dataset_imports",
    "dataset_keyword_tables",
    "dataset_keywords",
    "dataset_metadata_bindings",
    "dataset_metadatas",
    "dataset_permissions",
    "dataset_process_rules",
    "dataset_queries",
    "datasets",
    "document_questions",
    "document_segments",
    "documents",
    "embeddings",
    "external_knowledge_apis",
    "external_knowledge_bindings",
    "knowledge_tasks",
    "knowledge_turns",
    "segment_attachment_bindings",
]

datasets = table(
    "datasets",
    ref("tenant_id"),
    string("name"),
    long_text("description"),
    string("provider", default="vendor"),
    string("permission", default="only_me"),
    string("data_source_type", null=True),
    string("indexing_technique", null=True),
    json_text("index_struct"),
    string("embedding_model", null=True),
    string("embedding_model_provider", null=True),
    integer("keyword_number", 10),
    ref("collection_binding_id", null=True),
    json("retrieval_model"),
    flag("built_in_field_enabled"),
    json("icon_info"),
    string("runtime_mode", default="general"),
    ref("pipeline_id", null=True),
    string("chunk_structure", null=True),
    flag("enable_api", True),
    flag("is_multimodal"),
    ref("created_by"),
    ref("updated_by", null=True),
    index("tenant_id", "created_at"),
)

dataset_process_rules = table(
    "dataset_process_rules",
    ref("dataset_id"),
    string("mode", default="automatic"),
    json_text("rules"),
    ref("created_by"),
    index("dataset_id", "created_at"),
    updated=False,
)

documents = table(
    "documents",
    ref("tenant_id"),
    ref("dataset_id"),
    integer("position"),
    string("data_source_type"),
    json_text("data_source_info"),
    ref("dataset_process_rule_id", null=True),
    string("batch"),
    string("name"),
    string("created_from"),
    ref("created_by"),
    ref("created_api_request_id", null=True),
    moment("processing_started_at"),
    ref("file_id", null=True),
    big_integer("word_count", null=True),
    moment("parsing_completed_at"),
    moment("cleaning_completed_at"),
    moment("splitting_completed_at"),
    big_integer("tokens", null=True),
    real("indexing_latency", null=True),
    moment("completed_at"),
    flag("is_paused"),
    ref("paused_by", null=True),
    moment("paused_at"),
    long_text("error"),
    moment("stopped_at"),
    string("indexing_status", default="waiting"),
    flag("enabled", True),
    moment("disabled_at"),
    ref("disabled_by", null=True),
    flag("archived"),
    string("archived_reason", null=True),
    ref("archived_by", null=True),
    moment("archived_at"),
    string("doc_type", 40, null=True),
    json("doc_metadata"),
    string("doc_form", default="text_model"),
    string("doc_language", null=True),
    index("dataset_id", "position"),
    index("dataset_id", "indexing_status"),
    index("batch"),
    index("is_paused"),
)

document_segments = table(
    "document_segments",
    ref("tenant_id"),
    ref("dataset_id"),
    ref("document_id"),
    integer("position"),
    long_text("content", null=False),
    long_text("answer"),
    integer("word_count"),
    integer("tokens"),
    json("keywords"),
    string("index_node_id", null=True),
    string("index_node_hash", null=True),
    integer("hit_count"),
    flag("enabled", True),
    moment("disabled_at"),
    ref("disabled_by", null=True),
    string("status", default="waiting"),
    ref("created_by"),
    ref("updated_by", null=True),
    moment("indexing_at"),
    moment("completed_at"),
    long_text("error"),
    moment("stopped_at"),
    index("document_id", "position"),
    index("dataset_id", "status"),
    index("index_node_id", "dataset_id"),
)

# Imports of knowledge bases that are under way, by the id that the knowledge base will have.
dataset_imports = table(
    "dataset_imports",
    ref("tenant_id"),
    json_text("dataset", null=False),
    json_text("files", null=False),
    ref("token"),
    moment("looked_at"),
    index("looked_at"),
    updated=False,
)

# What a model wrote of the texts of a document in question-and-answer form, until its segments are there.
document_questions = table(
    "document_questions",
    ref("tenant_id"),
    ref("dataset_id"),
    ref("document_id"),
    string("text_hash", 64),
    json_text("pairs", null=False),
    unique("document_id", "text_hash"),
    index("dataset_id"),
    updated=False,
)

child_chunks = table(
    "child_chunks",
    ref("tenant_id"),
    ref("dataset_id"),
    ref("document_id"),
    ref("segment_id"),
    integer("position"),
    long_text("content", null=False),
    integer("word_count"),
    string("index_node_id", null=True),
    string("index_node_hash", null=True),
    string("type", default="automatic"),
    ref("created_by"),
    ref("updated_by", null=True),
    moment("indexing_at"),
    moment("completed_at"),
    long_text("error"),
    index("document_id"),
    index("index_node_id", "dataset_id"),
    index("segment_id", "position"),
)

segment_attachment_bindings = table(
    "segment_attachment_bindings",
    ref("tenant_id"),
    ref("dataset_id"),
    ref("document_id"),
    ref("segment_id"),
    ref("attachment_id"),
    index("document_id"),
    index("segment_id"),
    index("attachment_id"),
    updated=False,
)

dataset_queries = table(
    "dataset_queries",
    ref("dataset_id"),
    long_text("content", null=False),
    string("source"),
    ref("source_app_id", null=True),
    string("created_by_role", 16),
    ref("created_by"),
    index("dataset_id", "created_at"),
    index("created_at"),
    updated=False,
)

dataset_keyword_tables = table(
    "dataset_keyword_tables",
    ref("dataset_id"),
    long_text("keyword_table", null=False),
    string("data_source_type", default="database"),
    unique("dataset_id"),
)

# The inverted index of economy datasets, a row a word and segment.
dataset_keywords = bare_table(
    "dataset_keywords",
    ref("dataset_id", primary_key=True),
    string("keyword", 64, primary_key=True),
    ref("segment_id", primary_key=True),
    ref("document_id"),
    index("segment_id"),
    index("document_id"),
)

# Vectors that were computed once: `embedding` is raw little-endian float32.
embeddings = table(
    "embeddings",
    string("provider_name"),
    string("model_name"),
    string("hash", 64),
    blob("embedding"),
    unique("model_name", "hash", "provider_name"),
    index("created_at"),
    updated=False,
)

dataset_collection_bindings = table(
    "dataset_collection_bindings",
    string("provider_name"),
    string("model_name"),
    string("type", 40, default="dataset"),
    string("collection_name", 64),
    index("provider_name", "model_name"),
    updated=False,
)

dataset_permissions = table(
    "dataset_permissions",
    ref("tenant_id"),
    ref("dataset_id"),
    ref("account_id"),
    flag("has_permission", True),
    unique("dataset_id", "account_id"),
    index("account_id"),
    index("tenant_id"),
    updated=False,
)

dataset_metadatas = table(
    "dataset_metadatas",
    ref("tenant_id"),
    ref("dataset_id"),
    string("type"),
    string("name"),
    ref("created_by"),
    ref("updated_by", null=True),
    index("tenant_id"),
    unique("dataset_id", "name"),
)

dataset_metadata_bindings = table(
    "dataset_metadata_bindings",
    ref("tenant_id"),
    ref("dataset_id"),
    ref("metadata_id"),
    ref("document_id"),
    ref("created_by"),
    index("tenant_id"),
    index("dataset_id"),
    index("document_id"),
    unique("metadata_id", "document_id"),
    updated=False,
)

external_knowledge_apis = table(
    "external_knowledge_apis",
    ref("tenant_id"),
    string("name"),
    long_text("description", null=False),
    long_text("settings"),
    ref("created_by"),
    ref("updated_by", null=True),
    index("tenant_id"),
    index("name"),
)

external_knowledge_bindings = table(
    "external_knowledge_bindings",
    ref("tenant_id"),
    ref("external_knowledge_api_id"),
    ref("dataset_id"),
    string("external_knowledge_id"),
    ref("created_by"),
    ref("updated_by", null=True),
    index("tenant_id"),
    unique("dataset_id"),
    index("external_knowledge_id"),
    index("external_knowledge_api_id"),
)

# What is to be done, oldest first by id, which is made of the time; `requested` changes when it is asked for again.
knowledge_tasks = bare_table(
    "knowledge_tasks",
    ref("id", primary_key=True),
    ref("tenant_id"),
    ref("dataset_id"),
    ref("target_id"),
    string("purpose", 16),
    json_text("payload"),
    ref("requested"),
    integer("slot", null=True),
    moment("taken_at"),
    long_text("note"),
    long_text("error"),
    unique("purpose", "target_id"),
    index("tenant_id", "id"),
    index("dataset_id", "purpose"),
)

# The slots of a workspace: how many of its tasks are worked on at a time, and which turn each has reached.
knowledge_turns = bare_table(
    "knowledge_turns",
    ref("tenant_id", primary_key=True),
    sa.Column("slot", sa.Integer(), primary_key=True, autoincrement=False),
    big_integer("turn"),
    flag("active"),
    moment("looked_at"),
    index("active", "looked_at"),
)
